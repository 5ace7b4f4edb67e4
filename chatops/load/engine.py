"""One process's part of a load test: join, warm up, steady load, drain, leave.

Whatever happens on the way (an interruption, clients that cannot join or lose their connection), everybody is
disconnected in the end and what was counted so far is there.
"""

import asyncio
import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from chatops.errors import ChatopsError, ConnectionFailedError
from chatops.load.distribution import Distribution
from chatops.load.generator import peak_rss_mb
from chatops.load.joining import Joiner, Joining, MakeClient, Probe, Vendor
from chatops.load.meters import CpuMeter
from chatops.load.pacing import due_posts
from chatops.load.progress import Stage
from chatops.load.recording import Recorder
from chatops.load.replay import Replay
from chatops.load.restless import Restlessness
from chatops.load.swarm import Swarm
from chatops.load.target import Target
from chatops.load.totals import Part, Totals
from chatops.mqtt.diagnosis import explain_refusal
from chatops.open_files import allow_many

LEAD_S = 0.2
"""Between the last join and the first post."""

_BEAT_S = 0.01  # between two rounds of bookkeeping
_CANARY_S = 0.01
_LEAST_DRAIN_S = 2.0
_LEAVE_TIMEOUT_S = 15.0


class Link(Protocol):
    """How a process stands to the others of its run."""

    async def start_ns(self, joined: int) -> int | None:
        """Tell how many have joined here, and wait until they have everywhere.

        Returns:
            When the load begins, on the common clock; None when it does not.
        """

    async def all_answered(self) -> None:
        """Tell that no post of this process is without an answer, and wait until that is so everywhere."""


class Alone:
    """The link of a process that has no others."""

    def __init__(self, swarm: Swarm) -> None:
        self._swarm = swarm

    async def start_ns(self, joined: int) -> int | None:
        """Begin shortly."""
        return self._swarm.now_ns() + round(LEAD_S * 1e9) if joined else None

    async def all_answered(self) -> None:
        """There are no others."""


