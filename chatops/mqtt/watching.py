"""Watching rooms for as long as it takes: connect, subscribe, and connect again whenever the connection is lost.

Nothing is lost in silence: each loss and each return is an event of its own. Every attempt logs in afresh, so that
credentials never go stale and a changed environment (the local stack started anew, say) is found again. A connection
that lives is replaced before its credentials expire and before AWS closes it after 24 hours: the next one is
subscribed before the last one is let go. And because a change of policy stops deliveries without a word, a watcher
subscribes again now and then, only to be told.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

from chatops.chat.gaps import Gap
from chatops.errors import ChatopsError, NotAuthorisedError
from chatops.mqtt.connection import ChatConnection, Delivery, connect
from chatops.mqtt.event_thread import EventThread
from chatops.mqtt.login import Login
from chatops.mqtt.overlap import Overlap

_REFUSALS_IN_A_ROW = 3
_POLL_S = 0.1
_OVERLOAD = "messages came faster than they could be shown"


@dataclass(frozen=True, slots=True)
class Timing:
    """When a watcher does what it does by itself; all in seconds.

    Attributes:
        margin: credentials are replaced this long before they expire, or after half their life when that is later.
        shortest: and not sooner than this after connecting, whatever the clocks show.
        longest: no connection lives longer; AWS closes one after 24 hours.
        check: how often the permission to subscribe is asked for; each costs one metered message.
        overlap: how long two connections are both read when one replaces the other.
        first_delay, longest_delay: the bounds of the wait between attempts to connect, full jitter within.
        patience: after so long without a connection the wait may become `late_delay`.
    """

    margin: float = 300.0
    shortest: float = 30.0
    longest: float = 23 * 3600.0
    check: float = 60.0
    overlap: float = 0.5
    first_delay: float = 0.25
    longest_delay: float = 2.0
    patience: float = 120.0
    late_delay: float = 20.0

    def renew_in(self, login: Login, now: float) -> float:
        """In how many seconds a connection that is made now is to be replaced."""
        if login.expires_at is None:
            return self.longest
        left = login.expires_at - now
        return min(self.longest, max(left - self.margin, left / 2, self.shortest))

    def delay(self, failures: int, away_s: float) -> float:
        """How long to wait before the next attempt."""
        most = self.longest_delay if away_s < self.patience else self.late_delay
        return random.uniform(0, min(most, self.first_delay * 2 ** min(failures, 10)))  # noqa: S311  (jitter)


@dataclass(frozen=True, slots=True)
class Connected:
    """The connection is up and the filters are subscribed.

    Attributes:
        gap: what was missed since the last one was lost; None the first time.
        renewed: it has replaced one that lives, and nothing was missed.
    """

    client_id: str
    gap: Gap | None = None
    renewed: bool = False


@dataclass(frozen=True, slots=True)
class Arrived:
    """Messages, in the order of arrival."""

    deliveries: Sequence[Delivery]


@dataclass(frozen=True, slots=True)
class Overrun:
    """Messages were dropped because the reader lagged."""

    gap: Gap


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection was lost; whatever is posted from now on is missed until `Connected` comes again."""

    reason: str
    since: datetime


Event = Connected | Arrived | Overrun | Lost


async def watch(
    log_in: Callable[[], Awaitable[Login]], filters: Sequence[str], *, qos: int = 0, timing: Timing | None = None
) -> AsyncGenerator[Event]:
    """Yield what happens in the rooms of `filters`, without end.

    Args:
        log_in: called before each connection.
        timing: AWS's when None.

    Raises:
        NotAuthorisedError: refused at the first connection, or three times in a row later (policy or pool changed).
        ChatopsError: the first connection failed otherwise.
    """
    watcher = _Watcher(log_in, filters, qos, timing or Timing())
    line = await watcher.open()
    gap: Gap | None = None
    while True:
        reader = _Reader(watcher, line)
        try:
            yield Connected(line.login.client_id, gap)
            async with contextlib.aclosing(reader.events()) as events:
                async for event in events:
                    yield event
        except ChatopsError as error:
            refused = isinstance(error, NotAuthorisedError)
            reason: str = getattr(error, "reason", error.problem)
            since = reader.dead_since(getattr(error, "unnoticed_s", 0.0))
        finally:
            await reader.close()
        yield Lost(reason, _moment(since))
        line = await watcher.reopen(int(refused))
        gap = Gap(_moment(since), _moment(time.time()), reason)


@dataclass(slots=True)
class _Line:
    """An open, subscribed connection and what closes it."""

    login: Login
    chat: ChatConnection
    stack: AsyncExitStack


