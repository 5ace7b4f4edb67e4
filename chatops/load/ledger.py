"""Who should have received which post, and did: exact, in memory that what is under way bounds.

A post is expected by every receiver of its room whose subscription was confirmed during all of [due, acknowledged].
Receivers that joined or left within that span are *ambiguous* and a class of their own. Each post under way holds one
byte per receiver. It is settled as soon as everything expected has come, or `patience` after its acknowledgement: what
is missing then is lost (and late, should it come after all). What a receiver heard last from each sender shows
reorderings, and that a post was settled before shows duplicates, so that nothing of a settled post needs to be kept.

A run may be shared out over several processes. Each keeps the books of its own receivers, for all senders: it owes and
counts what its own clients should hear. A post of another process is met at its first delivery here, or when its
process reports how it ended, whichever comes first; only the second says whether deliveries were owed. The counts of
all processes add up to those that one process would have had.

The ledger has no clock and no threads; times are microseconds of one monotonic clock.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chatops.load.attendance import FOREVER_US, UNANSWERED, Judgement, Post, Room, Sender, judge, lost_connection
from chatops.load.message import MAX_SEQUENCE, post_number
from chatops.load.tally import Difference, Kind, Tally

MAX_DIFFERENCES = 100_000
"""Differences kept to be named; all are counted."""

MAX_MISSING = 100_000
"""Missing deliveries remembered one by one; beyond that they are counted but a late arrival is not recognised."""

_CONSTANT_OVERHEAD_US = 60_000_000  # a period is forgotten this long after it could last matter
_UNREPORTED_US = 30_000_000  # how long a post of another process is kept that no process has reported


class Ledger:
    """The ledger of one process.

    Args:
        rooms: each room's topic and members, as client numbers; a client is in one room. Members are receivers of this
            process only.
        room_of: the room of every client, of other processes too; needed when there are others.
        patience_us: how long after its acknowledgement a post waits for missing deliveries.
        max_differences: how many differences are kept to be named; all are counted.
        stray_window: where a delivery counts that belongs to no post and comes before all of them.
    """

    def __init__(
        self,
        rooms: Sequence[tuple[str, Sequence[int]]],
        *,
        room_of: Sequence[int] | None = None,
        patience_us: int = 15_000_000,
        max_differences: int = MAX_DIFFERENCES,
        stray_window: int = 0,
    ) -> None:
        self.rooms = tuple(Room(index, topic, members) for index, (topic, members) in enumerate(rooms))
        self.posts: dict[int, Post] = {}
        self.arrivals = 0
        self.lost = 0
        self.differences: list[Difference] = []
        self.differences_omitted = 0
        self.process_lost: Callable[[int], bool] = lambda _sender: False
        self._room_of = room_of
        self._places = {client: (room, slot) for room in self.rooms for slot, client in enumerate(room.members)}
        self._tallies: dict[tuple[int, int], Tally] = {}
        self._senders: dict[int, Sender] = {}
        self._waiting: deque[Post] = deque()
        self._unreported: deque[tuple[int, Post]] = deque()
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
        state = self._sender(sender)
        state.next = max(state.next, sequence + 1)
        return self._enter(post_number(sender, sequence), room, due_us, sent_us, tally, bin_)

    def _enter(self, number: int, room: Room, due_us: int, sent_us: int, tally: Tally, bin_: Any) -> Post:
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

    # Posts of other processes.

    def unknown(self, number: int) -> bool:
        """Tell whether a post is neither under way nor known to have been."""
        state = self._senders.get(number >> 24)
        return number not in self.posts and not (state is not None and state.knows(number & MAX_SEQUENCE))

    def heard_of(self, number: int, *, due_us: int, sent_us: int, at_us: int, window: int, bin_: Any = None) -> Post:
        """Enter a post of another process at its first delivery here; how it ended is yet to be reported."""
        room = self._room_of_sender(number >> 24)
        self._sender(number >> 24)
        post = self._enter(number, room, due_us, sent_us, self._tally(window, room), bin_)
        post.elsewhere = True
        self._unreported.append((at_us, post))
        return post

    def reported(
        self,
        number: int,
        *,
        due_us: int,
        sent_us: int,
        at_us: int,
        acknowledged: bool,
        window: int,
        bin_: Any = None,
    ) -> None:
        """Enter how a post of another process ended; its process has counted the post itself."""
        room = self._room_of_sender(number >> 24)
        if not self._sender(number >> 24).report(number & MAX_SEQUENCE):
            return
        post = self.posts.get(number)
        if post is None:
            post = self._enter(number, room, due_us, sent_us, self._tally(window, room), bin_)
            post.elsewhere = True
        self._waiting.append(post)
        if not acknowledged:
            post.acked_us = -at_us - 2
            return
        post.acked_us = at_us
        if post.arrived >= post.awaited:
            self._settle_if_complete(post)

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
        if state is None or not state.knows(number & MAX_SEQUENCE):
            return False
        room, slot = self._places[receiver]
        return state.room is room and state.heard[slot] >= number & MAX_SEQUENCE

    # Settling.

    def settle(self, now_us: int) -> None:
        """Close the posts whose patience is over."""
        self._settle_unreported(now_us)
        while self._waiting:
            post = self._waiting[0]
            since = post.acked_us if post.acked_us >= 0 else -post.acked_us - 2
            if post.number in self.posts and since + self._patience_us > now_us:
                return
            self._waiting.popleft()
            if post.number in self.posts:
                self._close(post)

    def _settle_unreported(self, now_us: int) -> None:
        while self._unreported:
            heard_us, post = self._unreported[0]
            if post.acked_us == UNANSWERED and heard_us + _UNREPORTED_US >= now_us:
                return
            self._unreported.popleft()
            self._give_up(post)

    def give_up_unanswered(self, now_us: int) -> list[Post]:
        """Count own posts that have no answer yet as failed, and return them."""
        silent = [post for post in self.posts.values() if post.acked_us == UNANSWERED and not post.elsewhere]
        for post in silent:
            self.failed(post, now_us)
        return silent

    def settle_all(self, now_us: int) -> list[Post]:
        """Close every post: the run is over. Returns those without an answer, which count as failed."""
        silent = self.give_up_unanswered(now_us)
        for _, post in self._unreported:
            self._give_up(post)
        for post in list(self.posts.values()):
            self._close(post)
        self._waiting.clear()
        self._unreported.clear()
        return silent

    def _give_up(self, post: Post) -> None:
        """Close a post that its process never reported: that process is lost, or nobody has sent the post."""
        if post.acked_us != UNANSWERED or post.number not in self.posts:
            return
        del self.posts[post.number]
        sender, sequence = post.number >> 24, post.number & MAX_SEQUENCE
        self._sender(sender).report(sequence)
        if self.process_lost(sender):
            post.tally.unacknowledged_received += post.arrived
            return
        for slot, here in enumerate(post.seen):
            if here:
                self._differs(post.tally, Kind.UNEXPECTED, post.number, post.room.members[slot])

    def outstanding(self, *, due_before_us: int = FOREVER_US) -> int:
        """Deliveries of acknowledged posts that have not come yet."""
        return sum(
            max(0, post.awaited - post.arrived)
            for post in list(self.posts.values())
            if post.acked_us >= 0 and post.due_us < due_before_us
        )

    def _settle_if_complete(self, post: Post) -> None:
        """Close a post that nobody waits for any more, so that only what is under way takes memory."""
        judgement = judge(post)
        if not judgement.missing and not judgement.doubtful:
            self._close(post, judgement)

    def _close(self, post: Post, judgement: Judgement | None = None) -> None:
        del self.posts[post.number]
        tally, number, members = post.tally, post.number, post.room.members
        if post.acked_us < 0:  # refused, or never answered
            tally.unacknowledged_received += post.arrived
            silent = [slot for slot in range(len(members)) if not post.seen[slot]]
            self._remember(number, [members[slot] for slot in silent], tally, "unacknowledged_received")
            return
        verdict = judgement or judge(post)
        tally.expected += verdict.expected
        tally.received += verdict.received
        tally.ambiguous += verdict.ambiguous
        tally.ambiguous_received += verdict.ambiguous_received
        tally.unexpected += verdict.unexpected
        tally.missed += verdict.missed
        overflowed = bool(verdict.missing) and post.room.overflowed(post.sent_us)
        for slot in verdict.missing:
            tally.lost_at_disconnect += lost_connection(post, slot)
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

    # Counts.

    @property
    def tallies(self) -> dict[tuple[int, int], Tally]:
        """The counts by window and room."""
        return self._tallies

    def total(self, *windows: int) -> Tally:
        """The counts of these windows, or of all when none is named."""
        return total(self._tallies, *windows)

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

    def _sender(self, sender: int) -> Sender:
        state = self._senders.get(sender)
        if state is None:
            state = self._senders[sender] = Sender(self._room_of_sender(sender))
        return state

    def _room_of_sender(self, sender: int) -> Room:
        return self.rooms[self._room_of[sender]] if self._room_of is not None else self._places[sender][0]

    def _differs(self, tally: Tally, kind: Kind, number: int, receiver: int) -> None:
        setattr(tally, kind.value, getattr(tally, kind.value) + 1)
        if len(self.differences) < self._max_differences:
            sender, sequence = (number >> 24, number & MAX_SEQUENCE) if number >= 0 else (-1, -1)
            self.differences.append(Difference(kind, sender, sequence, receiver))
        else:
            self.differences_omitted += 1


def total(tallies: Mapping[tuple[int, int], Tally], *windows: int) -> Tally:
    """The sum of the counts of these windows, or of all when none is named."""
    whole = Tally()
    for (window, _), tally in tallies.items():
        if not windows or window in windows:
            whole += tally
    return whole
