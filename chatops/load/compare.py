"""Two runs, or two sets of repeats, side by side.

Each side is one run or several repeats of the same scenario. With repeats on both sides the difference of means gets
a 95 % confidence interval (Welch's t); one run says nothing about the spread between runs, and no interval is made up.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, variance
from typing import Any

from chatops.errors import UsageError
from chatops.load.generator import Verdict

FIGURE_PATHS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("p50", ("latency_ms", "delivery", "p50")),
    ("p90", ("latency_ms", "delivery", "p90")),
    ("p99", ("latency_ms", "delivery", "p99")),
    ("p999", ("latency_ms", "delivery", "p999")),
    ("p9999", ("latency_ms", "delivery", "p9999")),
    ("max", ("latency_ms", "delivery", "max")),
    ("ack.p99", ("latency_ms", "ack", "p99")),
    ("join.p99", ("latency_ms", "join", "p99")),
    ("joined", ("clients", "joined")),
    ("received", ("deliveries", "received")),
    ("lost", ("deliveries", "lost")),
    ("duplicate", ("deliveries", "duplicate")),
    ("reordered", ("deliveries", "reordered")),
    ("cost", ("cost_usd", "metered")),
)
FIGURES = tuple(name for name, _ in FIGURE_PATHS)
# Student's t, two-sided 95 %, by degrees of freedom; beyond 30 the normal distribution is near enough.
_T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
_T95_LATER = ((20, 2.086), (25, 2.060), (30, 2.042))
_T95_LIMIT = 1.960
_RULE = re.compile(r"\s*([a-z0-9.]+)\s*([+-])\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(%|ms|)\s*")


@dataclass(frozen=True, slots=True)
class Change:
    """One figure on both sides: means over the repeats, and the difference with its interval.

    Attributes:
        low, high: bounds of the difference at 95 % confidence; None without repeats.
    """

    figure: str
    before: float
    after: float
    low: float | None = None
    high: float | None = None

    @property
    def difference(self) -> float:
        """After less before."""
        return self.after - self.before

    @property
    def percent(self) -> float | None:
        """The difference in percent of before; None where that is nothing."""
        return 100 * self.difference / self.before if self.before else None

    @property
    def certain(self) -> bool | None:
        """Whether the interval leaves zero out; None when there is no interval."""
        return None if self.low is None or self.high is None else self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class Rule:
    """`p99+10%`: fails when a figure rises (`+`) or falls (`-`) by more than that."""

    expression: str
    figure: str
    falls: bool
    amount: float
    relative: bool

    def broken_by(self, change: Change) -> bool:
        """Whether a change fails; with an interval, only one that is certain does."""
        if change.certain is False:
            return False
        moved = -change.difference if self.falls else change.difference
        return moved > (abs(change.before) * self.amount / 100 if self.relative else self.amount)


@dataclass(frozen=True, slots=True)
class Comparison:
    """All figures, what differs between the scenarios, and which rules were broken."""

    changes: tuple[Change, ...]
    scenario_differs: tuple[str, ...]
    broken: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """The JSON document of `chatops report compare --json`."""
        return {
            "changes": [
                {
                    **asdict(change),
                    "difference": change.difference,
                    "percent": change.percent,
                    "certain": change.certain,
                }
                for change in self.changes
            ],
            "scenario_differs": list(self.scenario_differs),
            "broken": list(self.broken),
        }


def parse_rule(expression: str) -> Rule:
    """Read a rule.

    Raises:
        UsageError: it cannot be read, or names no figure.
    """
    match = _RULE.fullmatch(expression)
    if match is None or match[1] not in FIGURES:
        raise UsageError(
            f"The rule {expression!r} cannot be read", f"write p99+10% or received-1%; figures: {', '.join(FIGURES)}"
        )
    return Rule(expression, match[1], match[2] == "-", float(match[3]), match[4] == "%")


def compare(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]], rules: Sequence[Rule] = ()
) -> Comparison:
    """Compare repeats with repeats.

    Raises:
        UsageError: a run is not valid: it is no baseline, and nothing to compare with one.
    """
    for run in (*before, *after):
        if run.get("verdict") == Verdict.NOT_VALID.value:
            raise UsageError(
                f"The run {run.get('run')} is not valid: it measured its generator", "repeat it on a machine with room"
            )
    changes = []
    for figure, path in FIGURE_PATHS:
        one, two = (figure_values(side, path) for side in (before, after))
        if one and two:
            low, high = _interval(one, two)
            changes.append(Change(figure, fmean(one), fmean(two), low, high))
    by_name = {change.figure: change for change in changes}
    broken = [rule.expression for rule in rules if rule.figure not in by_name or rule.broken_by(by_name[rule.figure])]
    return Comparison(tuple(changes), _scenario_differences(before[0], after[0]), tuple(broken))


def figure_values(runs: Sequence[Mapping[str, Any]], path: tuple[str, ...]) -> list[float]:
    """The values of one figure in the documents of runs, of those that have it."""
    found = []
    for run in runs:
        value: Any = run
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            found.append(float(value))
    return found


def _interval(one: Sequence[float], two: Sequence[float]) -> tuple[float | None, float | None]:
    """Welch's interval for the difference of means."""
    if len(one) < 2 or len(two) < 2:
        return None, None
    parts = [variance(values) / len(values) for values in (one, two)]
    error = math.sqrt(sum(parts))
    difference = fmean(two) - fmean(one)
    if not error:
        return difference, difference
    weights = sum(part * part / (len(values) - 1) for part, values in zip(parts, (one, two), strict=True))
    half = t95(sum(parts) ** 2 / weights) * error
    return difference - half, difference + half


def t95(freedom: float) -> float:
    """The t of 95 % for degrees of freedom, those rounded down to the next in the table."""
    whole = max(1, int(freedom))
    if whole <= len(_T95):
        return _T95[whole - 1]
    if whole > _T95_LATER[-1][0]:
        return _T95_LIMIT if whole > 1000 else _T95_LATER[-1][1]
    return next((t for limit, t in reversed(_T95_LATER) if whole >= limit), _T95[-1])


def _scenario_differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    one, two = before.get("scenario", {}), after.get("scenario", {})
    names = sorted({*one, *two} - {"prefix"})
    return tuple(f"{name}: {one.get(name)} and {two.get(name)}" for name in names if one.get(name) != two.get(name))
