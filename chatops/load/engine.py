"""One load test from the first identity to the report: join, warm up, steady load, drain, leave.

Whatever happens on the way (an interruption, clients that cannot join or lose their connection) ends in a report that
says what it covers, with everybody disconnected and the identities handed to whoever may delete them.
"""

import asyncio
import gc
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from chatops.errors import ChatopsError, ConnectionFailedError
from chatops.load.cost import Prices, Usage, metered_steps, session_minutes, usage
from chatops.load.joining import Joiner, Joining, MakeClient, Vendor
from chatops.load.message import HEADER_BYTES
from chatops.load.meters import CpuMeter, figures_so_far, last_second
from chatops.load.pacing import due_posts
from chatops.load.progress import Progress, Stage
from chatops.load.recording import Recorder
from chatops.load.replay import Replay
from chatops.load.restless import Restlessness
from chatops.load.result import Identities, RunResult
from chatops.load.scenario import Scenario
from chatops.load.statistics import Distribution
from chatops.load.summary import Course, summarise
from chatops.load.swarm import Swarm
from chatops.load.target import Target
from chatops.load.thresholds import Limit, broken_meanwhile, judge
from chatops.mqtt.diagnosis import explain_refusal
from chatops.mqtt.guests import Guests
from chatops.mqtt.swarm_client import SwarmNetwork, SwarmOptions

Discard = Callable[[Sequence[str]], Awaitable[int]]
"""Deletes identities and returns how many; may raise ChatopsError."""

