"""Messages: the JSON envelope that the chat's clients exchange, and whatever else turns up in a room.

Payloads come from strangers. Whatever is not wholly an envelope is plain text or binary, never an exception: JSON that
is nested too deeply, has a key twice, numbers or strings that could not be written again, or lacks a field.
"""

import hashlib
import json
import math
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from chatops.chat.text import safe_text

__all__ = [
    "Binary",
    "Envelope",
    "Kind",
    "MessageIds",
    "PlainText",
    "decode",
    "encode",
    "format_time",
    "guest_sender",
    "parse_time",
    "safe_text",
]

_KINDS = frozenset({"chat", "system", "join", "leave"})
_KEYS = ("id", "from", "name", "kind", "text", "sent")
_MAX_DEPTH = 32
"""How deeply the values of unknown keys may be nested: more than any client needs, far less than Python can take."""

_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_TIME_BITS, _RANDOM_BITS, _ID_LENGTH = 48, 80, 26


class Kind(StrEnum):
    """What a message is about."""

    CHAT = "chat"
    SYSTEM = "system"
    JOIN = "join"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message in the chat's own form.

    Attributes:
        id: sortable and unique, from `MessageIds`; other clients may have other forms.
        sender: the key `from`: a guest's `guest_sender`, or `operator`. Anybody can claim to be anyone.
        name: the display name.
        text: what was said.
        sent: when, by the sender's clock; written with milliseconds, in UTC.
        extra: the keys that chatops does not know, with their values.

    Raises:
        ValueError: the id is empty, `sent` has no time zone, or `extra` holds a key of the envelope itself.
    """

    id: str
    sender: str
    name: str
    kind: Kind
    text: str
    sent: datetime
    extra: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), hash=False)

    def __post_init__(self) -> None:
        if not self.id:
            raise ValueError("a message needs an id")
        if self.sent.tzinfo is None:
            raise ValueError("sent needs a time zone")
        if not self.extra.keys().isdisjoint(_KEYS):
            raise ValueError("extra holds a key of the envelope itself")


@dataclass(frozen=True, slots=True)
class PlainText:
    """A payload that is text, but no envelope."""

    text: str


@dataclass(frozen=True, slots=True)
class Binary:
    """A payload that is not UTF-8, or has a NUL in it."""

    payload: bytes


def guest_sender(identity_id: str) -> str:
    """What a guest's messages say in `from`: the same for one guest always, and of no use to anybody else.

    Never the identity id itself: Cognito gives the credentials of an unauthenticated identity to whoever knows its
    id, so that a room would hand everybody the means to be everybody else.
    """
    return f"guest-{hashlib.sha256(identity_id.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def encode(envelope: Envelope) -> bytes:
    """Write an envelope as UTF-8 JSON. Lone surrogates, which UTF-8 cannot hold, become U+FFFD.

    Raises:
        ValueError: `extra` holds what JSON cannot: NaN, infinity or a cycle.
        TypeError: `extra` holds an object that JSON has no form for.
    """
    fields = {
        "id": envelope.id,
        "from": envelope.sender,
        "name": envelope.name,
        "kind": envelope.kind.value,
        "text": envelope.text,
        "sent": format_time(envelope.sent),
        **envelope.extra,
    }
    text = json.dumps(fields, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def decode(payload: bytes) -> Envelope | PlainText | Binary:
    """Read any payload."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return Binary(payload)
    if "\0" in text:
        return Binary(payload)
    return _read_envelope(text) or PlainText(text)


def _read_envelope(text: str) -> Envelope | None:
    if not text.lstrip(" \t\r\n").startswith("{"):
        return None
    try:
        # ValueError: not JSON, or a number of thousands of digits. RecursionError: nested a thousand levels.
        fields = json.loads(text, object_pairs_hook=_unique, parse_float=_finite, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or not all(isinstance(fields.get(key), str) for key in _KEYS):
        return None
    sent = parse_time(fields["sent"])
    if sent is None or not fields["id"] or fields["kind"] not in _KINDS or not _can_be_written(fields):
        return None
    extra = {key: value for key, value in fields.items() if key not in _KEYS}
    return Envelope(
        id=fields["id"],
        sender=fields["from"],
        name=fields["name"],
        kind=Kind(fields["kind"]),
        text=fields["text"],
        sent=sent,
        extra=MappingProxyType(extra),
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key is there twice")
    return result


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _can_be_written(value: object) -> bool:
    """Say whether UTF-8 can hold every string, and the nesting is one that other code can walk without care."""
    level = [value]
    for _ in range(_MAX_DEPTH):
        deeper: list[object] = []
        for item in level:
            if isinstance(item, str) and not _is_unicode(item):
                return False
            if isinstance(item, dict):
                deeper.extend(item)
                deeper.extend(item.values())
            elif isinstance(item, list):
                deeper.extend(item)
        if not deeper:
            return True
        level = deeper
    return False


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def format_time(moment: datetime) -> str:
    """Write a moment as RFC 3339 in UTC with milliseconds, such as `2026-01-31T23:59:59.123Z`.

    Raises:
        ValueError: it has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError("the moment needs a time zone")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_time(text: str) -> datetime | None:
    """Read RFC 3339, with any offset and up to nine decimals of a second; None when it is something else."""
    if not _RFC3339.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


class MessageIds:
    """Makes ids that sort by time: 48 bits of milliseconds and 80 of chance, in 26 characters of Crockford's base 32.

    Each id is greater than the one before, also within a millisecond and when the clock goes back. Not for use by
    several threads at once.

    Args:
        clock: seconds since the epoch.
        random_bits: makes a number of that many random bits.
    """

    def __init__(
        self, clock: Callable[[], float] = time.time, random_bits: Callable[[int], int] = secrets.randbits
    ) -> None:
        self._clock = clock
        self._random_bits = random_bits
        self._last = -1

    def new(self) -> str:
        """Make an id.

        Raises:
            OverflowError: the clock is before 1970 or after the year 10889.
        """
        milliseconds = int(self._clock() * 1000)
        if milliseconds < 0:
            raise OverflowError("the clock shows a time before 1970")
        if milliseconds <= self._last >> _RANDOM_BITS:
            number = self._last + 1
        else:
            number = milliseconds << _RANDOM_BITS | self._random_bits(_RANDOM_BITS)
        if number >= 1 << _TIME_BITS + _RANDOM_BITS:
            raise OverflowError("the clock shows a time too late for a message id")
        self._last = number
        return "".join(_CROCKFORD[number >> 5 * place & 31] for place in reversed(range(_ID_LENGTH)))
