"""The books of one process: whatever its clients did and heard, on its way into ledger and statistics.

Three threads meet here. awscrt's thread appends arrivals and acknowledgements to lists, and the posting thread what it
sent; the event loop's thread takes the lists in small portions and does all the bookkeeping, so that ledger and
statistics are only ever touched there. List appends and slice deletions are atomic under the interpreter lock. A post's
entry is appended before it is published, and the lists of what answers it are measured before the list of entries is
taken: a post is always known before its answers.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence

from chatops.load.attendance import UNANSWERED, Post
from chatops.load.distribution import Distribution
from chatops.load.ledger import Ledger
from chatops.load.message import marker, read_header, read_post_number
from chatops.load.recording import Recorder
from chatops.load.reports import Reports
from chatops.load.scenario import Scenario, room_topic
from chatops.load.share import Share
from chatops.load.statistics import Bin, Statistics, Window

PORTION = 500
"""Arrivals entered at a time, about a millisecond's worth: whoever waits for the interpreter lock waits as long."""

TIMED_OUT = "timed out"
"""What a client reports when no acknowledgement came in time."""

NO_ANSWER = "no acknowledgement (probably throttled)"
"""AWS does not refuse a throttled post: it just never acknowledges it."""

_BIN_LIFE_S = 120
_CLOCKS_US = 5_000_000  # how far the clocks of two machines may be apart, at most, once they are put right

Arrival = tuple[int, str, bytes, int]
Sent = tuple[int, int, int, int, Window]
"""A post that left: sender, sequence, due and sent in microseconds, window."""

Unsent = tuple[int, int, Window, str]
"""A post that could not leave: sender, due in microseconds, window, cause."""

Answer = tuple[int, int, str | None]
"""The post's number, when (nanoseconds), and None or the cause of failure."""