_BEAT_S = 0.01  # between two rounds of bookkeeping
_CANARY_S = 0.01
_PROGRESS_S = 0.5
_LEAD_S = 0.2  # between the last join and the first post
_LEAST_DRAIN_S = 2.0
_LEAVE_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a run may do beyond its scenario.

    Attributes:
        limits: what it has to keep; `abort` ends it as soon as it cannot any more.
        known: identities of an earlier run, taken before new ones are made.
        keep: gets all identities at the end, in place of their deletion.
        recorder: writes down what happens; the run flushes it, and leaves closing it to the caller.
        replay: a recorded rhythm, posted in place of the scenario's rate.
    """

    limits: tuple[Limit, ...] = ()
    abort: bool = False
    known: tuple[str, ...] = ()
    keep: Callable[[Sequence[str]], None] | None = None
    recorder: Recorder | None = None
    replay: Replay | None = None


async def run(
    scenario: Scenario,
    target: Target,
    *,
    events: Callable[[Progress], None],
    stop: asyncio.Event,
    discard: Discard | None = None,
    prices: Prices | None = None,
    wishes: Wishes | None = None,
) -> RunResult:
    """Run one load test.

    Args:
        scenario: what to do.
        target: where.
        events: told how the run stands, on the event loop's thread; it must return quickly.
        stop: set it to end the run early; it drains and still reports.
        discard: deletes the identities that the run made; called at the end, always. They stay when it is None.
        prices: what AWS charges.
        wishes: thresholds, identities to reuse, a recording.

    Raises:
        ChatopsError: nobody could join; the error says why the first one could not.
    """
    loop = asyncio.get_running_loop()
    swarm = Swarm(scenario, secrets.token_hex(4), loop)
    network = SwarmNetwork(
        target.address,
        target.region,
        arrived=swarm.arrivals.append,
        events=swarm,
        options=SwarmOptions(keep_bytes=HEADER_BYTES),
    )
    async with AsyncExitStack() as stack:
        vendor = await stack.enter_async_context(
            Guests(target.cognito_url, target.pool_id, connections=target.calls_at_once)
        )
        engine = Engine(
            swarm,
            target,
            vendor,
            network.client,
            events=events,
            stop=stop,
            discard=discard,
            prices=prices or Prices(),
            wishes=wishes or Wishes(),
        )
        return await engine.run()


class Engine:
    """One run; `run` above puts the real parts together.

    Args:
        vendor, make_client: where credentials and connections come from.
    """

    def __init__(
        self,
        swarm: Swarm,
        target: Target,
        vendor: Vendor,
        make_client: MakeClient,
        *,
        events: Callable[[Progress], None],
        stop: asyncio.Event,
        discard: Discard | None,
        prices: Prices,
        wishes: Wishes | None = None,
    ) -> None:
        self._swarm = swarm
        self._scenario = swarm.scenario
        self._target = target
        self._events = events
        self._stop = stop
        self._discard = discard
        self._prices = prices
        self._wishes = wishes or Wishes()
        swarm.recorder = self._wishes.recorder
        self._joiner = Joiner(
            swarm,
            vendor,
            make_client,
            target.rates,
            calls_at_once=target.calls_at_once,
            stop=stop,
            known=self._wishes.known,
        )
        self._restlessness: Restlessness | None = None
        self._aborted: tuple[str, ...] = ()
        self._stage = Stage.JOINING
        self._started = 0.0
        self._lag = Distribution()
        self._cpu = CpuMeter()
        self._steady_cpu: float | None = None
        self._in_window: float | None = None
        self._seconds: dict[Stage, float] = {}
        self._last_report = (0.0, 0, 0)
        self._interrupted = False
        self._unstopped = 0

    @property
    def joining(self) -> Joining:
        """How the joining went."""
        return self._joiner.joining

    async def run(self) -> RunResult:
        """Run it; see `run`."""
        started_at = time.time()
        self._started = time.monotonic()
        identities = Identities(0, 0)
        helpers = [
            asyncio.create_task(helper) for helper in (self._canary(), self._report(), self._joiner.keep_fresh())
        ]
        try:
            await self._join()
            if self.joining.joined and not self._stop.is_set():
                await self._load()
                await self._drain()
            self._interrupted = self._stop.is_set() and not self._aborted
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
                identities = await self._discard_identities()
        if not self.joining.joined and not self._interrupted:
            raise await self._nobody_joined()
        self._tell()
        course = Course(
            started_at=started_at,
            whole_s=time.monotonic() - self._started,
            seconds=self._seconds,
            cpu=self._steady_cpu if self._steady_cpu is not None else self._cpu.read(),
            lag_ms_p99=self._lag.percentiles().p99 or 0.0,
            in_window=self._in_window,
            interrupted=self._interrupted,
            aborted=self._aborted,
            reconnects=self._restlessness.reconnects if self._restlessness is not None else None,
            unstopped=self._unstopped,
            identities=identities,
            predicted=self._scenario.predicted_usage(self._target.rates.connects_per_s),
            metered=self._metered(),
            prices=self._prices,
        )
        result = summarise(self._swarm, self.joining, course)
        if self._wishes.recorder is not None:
            self._wishes.recorder.differences(result.differences)
        if not self._wishes.limits:
            return result
        return replace(result, thresholds=judge(self._wishes.limits, result.document()))

    async def _join(self) -> None:
        await self._joiner.join(range(self._scenario.clients))
        self._seconds[Stage.JOINING] = time.monotonic() - self._started

    async def _load(self) -> None:
        """Warm-up and steady window."""
        swarm = self._swarm
        schedule = self._schedule(swarm.joined_posters())
        gc.collect()
        gc.freeze()  # no pause of the collector for thousands of clients within the window
        start_ns = time.monotonic_ns() + round(_LEAD_S * 1e9)
        if self._wishes.recorder is not None:
            self._wishes.recorder.zero_us = start_ns // 1000
        swarm.start_posting(schedule, start_ns)
        start = start_ns / 1e9
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
        if self._wishes.replay is not None:
            members: list[list[int]] = [[] for _ in range(scenario.room_count)]
            for sender in senders:
                members[scenario.room_of[sender]].append(sender)
            return self._wishes.replay.schedule(members)
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

    def _make_restless(self, start: float) -> "asyncio.Task[None] | None":
        scenario = self._scenario
        if not scenario.churn_per_minute and not scenario.storm_share:
            return None
        clients = [client for client in range(scenario.clients) if self._swarm.present(client)]
        self._restlessness = Restlessness(self._swarm, scenario, clients)
        return asyncio.create_task(self._restlessness.run(start))

    async def _everybody_back(self) -> None:
        """Wait for those who are away, so that it is known how their return went."""
        if self._restlessness is None:
            return
        self._stage = Stage.DRAIN
        settled = asyncio.create_task(self._restlessness.settled())
        scenario = self._scenario
        end = time.monotonic() + max(scenario.drain_limit_s, scenario.storm_back_s, 3 * scenario.away_s)
        while not settled.done() and time.monotonic() < end and not self._stop.is_set():
            self._swarm.enter()
            await asyncio.sleep(_BEAT_S)
        settled.cancel()
        await asyncio.gather(settled, return_exceptions=True)

    async def _windows(self, start: float) -> None:
        scenario, swarm = self._scenario, self._swarm
        self._stage = Stage.WARM_UP
        await self._book_until(start + scenario.warm_up_s)
        self._seconds[Stage.WARM_UP] = max(0.0, time.monotonic() - start)
        self._stage = Stage.STEADY
        self._lag = Distribution()
        self._cpu.reset()
        begun = time.monotonic()
        end = start + scenario.load_s
        await self._book_until(end)
        self._seconds[Stage.STEADY] = time.monotonic() - begun
        self._steady_cpu = self._cpu.read()
        if not self._stop.is_set():
            self._in_window = self._share_delivered(round((end - 1) * 1e6))
        patience = time.monotonic() + scenario.drain_limit_s
        while swarm.posting() and time.monotonic() < patience and not self._stop.is_set():
            more = swarm.enter()  # what is late still leaves: its latency from due is what the run is about
            await asyncio.sleep(0 if more else _BEAT_S)
        await swarm.stop_posting()

    async def _book_until(self, end: float) -> None:
        """Keep the books until a monotonic time, or until the run is stopped."""
        tidied = time.monotonic()
        while (now := time.monotonic()) < end and not self._stop.is_set():
            more = self._swarm.enter()
            if now - tidied >= 1:
                tidied = now
                self._swarm.tidy(time.monotonic_ns())
            await asyncio.sleep(0 if more else min(_BEAT_S, end - now))

    def _share_delivered(self, due_before_us: int) -> float | None:
        self._enter_all()
        arrived = self._swarm.ledger.arrivals
        outstanding = self._swarm.ledger.outstanding(due_before_us=due_before_us)
        return arrived / (arrived + outstanding) if arrived + outstanding else None

    def _enter_all(self) -> None:
        while self._swarm.enter():
            pass

    async def _drain(self) -> None:
        """Wait for what is still under way: twice the largest latency seen, within bounds."""
        self._stage = Stage.DRAIN
        begun = time.monotonic()
        self._swarm.tidy(time.monotonic_ns())
        largest_s = max((d.max_us for d in self._swarm.statistics.distributions.values()), default=0) / 1e6
        end = begun + min(self._scenario.drain_limit_s, max(_LEAST_DRAIN_S, 2 * largest_s))
        while time.monotonic() < end:
            more = self._swarm.enter()
            if not more and not self._swarm.under_way():
                break
            await asyncio.sleep(0 if more else _BEAT_S)
        self._enter_all()
        self._swarm.close_books(time.monotonic_ns())
        self._seconds[Stage.DRAIN] = time.monotonic() - begun

    async def _canary(self) -> None:
        """Measure how late a small timer is."""
        while True:
            due = time.monotonic() + _CANARY_S
            await asyncio.sleep(_CANARY_S)
            self._lag.record(round((time.monotonic() - due) * 1e6))

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(_PROGRESS_S)
            self._tell()

    def _tell(self) -> None:
        swarm, joining = self._swarm, self.joining
        now = time.monotonic()
        then, posts, deliveries = self._last_report
        span = now - then if then else now - self._started
        self._last_report = (now, swarm.posts_sent, swarm.ledger.arrivals)
        p50, p99 = last_second(swarm.statistics)
        self._check_limits()
        self._events(
            Progress(
                stage=self._stage,
                elapsed_s=now - self._started,
                joined=joining.joined,
                join_failed=joining.failed,
                posts_sent=swarm.posts_sent,
                deliveries=swarm.ledger.arrivals,
                posts_per_s=(swarm.posts_sent - posts) / span,
                deliveries_per_s=(swarm.ledger.arrivals - deliveries) / span,
                p50_ms=p50,
                p99_ms=p99,
                lost=swarm.ledger.lost,
                errors=swarm.post_failures.total() + swarm.disconnects.total(),
                cost_usd=self._metered_cost(),
                cpu=self._cpu.read(),
                lag_ms_p99=self._lag.percentiles().p99 or 0.0,
            )
        )

    def _check_limits(self) -> None:
        """End the run when a threshold is beyond keeping, if that is wished."""
        if not self._wishes.abort or self._stage is not Stage.STEADY or self._stop.is_set():
            return
        broken = broken_meanwhile(self._wishes.limits, figures_so_far(self._swarm, self.joining, self._metered_cost()))
        if broken:
            self._aborted = tuple(limit.expression for limit in broken)
            self._stop.set()

    async def _discard_identities(self) -> Identities:
        made, reused = list(self.joining.identities), list(self.joining.reused)
        if self._wishes.keep is not None:
            self._wishes.keep([*reused, *made])
            return Identities(len(made), 0, reused=len(reused), kept=len(made) + len(reused))
        if self._discard is None or not made:
            return Identities(len(made), 0, reused=len(reused))
        try:
            return Identities(len(made), await self._discard(made), reused=len(reused))
        except ChatopsError as error:
            return Identities(len(made), 0, error.problem, reused=len(reused))

    async def _nobody_joined(self) -> ChatopsError:
        joining = self.joining
        if joining.first_error is not None:
            return joining.first_error
        if joining.last_credentials is not None:
            found = await explain_refusal(self._target.address, self._target.region, joining.last_credentials)
            if found is not None:
                return found
        cause = joining.failures.most_common(1)[0][0]
        return ConnectionFailedError(
            f"None of the {self._scenario.clients} clients could join ({cause})",
            "check the environment; for the local stack, `chatops local status`",
        )

    def _metered_cost(self) -> float:
        """What that costs so far, in dollars."""
        return self._metered().dollars(self._prices)

    def _metered(self) -> Usage:
        """What AWS meters for what has been counted so far."""
        swarm, scenario = self._swarm, self._scenario
        return usage(
            connects=swarm.connects,
            subscribes=swarm.subscribes,
            posts=swarm.posts_sent,
            deliveries=swarm.ledger.arrivals,
            steps=metered_steps(scenario.message_bytes, len(swarm.topics[0].encode())),
            receive_qos=scenario.receive_qos,
            minutes=swarm.connects * session_minutes(time.monotonic() - self._started),
        )
