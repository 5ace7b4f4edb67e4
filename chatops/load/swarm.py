"""The clients of one process: what they post, what they hear, and its way into ledger and statistics.

Three threads meet here. awscrt's thread appends arrivals and acknowledgements to lists; a posting thread keeps the
schedule, so that neither the event loop's lag nor the bookkeeping delays a post; the event loop's thread takes the
lists in small portions and does all the bookkeeping, so that ledger and statistics are only ever touched there. List
appends and slice deletions are atomic under the interpreter lock. A post's entry is appended before it is published,
and the lists of what answers it are measured before the list of entries is taken: a post is always known before its
answers.
"""

import asyncio
import threading
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from chatops.chat.messages import guest_sender
from chatops.load.ledger import Ledger
from chatops.load.message import Composer, filler, marker, post_number, read_post_number
from chatops.load.recording import Recorder
from chatops.load.scenario import Scenario, room_topic
from chatops.load.statistics import Distribution, Statistics, Window

PORTION = 500
"""Arrivals entered at a time, about a millisecond's worth: whoever waits for the interpreter lock waits as long."""

OFFLINE = "sender not connected"
UNSENT = "never sent: the generator was too late"
TIMED_OUT = "timed out"
"""What a client reports when no acknowledgement came in time."""

NO_ANSWER = "no acknowledgement (probably throttled)"
"""AWS does not refuse a throttled post: it just never acknowledges it."""

_BIN_LIFE_S = 120

Arrival = tuple[int, str, bytes, int]
_Sent = tuple[int, int, int, int, Window]
_Unsent = tuple[int, int, Window, str]
_Answer = tuple[int, int, str | None]


class Client(Protocol):
    """One connection, as `chatops.mqtt.swarm_client` makes them."""

    def start(self) -> None:
        """Connect, and again whenever the connection is lost, until `stop`."""

    def stop(self) -> None:
        """Disconnect for good."""

    def drop(self) -> None:
        """Close the connection without a word, for good."""

    def subscribe(self, topic: str, qos: int, done: Callable[[str | None], None]) -> None:
        """Subscribe; `done` gets None or the cause of failure, on any thread."""

    def publish(self, topic: str, payload: bytes, done: Callable[[str | None], None]) -> None:
        """Publish at QoS 1; `done` gets None or the cause of failure, on any thread."""


