"""Messages, for a terminal and as JSON lines. Everything in them is hostile."""

import base64
import datetime as dt
import json
import zlib
from typing import Any, assert_never

from chatops.chat.messages import Binary, Envelope, Kind, PlainText, decode, format_time, safe_text
from chatops.mqtt.connection import Delivery
from chatops.render.output import Output

# Colours that stay apart for all common kinds of colour blindness, and on light and dark grounds: blue, magenta,
# cyan, yellow, and their bold forms. Red and green are kept for errors and plans.
_SENDER_STYLES = ("34", "35", "36", "33", "1;34", "1;35", "1;36", "1;33")
_SHORT_ID = 6


def message_record(delivery: Delivery, received: dt.datetime) -> dict[str, Any]:
    """One message as the JSON line of `tail`.

    Returns:
        received (RFC 3339, milliseconds), room, id, from, name, kind, text, sent, bytes (size of the payload) and
        encoding: "envelope", "text" or "base64" (`text` is then the payload in base64).
    """
    record: dict[str, Any] = {
        "received": format_time(received),
        "room": delivery.topic,
        "id": None,
        "from": None,
        "name": None,
        "kind": None,
        "text": None,
        "sent": None,
        "bytes": len(delivery.payload),
        "encoding": "text",
    }
    match decode(delivery.payload):
        case Envelope() as message:
            record |= {
                "id": message.id,
                "from": message.sender,
                "name": message.name,
                "kind": message.kind.value,
                "text": message.text,
                "sent": format_time(message.sent),
                "encoding": "envelope",
            }
        case PlainText() as plain:
            record["text"] = plain.text
        case Binary() as binary:
            record |= {"text": base64.b64encode(binary.payload).decode(), "encoding": "base64"}
        case never:
            assert_never(never)
    return record


def json_line(record: dict[str, Any]) -> str:
    """A record on one line; ASCII only, so that no control or bidi character gets through raw."""
    return json.dumps(record, ensure_ascii=True, separators=(",", ":"))


def terminal_line(out: Output, record: dict[str, Any], *, several_rooms: bool) -> str:
    """A record for a person: time, room when there are several, sender, text."""
    time = dt.datetime.fromisoformat(record["received"]).astimezone().strftime("%H:%M:%S")
    parts = [out.styled(time, "2")]
    if several_rooms:
        parts.append(out.styled(safe_text(record["room"]), "2"))
    if record["encoding"] == "base64":
        return " ".join([*parts, out.styled(f"({record['bytes']} bytes of binary data)", "2")])
    text = safe_text(record["text"] or "")
    if record["encoding"] == "text":
        return " ".join([*parts, text])
    sender = str(record["from"] or "")
    name = safe_text(record["name"] or "") or "guest"
    style = _SENDER_STYLES[zlib.crc32(sender.encode("utf-8", "replace")) % len(_SENDER_STYLES)]
    short = safe_text(sender.rpartition(":")[2][:_SHORT_ID])
    who = out.styled(name, style) + (out.styled(f" ({short})", "2") if short and short != name[:_SHORT_ID] else "")
    match record["kind"]:
        case Kind.JOIN | Kind.LEAVE:
            verb = "joined" if record["kind"] == Kind.JOIN else "left"
            return " ".join([*parts, out.styled(f"{name} ({short}) {verb}", "2")])
        case Kind.SYSTEM:
            return " ".join([*parts, out.styled("*", "1"), who, text])
        case _:
            return " ".join([*parts, f"{who}: {text}"])
