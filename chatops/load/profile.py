"""How the rate of posts changes over a run: piecewise linear, as multiples of the scenario's rate.

Due times are made at an even rate in *effort*, the area under the profile, and mapped back to time. Poisson posts so
stay Poisson at the changing rate, and constant ones keep exact counts, whatever the shape.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate

MAX_PHASES = 1000
MAX_FACTOR = 10_000.0


class Shape(StrEnum):
    """Ready-made profiles."""

    CONSTANT = "constant"
    RAMP = "ramp"
    STEPS = "steps"
    SPIKE = "spike"


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of the load.

    Attributes:
        begin, end: the rate at its two ends, as multiples of the scenario's.
    """

    name: str
    seconds: float
    begin: float = 1.0
    end: float = 1.0

    @property
    def effort(self) -> float:
        """Seconds at the scenario's rate with as many posts."""
        return self.seconds * (self.begin + self.end) / 2


def shaped(shape: Shape, seconds: float, spike: float) -> tuple[Phase, ...]:
    """The phases of a ready-made profile over so many seconds; `spike` is how often the rate a spike is."""
    match shape:
        case Shape.CONSTANT:
            return (Phase("steady", seconds),)
        case Shape.RAMP:
            return (Phase("ramp", seconds, 0.0, 1.0),)
        case Shape.STEPS:
            return tuple(Phase(f"{step * 25} %", seconds / 4, step / 4, step / 4) for step in (1, 2, 3, 4))
        case Shape.SPIKE:
            return (
                Phase("before", seconds * 2 / 5),
                Phase("spike", seconds / 5, spike, spike),
                Phase("after", seconds * 2 / 5),
            )


class Profile:
    """Phases in a row."""

    def __init__(self, phases: Iterable[Phase]) -> None:
        self.phases = tuple(phases)
        self._starts = [0.0, *accumulate(phase.seconds for phase in self.phases)]
        self._efforts = [0.0, *accumulate(phase.effort for phase in self.phases)]

    @property
    def seconds(self) -> float:
        """How long all phases take."""
        return self._starts[-1]

    @property
    def effort(self) -> float:
        """Seconds at the scenario's rate with as many posts."""
        return self._efforts[-1]

    @property
    def peak(self) -> float:
        """The highest multiple."""
        return max((max(phase.begin, phase.end) for phase in self.phases), default=0.0)

    def time_of(self, effort: float) -> float:
        """When so much effort has been spent, in seconds from the beginning."""
        index = min(bisect_right(self._efforts, effort), len(self.phases)) - 1
        phase, left = self.phases[index], effort - self._efforts[index]
        slope = (phase.end - phase.begin) / phase.seconds if phase.seconds else 0.0
        # Solves begin * t + slope * t² / 2 = left, in the form that loses no digits when the slope is small.
        root = math.sqrt(max(0.0, phase.begin * phase.begin + 2 * slope * left))
        elapsed = 2 * left / (phase.begin + root) if phase.begin + root > 0 else 0.0
        return self._starts[index] + min(max(0.0, elapsed), phase.seconds)

    def warp(self, schedule: Iterable[tuple[float, int]]) -> Iterator[tuple[float, int]]:
        """Turn (effort, sender) into (seconds, sender)."""
        return ((self.time_of(effort), sender) for effort, sender in schedule)
