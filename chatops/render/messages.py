"""Messages, for a terminal and as JSON lines. Everything in them is hostile."""

import base64
import datetime as dt
import json
import re
import zlib
from typing import Any, assert_never

from chatops.chat.gaps import Gap
from chatops.chat.messages import Binary, Envelope, Kind, PlainText, decode, format_time, safe_text
from chatops.mqtt.connection import Delivery
from chatops.render.output import Output
from chatops.render.wrapping import cells, cut, wrap

MOST_LATENCY_MS = 60_000
"""A sender's clock that shows a later time than ours, or one so much earlier, is not believed."""

# Colours that stay apart for all common kinds of colour blindness, and on light and dark grounds: blue, magenta,
# cyan, yellow, and their bold forms. Red and green are kept for errors and plans.
_SENDER_STYLES = ("34", "35", "36", "33", "1;34", "1;35", "1;36", "1;33")
_SHORT_ID = 6
_LONGEST_NAME = 40
_NARROWEST = 20  # below so many columns, breaking lines helps nobody

_STRING = rb'"[ !#-\[\]-~]*"'  # printable ASCII without escapes
_CANONICAL = re.compile(
    rb'\{"id":"[ !#-\[\]-~]+","from":%(string)s,"name":%(string)s,"kind":"(?:chat|system|join|leave)",'
    rb'"text":%(string)s,"sent":"([0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3])(?::[0-9]{2}){2}\.[0-9]{3}Z)"\}'
    % {b"string": _STRING}
)
"""An envelope as `encode` writes it when nothing in it needs an escape: then it can be passed on as it is."""


def message_record(delivery: Delivery, received: dt.datetime) -> dict[str, Any]:
    """One message as the JSON line of `tail`.

    Returns:
        received (RFC 3339, milliseconds), room, id, from, name, kind, text, sent, bytes (size of the payload),
        encoding: "envelope", "text" or "base64" (`text` is then the payload in base64), and latency_ms: from `sent`
        to `received`, null where that is not credible.
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
        "latency_ms": None,
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
                "latency_ms": latency_ms(received, message.sent),
            }
        case PlainText() as plain:
            record["text"] = plain.text
        case Binary() as binary:
            record |= {"text": base64.b64encode(binary.payload).decode(), "encoding": "base64"}
        case never:
            assert_never(never)
    return record


def latency_ms(received: dt.datetime, sent: dt.datetime) -> int | None:
    """Milliseconds from sending to arrival; None where the sender's clock cannot be right."""
    passed = (received - sent) // dt.timedelta(milliseconds=1)
    return passed if 0 <= passed <= MOST_LATENCY_MS else None


def gap_record(gap: Gap) -> dict[str, Any]:
    """A gap as a JSON line of `tail`: kind "gap", from, to, reason, missed (null: nobody can know)."""
    return {
        "kind": "gap",
        "from": format_time(gap.since),
        "to": format_time(gap.until) if gap.until is not None else None,
        "reason": gap.reason,
        "missed": gap.missed,
    }


def json_line(record: dict[str, Any]) -> str:
    """A record on one line; ASCII only, so that no control or bidi character gets through raw."""
    return json.dumps(record, ensure_ascii=True, separators=(",", ":"))


class JsonLines:
    """Writes deliveries as JSON lines, fast: most are envelopes that need no more than to be completed."""

    def __init__(self) -> None:
        self._rooms: dict[str, str] = {}
        self._millisecond = -1
        self._received = dt.datetime.fromtimestamp(0, dt.UTC)
        self._received_text = ""

    def line(self, delivery: Delivery) -> str:
        """The JSON line of a delivery: that of its `message_record`."""
        millisecond = int(delivery.at * 1000)
        if millisecond != self._millisecond:
            self._millisecond = millisecond
            self._received = received_at(delivery)
            self._received_text = format_time(self._received)
        payload = delivery.payload
        found = _CANONICAL.fullmatch(payload)
        if found is not None:
            try:
                sent = dt.datetime.fromisoformat(found[1].decode())
            except ValueError:
                pass
            else:
                latency = latency_ms(self._received, sent)
                return (
                    f'{{"received":"{self._received_text}","room":{self._room(delivery.topic)},{payload[1:-1].decode()}'
                    f',"bytes":{len(payload)},"encoding":"envelope"'
                    f',"latency_ms":{"null" if latency is None else latency}}}'
                )
        return json_line(message_record(delivery, self._received))

    def _room(self, topic: str) -> str:
        text = self._rooms.get(topic)
        if text is None:
            if len(self._rooms) >= 1_000:
                self._rooms.clear()
            text = self._rooms[topic] = json.dumps(topic)
        return text


