"""Who was in a room when, what is known of each post under way, and what follows: who was owed it, who perhaps."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from chatops.load.tally import Tally

FOREVER_US = 1 << 62
UNANSWERED = -1
"""A post's `acked_us` as long as it has no answer; below that it has failed."""

PER_CONNECTION_PER_S = 100
"""Messages that AWS IoT passes one connection in a second, in and out (L-083F3861); the rest vanishes."""

_SECONDS_KEPT = 256
_BLAMED_US = 2_000_000  # a connection lost this soon after an acknowledgement explains a missing delivery


class Post:
    """One post under way.

    Attributes:
        bin: whatever the caller wants to find again at each delivery (where its samples go).
        elsewhere: another process has sent it.
    """

    __slots__ = (
        "acked_us",
        "arrived",
        "awaited",
        "bin",
        "due_us",
        "elsewhere",
        "number",
        "room",
        "seen",
        "sent_us",
        "tally",
    )

    def __init__(self, number: int, room: "Room", due_us: int, sent_us: int, tally: Tally, bin_: Any) -> None:
        self.number = number
        self.room = room
        self.due_us = due_us
        self.sent_us = sent_us
        self.tally = tally
        self.bin = bin_
        self.acked_us = UNANSWERED
        self.elsewhere = False
        self.seen = bytearray(len(room.members))
        self.arrived = 0
        self.awaited = room.confirmed


class Room:
    """The receivers of one room and when each was subscribed; `periods` are [asked, confirmed, ended, was lost]."""

    __slots__ = ("changed_us", "confirmed", "index", "latest_window", "members", "periods", "seconds", "topic")

    def __init__(self, index: int, topic: str, members: Sequence[int]) -> None:
        self.index = index
        self.latest_window = -1
        self.topic = topic
        self.members = tuple(members)
        self.periods: list[list[list[int]]] = [[] for _ in self.members]
        self.confirmed = 0
        self.changed_us = -1
        self.seconds: dict[int, int] = {}

    def count(self, sent_us: int) -> None:
        """Count a post in its second; only the latest seconds are kept."""
        second = sent_us // 1_000_000
        self.seconds[second] = self.seconds.get(second, 0) + 1
        if len(self.seconds) > _SECONDS_KEPT:
            del self.seconds[next(iter(self.seconds))]

    def overflowed(self, sent_us: int) -> bool:
        """Tell whether more was posted around then than a connection is passed."""
        second = sent_us // 1_000_000
        return max(self.seconds.get(second + step, 0) for step in (-1, 0, 1)) >= PER_CONNECTION_PER_S


class Sender:
    """What is known of a sender: `next` is the first of its posts that is not known, but for those in `early`."""

    __slots__ = ("early", "heard", "next", "room")

    def __init__(self, room: Room) -> None:
        self.room = room
        self.next = 0
        self.early: set[int] = set()
        self.heard = array("i", [-1]) * len(room.members)

    def knows(self, sequence: int) -> bool:
        """Tell whether a post was sent, as far as is known."""
        return sequence < self.next or sequence in self.early

    def report(self, sequence: int) -> bool:
        """Know of a post from now on, in any order; False when it was known."""
        if self.knows(sequence):
            return False
        self.early.add(sequence)
        while self.next in self.early:
            self.early.remove(self.next)
            self.next += 1
        return True


@dataclass(slots=True)
class Judgement:
    """How a post stands. `missing` and `doubtful` are slots that it has not reached, owed to them or perhaps."""

    expected: int = 0
    received: int = 0
    ambiguous: int = 0
    ambiguous_received: int = 0
    unexpected: int = 0
    missed: int = 0
    missing: list[int] = field(default_factory=list)
    doubtful: list[int] = field(default_factory=list)


_OWED, _MAYBE, _ABSENT = 2, 1, 0


def judge(post: Post) -> Judgement:
    """Say how a post stands with each receiver."""
    room, seen = post.room, post.seen
    size = len(seen)
    verdict = Judgement()
    if room.changed_us < post.due_us and room.confirmed == size == post.arrived:
        verdict.expected = verdict.received = size
        return verdict
    for slot in range(size):
        state = _standing(room.periods[slot], post.due_us, post.acked_us)
        here = seen[slot]
        if state == _OWED:
            verdict.expected += 1
            verdict.received += here
            if not here:
                verdict.missing.append(slot)
        elif state == _MAYBE:
            verdict.ambiguous += 1
            verdict.ambiguous_received += here
            if not here:
                verdict.doubtful.append(slot)
        else:
            verdict.unexpected += here
            verdict.missed += not here and any(period[2] < post.due_us for period in room.periods[slot])
    return verdict


def lost_connection(post: Post, slot: int) -> bool:
    """Tell whether the receiver lost its connection while the post was under way to it."""
    return any(
        lost and post.due_us <= ended <= post.acked_us + _BLAMED_US for _, _, ended, lost in post.room.periods[slot]
    )


def _standing(periods: list[list[int]], due_us: int, acked_us: int) -> int:
    """How one receiver stood to a post: owed it, perhaps, or not there."""
    state = _ABSENT
    for asked, confirmed, ended, _ in periods:
        if confirmed <= due_us and ended > acked_us:
            return _OWED
        if asked <= acked_us and ended >= due_us:
            state = _MAYBE
    return state
