"""Limits that a run must keep: `delivery.p99>250ms` fails the run when it comes true.

They are read before anything starts and judged on the run's JSON document, so that a recorded run can be judged anew.
A figure that was never measured does not keep a limit, and a run that is not valid keeps none.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from chatops.errors import UsageError
from chatops.load.generator import Verdict

_LATENCIES = ("join", "ack", "ack_from_send", "delivery", "delivery_from_send")
_PERCENTILES = ("p50", "p90", "p99", "p999", "p9999", "max")
_COUNTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "joined": (("clients", "joined"), ("clients", "asked")),
    "join.failed": (("clients", "failed"), ("clients", "asked")),
    "posts.sent": (("posts", "sent"), ("posts", "due")),
    "posts.acknowledged": (("posts", "acknowledged"), ("posts", "due")),
    "posts.failed": (("posts", "failed"), ("posts", "due")),
    "received": (("deliveries", "received"), ("deliveries", "expected")),
    "lost": (("deliveries", "lost"), ("deliveries", "expected")),
    "late": (("deliveries", "late"), ("deliveries", "expected")),
    "duplicate": (("deliveries", "duplicate"), ("deliveries", "expected")),
    "reordered": (("deliveries", "reordered"), ("deliveries", "expected")),
    "unexpected": (("deliveries", "unexpected"), ("deliveries", "expected")),
    "disconnects": (("failures", "disconnect"), ("clients", "joined")),
}
_PLAIN = {"cost": ("cost_usd", "metered"), "join.seconds": ("join", "seconds")}
_MILLISECONDS = {"us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1000.0}
_FORM = re.compile(r"\s*([a-z][a-z0-9_.]*)\s*(>=|<=|>|<)\s*\$?([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([a-zµ%]*)\s*")
_EXAMPLES = "write it like 'delivery.p99>250ms', 'lost>0' or 'join.failed>1%'"
LEAST_SAMPLES = 100
"""Before so many deliveries a percentage or percentile is no reason to end a run early."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A condition that fails a run when it holds.

    Attributes:
        expression: as it was written.
        value: milliseconds for latencies, percent when `share`, else the plain number.
        share: the figure is compared as a percentage of what it is a part of.
    """

    expression: str
    metric: str
    operator: str
    value: float
    share: bool = False

    @property
    def lasting(self) -> bool:
        """Whether it stays broken once it is: counts and costs never fall, and joining is over when the load begins."""
        counts = self.metric in _COUNTS and not self.share
        return counts or self.metric in _PLAIN or self.metric.startswith("join.")

    def measured(self, document: Mapping[str, Any]) -> float | None:
        """The figure in a run's document, in the unit of `value`; None when it was not measured."""
        name, _, figure = self.metric.rpartition(".")
        if name in _LATENCIES and figure in _PERCENTILES:
            return _number(document, ("latency_ms", name, figure))
        if self.metric in _PLAIN:
            return _number(document, _PLAIN[self.metric])
        part, whole = (_number(document, path) for path in _COUNTS[self.metric])
        if not self.share:
            return part
        return 100 * part / whole if part is not None and whole else None

    def broken_by(self, measured: float | None) -> bool:
        """Whether a figure fails the run; one that was not measured does."""
        if measured is None:
            return True
        match self.operator:
            case ">":
                return measured > self.value
            case ">=":
                return measured >= self.value
            case "<":
                return measured < self.value
            case _:
                return measured <= self.value


@dataclass(frozen=True, slots=True)
class Threshold:
    """A limit that was set, what was measured (`Limit.value`'s unit), and whether it held."""

    expression: str
    measured: float | None
    held: bool


def parse(expression: str) -> Limit:
    """Read one limit.

    Raises:
        UsageError: it cannot be read, or names a figure or unit that does not exist; the error says which.
    """
    match = _FORM.fullmatch(expression)
    if match is None:
        raise UsageError(f"The threshold {expression!r} cannot be read", _EXAMPLES)
    metric, operator, digits, unit = match.groups()
    value = float(digits)
    name, _, figure = metric.rpartition(".")
    if name in _LATENCIES and figure in _PERCENTILES:
        if unit not in {*_MILLISECONDS, ""}:
            raise UsageError(f"The threshold {expression!r} measures a time in {unit!r}", "write us, ms or s")
        return Limit(expression, metric, operator, value * _MILLISECONDS[unit or "ms"])
    if metric in _PLAIN:
        if unit not in {"", "s" if metric == "join.seconds" else "usd"}:
            raise UsageError(f"The threshold {expression!r} has no use for the unit {unit!r}", "leave the unit out")
        return Limit(expression, metric, operator, value)
    if metric in _COUNTS:
        if unit not in {"", "%"}:
            raise UsageError(f"The threshold {expression!r} counts in {unit!r}", "write a number, or a percentage")
        return Limit(expression, metric, operator, value, share=unit == "%")
    known = metrics()
    near = difflib.get_close_matches(metric, known, 1, 0.5)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known[:6])} and more (see the help)"
    raise UsageError(f"The threshold {expression!r} names no figure that is measured: {metric}", hint)


def metrics() -> list[str]:
    """Every figure that a limit can name."""
    latencies = [f"{name}.{figure}" for name in _LATENCIES for figure in _PERCENTILES]
    return sorted([*latencies, *_COUNTS, *_PLAIN])


def judge(limits: Iterable[Limit], document: Mapping[str, Any]) -> tuple[Threshold, ...]:
    """Judge a run's document; one that is not valid keeps no limit."""
    valid = document.get("verdict") != Verdict.NOT_VALID.value
    found = []
    for limit in limits:
        measured = limit.measured(document)
        found.append(Threshold(limit.expression, measured, valid and not limit.broken_by(measured)))
    return tuple(found)


def broken_meanwhile(limits: Iterable[Limit], document: Mapping[str, Any]) -> tuple[Limit, ...]:
    """The limits that a run has broken already, on a document of what there is so far.

    Only what says something before the end counts: what lasts, such as counts, and percentages and percentiles over
    their limit once there are `LEAST_SAMPLES` deliveries.
    """
    received = _number(document, ("deliveries", "received")) or 0
    found = []
    for limit in limits:
        measured = limit.measured(document)
        if measured is None or limit.operator not in {">", ">="}:
            continue
        if (limit.lasting or received >= LEAST_SAMPLES) and limit.broken_by(measured):
            found.append(limit)
    return tuple(found)


def _number(document: Mapping[str, Any], path: tuple[str, ...]) -> float | None:
    found: Any = document
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    if isinstance(found, Mapping):  # causes and how often each
        return float(sum(value for value in found.values() if isinstance(value, (int, float))))
    return float(found) if isinstance(found, (int, float)) and not isinstance(found, bool) else None
