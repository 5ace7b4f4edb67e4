"""Who should have received which post, and did: exact, in memory that what is under way bounds.

A post is expected by every receiver of its room whose subscription was confirmed during all of [due, acknowledged].
Receivers that joined or left within that span are *ambiguous* and a class of their own. Each post under way holds one
byte per receiver. It is settled as soon as everything expected has come, or `patience` after its acknowledgement: what
is missing then is lost (and late, should it come after all). What a receiver heard last from each sender shows
reorderings, and that a post was settled before shows duplicates, so that nothing of a settled post needs to be kept.

The ledger has no clock and no threads; times are microseconds of one monotonic clock.
"""

from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from chatops.load.message import MAX_SEQUENCE, post_number
from chatops.load.tally import Difference, Kind, Tally

FOREVER_US = 1 << 62
MAX_MISSING = 100_000
"""Missing deliveries remembered one by one; beyond that they are counted but a late arrival is not recognised."""

PER_CONNECTION_PER_S = 100
"""Messages that AWS IoT passes one connection in a second, in and out (L-083F3861); the rest vanishes."""

_SECONDS_KEPT = 256
_BLAMED_US = 2_000_000  # a connection lost this soon after an acknowledgement explains a missing delivery
_CONSTANT_OVERHEAD_US = 60_000_000  # a period is forgotten this long after it could last matter


class Post:
    """One post under way.

    Attributes:
        bin: whatever the caller wants to find again at each delivery (where its samples go).
    """

    __slots__ = ("acked_us", "arrived", "awaited", "bin", "due_us", "number", "room", "seen", "sent_us", "tally")

    def __init__(self, number: int, room: "Room", due_us: int, sent_us: int, tally: Tally, bin_: Any) -> None:
        self.number = number
        self.room = room
        self.due_us = due_us
        self.sent_us = sent_us
        self.tally = tally
        self.bin = bin_
        self.acked_us = -1
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


class _Sender:
    __slots__ = ("heard", "next")

    def __init__(self, size: int) -> None:
        self.next = 0
        self.heard = array("i", [-1]) * size