def received_at(delivery: Delivery) -> dt.datetime:
    """When a delivery arrived, to the millisecond."""
    return dt.datetime.fromtimestamp(int(delivery.at * 1000) / 1000, dt.UTC)


def gap_words(gap: Gap) -> str:
    """A gap for a person."""
    if gap.until is None:
        span = f"since {_clock(gap.since)}"
    else:
        span = f"{_clock(gap.since)} to {_clock(gap.until)} ({(gap.until - gap.since).total_seconds():.1f} s)"
    if gap.missed is None:
        return f"-- gap {span}: {safe_text(gap.reason)}; what was posted meanwhile is missed --"
    return f"-- gap {span}: {safe_text(gap.reason)}; {gap.missed:,} messages are not shown --"


def terminal_line(out: Output, record: dict[str, Any], *, several_rooms: bool, width: int | None = None) -> str:
    """A record for a person: time, room when there are several, sender, text.

    Args:
        width: the terminal's columns: a longer text is continued on further lines, indented. None breaks nothing.
    """
    time = dt.datetime.fromisoformat(record["received"]).astimezone().strftime("%H:%M:%S")
    parts = [out.styled(time, "2")]
    if several_rooms:
        parts.append(out.styled(safe_text(record["room"]), "2"))
    if record["encoding"] == "base64":
        return " ".join([*parts, out.styled(f"({record['bytes']} bytes of binary data)", "2")])
    text = safe_text(record["text"] or "")
    if width is not None:
        before = len(time) + 1 + (cells(safe_text(record["room"])) + 1 if several_rooms else 0)
        text = _wrapped(text, before + _sender_cells(record), len(time) + 1, width)
    if record["encoding"] == "text":
        return " ".join([*parts, text])
    sender = str(record["from"] or "")
    name = _name(record)
    style = _SENDER_STYLES[zlib.crc32(sender.encode("utf-8", "replace")) % len(_SENDER_STYLES)]
    short = short_id(sender)
    who = out.styled(name, style) + (out.styled(f" ({short})", "2") if short and short != name[:_SHORT_ID] else "")
    match record["kind"]:
        case Kind.JOIN | Kind.LEAVE:
            verb = "joined" if record["kind"] == Kind.JOIN else "left"
            return " ".join([*parts, out.styled(f"{name} ({short}) {verb}", "2")])
        case Kind.SYSTEM:
            return " ".join([*parts, out.styled("*", "1"), who, text])
        case _:
            return " ".join([*parts, f"{who}: {text}"])


def short_id(sender: str) -> str:
    """The beginning of what tells senders apart: of a guest's digits, or of what another client writes."""
    return safe_text(sender.removeprefix("guest-").rpartition(":")[2][:_SHORT_ID])


def _name(record: dict[str, Any]) -> str:
    return cut(safe_text(record["name"] or ""), _LONGEST_NAME) or "guest"


def _sender_cells(record: dict[str, Any]) -> int:
    """The columns between the room and the text."""
    if record["encoding"] != "envelope":
        return 0
    name, short = _name(record), short_id(str(record["from"] or ""))
    with_id = 3 + cells(short) if short and short != name[:_SHORT_ID] else 0
    return cells(name) + with_id + (3 if record["kind"] == Kind.SYSTEM else 2)


def _wrapped(text: str, before: int, indent: int, width: int) -> str:
    if width - indent < _NARROWEST:
        return text
    return ("\n" + " " * indent).join(wrap(text, max(_NARROWEST, width - before), width - indent))


def _clock(moment: dt.datetime) -> str:
    return moment.astimezone().strftime("%H:%M:%S")
