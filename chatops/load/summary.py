"""From what a run counted to its result."""

from dataclasses import dataclass

from chatops.load.cost import Prices, Usage
from chatops.load.drift import Drift, find_drift
from chatops.load.generator import Health, judge
from chatops.load.ledger import total
from chatops.load.meters import headlines
from chatops.load.progress import Stage
from chatops.load.result import Identities, Phase, RoomResult, RunResult, Second
from chatops.load.scenario import Scenario, room_topic
from chatops.load.statistics import Statistics, Window
from chatops.load.tally import Tally
from chatops.load.totals import Part, Totals

FIRST_MESSAGE = "first_message"
"""From when a guest could hear something (subscribed, and the load begun) until it did; no part of the join's time."""

_LEAST_JUDGED_S = 1.0  # CPU and lateness over less of the steady window say nothing about a run that was ended early
_TOLERATED_FAILURES = 0.01  # of the posts; more are worth a warning, since nobody is owed what was never acknowledged
_TOLERATED_DISCONNECTS = 0.01  # of the guests; a connection may break by itself now and then


@dataclass(frozen=True, slots=True)
class Course:
    """How the run went, beside what was counted.

    Attributes:
        parts: what each process says of itself.
        partial: why the run covers less than was asked for, beyond what its counts say.
        trust_across: deliveries between machines can be timed.
    """

    started_at: float
    whole_s: float
    parts: tuple[Part, ...]
    interrupted: bool
    aborted: tuple[str, ...]
    identities: Identities
    predicted: Usage
    metered: Usage
    prices: Prices
    partial: tuple[str, ...] = ()
    trust_across: bool = True

    def seconds(self, stage: Stage) -> float:
        """How long a stage took where it took longest."""
        return max((part.seconds.get(stage, 0.0) for part in self.parts), default=0.0)

    @property
    def health(self) -> Health:
        """The generator's figures: those of the process that fares worst, and the memory of all."""
        arrived = sum(part.arrived or 0 for part in self.parts)
        outstanding = sum(part.outstanding or 0 for part in self.parts)
        known = any(part.arrived is not None for part in self.parts)
        return Health(
            cpu=max((part.cpu for part in self.parts), default=0.0),
            lag_ms_p99=max((part.lag_ms_p99 for part in self.parts), default=0.0),
            slip_ms_p99=max((part.slip_ms_p99 for part in self.parts), default=0.0),
            rss_mb=sum(part.rss_mb for part in self.parts),
            in_window=arrived / (arrived + outstanding) if known and arrived + outstanding else None,
            queue_max=max((part.queue_max for part in self.parts), default=0),
        )


def _unplanned(scenario: Scenario, totals: Totals) -> list[str]:
    """Connections that were lost although the scenario did not want it: the load was not the one that was asked for."""
    lost, joined = totals.disconnects.total(), totals.joining.joined
    if scenario.restless or lost <= _TOLERATED_DISCONNECTS * joined:
        return []
    return [f"{lost:,} connections of {joined:,} guests were lost during the run"]


def _failing(totals: Totals, counts: Tally) -> list[str]:
    """Posts that failed are missing in the books of deliveries: nobody is owed them."""
    if counts.failed <= _TOLERATED_FAILURES * counts.due:
        return []
    cause, _ = max(totals.post_failures.items(), key=lambda item: item[1], default=("", 0))
    words = f"{counts.failed:,} of {counts.due:,} posts failed (mostly: {cause})"
    return [f"{words}; their deliveries are neither expected nor lost"]


def _nothing(scenario: Scenario, counts: Tally) -> str | None:
    """Why the steady window has nothing to show, although posts were wanted; None when it has."""
    if counts.expected or not scenario.offered_posts_per_s:
        return None
    if not counts.due:
        return "nothing was measured, since no post was due in the window: raise --rate or --duration"
    return f"nothing was measured, since none of {counts.due:,} posts was acknowledged"