class _Watcher:
    """How connections are made."""

    def __init__(
        self, log_in: Callable[[], Awaitable[Login]], filters: Sequence[str], qos: int, timing: Timing
    ) -> None:
        self._log_in = log_in
        self.filters = filters
        self.qos = qos
        self.timing = timing
        self._thread = EventThread()

    async def open(self, subscribing: Callable[[], None] = lambda: None) -> _Line:
        """Log in, connect and subscribe; `subscribing` is called in between."""
        login = await self._log_in()
        async with AsyncExitStack() as stack:
            chat = await stack.enter_async_context(
                connect(login.address, login.region, login.keys, login.client_id, thread=self._thread)
            )
            subscribing()
            await chat.subscribe(self.filters, self.qos)
            return _Line(login, chat, stack.pop_all())
        raise AssertionError("unreachable")

    async def reopen(self, refusals: int) -> _Line:
        """Try until it works; give up only when refused several times in a row."""
        begun = time.monotonic()
        failures = 0
        while True:
            failures += 1
            await asyncio.sleep(self.timing.delay(failures, time.monotonic() - begun))
            try:
                return await self.open()
            except NotAuthorisedError:
                refusals += 1
                if refusals >= _REFUSALS_IN_A_ROW:
                    raise
            except ChatopsError:
                refusals = 0


class _Reader:
    """Reads one connection, and those that replace it while it lives, until one is lost."""

    def __init__(self, watcher: _Watcher, line: _Line) -> None:
        self._watcher = watcher
        self._timing = watcher.timing
        self._line = line
        self._last_arrival = 0.0
        self._overlap: Overlap | None = None
        self._renewal: asyncio.Task[_Line] | None = None
        self._check: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._schedule()

    def dead_since(self, unnoticed_s: float) -> float:
        """From when on messages may have been missed, in seconds since the epoch."""
        return max(self._last_arrival, time.time() - unnoticed_s)

    async def events(self) -> AsyncGenerator[Event]:
        """Yield until the connection is lost, which raises."""
        while True:
            batch = await self._line.chat.next_batch(self._patience())
            if batch and (shown := self._new(batch)):
                yield Arrived(shown)
            if (missed := self._line.chat.take_missed()) is not None:
                yield Overrun(Gap(_moment(missed.since), _moment(missed.until), _OVERLOAD, missed.count))
            self._look_after_check()
            if await self._renewed():
                async for event in self._switch():
                    yield event

    async def close(self) -> None:
        """Let go of everything."""
        for task in (self._renewal, self._check):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, ChatopsError):
                    spare = await task
                    if isinstance(spare, _Line):
                        await spare.stack.aclose()
        await self._line.stack.aclose()
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _schedule(self) -> None:
        now = time.monotonic()
        self._renew_at = now + self._timing.renew_in(self._line.login, time.time())
        self._check_at = now + self._timing.check

    def _patience(self) -> float:
        if self._renewal is not None or self._check is not None:
            return _POLL_S
        return max(0.0, min(self._renew_at, self._check_at) - time.monotonic())

    def _new(self, batch: list[Delivery]) -> list[Delivery]:
        """Those of a batch that have not been shown, when two connections overlap."""
        self._last_arrival = batch[-1].at
        if self._overlap is not None and self._overlap.is_over(batch[0].at):
            self._overlap = None
        return batch if self._overlap is None else self._overlap.new(batch)

    # A change of policy

    def _look_after_check(self) -> None:
        if self._check is not None:
            if self._check.done():
                task, self._check = self._check, None
                self._check_at = time.monotonic() + self._timing.check
                task.result()
        elif time.monotonic() >= self._check_at and self._renewal is None:
            # What is retained in the rooms comes once more with it, and has been shown.
            self._overlap = Overlap.retained(time.time() + _RETAINED_S)
            self._check = asyncio.create_task(self._line.chat.subscribe(self._watcher.filters, self._watcher.qos))

    # A connection is replaced

    async def _renewed(self) -> bool:
        if self._renewal is None:
            if time.monotonic() >= self._renew_at and self._check is None:
                self._renewal = asyncio.create_task(self._watcher.open(self._begin_overlap))
            return False
        if not self._renewal.done():
            return False
        if self._renewal.exception() is not None:
            # This one still lives: when it ends, the reason shows.
            self._renewal = None
            self._overlap = None
            self._renew_at = time.monotonic() + self._timing.delay(8, 0.0) + self._timing.longest_delay
            return False
        return True

    def _begin_overlap(self) -> None:
        self._overlap = Overlap()

    async def _switch(self) -> AsyncGenerator[Event]:
        """Read both connections for a moment, then only the new one."""
        old = self._line.chat
        until = time.monotonic() + self._timing.overlap
        with contextlib.suppress(ChatopsError):  # the new one is there: that the old one ends now is no loss
            while (left := until - time.monotonic()) > 0:
                if batch := await old.next_batch(left):
                    yield Arrived(self._new(batch))
        if self._overlap is not None:
            self._overlap.end(time.time() + _RETAINED_S)
        if self._renewal is None:
            return
        closing = asyncio.create_task(self._line.stack.aclose())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        self._line, self._renewal = self._renewal.result(), None
        self._schedule()
        yield Connected(self._line.login.client_id, renewed=True)


_RETAINED_S = 2.0


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
