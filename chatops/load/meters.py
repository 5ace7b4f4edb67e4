"""What a run reads off itself while it goes on: CPU, the latest second, figures for thresholds."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from chatops.load.distribution import Distribution
from chatops.load.ledger import total
from chatops.load.statistics import HEADLINES, Metric, Statistics, Window
from chatops.load.totals import Totals


class CpuMeter:
    """CPU seconds of this process per second, all threads together."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self._cpu, self._wall = time.process_time(), time.monotonic()

    def read(self) -> float:
        """CPU seconds per second since `reset`."""
        span = time.monotonic() - self._wall
        return (time.process_time() - self._cpu) / span if span > 0 else 0.0


def last_second(statistics: Statistics) -> tuple[float | None, float | None]:
    """The p50 and p99 in milliseconds of the latest second that has deliveries."""
    for second in sorted(statistics.rows, reverse=True)[:5]:
        p50, p99 = (statistics.rows[second].percentile_us(percent) for percent in (50, 99))
        if p50 is not None and p99 is not None:
            return p50 / 1000, p99 / 1000
    return None, None


def figures_so_far(
    totals: Totals, asked: int, cost_usd: float, *, joined_in_s: float, across: bool = True
) -> Mapping[str, Any]:
    """What thresholds ask for, of the steady window up to now; the same keys as in a run's document."""
    counts = asdict(total(totals.tallies, Window.STEADY))
    latency = headlines(totals.statistics, Window.STEADY, across=across)
    return {
        "clients": {"asked": asked, "joined": totals.joining.joined, "failed": totals.joining.failed},
        "posts": counts,
        "deliveries": counts,
        "latency_ms": {
            "join": totals.joining.whole.percentiles().document(),
            **{name: found.percentiles().document() for name, found in latency.items()},
        },
        "failures": {"disconnect": dict(totals.disconnects)},
        "cost_usd": {"metered": cost_usd},
        "join": {"seconds": joined_in_s},
    }


def headlines(statistics: Statistics, window: Window, *, across: bool = True) -> Mapping[str, Distribution]:
    """The distributions that a run reports of a window, by name.

    Args:
        across: count deliveries from another machine in; their figures have two clocks in them.
    """
    found = {}
    parts = {Metric.DELIVERY: Metric.DELIVERY_ACROSS, Metric.DELIVERY_FROM_SEND: Metric.DELIVERY_FROM_SEND_ACROSS}
    for metric in HEADLINES:
        whole = statistics.distributions.get((window, metric), Distribution())
        other = statistics.distributions.get((window, parts[metric])) if across and metric in parts else None
        if other is not None:
            whole = whole.copy()
            whole.merge(other)
        found[metric.value] = whole
    return found
