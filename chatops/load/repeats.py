"""Repeats of one scenario: how much each figure differs from run to run.

A run's figures are read from its own distributions. Over runs, medians and extremes are shown, and a 95 % confidence
interval for the mean (Student's t); percentiles of different runs are not mixed into one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean, median, stdev
from typing import Any

from chatops.load.compare import FIGURE_PATHS, figure_values, t95
from chatops.load.generator import Verdict

SCHEMA = 1
KIND = "chatops loadtest repeats"


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure over the repeats.

    Attributes:
        low, high: bounds of the mean at 95 % confidence; None with a single run.
    """

    figure: str
    runs: int
    median: float
    least: float
    most: float
    mean: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Repeats:
    """Repeats of a scenario, as documents of runs; the figures are those of the runs that are valid or partial."""

    asked: int
    runs: tuple[Mapping[str, Any], ...]

    @property
    def counted(self) -> tuple[Mapping[str, Any], ...]:
        """The runs that measured the chat, and not their generator."""
        return tuple(run for run in self.runs if run.get("verdict") != Verdict.NOT_VALID.value)

    @property
    def spreads(self) -> tuple[Spread, ...]:
        """Every figure that was measured."""
        found = ((figure, figure_values(self.counted, path)) for figure, path in FIGURE_PATHS)
        return tuple(_spread(figure, values) for figure, values in found if values)

    @property
    def broken(self) -> tuple[str, ...]:
        """The thresholds that a run did not keep."""
        return tuple(
            sorted({str(each["expression"]) for run in self.runs for each in run["thresholds"] if not each["held"]})
        )

    def document(self) -> dict[str, Any]:
        """The JSON document of `chatops loadtest --repeat --json`."""
        return {
            "schema": SCHEMA,
            "kind": KIND,
            "asked": self.asked,
            "runs": [
                {
                    "run": run.get("run"),
                    "seed": run.get("scenario", {}).get("seed"),
                    "verdict": run.get("verdict"),
                    "reasons": list(run.get("reasons", ())),
                    "thresholds": list(run.get("thresholds", ())),
                }
                for run in self.runs
            ],
            "counted": len(self.counted),
            "figures": {spread.figure: asdict(spread) for spread in self.spreads},
        }


def _spread(figure: str, values: Sequence[float]) -> Spread:
    count, mean = len(values), fmean(values)
    found = Spread(figure, count, median(values), min(values), max(values), mean)
    if count < 2:
        return found
    half = t95(count - 1) * stdev(values) / math.sqrt(count)
    return replace(found, low=mean - half, high=mean + half)
