"""What a run reads off itself while it goes on: CPU, the latest second, figures for thresholds."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from chatops.load.joining import Joining
from chatops.load.statistics import Distribution, Metric, Statistics, Window
from chatops.load.swarm import Swarm


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


def figures_so_far(swarm: Swarm, joining: Joining, cost_usd: float) -> Mapping[str, Any]:
    """What thresholds ask for, of the steady window up to now; the same keys as in a run's document."""
    counts = asdict(swarm.ledger.total(Window.STEADY))
    nothing = Distribution()
    found = {
        metric.value: swarm.statistics.distributions.get((Window.STEADY, metric), nothing).percentiles().document()
        for metric in Metric
    }
    return {
        "clients": {"asked": swarm.scenario.clients, "joined": joining.joined, "failed": joining.failed},
        "posts": counts,
        "deliveries": counts,
        "latency_ms": {"join": joining.whole.percentiles().document(), **found},
        "failures": {"disconnect": dict(swarm.disconnects)},
        "cost_usd": {"metered": cost_usd},
    }
