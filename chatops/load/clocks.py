"""How far the clocks of several machines are apart, and whether deliveries between them can be timed.

Each machine asks one reference for its time, again and again, and takes the answer that came back soonest: the
reference was read somewhere within that round trip, so that its middle is wrong by half of it at most (Cristian,
"Probabilistic clock synchronization", 1989). Clocks drift: a second reading after the load shows how far.
"""

import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIMED_WITHIN = 0.1
"""Deliveries between machines are timed when the error of their clocks is under this part of the median."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How far a reference clock is ahead of one's own, and how wrong that can be at most. Nanoseconds."""

    ahead_ns: int
    bound_ns: int

    def again(self, later: "Reading") -> "Reading":
        """This reading, with an error that covers what a later one shows of the clock's drift."""
        drifted = abs(later.ahead_ns - self.ahead_ns) + later.bound_ns
        return Reading(self.ahead_ns, max(self.bound_ns, drifted))


SAME_CLOCK = Reading(0, 0)


def read(rounds: Iterable[tuple[int, int, int]]) -> Reading:
    """Compare two clocks.

    Args:
        rounds: for each question the own time before it, the reference's answer, the own time after it; nanoseconds.

    Raises:
        ValueError: there are none.
    """
    asked, answer, answered = min(rounds, key=lambda found: found[2] - found[0])
    return Reading(answer - (asked + answered) // 2, (answered - asked + 1) // 2)


def best(readings: Iterable[Reading]) -> Reading:
    """The one with the smallest error."""
    return min(readings, key=lambda reading: reading.bound_ns)


@dataclass(frozen=True, slots=True)
class Agreement:
    """What can be said of the deliveries between machines.

    Attributes:
        machines: how many clocks took part.
        bound_ms: how wrong a latency between two of them can be at most.
        deliveries: how many crossed in the steady window; they are counted in any case.
        median_ms: of those, as measured; the smaller one of from due and from sent.
    """

    machines: int
    bound_ms: float
    deliveries: int
    median_ms: float | None

    @property
    def timed(self) -> bool:
        """Whether their latencies are part of the figures."""
        return self.median_ms is None or self.bound_ms < TIMED_WITHIN * self.median_ms

    @property
    def reason(self) -> str | None:
        """Why they are not, for people."""
        if self.timed or self.median_ms is None:
            return None
        return (
            f"{self.deliveries:,} deliveries between machines are counted but not timed: the clocks agree within "
            f"{self.bound_ms:.3g} ms, which is more than a tenth of their median of {self.median_ms:.3g} ms"
        )

    def document(self) -> dict[str, Any]:
        """Its part of a run's JSON document."""
        return {
            "deliveries": self.deliveries,
            "timed": self.timed,
            "clock_error_ms": round(self.bound_ms, 4),
            "median_ms": None if self.median_ms is None else round(self.median_ms, 3),
            "reason": self.reason,
        }


def agree(readings: Sequence[Reading], deliveries: int, medians_ms: Iterable[float | None]) -> Agreement:
    """Judge the clocks of several machines.

    Args:
        readings: one of each machine; the error between two is at most the sum of theirs.
        deliveries: how many went from one machine to another.
        medians_ms: what was measured of them.
    """
    worst = sorted((reading.bound_ns for reading in readings), reverse=True)[:2]
    bound_ns = sum(worst) if len(readings) > 1 else 0
    found = [median for median in medians_ms if median is not None]
    return Agreement(len(readings), bound_ns / 1e6, deliveries, min(found, default=None))


BOOT_ID = "/proc/sys/kernel/random/boot_id"
TIME_NAMESPACE = "/proc/self/ns/time"


def clock_name(boot_id: str, time_namespace: str) -> str:
    """What tells one monotonic clock from another on Linux."""
    return f"{boot_id.strip()} {time_namespace}".strip()


def this_clock() -> str:
    """The monotonic clock of this process: two processes with the same one may compare their times as they are.

    On Linux a clock is that of a boot and a time namespace, so that containers of one host share it. Elsewhere the
    host's name has to do.
    """
    try:
        boot_id = Path(BOOT_ID).read_text(encoding="ascii")
    except OSError:
        return platform.node()
    try:
        namespace = str(Path(TIME_NAMESPACE).readlink())
    except OSError:  # a kernel before 5.6 has none
        namespace = ""
    return clock_name(boot_id, namespace)