class Swarm:
    """The clients of one process, and what they did.

    Args:
        scenario: what to do.
        run: eight hexadecimal digits that mark this run's messages.
        loop: the event loop whose thread does the bookkeeping.
        clock_ns: the monotonic clock.
    """

    def __init__(
        self,
        scenario: Scenario,
        run: str,
        loop: asyncio.AbstractEventLoop,
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.scenario = scenario
        self.run = run
        self.topics = tuple(room_topic(scenario.prefix, run, room) for room in range(scenario.room_count))
        members: list[list[int]] = [[] for _ in self.topics]
        for client, room in enumerate(scenario.room_of):
            members[room].append(client)
        self.ledger = Ledger(list(zip(self.topics, members, strict=True)), stray_window=Window.STEADY)
        self.statistics = Statistics()
        self.slip = Distribution()
        self.first_message = Distribution()
        self.post_failures: Counter[str] = Counter()
        self.disconnects: Counter[str] = Counter()
        self.resubscribe_failures: Counter[str] = Counter()
        self.connects = 0
        self.subscribes = 0
        self.posts_due = 0
        self.posts_sent = 0
        self.clients: dict[int, Client] = {}
        self.recorder: Recorder | None = None
        self.arrivals: list[Arrival] = []
        self._loop = loop
        self._clock_ns = clock_ns
        self._beginning = marker(run)
        self._filler = filler(scenario.message_bytes)
        self._composers: dict[int, Composer] = {}
        self._sequences: dict[int, int] = {}
        self._online = bytearray(scenario.clients)
        self._heard = bytearray(scenario.clients)
        self._subscribed_us = array("q", bytes(8 * scenario.clients))
        self._joining: dict[int, asyncio.Future[str | None]] = {}
        self._away: set[int] = set()
        self._returning: dict[int, Callable[[], None]] = {}
        self._sent: list[_Sent | _Unsent] = []
        self._answers: list[_Answer] = []
        self._halt = threading.Event()
        self._poster: threading.Thread | None = None
        self._start_ns = 0
        self._stopping = False
        self._running: set[int] = set()
        self._all_stopped = asyncio.Event()

    # Joining. `connected` and its kin are called on awscrt's thread.

    async def connect(self, client: int, connection: Client) -> tuple[str | None, int]:
        """Connect a client; returns None or the cause of failure, and the nanoseconds it took."""
        started = self._clock_ns()
        waiting: asyncio.Future[str | None] = self._loop.create_future()
        self._joining[client] = waiting
        self.clients[client] = connection
        try:
            connection.start()
            self._running.add(client)
            async with asyncio.timeout(self.scenario.join_timeout_s):
                cause = await waiting
        except TimeoutError:
            cause = "no answer in time"
        finally:
            self._joining.pop(client, None)
        return cause, self._clock_ns() - started

    async def subscribe(self, client: int, *, identity: str) -> tuple[str | None, int]:
        """Subscribe a connected client to its room and let it post; returns as `connect` does."""
        answer: asyncio.Future[str | None] = self._loop.create_future()
        started = self._subscribe(client, answer)
        cause = await answer
        if cause is None:
            self._sequences[client] = 0
            self._composers[client] = Composer(self.run, client, guest_sender(identity), self._filler)
        return cause, self._clock_ns() - started

    def drop(self, client: int) -> None:
        """Give up a client that failed to join."""
        self._online[client] = 0
        self._composers.pop(client, None)
        connection = self.clients.pop(client, None)
        if connection is not None:
            connection.stop()

    def connected(self, client: int) -> None:
        """Called on awscrt's thread."""
        self._soon(self._on_connected, client)

    def connect_failed(self, client: int, cause: str) -> None:
        """Called on awscrt's thread."""
        self._soon(self._on_connect_failed, client, cause)

    def disconnected(self, client: int, cause: str) -> None:
        """Called on awscrt's thread."""
        self._online[client] = 0
        self._soon(self._on_disconnected, client, self._clock_ns(), cause)

    def stopped(self, client: int) -> None:
        """Called on awscrt's thread."""
        self._soon(self._on_stopped, client)

    def _soon(self, function: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            if not self._loop.is_closed():
                raise

    def _on_connected(self, client: int) -> None:
        self.connects += 1
        waiting = self._joining.get(client)
        if waiting is not None:
            if not waiting.done():
                waiting.set_result(None)
        elif client in self.clients and client in self._composers:
            self._subscribe(client, None)  # it is back after a lost connection

    def _on_connect_failed(self, client: int, cause: str) -> None:
        waiting = self._joining.get(client)
        if waiting is not None and not waiting.done():
            waiting.set_result(cause)

    def _on_disconnected(self, client: int, at_ns: int, cause: str) -> None:
        if self._stopping or client not in self.clients or client in self._away:
            return
        self.disconnects[cause] += 1
        self.ledger.left(client, at_ns // 1000, lost=True)

    def _on_stopped(self, client: int) -> None:
        self._running.discard(client)
        if not self._running:
            self._all_stopped.set()

    def _subscribe(self, client: int, answer: asyncio.Future[str | None] | None) -> int:
        def done(cause: str | None) -> None:
            self._soon(self._on_subscribed, client, self._clock_ns(), cause, answer)

        started = self._clock_ns()
        self.subscribes += 1
        self.ledger.subscribing(client, started // 1000)
        self.clients[client].subscribe(self.topics[self.scenario.room_of[client]], self.scenario.receive_qos, done)
        return started

    def _on_subscribed(
        self, client: int, at_ns: int, cause: str | None, answer: asyncio.Future[str | None] | None
    ) -> None:
        if cause is None:
            self.ledger.subscribed(client, at_ns // 1000)
            self._subscribed_us[client] = at_ns // 1000
            self._online[client] = 1
            if (returned := self._returning.pop(client, None)) is not None:
                returned()
        else:
            self.ledger.left(client, at_ns // 1000, lost=True)
            if answer is None:
                self.resubscribe_failures[cause] += 1
        if answer is not None and not answer.done():
            answer.set_result(cause)

    # Leaving for a while.

    def present(self, client: int) -> bool:
        """Tell whether a client is there and may leave."""
        return bool(self._online[client]) and not self._stopping

    def send_away(self, client: int, *, abrupt: bool) -> None:
        """Have a client leave until `bring_back`; `abrupt` leaves without a word, as a lost network does."""
        self._online[client] = 0
        self._away.add(client)
        self.ledger.left(client, self._clock_ns() // 1000, lost=False)
        if abrupt:
            self.clients[client].drop()
        else:
            self.clients[client].stop()

    def bring_back(self, client: int, done: Callable[[], None]) -> None:
        """Connect a client again that was sent away; `done` is called when it is subscribed."""
        self._away.discard(client)
        if self._stopping or client not in self.clients:
            return
        self._returning[client] = done
        self._running.add(client)
        self.clients[client].start()

    # Posting, on a thread of its own.

    def start_posting(self, schedule: Iterator[tuple[float, int]], start_ns: int) -> None:
        """Post what is due, from `start_ns` on; `schedule` yields seconds since then and senders."""
        self._start_ns = start_ns
        self._poster = threading.Thread(target=self._post_all, args=(schedule,), name="chatops-poster", daemon=True)
        self._poster.start()

    def posting(self) -> bool:
        """Tell whether there are posts to come."""
        return self._poster is not None and self._poster.is_alive()

    async def stop_posting(self) -> None:
        """End the posting; what was due by now and has not left counts as failed."""
        self._halt.set()
        if self._poster is not None:
            while self._poster.is_alive():
                self.enter(PORTION)
                await asyncio.sleep(0.005)
            self._poster.join()

    def joined_posters(self) -> list[int]:
        """The clients that joined and post."""
        return [client for client in self.scenario.posters if client in self._composers]

    def _post_all(self, schedule: Iterator[tuple[float, int]]) -> None:
        clock_ns, halt = self._clock_ns, self._halt
        epoch_s = time.time() - clock_ns() / 1e9
        warm_ns = round(self.scenario.warm_up_s * 1e9)
        for offset_s, sender in schedule:
            offset_ns = round(offset_s * 1e9)
            due_ns = self._start_ns + offset_ns
            wait_ns = due_ns - clock_ns()
            window = Window.WARM_UP if offset_ns < warm_ns else Window.STEADY
            if halt.wait(wait_ns / 1e9) if wait_ns > 0 else halt.is_set():
                if due_ns > clock_ns():
                    return
                self._sent.append((sender, due_ns // 1000, window, UNSENT))
            elif self._online[sender]:
                self._post(sender, due_ns // 1000, window, epoch_s)
            elif sender not in self._away and sender not in self._returning:
                self._sent.append((sender, due_ns // 1000, window, OFFLINE))

    def _post(self, sender: int, due_us: int, window: Window, epoch_s: float) -> None:
        sequence = self._sequences[sender]
        self._sequences[sender] = sequence + 1
        sent_ns = self._clock_ns()
        payload = self._composers[sender].compose(
            sequence, due_us=due_us, sent_us=sent_ns // 1000, epoch_s=epoch_s + sent_ns / 1e9
        )
        number = post_number(sender, sequence)
        answers, clock_ns = self._answers, self._clock_ns

        def done(cause: str | None) -> None:
            answers.append((number, clock_ns(), cause))

        self._sent.append((sender, sequence, due_us, sent_ns // 1000, window))
        try:
            self.clients[sender].publish(self.topics[self.scenario.room_of[sender]], payload, done)
        except Exception as error:  # noqa: BLE001  (whatever the client library raises is this post's failure)
            done(type(error).__name__)

    # Bookkeeping, on the event loop's thread.

    def enter(self, most: int = PORTION) -> bool:
        """Enter what has gathered, at most so many arrivals; tells whether there is more."""
        arrivals = self.arrivals
        count, answers = min(len(arrivals), most), len(self._answers)
        self._enter_sent()
        self._enter_answers(answers)
        if count:
            portion = arrivals[:count]
            del arrivals[:count]
            self._enter_arrivals(portion)
        return bool(arrivals)

    def _enter_sent(self) -> None:
        gathered = self._sent
        portion = gathered[: len(gathered)]
        del gathered[: len(portion)]
        for entry in portion:
            self.posts_due += 1
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
        portion = self._answers[:count]
        del self._answers[:count]
        ledger = self.ledger
        for number, at_ns, cause in portion:
            post = ledger.posts.get(number)
            if post is None:
                continue
            at_us = at_ns // 1000
            if self.recorder is not None:
                self.recorder.answer(number, at_us, acknowledged=cause is None)
            if cause is None:
                ledger.acknowledged(post, at_us)
                post.bin.acknowledged(at_us - post.due_us, at_us - post.sent_us)
            else:
                ledger.failed(post, at_us)
                post.bin.row.failed += 1
                self.post_failures[NO_ANSWER if cause == TIMED_OUT else cause] += 1

    def _enter_arrivals(self, portion: Sequence[Arrival]) -> None:
        delivered, beginning, heard = self.ledger.delivered, self._beginning, self._heard
        if self.recorder is not None:
            self._record_arrivals(self.recorder, portion)
        for client, topic, head, at_ns in portion:
            number = read_post_number(head, beginning)
            if number < 0:
                self.ledger.foreign(client, Window.STEADY)
                continue
            post = delivered(number, client, topic)
            if post is not None:
                at_us = at_ns // 1000
                if not heard[client]:
                    heard[client] = 1
                    self.first_message.record(at_us - max(self._subscribed_us[client], self._start_ns // 1000))
                post.bin.delivered(at_us - post.due_us, at_us - post.sent_us)

    def _record_arrivals(self, recorder: Recorder, portion: Sequence[Arrival]) -> None:
        numbers, receivers, times = recorder.deliveries
        beginning = self._beginning
        for client, _, head, at_ns in portion:
            number = read_post_number(head, beginning)
            if number >= 0:
                numbers.append(number)
                receivers.append(client)
                times.append(at_ns // 1000)

    def tidy(self, now_ns: int) -> None:
        """Once a second: settle what is overdue, pack away what is past."""
        if self.recorder is not None:
            self.recorder.flush()
        self.ledger.settle(now_ns // 1000)
        self.statistics.seal(self._second(now_ns // 1000) - _BIN_LIFE_S)

    def close_books(self, now_ns: int) -> None:
        """Settle everything: the run is over. Posts that nobody acknowledged have failed."""
        for post in self.ledger.settle_all(now_ns // 1000):
            post.bin.row.failed += 1
            self.post_failures[NO_ANSWER] += 1

    def under_way(self) -> bool:
        """Tell whether anything sent has not been answered or delivered yet."""
        ledger = self.ledger
        return bool(self.arrivals or self._answers or self._sent) or any(
            post.acked_us == -1 or post.arrived < post.awaited for post in list(ledger.posts.values())
        )

    def _second(self, due_us: int) -> int:
        return (due_us - self._start_ns // 1000) // 1_000_000

    # The end.

    async def leave(self, timeout_s: float) -> int:
        """Disconnect everybody; returns how many did not confirm within `timeout_s`."""
        self._stopping = True
        for connection in self.clients.values():
            connection.stop()
        if self._running:
            self._all_stopped.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._all_stopped.wait()
            except TimeoutError:
                pass
        self.clients.clear()
        return len(self._running)
