"""What a post is asked for, checked before anything is sent."""

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chatops.cli.quantities import seconds
from chatops.errors import UsageError

LONGEST_EXPIRY_S = 604_800
"""A week: AWS IoT Core's limit of the message expiry interval."""

MOST_PROPERTIES_BYTES = 8 * 1024
"""AWS IoT Core's limit of a message's user properties in all."""

_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class PostOptions:
    """A post.

    Attributes:
        rooms: as the user wrote them.
        text: what to say; None reads it from `file`, or from standard input when that is None too.
        lines: each line is a message.
        raw: the bytes are posted as they are, without an envelope.
        rate: messages a second at most, None as fast as they are acknowledged.
        wait_echo: wait until each has been seen to arrive.
    """

    rooms: tuple[str, ...]
    text: str | None
    file: Path | None
    lines: bool
    raw: bool
    kind: str
    name: str | None
    properties: tuple[tuple[str, str], ...]
    expiry_s: int | None
    rate: float | None
    repeat: int
    at: dt.datetime | None
    wait_echo: bool


def read_text(text: str | None, *, file: bool, lines: bool) -> str | None:
    """Check that there is one source of what to say.

    Args:
        text: the argument; `-` is standard input.
        file: whether a file is given, and `lines` whether lines are read.

    Returns:
        The text, or None when it is to be read from the file or from standard input.

    Raises:
        UsageError: there is none, or more than one.
    """
    if file and text is not None:
        raise UsageError("--file says what to post, and so does the text", "leave one of them out")
    if text == "-" or (text is None and (file or lines)):
        return None
    if lines:
        raise UsageError("--lines reads lines, and a text is given too", "leave the text out")
    if text is None:
        raise UsageError("There is no text", 'write chatops post lobby "hello", or - to read standard input')
    if not text.strip():
        raise UsageError("The text is empty", "say something, or give - to read standard input")
    return text


def read_properties(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Read `name=value` pairs.

    Raises:
        UsageError: one has no name or value, or together they are larger than AWS IoT takes.
    """
    pairs = []
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals or "\0" in text:
            raise UsageError(f"--property {text!r} is no pair", "write --property name=value")
        pairs.append((name, value))
    if sum(len(part.encode("utf-8", "replace")) for pair in pairs for part in pair) > MOST_PROPERTIES_BYTES:
        raise UsageError("The properties are larger than AWS IoT takes", f"at most {MOST_PROPERTIES_BYTES} bytes")
    return tuple(pairs)


def read_expiry(text: str | None) -> int | None:
    """Read how long a message is kept for those who are away, in seconds.

    Raises:
        UsageError: it is less than a second or more than a week.
    """
    if text is None:
        return None
    value = round(seconds("--expires", text))
    if not 1 <= value <= LONGEST_EXPIRY_S:
        raise UsageError(f"--expires {text!r} is out of range", "write 1s to 168h (a week)")
    return value


def read_moment(text: str | None, now: dt.datetime) -> dt.datetime | None:
    """Read when to post: `22:00`, today or tomorrow by this machine's clock, or a whole date and time.

    Args:
        now: with the time zone of this machine.

    Raises:
        UsageError: it is neither, or has passed.
    """
    if text is None:
        return None
    if found := _CLOCK.fullmatch(text.strip()):
        hour, minute, second = (int(part or 0) for part in found.groups())
        try:
            moment = now.replace(hour=hour, minute=minute, second=second, microsecond=0)
        except ValueError:
            raise UsageError(f"--at {text!r} is no time of day", "write 22:00") from None
        return moment if moment > now else moment + dt.timedelta(days=1)
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--at {text!r} is no time", "write 22:00, or 2026-01-31T22:00") from None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=now.tzinfo)
    if moment <= now:
        raise UsageError(f"--at {text!r} has passed", "name a time to come")
    return moment