class Engine:
    """One process's part of a run.

    Args:
        swarm: its clients.
        target: where they go; its rates are those of all processes together.
        vendor, make_client: where credentials and connections come from.
        stop: set it to end the run early; it drains and leaves.
        link: the other processes; there are none when it is None.
        known: identities of an earlier run by number, taken in the place of new ones.
        probe: takes a few connects apart; none when it is None.
        recorder: writes down what happens; the engine flushes it, and leaves closing it to the caller.
        replay: a recorded rhythm, posted in place of the scenario's rate.
    """

    def __init__(
        self,
        swarm: Swarm,
        target: Target,
        vendor: Vendor,
        make_client: MakeClient,
        *,
        stop: asyncio.Event,
        link: Link | None = None,
        known: Mapping[int, str] | None = None,
        probe: Probe | None = None,
        recorder: Recorder | None = None,
        replay: Replay | None = None,
    ) -> None:
        self._swarm = swarm
        self._books = swarm.books
        self._scenario = swarm.scenario
        self._target = target
        self._stop = stop
        self._link = link or Alone(swarm)
        self._recorder = swarm.books.recorder = recorder
        self._replay = replay
        self._joiner = Joiner(
            swarm,
            vendor,
            make_client,
            target.rates,
            calls_at_once=target.calls_at_once,
            stop=stop,
            known=known,
            probe=probe,
        )
        self._restlessness: Restlessness | None = None
        self._stage = Stage.JOINING
        self._started = 0.0
        self._lag = Distribution()
        self._cpu = CpuMeter()
        self._steady_cpu: float | None = None
        self._by_window_end: tuple[int, int] | None = None
        self._seconds: dict[Stage, float] = {}
        self._unstopped = 0
        self._steady_rss_mb: float | None = None
        self._steady_queue: int | None = None

    @property
    def stage(self) -> Stage:
        """Where the run is."""
        return self._stage

    @property
    def joining(self) -> Joining:
        """How the joining went."""
        return self._joiner.joining

    @property
    def totals(self) -> Totals:
        """What has been counted so far; it goes on counting, so copy what is to be kept."""
        swarm, books = self._swarm, self._books
        found = Totals(
            statistics=books.statistics,
            tallies=books.ledger.tallies,
            joining=self.joining,
            slip=books.slip,
            first_message=books.first_message,
            post_failures=books.post_failures,
            disconnects=swarm.disconnects,
            resubscribe_failures=swarm.resubscribe_failures,
            connects=swarm.connects,
            subscribes=swarm.subscribes,
            posts_sent=books.posts_sent,
            arrivals=books.ledger.arrivals,
            lost=books.ledger.lost,
            differences=books.ledger.differences,
            differences_omitted=books.ledger.differences_omitted,
        )
        if self._restlessness is not None:
            found.reconnects = self._restlessness.reconnects
        return found

    @property
    def part(self) -> Part:
        """How it goes, beside what is counted."""
        arrived, outstanding = self._by_window_end or (None, None)
        return Part(
            stage=self._stage,
            seconds=dict(self._seconds),
            cpu=self._steady_cpu if self._steady_cpu is not None else self._cpu.read(),
            lag_ms_p99=self._lag.percentiles().p99 or 0.0,
            slip_ms_p99=self._books.slip.percentiles().p99 or 0.0,
            rss_mb=peak_rss_mb(),
            steady_rss_mb=self._steady_rss_mb,
            queue_max=self._books.longest_queue if self._steady_queue is None else self._steady_queue,
            arrived=arrived,
            outstanding=outstanding,
            unstopped=self._unstopped,
            restless=self._restlessness is not None,
        )

    async def run(self) -> None:
        """Run this process's part."""
        allow_many()
        self._started = time.monotonic()
        helpers = [asyncio.create_task(helper) for helper in (self._canary(), self._joiner.keep_fresh())]
        try:
            await self._join()
            start_ns = await self._link.start_ns(self.joining.joined)
            if start_ns is not None and not self._stop.is_set():
                await self._load(start_ns)
                await self._drain()
        finally:
            self._stage = Stage.LEAVING
            try:
                await self._swarm.stop_posting()
                self._unstopped = await self._swarm.leave(_LEAVE_TIMEOUT_S)
                for helper in helpers:
                    helper.cancel()
                await asyncio.gather(*helpers, return_exceptions=True)
            finally:
                gc.unfreeze()

    async def nobody_joined(self) -> ChatopsError:
        """Why nobody could join here, as well as can be told."""
        if self._joiner.first_error is not None:
            return self._joiner.first_error
        if self._joiner.last_credentials is not None:
            found = await explain_refusal(self._target.address, self._target.region, self._joiner.last_credentials)
            if found is not None:
                return found
        causes = self.joining.failures.most_common(1)
        return ConnectionFailedError(
            f"None of the {self._scenario.clients} clients could join ({causes[0][0] if causes else 'no answer'})",
            "check the environment; for the local stack, `chatops local status`",
        )

    async def _join(self) -> None:
        share = self._swarm.share
        await self._joiner.join([client for client in range(self._scenario.clients) if share.mine(client)])
        self._seconds[Stage.JOINING] = time.monotonic() - self._started

    async def _load(self, start_ns: int) -> None:
        """Warm-up and steady window."""
        swarm = self._swarm
        schedule = self._schedule(swarm.joined_posters())
        gc.collect()
        gc.freeze()  # no pause of the collector for thousands of clients within the window
        if self._recorder is not None:
            self._recorder.zero_us = start_ns // 1000
        swarm.start_posting(schedule, start_ns)
        start = time.monotonic() + (start_ns - swarm.now_ns()) / 1e9
        restless = self._make_restless(start)
        try:
            await self._windows(start)
        finally:
            if restless is not None:
                if not self._stop.is_set():
                    await self._everybody_back()
                restless.cancel()
                await asyncio.gather(restless, return_exceptions=True)

    def _schedule(self, senders: Sequence[int]) -> Iterator[tuple[float, int]]:
        """Who posts when."""
        scenario = self._scenario
        if self._replay is not None:
            return self._replayed(self._replay, senders)
        rank = {sender: place for place, sender in enumerate(scenario.posters)}
        schedule = due_posts(
            senders,
            rate=scenario.posts_per_s_each,
            span_s=scenario.profile.effort,
            arrivals=scenario.arrivals,
            seed=scenario.seed,
            ranks=[rank[sender] for sender in senders],
            population=len(rank),
        )
        return scenario.profile.warp(schedule)

    def _replayed(self, replay: Replay, senders: Sequence[int]) -> Iterator[tuple[float, int]]:
        """A recorded rhythm; among several processes, each posts what falls to its own clients."""
        scenario, alone = self._scenario, self._swarm.share.alone
        members: list[list[int]] = [[] for _ in range(scenario.room_count)]
        for sender in senders if alone else scenario.posters:
            members[scenario.room_of[sender]].append(sender)
        mine = frozenset(senders)
        return (beat for beat in replay.schedule(members) if beat[1] in mine)

    def _make_restless(self, start: float) -> "asyncio.Task[None] | None":
        scenario = self._scenario
        if not scenario.restless:
            return None
        self._restlessness = Restlessness(self._swarm, scenario, range(scenario.clients), self._joiner.renew)
        return asyncio.create_task(self._restlessness.run(start))

    async def _everybody_back(self) -> None:
        """Wait for those who are away, so that it is known how their return went."""
        if self._restlessness is None:
            return
        self._stage = Stage.DRAIN
        settled = asyncio.create_task(self._restlessness.settled())
        scenario = self._scenario
        end = time.monotonic() + max(
            scenario.drain_limit_s, scenario.storm_back_s, scenario.expiry_back_s, 3 * scenario.away_s
        )
        while not settled.done() and time.monotonic() < end and not self._stop.is_set():
            self._books.enter()
            await asyncio.sleep(_BEAT_S)
        settled.cancel()
        await asyncio.gather(settled, return_exceptions=True)

    async def _windows(self, start: float) -> None:
        scenario, swarm = self._scenario, self._swarm
        self._stage = Stage.WARM_UP
        await self._book_until(start + scenario.warm_up_s)
        self._seconds[Stage.WARM_UP] = max(0.0, time.monotonic() - start)
        self._stage = Stage.STEADY
        self._steady_rss_mb = peak_rss_mb()
        self._lag = Distribution()
        self._books.longest_queue = 0
        self._cpu.reset()
        begun = time.monotonic()
        end = start + scenario.load_s
        await self._book_until(end)
        self._seconds[Stage.STEADY] = time.monotonic() - begun
        self._steady_cpu, self._steady_queue = self._cpu.read(), self._books.longest_queue
        if not self._stop.is_set():
            self._by_window_end = self._count_deliveries(swarm.now_ns() // 1000 - 1_000_000)
        patience = time.monotonic() + scenario.drain_limit_s
        while swarm.posting() and time.monotonic() < patience and not self._stop.is_set():
            more = self._books.enter()  # what is late still leaves: its latency from due is what the run is about
            await asyncio.sleep(0 if more else _BEAT_S)
        await swarm.stop_posting()

    async def _book_until(self, end: float) -> None:
        """Keep the books until a monotonic time, or until the run is stopped."""
        tidied = time.monotonic()
        while (now := time.monotonic()) < end and not self._stop.is_set():
            more = self._books.enter()
            if now - tidied >= 1:
                tidied = now
                self._books.tidy(self._swarm.now_ns())
            await asyncio.sleep(0 if more else min(_BEAT_S, end - now))

    def _count_deliveries(self, due_before_us: int) -> tuple[int, int]:
        """Deliveries that came and that are outstanding, of posts due before then."""
        self._enter_all()
        ledger = self._books.ledger
        return ledger.arrivals, ledger.outstanding(due_before_us=due_before_us)

    def _enter_all(self) -> None:
        while self._books.enter():
            pass

    async def _drain(self) -> None:
        """Wait for what is still under way: twice the largest latency seen, within bounds.

        First for the answers to this process's posts, then until all processes have theirs, since only then is it
        known what is owed here.
        """
        swarm, books = self._swarm, self._books
        self._stage = Stage.DRAIN
        begun = time.monotonic()
        books.tidy(swarm.now_ns())
        largest_s = max((d.max_us for d in books.statistics.distributions.values()), default=0) / 1e6
        end = begun + min(self._scenario.drain_limit_s, max(_LEAST_DRAIN_S, 2 * largest_s))
        await self._enter_while(books.unanswered, end)
        self._enter_all()
        books.give_up_unanswered(swarm.now_ns())
        everywhere = asyncio.create_task(self._link.all_answered())
        while not everywhere.done():
            self._books.enter()
            await asyncio.sleep(0 if swarm.share.alone else _BEAT_S)
        await everywhere
        if not swarm.share.alone:
            end = max(end, time.monotonic() + _LEAST_DRAIN_S)
        await self._enter_while(books.under_way, end)
        self._enter_all()
        books.close(swarm.now_ns())
        if self._recorder is not None:
            self._recorder.differences(books.ledger.differences)
        self._seconds[Stage.DRAIN] = time.monotonic() - begun

    async def _enter_while(self, condition: Callable[[], bool], end: float) -> None:
        while time.monotonic() < end:
            more = self._books.enter()
            if not more and not condition():
                return
            await asyncio.sleep(0 if more else _BEAT_S)

    async def _canary(self) -> None:
        """Measure how late a small timer is."""
        while True:
            due = time.monotonic() + _CANARY_S
            await asyncio.sleep(_CANARY_S)
            self._lag.record(round((time.monotonic() - due) * 1e6))