class Ledger:
    """The ledger of one process.

    Args:
        rooms: each room's topic and members, as client numbers; a client is in one room.
        patience_us: how long after its acknowledgement a post waits for missing deliveries.
        max_differences: how many differences are kept to be named; all are counted.
        stray_window: where a delivery counts that belongs to no post and comes before all of them.
    """

    def __init__(
        self,
        rooms: Sequence[tuple[str, Sequence[int]]],
        *,
        patience_us: int = 15_000_000,
        max_differences: int = 100_000,
        stray_window: int = 0,
    ) -> None:
        self.rooms = tuple(Room(index, topic, members) for index, (topic, members) in enumerate(rooms))
        self.posts: dict[int, Post] = {}
        self.arrivals = 0
        self.lost = 0
        self.differences: list[Difference] = []
        self.differences_omitted = 0
        self._places = {client: (room, slot) for room in self.rooms for slot, client in enumerate(room.members)}
        self._tallies: dict[tuple[int, int], Tally] = {}
        self._senders: dict[int, _Sender] = {}
        self._waiting: deque[Post] = deque()
        self._missing: dict[tuple[int, int], tuple[Tally, str]] = {}
        self._patience_us = patience_us
        self._max_differences = max_differences
        self._stray_window = stray_window

    # Who is there.

    def subscribing(self, client: int, at_us: int) -> None:
        """The client has asked for its subscription: from here on deliveries are possible."""
        room, slot = self._places[client]
        periods = room.periods[slot]
        horizon = at_us - self._patience_us - _CONSTANT_OVERHEAD_US
        periods[:] = [period for period in periods if period[2] > horizon]
        periods.append([at_us, FOREVER_US, FOREVER_US, 0])
        room.changed_us = at_us

    def subscribed(self, client: int, at_us: int) -> None:
        """The subscription was confirmed: from here on deliveries are owed."""
        room, slot = self._places[client]
        periods = room.periods[slot]
        if periods and periods[-1][1] == FOREVER_US and periods[-1][2] == FOREVER_US:
            periods[-1][1] = at_us
            room.confirmed += 1
            room.changed_us = at_us

    def left(self, client: int, at_us: int, *, lost: bool) -> None:
        """The client's subscription is over; `lost` when that was not its own wish."""
        room, slot = self._places[client]
        periods = room.periods[slot]
        if periods and periods[-1][2] == FOREVER_US:
            if periods[-1][1] != FOREVER_US:
                room.confirmed -= 1
            periods[-1][2] = at_us
            periods[-1][3] = int(lost)
            room.changed_us = at_us

    # Posts.

    def due(self, sender: int, window: int) -> Tally:
        """Count a post as due and return the tally that it belongs to."""
        tally = self._tally(window, self._places[sender][0])
        tally.due += 1
        return tally

    def sent(self, sender: int, sequence: int, *, due_us: int, sent_us: int, window: int, bin_: Any = None) -> Post:
        """Enter a post; before any of its deliveries."""
        room = self._places[sender][0]
        tally = self._tally(window, room)
        tally.sent += 1
        number = post_number(sender, sequence)
        state = self._sender(sender)
        state.next = max(state.next, sequence + 1)
        post = Post(number, room, due_us, sent_us, tally, bin_)
        self.posts[number] = post
        room.count(sent_us)
        return post

    def acknowledged(self, post: Post, at_us: int) -> None:
        """The gateway has taken responsibility for the post."""
        post.acked_us = at_us
        post.tally.acknowledged += 1
        self._waiting.append(post)
        if post.arrived >= post.awaited:
            self._settle_if_complete(post)

    def failed(self, post: Post, at_us: int) -> None:
        """The post was refused, or no acknowledgement came."""
        post.tally.failed += 1
        post.acked_us = -at_us - 2  # negative: never acknowledged, given up at that time
        self._waiting.append(post)

    # Deliveries.

    def delivered(self, number: int, receiver: int, topic: str) -> Post | None:
        """Enter one delivery.

        Returns:
            The post when this is its first arrival at this receiver, to be timed; None when it is anything else.
        """
        self.arrivals += 1
        post = self.posts.get(number)
        room, slot = self._places[receiver]
        if post is None:
            self._stray(number, receiver, room, topic)
            return None
        if post.room is not room or topic != room.topic:
            self._differs(post.tally, Kind.UNEXPECTED, number, receiver)
            return None
        seen = post.seen
        if seen[slot]:
            self._differs(post.tally, Kind.DUPLICATE, number, receiver)
            return None
        seen[slot] = 1
        post.arrived += 1
        heard = self._senders[number >> 24].heard
        sequence = number & MAX_SEQUENCE
        if sequence > heard[slot]:
            heard[slot] = sequence
        else:
            self._differs(post.tally, Kind.REORDERED, number, receiver)
        if post.arrived >= post.awaited and post.acked_us >= 0:
            self._settle_if_complete(post)
        return post

    def foreign(self, receiver: int, window: int) -> None:
        """A delivery that is no post of this run."""
        self.arrivals += 1
        self._differs(self._tally(window, self._places[receiver][0]), Kind.UNEXPECTED, -1, receiver)

    def _stray(self, number: int, receiver: int, room: Room, topic: str) -> None:
        """A delivery of a post that is not under way: settled before, or never sent."""
        tally, becomes = self._last_tally(room), Kind.UNEXPECTED.value
        if topic == room.topic:
            tally, becomes = self._missing.pop((number, receiver), (tally, ""))
        if not becomes:
            becomes = Kind.DUPLICATE.value if self._heard_before(number, receiver) else Kind.UNEXPECTED.value
        match becomes:
            case Kind.DUPLICATE.value | Kind.UNEXPECTED.value:
                self._differs(tally, Kind(becomes), number, receiver)
            case Kind.LATE.value:
                tally.lost -= 1
                self.lost -= 1
                self._differs(tally, Kind.LATE, number, receiver)
            case _:
                setattr(tally, becomes, getattr(tally, becomes) + 1)

    def _heard_before(self, number: int, receiver: int) -> bool:
        """Tell whether a post that is not under way can have reached the receiver before."""
        state = self._senders.get(number >> 24)
        if state is None or (number & MAX_SEQUENCE) >= state.next:
            return False
        room, slot = self._places[receiver]
        return self._places[number >> 24][0] is room and state.heard[slot] >= number & MAX_SEQUENCE

    # Settling.

    def settle(self, now_us: int) -> None:
        """Close the posts whose patience is over."""
        while self._waiting:
            post = self._waiting[0]
            since = post.acked_us if post.acked_us >= 0 else -post.acked_us - 2
            if post.number in self.posts and since + self._patience_us > now_us:
                return
            self._waiting.popleft()
            if post.number in self.posts:
                self._close(post)

    def settle_all(self, now_us: int) -> list[Post]:
        """Close every post: the run is over. Returns those without an answer, which count as failed."""
        silent = [post for post in self.posts.values() if post.acked_us == -1]
        for post in silent:
            self.failed(post, now_us)
        for post in list(self.posts.values()):
            self._close(post)
        self._waiting.clear()
        return silent

    def outstanding(self, *, due_before_us: int = FOREVER_US) -> int:
        """Deliveries of acknowledged posts that have not come yet."""
        return sum(
            max(0, post.awaited - post.arrived)
            for post in list(self.posts.values())
            if post.acked_us >= 0 and post.due_us < due_before_us
        )

    def _settle_if_complete(self, post: Post) -> None:
        """Close a post that nobody waits for any more, so that only what is under way takes memory."""
        judgement = self._judge(post)
        if not judgement.missing and not judgement.doubtful:
            self._close(post, judgement)

    def _close(self, post: Post, judgement: "_Judgement | None" = None) -> None:
        del self.posts[post.number]
        tally, number, members = post.tally, post.number, post.room.members
        if post.acked_us < 0:
            tally.unacknowledged_received += post.arrived
            silent = [slot for slot in range(len(members)) if not post.seen[slot]]
            self._remember(number, [members[slot] for slot in silent], tally, "unacknowledged_received")
            return
        verdict = judgement or self._judge(post)
        tally.expected += verdict.expected
        tally.received += verdict.received
        tally.ambiguous += verdict.ambiguous
        tally.ambiguous_received += verdict.ambiguous_received
        tally.unexpected += verdict.unexpected
        tally.missed += verdict.missed
        overflowed = bool(verdict.missing) and post.room.overflowed(post.sent_us)
        for slot in verdict.missing:
            tally.lost_at_disconnect += _lost_connection(post, slot)
            tally.lost_over_rate += overflowed
            self._differs(tally, Kind.LOST, number, members[slot])
        self.lost += len(verdict.missing)
        post.seen = bytearray()
        self._remember(number, [members[slot] for slot in verdict.missing], tally, "late")
        self._remember(number, [members[slot] for slot in verdict.doubtful], tally, "ambiguous_received")

    def _remember(self, number: int, receivers: list[int], tally: Tally, becomes: str) -> None:
        """Keep in mind what has not come, and as what it counts should it come after all."""
        for receiver in receivers[: MAX_MISSING - len(self._missing)]:
            self._missing[number, receiver] = (tally, becomes)

    def _judge(self, post: Post) -> "_Judgement":
        room, seen = post.room, post.seen
        size = len(seen)
        verdict = _Judgement()
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

    # Counts.

    def total(self, *windows: int) -> Tally:
        """The counts of these windows, or of all when none is named."""
        total = Tally()
        for (window, _), tally in self._tallies.items():
            if not windows or window in windows:
                total += tally
        return total

    def by_room(self, window: int) -> Iterator[tuple[str, int, Tally]]:
        """Topic, size and counts of each room that has any in `window`."""
        for (its_window, index), tally in sorted(self._tallies.items()):
            if its_window == window:
                yield self.rooms[index].topic, len(self.rooms[index].members), tally

    def _tally(self, window: int, room: Room) -> Tally:
        key = (window, room.index)
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = Tally()
            room.latest_window = max(room.latest_window, window)
        return tally

    def _last_tally(self, room: Room) -> Tally:
        """Where a delivery counts whose post is not at hand: the latest window that the room has."""
        return self._tally(room.latest_window if room.latest_window >= 0 else self._stray_window, room)

    def _sender(self, sender: int) -> _Sender:
        state = self._senders.get(sender)
        if state is None:
            state = self._senders[sender] = _Sender(len(self._places[sender][0].members))
        return state

    def _differs(self, tally: Tally, kind: Kind, number: int, receiver: int) -> None:
        setattr(tally, kind.value, getattr(tally, kind.value) + 1)
        if len(self.differences) < self._max_differences:
            sender, sequence = (number >> 24, number & MAX_SEQUENCE) if number >= 0 else (-1, -1)
            self.differences.append(Difference(kind, sender, sequence, receiver))
        else:
            self.differences_omitted += 1


@dataclass(slots=True)
class _Judgement:
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


def _lost_connection(post: Post, slot: int) -> bool:
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
