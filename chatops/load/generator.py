"""Is the generator itself the bottleneck? The rule that decides whether a measurement is valid.

Calibrated on runs against a broker that was not saturated: a generator short of CPU shows its own delays as the
service's. A *canary* is a small timer in the process that measures how late it is called.
"""

import resource
import sys
from dataclasses import dataclass
from enum import StrEnum

WARN_CPU = 0.60
INVALID_CPU = 0.85
WARN_LAG_MS = 5.0
INVALID_LAG_MS = 10.0
"""Our own limit beside the two that were calibrated; `docs/decisions/010` says why."""

INVALID_SLIP_MS = 20.0
LEAST_IN_WINDOW = 0.97


class Verdict(StrEnum):
    """What a measurement is worth."""

    VALID = "valid"
    PARTIAL = "partial"
    NOT_VALID = "not valid"


@dataclass(frozen=True, slots=True)
class Health:
    """The generator's own figures over the steady window.

    Attributes:
        cpu: of this process, 1.0 being one core.
        lag_ms_p99: how late the canary was.
        slip_ms_p99: how long after its due time a post left.
        rss_mb: the largest resident memory so far.
        queue_max: the most deliveries that waited for the books.
        in_window: the part of the deliveries that came before the window ended, 0 to 1; of posts due at least a
            second before that. None when there were none.
    """

    cpu: float
    lag_ms_p99: float
    slip_ms_p99: float
    rss_mb: float
    in_window: float | None = None
    queue_max: int = 0


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict, why (what makes it less than valid), and warnings that do not change it."""

    verdict: Verdict
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def judge(
    health: Health | None, *, lost: int = 0, partial: tuple[str, ...] = (), nothing: str | None = None
) -> Judgement:
    """Apply the rule.

    Args:
        health: the generator's figures; None when the window was too short to have any.
        lost: deliveries that never came: what was not caught up while draining is loss, not the generator's delay.
        partial: why the run covers less than was asked for.
        nothing: why there is nothing to report, when there is not.
    """
    reasons = [nothing] if nothing is not None else []
    warnings: list[str] = []
    if health is not None:
        _judge_generator(health, lost, reasons, warnings)
    if reasons:
        return Judgement(Verdict.NOT_VALID, (*reasons, *partial), tuple(warnings))
    if partial:
        return Judgement(Verdict.PARTIAL, partial, tuple(warnings))
    return Judgement(Verdict.VALID, (), tuple(warnings))


def _judge_generator(health: Health, lost: int, reasons: list[str], warnings: list[str]) -> None:
    if health.cpu > INVALID_CPU:
        reasons.append(
            f"the generator used {health.cpu:.0%} of a core (over {INVALID_CPU:.0%}): "
            "lower the load or use more processes"
        )
    elif health.cpu > WARN_CPU:
        warnings.append(f"the generator used {health.cpu:.0%} of a core (over {WARN_CPU:.0%})")
    if health.slip_ms_p99 > INVALID_SLIP_MS:
        reasons.append(
            f"posts left {health.slip_ms_p99:.1f} ms late at p99 (over {INVALID_SLIP_MS:.0f} ms): "
            "free the machine, lower the load or use more processes"
        )
    if health.lag_ms_p99 > INVALID_LAG_MS:
        reasons.append(
            f"timers were {health.lag_ms_p99:.1f} ms late at p99 (over {INVALID_LAG_MS:.0f} ms): other programs, or "
            "the load itself, kept the generator from running: free the machine, lower the load or use more processes"
        )
    elif health.lag_ms_p99 > WARN_LAG_MS:
        warnings.append(f"timers were {health.lag_ms_p99:.1f} ms late at p99 (over {WARN_LAG_MS:.0f} ms)")
    if health.in_window is not None and health.in_window < LEAST_IN_WINDOW and not lost:
        reasons.append(
            f"only {health.in_window:.0%} of the deliveries came within the window and the rest while draining: "
            "the load was not sustained"
        )


def peak_rss_mb() -> float:
    """The largest resident memory of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)