def summarise(scenario: Scenario, run: str, totals: Totals, course: Course) -> RunResult:
    """Put the result of a finished run together."""
    joining = totals.joining
    counts = total(totals.tallies, Window.STEADY)
    health = course.health
    partial = []
    if course.interrupted or course.aborted:
        covered = course.seconds(Stage.STEADY)
        ended = f"ended by {' and '.join(course.aborted)}" if course.aborted else "interrupted"
        partial.append(f"the run was {ended} after {covered:.1f} s of the {scenario.duration_s:g} s to measure")
    partial += [*_unplanned(scenario, totals), *course.partial]
    nothing = None if partial else _nothing(scenario, counts)
    judged = None if partial and course.seconds(Stage.STEADY) < _LEAST_JUDGED_S else health
    judgement = judge(judged, lost=counts.lost, partial=tuple(partial), nothing=nothing)
    steady = headlines(totals.statistics, Window.STEADY, across=course.trust_across)
    return RunResult(
        scenario=scenario,
        run=run,
        started_at=course.started_at,
        seconds=course.whole_s,
        joined=joining.joined,
        join_failed=joining.failed,
        joined_in_s=course.seconds(Stage.JOINING),
        join=joining.whole.percentiles(),
        join_stages={
            **{stage: found.percentiles() for stage, found in joining.stages.items()},
            FIRST_MESSAGE: totals.first_message.percentiles(),
        },
        connect_parts={part: found.percentiles() for part, found in joining.connect_parts.items() if joining.probes},
        probes=joining.probes,
        counts=counts,
        latency={name: found.percentiles() for name, found in steady.items()},
        phases=_phases(totals, course),
        rooms=tuple(
            RoomResult(room_topic(scenario.prefix, run, room), scenario.room_sizes[room], tally)
            for (window, room), tally in sorted(totals.tallies.items())
            if window == Window.STEADY
        ),
        timeline=_timeline(totals.statistics, timed=course.trust_across),
        failures={
            "join": dict(joining.failures),
            "post": dict(totals.post_failures),
            "disconnect": dict(totals.disconnects),
            "resubscribe": dict(totals.resubscribe_failures),
            "refresh": dict(joining.refresh_failures),
        },
        cost_predicted=course.predicted.dollars(course.prices),
        cost_metered=course.metered.dollars(course.prices),
        usage={"predicted": course.predicted, "metered": course.metered},
        health=health,
        verdict=judgement.verdict,
        reasons=judgement.reasons,
        warnings=(*judgement.warnings, *_failing(totals, counts)),
        identities=course.identities,
        interrupted=course.interrupted,
        aborted=course.aborted,
        reconnects=totals.reconnects if any(part.restless for part in course.parts) else None,
        unstopped=sum(part.unstopped for part in course.parts),
        distributions={"join": joining.whole, **steady},
        differences=tuple(totals.differences),
        differences_omitted=totals.differences_omitted,
        drift=_drift(scenario, totals, course),
        processes=course.parts,
    )


def _drift(scenario: Scenario, totals: Totals, course: Course) -> Drift | None:
    if not course.trust_across:
        return None
    rss_mb = [(part.steady_rss_mb, part.rss_mb) for part in course.parts if part.steady_rss_mb is not None]
    memory = (sum(begin for begin, _ in rss_mb), sum(end for _, end in rss_mb)) if rss_mb else None
    return find_drift(totals.statistics.rows, scenario.warm_up_s, course.seconds(Stage.STEADY), memory)


def _phases(totals: Totals, course: Course) -> tuple[Phase, ...]:
    windows = ((Stage.WARM_UP, Window.WARM_UP), (Stage.STEADY, Window.STEADY))
    loads = tuple(
        Phase(
            window.name.lower(),
            course.seconds(stage),
            total(totals.tallies, window),
            {
                name: found.percentiles()
                for name, found in headlines(totals.statistics, window, across=course.trust_across).items()
            },
        )
        for stage, window in windows
    )
    ramp = Phase("ramp", course.seconds(Stage.JOINING), Tally())
    drain = Phase("drain", course.seconds(Stage.DRAIN), Tally())
    return (ramp, *loads, drain)


def _timeline(statistics: Statistics, *, timed: bool) -> tuple[Second, ...]:
    """The run second by second; without times where two clocks that do not agree are in them."""

    def milliseconds(value_us: int | None) -> float | None:
        return None if value_us is None or not timed else value_us / 1000

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