class Books:
    """Ledger and statistics of one process, and what is on its way there.

    Args:
        run: eight hexadecimal digits that mark this run's messages.
        share: which of the clients are this process's.
        ahead_ns: how far the run's common clock is ahead of the clock that arrivals are stamped with.

    Attributes:
        arrivals, sent, answers: what other threads append to.
        subscribed_us: when each client was subscribed last.
        recorder: writes down what happens.
        slip: how late posts left.
        first_message: from when a client could hear something until it did.
        longest_queue: the most arrivals that waited to be entered; set it to 0 to begin anew.
    """

    def __init__(self, scenario: Scenario, run: str, share: Share, ahead_ns: int = 0) -> None:
        self.scenario = scenario
        self.share = share
        self.topics = tuple(room_topic(scenario.prefix, run, room) for room in range(scenario.room_count))
        members: list[list[int]] = [[] for _ in self.topics]
        for client, room in enumerate(scenario.room_of):
            if share.mine(client):
                members[room].append(client)
        room_of = None if share.alone else scenario.room_of
        rooms = list(zip(self.topics, members, strict=True))
        self.ledger = Ledger(rooms, room_of=room_of, stray_window=Window.STEADY)
        self.reports = Reports(share, scenario)
        self.statistics = Statistics()
        self.slip = Distribution()
        self.first_message = Distribution()
        self.post_failures: Counter[str] = Counter()
        self.longest_queue = 0
        self.posts_sent = 0
        self.recorder: Recorder | None = None
        self.arrivals: list[Arrival] = []
        self.sent: list[Sent | Unsent] = []
        self.answers: list[Answer] = []
        self.subscribed_us = array("q", bytes(8 * scenario.clients))
        self._heard = bytearray(scenario.clients)
        self._beginning = marker(run)
        self._ahead_us = ahead_ns // 1000
        self._start_us = 0
        self._steady_us = 0

    def begin(self, start_ns: int) -> None:
        """The load begins at this time of the common clock."""
        self._start_us = start_ns // 1000
        self._steady_us = self._start_us + round(self.scenario.warm_up_s * 1e6)

    def enter(self, most: int = PORTION) -> bool:
        """Enter what has gathered, at most so many arrivals; tells whether there is more."""
        arrivals = self.arrivals
        waiting, answers = len(arrivals), len(self.answers)
        self.longest_queue = max(self.longest_queue, waiting)
        count = min(waiting, most)
        self._enter_sent()
        self._enter_answers(answers)
        learned = self._learn(most)
        if count:
            portion = arrivals[:count]
            del arrivals[:count]
            self._enter_arrivals(portion)
        return learned or bool(arrivals)

    def _enter_sent(self) -> None:
        gathered = self.sent
        portion = gathered[: len(gathered)]
        del gathered[: len(portion)]
        for entry in portion:
            if len(entry) == 4:
                sender, due_us, window, cause = entry
                tally = self.ledger.due(sender, window)
                tally.failed += 1
                row = self.statistics.bin(window, self._second(due_us)).row
                row.due += 1
                row.failed += 1
                self.post_failures[cause] += 1
                continue
            sender, sequence, due_us, sent_us, window = entry
            self.posts_sent += 1
            bin_ = self.statistics.bin(window, self._second(due_us))
            bin_.row.due += 1
            bin_.row.sent += 1
            self.ledger.due(sender, window)
            self.ledger.sent(sender, sequence, due_us=due_us, sent_us=sent_us, window=window, bin_=bin_)
            if window is Window.STEADY:
                self.slip.record(sent_us - due_us)
            if self.recorder is not None:
                self.recorder.post(sender, sequence, self.scenario.room_of[sender], window, due_us, sent_us)

    def _enter_answers(self, count: int) -> None:
        portion = self.answers[:count]
        del self.answers[:count]
        ledger = self.ledger
        for number, at_ns, cause in portion:
            post = ledger.posts.get(number)
            if post is None:
                continue
            at_us = at_ns // 1000
            if self.recorder is not None:
                self.recorder.answer(number, at_us, acknowledged=cause is None)
            self.reports.answered(post, at_us, acknowledged=cause is None)
            if cause is None:
                ledger.acknowledged(post, at_us)
                post.bin.acknowledged(at_us - post.due_us, at_us - post.sent_us)
            else:
                ledger.failed(post, at_us)
                post.bin.row.failed += 1
                self.post_failures[NO_ANSWER if cause == TIMED_OUT else cause] += 1

    def _enter_arrivals(self, portion: Sequence[Arrival]) -> None:
        delivered, beginning, heard = self.ledger.delivered, self._beginning, self._heard
        alone, ahead_us, recorder = self.share.alone, self._ahead_us, self.recorder
        numbers, receivers, times = (array("q"),) * 3 if recorder is None else recorder.deliveries
        for client, topic, head, at_ns in portion:
            number = read_post_number(head, beginning)
            at_us = at_ns // 1000 + ahead_us
            if number < 0:
                self.ledger.foreign(client, Window.STEADY)
                continue
            if recorder is not None:
                numbers.append(number)
                receivers.append(client)
                times.append(at_us)
            if not alone:
                self._hear_of(number, head, at_us)
            post = delivered(number, client, topic)
            if post is not None:
                if not heard[client]:
                    heard[client] = 1
                    self.first_message.record(at_us - max(self.subscribed_us[client], self._start_us))
                post.bin.delivered(at_us - post.due_us, at_us - post.sent_us)

    # Posts of other processes.

    def _hear_of(self, number: int, head: bytes, at_us: int) -> None:
        """Enter a post of another process that is heard of for the first time."""
        sender = number >> 24
        if sender >= self.scenario.clients or self.share.mine(sender) or not self.ledger.unknown(number):
            return
        header = read_header(head)
        if header is None or not self._plausible(header.due_us, header.sent_us, at_us):
            return  # whoever wrote this is none of ours: the ledger calls it unexpected
        window, bin_ = self.window(header.due_us), self._bin(sender, header.due_us)
        self.ledger.heard_of(
            number, due_us=header.due_us, sent_us=header.sent_us, at_us=at_us, window=window, bin_=bin_
        )

    def _plausible(self, due_us: int, sent_us: int, at_us: int) -> bool:
        """Tell whether a post can have been due and sent then; clocks of machines may differ by a little."""
        return self._start_us <= due_us <= sent_us + _CLOCKS_US and sent_us <= at_us + _CLOCKS_US

    def _learn(self, most: int) -> bool:
        """Enter what other processes reported of their posts, so many at most; tells whether there is more."""
        for number, due_us, sent_us, at_us in self.reports.take(most):
            self.ledger.reported(
                number,
                due_us=due_us,
                sent_us=sent_us,
                at_us=abs(at_us),
                acknowledged=at_us >= 0,
                window=self.window(due_us),
                bin_=self._bin(number >> 24, due_us),
            )
        return self.reports.waiting

    def window(self, due_us: int) -> Window:
        """The window of a post that is due then."""
        return Window.WARM_UP if due_us < self._steady_us else Window.STEADY

    def _bin(self, sender: int, due_us: int) -> Bin:
        return self.statistics.bin(self.window(due_us), self._second(due_us), across=self.share.across(sender))

    def tidy(self, now_ns: int) -> None:
        """Once a second: settle what is overdue, pack away what is past."""
        if self.recorder is not None:
            self.recorder.flush()
        self.ledger.settle(now_ns // 1000)
        self.statistics.seal(self._second(now_ns // 1000) - _BIN_LIFE_S)

    def close(self, now_ns: int) -> None:
        """Settle everything: the run is over."""
        self._failed(self.ledger.settle_all(now_ns // 1000), now_ns)

    def give_up_unanswered(self, now_ns: int) -> None:
        """Count posts that nobody has acknowledged by now as failed."""
        self._failed(self.ledger.give_up_unanswered(now_ns // 1000), now_ns)

    def _failed(self, posts: Iterable[Post], now_ns: int) -> None:
        for post in posts:
            post.bin.row.failed += 1
            self.post_failures[NO_ANSWER] += 1
            self.reports.answered(post, now_ns // 1000, acknowledged=False)

    def under_way(self) -> bool:
        """Tell whether anything sent has not been answered or delivered yet."""
        ledger = self.ledger
        return self._unentered() or any(
            post.acked_us == UNANSWERED or post.arrived < post.awaited for post in list(ledger.posts.values())
        )

    def unanswered(self) -> bool:
        """Tell whether a post of this process may still get an answer."""
        return self._unentered() or any(
            post.acked_us == UNANSWERED and not post.elsewhere for post in list(self.ledger.posts.values())
        )

    def _unentered(self) -> bool:
        return bool(self.arrivals or self.answers or self.sent or self.reports.waiting)

    def _second(self, due_us: int) -> int:
        return (due_us - self._start_us) // 1_000_000
