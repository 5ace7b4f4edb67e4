"""The rhythm of a recorded room as a load: who posted when, in which room, with the texts replaced.

Recorded rooms become the load test's rooms, the liveliest the fullest; recorded people become guests in them. Faster
by `speed`; `scale` posts each message so many times, by different guests.
"""

import io
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from chatops.chat.messages import Envelope, decode
from chatops.chat.recordings import RecordedMessage, is_header, read_lines
from chatops.errors import UsageError
from chatops.files import open_regular
from chatops.load.pacing import uniform

MOST_MESSAGES = 5_000_000
MOST_SPEED = 10_000.0
_MOST_LINE = 1 << 20
_COPIES = 1 << 47


@dataclass(frozen=True, slots=True)
class Beat:
    """One post: when (seconds since the first), in which room by rank, by whom (any number)."""

    at_s: float
    room: int
    person: int


@dataclass(frozen=True, slots=True)
class Replay:
    """A rhythm.

    Attributes:
        seconds: from the first post to the last, and a moment more.
    """

    beats: tuple[Beat, ...]
    rooms: int
    seconds: float

    @property
    def busiest_second(self) -> int:
        """Posts in the liveliest second."""
        return max(Counter(int(beat.at_s) for beat in self.beats).values(), default=0)

    def schedule(self, members: Sequence[Sequence[int]]) -> Iterator[tuple[float, int]]:
        """Yield (seconds, client); `members` are those who post, by room. A room without any stays silent."""
        for beat in self.beats:
            people = members[beat.room % len(members)]
            if people:
                yield beat.at_s, people[beat.person % len(people)]


def read_replay(path: Path, *, speed: float = 1.0, scale: float = 1.0, seed: int = 1) -> Replay:
    """Read a recording of `chatops tail --record`.

    Raises:
        UsageError: it cannot be read, is no recording, holds no message, or the factors cannot be.
    """
    for name, value in (("speed", speed), ("scale", scale)):
        if not 0 < value <= MOST_SPEED:
            raise UsageError(f"--{name} {value:g} cannot be", f"choose more than 0 and at most {MOST_SPEED:,.0f}")
    try:
        with io.TextIOWrapper(open_regular(path), encoding="utf-8", errors="replace") as file:
            if not is_header(file.readline(_MOST_LINE)):
                raise UsageError(f"{path} is no recording", "make one with `chatops tail --record FILE`")
            messages = [each for each in read_lines(_lines(file)) if isinstance(each, RecordedMessage)]
    except OSError as error:
        raise UsageError(f"The recording {path} cannot be read: {error.strerror}", "check the path") from None
    if not messages:
        raise UsageError(f"The recording {path} holds no message", "record a room while people speak in it")
    return make_replay(messages, speed=speed, scale=scale, seed=seed)


def make_replay(messages: Sequence[RecordedMessage], *, speed: float, scale: float, seed: int) -> Replay:
    """Make a rhythm of recorded messages, at least one."""
    ordered = sorted(messages, key=lambda message: message.at)
    rank = {topic: place for place, (topic, _) in enumerate(Counter(each.topic for each in ordered).most_common())}
    first = ordered[0].at
    beats = []
    for index, message in enumerate(ordered):
        at_s = (message.at - first).total_seconds() / speed
        person = zlib.crc32(_sender(message).encode(errors="replace"))
        copies = int(scale) + (uniform(seed, _COPIES, index) <= scale % 1)
        beats += [Beat(at_s, rank[message.topic], person + copy) for copy in range(copies)]
        if len(beats) > MOST_MESSAGES:
            raise UsageError(
                f"The replay has more than {MOST_MESSAGES:,} posts", "choose a shorter recording or --scale"
            )
    return Replay(tuple(beats), len(rank), (ordered[-1].at - first).total_seconds() / speed + 0.1)


def _lines(file: TextIO) -> Iterator[str]:
    """The lines, so many at most; one that is too long comes in pieces, which are no messages."""
    for _ in range(MOST_MESSAGES):
        if not (line := file.readline(_MOST_LINE)):
            return
        yield line


def _sender(message: RecordedMessage) -> str:
    found = decode(message.payload)
    return found.sender if isinstance(found, Envelope) else ""
