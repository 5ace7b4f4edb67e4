"""From what a run counted to its result."""

from collections.abc import Mapping
from dataclasses import dataclass

from chatops.load.cost import Prices, Usage
from chatops.load.generator import Health, judge, peak_rss_mb
from chatops.load.joining import Joining
from chatops.load.progress import Stage
from chatops.load.restless import Reconnects
from chatops.load.result import Identities, Phase, RoomResult, RunResult, Second
from chatops.load.scenario import Scenario
from chatops.load.statistics import Distribution, Metric, Percentiles, Statistics, Window
from chatops.load.swarm import Swarm
from chatops.load.tally import Tally

FIRST_MESSAGE = "first_message"
"""From when a guest could hear something (subscribed, and the load begun) until it did; no part of the join's time."""

_TOLERATED_DISCONNECTS = 0.01  # of the guests; a connection may break by itself now and then


@dataclass(frozen=True, slots=True)
class Course:
    """How the run went, beside what swarm and joining counted.

    Attributes:
        seconds: how long each stage took.
        cpu: CPU seconds per second of the steady window.
        lag_ms_p99: of the canary in the steady window.
        in_window: see `Health`.
    """

    started_at: float
    whole_s: float
    seconds: Mapping[Stage, float]
    cpu: float
    lag_ms_p99: float
    in_window: float | None
    interrupted: bool
    aborted: tuple[str, ...]
    reconnects: Reconnects | None
    unstopped: int
    identities: Identities
    predicted: Usage
    metered: Usage
    prices: Prices


def _unplanned(swarm: Swarm, joining: Joining) -> list[str]:
    """Connections that were lost although the scenario did not want it: the load was not the one that was asked for."""
    lost = swarm.disconnects.total()
    restless = swarm.scenario.churn_per_minute > 0 or swarm.scenario.storm_share > 0
    if restless or lost <= _TOLERATED_DISCONNECTS * joining.joined:
        return []
    return [f"{lost:,} connections of {joining.joined:,} guests were lost during the run"]


def _nothing(scenario: Scenario, counts: Tally) -> str | None:
    """Why the steady window has nothing to show, although posts were wanted; None when it has."""
    if counts.expected or not scenario.offered_posts_per_s:
        return None
    if not counts.due:
        return "nothing was measured, since no post was due in the window: raise --rate or --duration"
    return f"nothing was measured, since none of {counts.due:,} posts was acknowledged"


def summarise(swarm: Swarm, joining: Joining, course: Course) -> RunResult:
    """Put the result of a finished run together."""
    scenario, ledger, statistics = swarm.scenario, swarm.ledger, swarm.statistics
    counts = ledger.total(Window.STEADY)
    health = Health(
        cpu=course.cpu,
        lag_ms_p99=course.lag_ms_p99,
        slip_ms_p99=swarm.slip.percentiles().p99 or 0.0,
        rss_mb=peak_rss_mb(),
        in_window=course.in_window,
    )
    partial = []
    if course.interrupted or course.aborted:
        covered = course.seconds.get(Stage.STEADY, 0.0)
        ended = f"ended by {' and '.join(course.aborted)}" if course.aborted else "interrupted"
        partial.append(f"the run was {ended} after {covered:.1f} s of the {scenario.duration_s:g} s to measure")
    partial += _unplanned(swarm, joining)
    nothing = None if partial else _nothing(scenario, counts)
    judgement = judge(health, lost=counts.lost, partial=tuple(partial), nothing=nothing)
    return RunResult(
        scenario=scenario,
        run=swarm.run,
        started_at=course.started_at,
        seconds=course.whole_s,
        joined=joining.joined,
        join_failed=joining.failed,
        joined_in_s=course.seconds.get(Stage.JOINING, 0.0),
        join=joining.whole.percentiles(),
        join_stages={
            **{stage: found.percentiles() for stage, found in joining.stages.items()},
            FIRST_MESSAGE: swarm.first_message.percentiles(),
        },
        counts=counts,
        latency=_latency(statistics, Window.STEADY),
        phases=_phases(swarm, course),
        rooms=tuple(RoomResult(*room) for room in ledger.by_room(Window.STEADY)),
        timeline=_timeline(statistics),
        failures={
            "join": dict(joining.failures),
            "post": dict(swarm.post_failures),
            "disconnect": dict(swarm.disconnects),
            "resubscribe": dict(swarm.resubscribe_failures),
            "refresh": dict(joining.refresh_failures),
        },
        cost_predicted=course.predicted.dollars(course.prices),
        cost_metered=course.metered.dollars(course.prices),
        usage={"predicted": course.predicted, "metered": course.metered},
        health=health,
        verdict=judgement.verdict,
        reasons=judgement.reasons,
        warnings=judgement.warnings,
        identities=course.identities,
        interrupted=course.interrupted,
        aborted=course.aborted,
        reconnects=course.reconnects,
        unstopped=course.unstopped,
        distributions={
            "join": joining.whole,
            **{m.value: d for m in Metric if (d := statistics.distributions.get((Window.STEADY, m))) is not None},
        },
        differences=tuple(ledger.differences),
        differences_omitted=ledger.differences_omitted,
    )


def _phases(swarm: Swarm, course: Course) -> tuple[Phase, ...]:
    windows = ((Stage.WARM_UP, Window.WARM_UP), (Stage.STEADY, Window.STEADY))
    loads = tuple(
        Phase(
            window.name.lower(),
            course.seconds.get(stage, 0.0),
            swarm.ledger.total(window),
            _latency(swarm.statistics, window),
        )
        for stage, window in windows
    )
    ramp = Phase("ramp", course.seconds.get(Stage.JOINING, 0.0), Tally())
    drain = Phase("drain", course.seconds.get(Stage.DRAIN, 0.0), Tally())
    return (ramp, *loads, drain)


def _latency(statistics: Statistics, window: Window) -> dict[str, Percentiles]:
    nothing = Distribution()
    return {metric.value: statistics.distributions.get((window, metric), nothing).percentiles() for metric in Metric}


def _timeline(statistics: Statistics) -> tuple[Second, ...]:
    def milliseconds(value_us: int | None) -> float | None:
        return None if value_us is None else value_us / 1000

    return tuple(
        Second(
            second,
            row.due,
            row.sent,
            row.acknowledged,
            row.failed,
            row.deliveries,
            milliseconds(row.percentile_us(50)),
            milliseconds(row.percentile_us(99)),
            milliseconds(row.max_us if row.deliveries else None),
        )
        for second, row in sorted(statistics.rows.items())
    )
