"""What belongs to a run as a whole, however many processes work behind it: display, early end, leftovers, result."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chatops.errors import ChatopsError
from chatops.load.cluster_report import ClusterReport
from chatops.load.cost import Prices, Usage, metered_steps, session_minutes, usage
from chatops.load.meters import figures_so_far, last_second
from chatops.load.progress import Progress, Stage
from chatops.load.recording import Recorded
from chatops.load.replay import Replay
from chatops.load.result import Identities, RunResult
from chatops.load.scenario import Scenario, room_topic
from chatops.load.summary import Course, summarise
from chatops.load.target import Target
from chatops.load.thresholds import Limit, broken_meanwhile, judge
from chatops.load.totals import Part, Totals

Discard = Callable[[Sequence[str]], Awaitable[int]]
"""Deletes identities and returns how many; may raise ChatopsError."""

PROGRESS_S = 0.5


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a run may do beyond its scenario.

    Attributes:
        limits: what it has to keep; `abort` ends it as soon as it cannot any more.
        known: identities of an earlier run, taken before new ones are made.
        keep: gets all identities at the end, in place of their deletion.
        folder: where to write down what happens.
        replay: a recorded rhythm, posted in place of the scenario's rate.
    """

    limits: tuple[Limit, ...] = ()
    abort: bool = False
    known: tuple[str, ...] = ()
    keep: Callable[[Sequence[str]], None] | None = None
    folder: Path | None = None
    replay: Replay | None = None


class Front:
    """What belongs to a run as a whole.

    Args:
        run: the eight hexadecimal digits in its rooms and messages.
        events: told how the run stands, on the event loop's thread; it must return quickly.
        stop: set it to end the run early; it drains and still reports.
        discard: deletes the identities that the run made; they stay when it is None.
        prices: what AWS charges.

    Attributes:
        timed_across: tells whether deliveries between machines can be timed, as far as is known by then.
    """

    def __init__(
        self,
        scenario: Scenario,
        run: str,
        target: Target,
        *,
        events: Callable[[Progress], None],
        stop: asyncio.Event,
        discard: Discard | None,
        prices: Prices,
        wishes: Wishes,
    ) -> None:
        self.scenario = scenario
        self.run = run
        self.target = target
        self.stop = stop
        self.wishes = wishes
        self.timed_across: Callable[[Totals], bool] = lambda _: True
        self._events = events
        self._discard = discard
        self._prices = prices
        self._started_at = time.time()
        self._started = time.monotonic()
        self._last_report = (0.0, 0, 0)
        self._aborted: tuple[str, ...] = ()

    async def tell_regularly(self, look: Callable[[], tuple[Totals, Sequence[Part]]]) -> None:
        """Say how the run stands, twice a second, until cancelled."""
        while True:
            await asyncio.sleep(PROGRESS_S)
            self.tell(*look())

    def tell(self, totals: Totals, parts: Sequence[Part]) -> None:
        """Say how the run stands, and end it when a threshold is beyond keeping, if that is wished."""
        now = time.monotonic()
        then, posts, deliveries = self._last_report
        span = now - then if then else now - self._started
        self._last_report = (now, totals.posts_sent, totals.arrivals)
        across = self.timed_across(totals)
        p50, p99 = last_second(totals.statistics) if across else (None, None)
        cost = self._metered(totals).dollars(self._prices)
        stage = _slowest(parts)
        if self.wishes.abort and stage is Stage.STEADY:
            joined_in_s = max(part.seconds.get(Stage.JOINING, 0.0) for part in parts)
            asked = self.scenario.clients
            self._check_limits(figures_so_far(totals, asked, cost, joined_in_s=joined_in_s, across=across))
        self._events(
            Progress(
                stage=stage,
                elapsed_s=now - self._started,
                joined=totals.joining.joined,
                join_failed=totals.joining.failed,
                posts_sent=totals.posts_sent,
                deliveries=totals.arrivals,
                posts_per_s=(totals.posts_sent - posts) / span,
                deliveries_per_s=(totals.arrivals - deliveries) / span,
                p50_ms=p50,
                p99_ms=p99,
                lost=totals.lost,
                errors=totals.post_failures.total() + totals.disconnects.total(),
                cost_usd=cost,
                cpu=max((part.cpu for part in parts), default=0.0),
                lag_ms_p99=max((part.lag_ms_p99 for part in parts), default=0.0),
                queue_max=max((part.queue_max for part in parts), default=0),
            )
        )

    def _check_limits(self, figures: Mapping[str, Any]) -> None:
        broken = broken_meanwhile(self.wishes.limits, figures)
        if broken and not self.stop.is_set():
            self._aborted = tuple(limit.expression for limit in broken)
            self.stop.set()

    async def finish(
        self,
        totals: Totals,
        parts: Sequence[Part],
        *,
        partial: tuple[str, ...] = (),
        cluster: ClusterReport | None = None,
        recorded: tuple[Recorded, ...] = (),
    ) -> RunResult:
        """Delete or keep the identities, and put the result together.

        Args:
            partial: why the run covers less than was asked for, beyond what its counts say.
            cluster: the machines, where there are several or may be.
            recorded: the files of events.
        """
        identities = await self._leave_identities(totals)
        interrupted = self.stop.is_set() and not self._aborted
        self.tell(totals, parts)
        course = Course(
            started_at=self._started_at,
            whole_s=time.monotonic() - self._started,
            parts=tuple(parts),
            interrupted=interrupted,
            aborted=self._aborted,
            identities=identities,
            predicted=self.scenario.predicted_usage(self.target.rates),
            metered=self._metered(totals),
            prices=self._prices,
            partial=partial,
            trust_across=cluster is None or cluster.between.timed,
        )
        result = replace(summarise(self.scenario, self.run, totals, course), recorded=recorded, cluster=cluster)
        if cluster is not None:
            result = replace(result, warnings=(*result.warnings, *cluster.warnings))
        if not self.wishes.limits:
            return result
        return replace(result, thresholds=judge(self.wishes.limits, result.document()))

    async def _leave_identities(self, totals: Totals) -> Identities:
        made, reused = list(totals.joining.identities), list(totals.joining.reused)
        if self.wishes.keep is not None:
            self.wishes.keep([*reused, *made])
            return Identities(len(made), 0, reused=len(reused), kept=len(made) + len(reused))
        if self._discard is None or not made:
            return Identities(len(made), 0, reused=len(reused))
        try:
            return Identities(len(made), await self._discard(made), reused=len(reused))
        except ChatopsError as error:
            return Identities(len(made), 0, error.problem, reused=len(reused))

    async def discard_only(self, totals: Totals) -> None:
        """Delete or keep the identities of a run that has no result."""
        await self._leave_identities(totals)

    def _metered(self, totals: Totals) -> Usage:
        """What AWS meters for what has been counted so far."""
        scenario = self.scenario
        topic = room_topic(scenario.prefix, self.run, 0)
        return usage(
            connects=totals.connects,
            subscribes=totals.subscribes,
            posts=totals.posts_sent,
            deliveries=totals.arrivals,
            steps=metered_steps(scenario.message_bytes, len(topic.encode())),
            receive_qos=scenario.receive_qos,
            minutes=totals.connects * session_minutes(time.monotonic() - self._started),
        )


def _slowest(parts: Sequence[Part]) -> Stage:
    """The stage of a run is that of the process which is furthest behind."""
    order = list(Stage)
    return min((part.stage for part in parts), key=order.index, default=Stage.JOINING)
