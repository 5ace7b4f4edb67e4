"""The clients of one process: who is there, who comes and goes, what they post.

A posting thread keeps the schedule, so that neither the event loop's lag nor the bookkeeping (`books.py`) delays a
post. What awscrt's thread reports of connections is handed to the event loop's thread.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Protocol

from chatops.chat.messages import guest_sender
from chatops.load.books import Books
from chatops.load.message import Composer, filler, post_number
from chatops.load.scenario import Scenario
from chatops.load.share import Share
from chatops.load.statistics import Window

OFFLINE = "sender not connected"
UNSENT = "never sent: the generator was too late"


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
        share: which of the clients are this process's; all when None.
        ahead_ns: how far the run's common clock is ahead of `clock_ns`; all that is sent or entered is in its time.
    """

    def __init__(
        self,
        scenario: Scenario,
        run: str,
        loop: asyncio.AbstractEventLoop,
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        share: Share | None = None,
        ahead_ns: int = 0,
    ) -> None:
        self.scenario = scenario
        self.share = share or Share(identities=scenario.identity_count)
        self.run = run
        self.books = Books(scenario, run, self.share, ahead_ns)
        self.disconnects: Counter[str] = Counter()
        self.resubscribe_failures: Counter[str] = Counter()
        self.connects = 0
        self.subscribes = 0
        self.clients: dict[int, Client] = {}
        self._loop = loop
        self._clock_ns = clock_ns if not ahead_ns else lambda: clock_ns() + ahead_ns
        self._filler = filler(scenario.message_bytes)
        self._composers: dict[int, Composer] = {}
        self._sequences: dict[int, int] = {}
        self._online = bytearray(scenario.clients)
        self._joining: dict[int, asyncio.Future[str | None]] = {}
        self._away: set[int] = set()
        self._returning: dict[int, Callable[[], None]] = {}
        self._halt = threading.Event()
        self._poster: threading.Thread | None = None
        self._start_ns = 0
        self._stopping = False
        self._running: set[int] = set()
        self._all_stopped = asyncio.Event()

    def now_ns(self) -> int:
        """The run's common clock."""
        return self._clock_ns()

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
        self.books.ledger.left(client, at_ns // 1000, lost=True)

    def _on_stopped(self, client: int) -> None:
        self._running.discard(client)
        if not self._running:
            self._all_stopped.set()

    def _subscribe(self, client: int, answer: asyncio.Future[str | None] | None) -> int:
        def done(cause: str | None) -> None:
            self._soon(self._on_subscribed, client, self._clock_ns(), cause, answer)

        started = self._clock_ns()
        self.subscribes += 1
        self.books.ledger.subscribing(client, started // 1000)
        self.clients[client].subscribe(
            self.books.topics[self.scenario.room_of[client]], self.scenario.receive_qos, done
        )
        return started

    def _on_subscribed(
        self, client: int, at_ns: int, cause: str | None, answer: asyncio.Future[str | None] | None
    ) -> None:
        if cause is None:
            self.books.ledger.subscribed(client, at_ns // 1000)
            self.books.subscribed_us[client] = at_ns // 1000
            self._online[client] = 1
            if (returned := self._returning.pop(client, None)) is not None:
                returned()
        else:
            self.books.ledger.left(client, at_ns // 1000, lost=True)
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
        self.books.ledger.left(client, self._clock_ns() // 1000, lost=False)
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
        self.books.begin(start_ns)
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
                self.books.enter()
                await asyncio.sleep(0.005)
            self._poster.join()

    def joined_posters(self) -> list[int]:
        """The clients that joined and post."""
        return [client for client in self.scenario.posters if client in self._composers]

    def _post_all(self, schedule: Iterator[tuple[float, int]]) -> None:
        clock_ns, halt = self._clock_ns, self._halt
        epoch_s = time.time() - clock_ns() / 1e9
        for offset_s, sender in schedule:
            due_ns = self._start_ns + round(offset_s * 1e9)
            wait_ns = due_ns - clock_ns()
            window = self.books.window(due_ns // 1000)
            if halt.wait(wait_ns / 1e9) if wait_ns > 0 else halt.is_set():
                if due_ns > clock_ns():
                    return
                self.books.sent.append((sender, due_ns // 1000, window, UNSENT))
            elif self._online[sender]:
                self._post(sender, due_ns // 1000, window, epoch_s)
            elif sender not in self._away and sender not in self._returning:
                self.books.sent.append((sender, due_ns // 1000, window, OFFLINE))

    def _post(self, sender: int, due_us: int, window: Window, epoch_s: float) -> None:
        sequence = self._sequences[sender]
        self._sequences[sender] = sequence + 1
        sent_ns = self._clock_ns()
        payload = self._composers[sender].compose(
            sequence, due_us=due_us, sent_us=sent_ns // 1000, epoch_s=epoch_s + sent_ns / 1e9
        )
        number = post_number(sender, sequence)
        answers, clock_ns = self.books.answers, self._clock_ns

        def done(cause: str | None) -> None:
            answers.append((number, clock_ns(), cause))

        self.books.sent.append((sender, sequence, due_us, sent_ns // 1000, window))
        try:
            self.clients[sender].publish(self.books.topics[self.scenario.room_of[sender]], payload, done)
        except Exception as error:  # noqa: BLE001  (whatever the client library raises is this post's failure)
            done(type(error).__name__)

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
