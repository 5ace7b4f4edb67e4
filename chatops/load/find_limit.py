"""The largest load that a chat holds: doubling until something breaks, then halving the gap.

Each step is a whole run with its own verdict. The search ends early where a step would say nothing: when the
generator, and not the chat, was the bottleneck, or when a quota refuses the load before it starts.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

MOST_PROBES = 24
RESOLUTION = 0.1
"""The search ends when the largest load that held and the smallest that did not are this near, as a share."""


class Outcome(StrEnum):
    """What became of one step."""

    HELD = "held"
    BROKEN = "broken"
    REFUSED = "refused"
    NOT_VALID = "not valid"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Probe:
    """One step.

    Attributes:
        posts_per_s: of all guests together.
        words: why, in a line.
    """

    posts_per_s: float
    deliveries_per_s: float
    outcome: Outcome
    words: str = ""
    p99_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What the search found; `largest` is None when not even the first load held."""

    probes: tuple[Probe, ...]
    largest: Probe | None
    stopped_by: Outcome

    def document(self) -> dict[str, Any]:
        """The JSON document of `chatops loadtest --find-limit --json`."""
        return {
            "probes": [asdict(probe) for probe in self.probes],
            "largest": asdict(self.largest) if self.largest is not None else None,
            "stopped_by": self.stopped_by.value,
        }


def find_limit(probe: Callable[[float], Probe], start: float) -> Found:
    """Search from a load of `start` posts per second upwards.

    Args:
        probe: runs one load.
    """
    probes: list[Probe] = []
    held: Probe | None = None
    rate, broken, stopped_by = start, 0.0, Outcome.ENDED
    while len(probes) < MOST_PROBES:
        made = probe(rate)
        probes.append(made)
        if made.outcome is Outcome.ENDED:
            return Found(tuple(probes), held, Outcome.ENDED)
        if made.outcome is Outcome.HELD:
            held = made
        else:
            broken, stopped_by = rate, made.outcome
        if held is None or (broken and broken <= held.posts_per_s * (1 + RESOLUTION)):
            break
        rate = (held.posts_per_s + broken) / 2 if broken else 2 * held.posts_per_s
    return Found(tuple(probes), held, stopped_by)


def ended(probes: Sequence[Probe]) -> Found:
    """What a search found that was ended between two steps."""
    held = [probe for probe in probes if probe.outcome is Outcome.HELD]
    return Found(tuple(probes), held[-1] if held else None, Outcome.ENDED)
