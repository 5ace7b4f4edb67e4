"""What a load test found: one frozen value, and its JSON document.

The headline figures describe the steady window: posts due in it and their deliveries, whenever those came. `phases`
has the same for the warm-up, so that nothing is hidden by leaving it out of the headline.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from chatops.load.cluster_report import ClusterReport
from chatops.load.cost import Usage
from chatops.load.distribution import Distribution, Percentiles
from chatops.load.drift import Drift
from chatops.load.generator import Health, Verdict
from chatops.load.recording import Recorded
from chatops.load.restless import Reconnects
from chatops.load.scenario import Scenario
from chatops.load.tally import Difference, Tally
from chatops.load.thresholds import Threshold
from chatops.load.totals import Part

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Phase:
    """One part of the run. Percentiles are by metric; `ramp` and `drain` have none."""

    name: str
    seconds: float
    counts: Tally
    latency: Mapping[str, Percentiles] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RoomResult:
    """One room in the steady window."""

    topic: str
    people: int
    counts: Tally


@dataclass(frozen=True, slots=True)
class Second:
    """One second of the load, by when posts were due. Times are in milliseconds, of deliveries from due."""

    second: int
    due: int
    sent: int
    acknowledged: int
    failed: int
    deliveries: int
    p50: float | None
    p99: float | None
    max: float | None


@dataclass(frozen=True, slots=True)
class Identities:
    """The anonymous identities that the run made and reused, and what became of them.

    Attributes:
        kept: for a later command; `shared` for the other runs of this one, which deletes them at its end.
    """

    made: int
    discarded: int
    problem: str | None = None
    reused: int = 0
    kept: int = 0
    shared: int = 0


@dataclass(frozen=True, slots=True)
class RunResult:
    """All figures of one run.

    Attributes:
        run: the eight hexadecimal digits in its rooms and messages.
        started_at: seconds since the epoch.
        joined_in_s: from the start until the last client that joined had.
        join: percentiles of a whole join; `join_stages` of its parts.
        connect_parts: of the connects that were taken apart; `probes` says how many.
        counts: posts and deliveries of the steady window; `latency` likewise, by metric.
        failures: how often what failed, by kind (join, post, disconnect, resubscribe, refresh) and cause.
        aborted: the thresholds that ended the run early.
        reconnects: how those fared who left and came back, where the scenario has any.
        usage: what AWS meters, predicted and as counted.
        distributions: what `latency` and `join` were read from, by the same names.
        differences: deliveries that went wrong, one by one, as far as they were kept.
        unstopped: clients that did not confirm their disconnecting.
        drift: how the steady window's last quarter compares with its first, where it is long enough to say.
        processes: what each of the run's processes says of itself; `health` has the worst of it.
        recorded: the files of events.
        cluster: the machines of a run on a cluster.
    """

    scenario: Scenario
    run: str
    started_at: float
    seconds: float
    joined: int
    join_failed: int
    joined_in_s: float
    join: Percentiles
    join_stages: Mapping[str, Percentiles]
    connect_parts: Mapping[str, Percentiles]
    probes: int
    counts: Tally
    latency: Mapping[str, Percentiles]
    phases: tuple[Phase, ...]
    rooms: tuple[RoomResult, ...]
    timeline: tuple[Second, ...]
    failures: Mapping[str, Mapping[str, int]]
    cost_predicted: float
    cost_metered: float
    health: Health
    verdict: Verdict
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    identities: Identities
    interrupted: bool = False
    aborted: tuple[str, ...] = ()
    unstopped: int = 0
    reconnects: Reconnects | None = None
    thresholds: tuple[Threshold, ...] = ()
    differences: tuple[Difference, ...] = ()
    differences_omitted: int = 0
    usage: Mapping[str, Usage] = field(default_factory=dict)
    distributions: Mapping[str, Distribution] = field(default_factory=dict)
    drift: Drift | None = None
    processes: tuple[Part, ...] = ()
    recorded: tuple[Recorded, ...] = ()
    cluster: ClusterReport | None = None

    def document(self) -> dict[str, Any]:
        """The JSON document of `chatops loadtest --json`; milliseconds, dollars, counts."""
        latency = {"join": self.join, **self.latency}
        return {
            "schema": SCHEMA,
            "run": self.run,
            "started_at": self.started_at,
            "seconds": round(self.seconds, 3),
            "interrupted": self.interrupted,
            "aborted": list(self.aborted),
            "verdict": self.verdict.value,
            "reasons": list(self.reasons),
            "warnings": list(self.warnings),
            "clients": {"asked": self.scenario.clients, "joined": self.joined, "failed": self.join_failed},
            "join": {
                "seconds": round(self.joined_in_s, 3),
                "stages_ms": {stage: _rounded(found) for stage, found in self.join_stages.items()},
                "connect_parts_ms": {part: _rounded(found) for part, found in self.connect_parts.items()},
                "probes": self.probes,
            },
            "posts": _posts(self.counts),
            "deliveries": _deliveries(self.counts),
            "latency_ms": {name: _rounded(found) for name, found in latency.items()},
            "cost_usd": {"predicted": round(self.cost_predicted, 6), "metered": round(self.cost_metered, 6)},
            "usage": {name: asdict(found) for name, found in self.usage.items()},
            "generator": {
                "cpu": round(self.health.cpu, 3),
                "lag_ms_p99": self.health.lag_ms_p99,
                "slip_ms_p99": self.health.slip_ms_p99,
                "rss_mb": round(self.health.rss_mb, 1),
                "queue_max": self.health.queue_max,
                "processes": [
                    {
                        "cpu": round(part.cpu, 3),
                        "lag_ms_p99": part.lag_ms_p99,
                        "slip_ms_p99": part.slip_ms_p99,
                        "rss_mb": round(part.rss_mb, 1),
                        "queue_max": part.queue_max,
                    }
                    for part in self.processes
                ],
            },
            "thresholds": [asdict(threshold) for threshold in self.thresholds],
            "failures": {kind: dict(causes) for kind, causes in self.failures.items()},
            "phases": {
                phase.name: {
                    "seconds": round(phase.seconds, 3),
                    "posts": _posts(phase.counts),
                    "deliveries": _deliveries(phase.counts),
                    "latency_ms": {name: _rounded(found) for name, found in phase.latency.items()},
                }
                for phase in self.phases
            },
            "rooms": [{"room": room.topic, "people": room.people, **_deliveries(room.counts)} for room in self.rooms],
            "timeline": [asdict(second) for second in self.timeline],
            "identities": asdict(self.identities),
            "reconnects": self.reconnects.document() if self.reconnects is not None else None,
            "drift": self.drift.document() if self.drift is not None else None,
            "cluster": self.cluster.document() if self.cluster is not None else None,
            "differences": {"named": len(self.differences), "omitted": self.differences_omitted},
            "scenario": asdict(self.scenario),
        }


def _posts(counts: Tally) -> dict[str, int]:
    return {name: getattr(counts, name) for name in ("due", "sent", "acknowledged", "failed")}


def _deliveries(counts: Tally) -> dict[str, int]:
    figures = asdict(counts)
    for name in ("due", "sent", "acknowledged", "failed"):
        del figures[name]
    return figures


def _rounded(found: Percentiles) -> dict[str, float | None]:
    return {name: None if value is None else round(value, 3) for name, value in found.document().items()}
