"""What a tail is asked for, checked before anything is connected."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chatops.cli.quantities import seconds, share
from chatops.errors import UsageError

if TYPE_CHECKING:
    import re

    from chatops.chat.line_format import LineFormat
    from chatops.chat.selection import Selection as Wanted

_SIZES = {"K": 1024, "M": 1024**2, "G": 1024**3}
_LEAST_RECORDING = 4096


@dataclass(frozen=True, slots=True)
class Ends:
    """When a tail ends by itself; None is never.

    Attributes:
        count: after so many messages shown.
        for_s: after so many seconds of watching.
        idle_s: when nothing has been shown for so many seconds.
        until: after a message that holds this.
    """

    count: int | None = None
    for_s: float | None = None
    idle_s: float | None = None
    until: "re.Pattern[str] | None" = None

    @property
    def awaits(self) -> bool:
        """Whether something is waited for, that the time may run out on."""
        return self.count is not None or self.until is not None


@dataclass(frozen=True, slots=True)
class TailOptions:
    """A tail.

    Attributes:
        filters: MQTT topic filters.
        exclude: filters of rooms not to show.
        share: the part of messages that chance lets through.
        line_format: the user's own form of lines, None for the usual ones.
        record: the file to record into, None for none; `record_bytes` is the size at which the next one is begun.
    """

    filters: tuple[str, ...]
    exclude: tuple[str, ...]
    wanted: "Wanted"
    share: float
    line_format: "LineFormat | None"
    ends: Ends
    record: Path | None
    record_bytes: int
    stats: bool


def read_selection(grep: str | None, senders: Sequence[str], kinds: Sequence[str]) -> "Wanted":
    """Read what a message must be like."""
    from chatops.chat.selection import Selection, parse_kinds, parse_pattern

    return Selection(
        text=parse_pattern("--grep", grep) if grep is not None else None,
        senders=tuple(senders),
        kinds=parse_kinds(kinds),
    )


def read_ends(count: int | None, for_: str | None, idle: str | None, until: str | None) -> Ends:
    """Read when to end."""
    from chatops.chat.selection import parse_pattern

    return Ends(
        count=count,
        for_s=_positive("--for", for_),
        idle_s=_positive("--idle", idle),
        until=parse_pattern("--until", until) if until is not None else None,
    )


def read_share(text: str | None) -> float:
    """Read the part of messages to show.

    Raises:
        UsageError: it is no share, or none at all.
    """
    part = share("--sample", text) if text is not None else 1.0
    if part <= 0:
        raise UsageError(f"--sample {text!r} shows nothing", "write a percentage above 0%")
    return part


def read_size(option: str, text: str) -> int:
    """Read a size such as 64M, in bytes.

    Raises:
        UsageError: it is none, or too small for a recording.
    """
    number, unit = (text[:-1], text[-1].upper()) if text[-1:].isalpha() else (text, "")
    if not (number.isascii() and number.isdigit()) or len(number) > 12 or (unit and unit not in _SIZES):
        raise UsageError(f"{option} {text!r} is no size", "write 500K, 64M or 1G")
    size = int(number) * _SIZES.get(unit, 1)
    if size < _LEAST_RECORDING:
        raise UsageError(f"{option} {text!r} is too small", f"write at least {_LEAST_RECORDING // 1024}K")
    return size


def _positive(option: str, text: str | None) -> float | None:
    if text is None:
        return None
    value = seconds(option, text)
    if value <= 0:
        raise UsageError(f"{option} {text!r} is no time at all", "write 10s, 5m or 1h")
    return value
