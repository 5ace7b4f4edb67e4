"""Whether a long run gets worse: its steady window's last quarter beside its first. What a soak test is about."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chatops.load.statistics import Row

LEAST_S = 60.0
"""Shorter windows say nothing about drift."""

WORSE = 1.5
"""A percentile has drifted when the last quarter's is this many times the first's, and `WORSE_MS` more."""

WORSE_MS = 5.0
GROWN = 1.2
"""The generator's memory has grown when its peak is this many times that at the window's beginning."""


@dataclass(frozen=True, slots=True)
class Drift:
    """The first quarter and the last, each as a pair.

    Attributes:
        p50_ms, p99_ms: of deliveries from due, within 1.6 %; None where a quarter has no deliveries.
        rss_mb: the generator's largest memory, when the steady window began and at the end.
    """

    p50_ms: tuple[float, float] | None
    p99_ms: tuple[float, float] | None
    rss_mb: tuple[float, float] | None

    @property
    def drifted(self) -> tuple[str, ...]:
        """What got worse, in words."""
        found = [
            f"{name} of deliveries rose from {pair[0]:.1f} to {pair[1]:.1f} ms between the first and the last quarter"
            for name, pair in (("p50", self.p50_ms), ("p99", self.p99_ms))
            if pair is not None and pair[1] > pair[0] * WORSE and pair[1] > pair[0] + WORSE_MS
        ]
        if self.rss_mb is not None and self.rss_mb[1] > self.rss_mb[0] * GROWN:
            found.append(f"the generator's memory grew from {self.rss_mb[0]:.0f} to {self.rss_mb[1]:.0f} MB")
        return tuple(found)

    def document(self) -> dict[str, Any]:
        """The part `drift` of a run's document."""

        def pair(values: tuple[float, float] | None) -> dict[str, float] | None:
            return None if values is None else {"first": round(values[0], 3), "last": round(values[1], 3)}

        return {
            "p50_ms": pair(self.p50_ms),
            "p99_ms": pair(self.p99_ms),
            "rss_mb": pair(self.rss_mb),
            "drifted": list(self.drifted),
        }


def find_drift(
    rows: Mapping[int, Row], begin_s: float, seconds: float, rss_mb: tuple[float, float] | None
) -> Drift | None:
    """Compare the quarters of a window that begins at `begin_s`; None when it is shorter than `LEAST_S`."""
    if seconds < LEAST_S:
        return None
    first = _merged(rows, begin_s, begin_s + seconds / 4)
    last = _merged(rows, begin_s + seconds * 3 / 4, begin_s + seconds)
    return Drift(_pair(first, last, 50), _pair(first, last, 99), rss_mb)


def _merged(rows: Mapping[int, Row], begin: float, end: float) -> Row:
    whole = Row()
    for second, row in rows.items():
        if begin <= second < end:
            whole.merge(row.copy())  # reading unpacks a row that has been packed away; the copy goes again
    return whole


def _pair(first: Row, last: Row, percent: float) -> tuple[float, float] | None:
    found = first.percentile_us(percent), last.percentile_us(percent)
    return None if found[0] is None or found[1] is None else (found[0] / 1000, found[1] / 1000)
