"""Recordings: what was seen in rooms, as lines that can be read, searched and replayed.

A header, then a line a message with its payload as it was (`payload` when it is UTF-8, else `payload64`), and a line
a gap. ASCII only: no control character of a stranger's gets into the file raw. A crash cuts the last line at most,
and readers pass over what they cannot read.
"""

import base64
import binascii
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from chatops.chat.gaps import Gap
from chatops.chat.messages import format_time, parse_time

VERSION = 1


@dataclass(frozen=True, slots=True)
class RecordedMessage:
    """A message of a recording.

    Attributes:
        at: when it arrived, to the microsecond.
    """

    at: datetime
    topic: str
    payload: bytes
    retain: bool = False
    user_properties: tuple[tuple[str, str], ...] = ()


def header_line(rooms: Sequence[str], started: datetime) -> str:
    """The first line of each file."""
    return _line({"recording": VERSION, "started": format_time(started), "rooms": list(rooms)})


def message_line(message: RecordedMessage) -> str:
    """The line of a message."""
    document: dict[str, Any] = {"at": message.at.astimezone(UTC).isoformat(timespec="microseconds")}
    document["topic"] = message.topic
    try:
        document["payload"] = message.payload.decode()
    except UnicodeDecodeError:
        document["payload64"] = base64.b64encode(message.payload).decode()
    if message.retain:
        document["retain"] = True
    if message.user_properties:
        document["properties"] = [list(pair) for pair in message.user_properties]
    return _line(document)


def gap_line(gap: Gap) -> str:
    """The line of a gap."""
    until = format_time(gap.until) if gap.until is not None else None
    return _line({"gap": {"from": format_time(gap.since), "to": until, "reason": gap.reason, "missed": gap.missed}})


def is_header(line: str) -> bool:
    """Whether a line is the first of a recording that this version can read."""
    return _document(line).get("recording") == VERSION


def read_lines(lines: Iterable[str]) -> Iterable[RecordedMessage | Gap]:
    """Yield the messages and gaps of a recording; lines that are cut or foreign are passed over."""
    for line in lines:
        document = _document(line)
        found = _gap(document["gap"]) if isinstance(document.get("gap"), dict) else _message(document)
        if found is not None:
            yield found


def _message(document: dict[str, Any]) -> RecordedMessage | None:
    at, topic = document.get("at"), document.get("topic")
    pairs = document.get("properties", [])
    if not isinstance(at, str) or not isinstance(topic, str) or (moment := parse_time(at)) is None:
        return None
    try:
        payload = (
            document["payload"].encode()
            if "payload" in document
            else base64.b64decode(document["payload64"], validate=True)
        )
        properties = tuple((str(name), str(value)) for name, value in pairs)
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error):
        return None
    return RecordedMessage(moment, topic, payload, document.get("retain") is True, properties)


def _gap(document: dict[str, Any]) -> Gap | None:
    since, until = (parse_time(str(document.get(key))) for key in ("from", "to"))
    missed = document.get("missed")
    if since is None:
        return None
    return Gap(since, until, str(document.get("reason", "")), missed if isinstance(missed, int) else None)


def _document(line: str) -> dict[str, Any]:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _line(document: dict[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"))
