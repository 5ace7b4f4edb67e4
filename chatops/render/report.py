"""A comparison of runs, for people; 80 columns are enough."""

import textwrap
from collections.abc import Iterator

from chatops.chat.text import safe_text
from chatops.load.compare import Change, Comparison
from chatops.render.output import Output

WORDS = {
    "p50": "delivery p50, ms",
    "p90": "delivery p90, ms",
    "p99": "delivery p99, ms",
    "p999": "delivery p99.9, ms",
    "p9999": "delivery p99.99, ms",
    "max": "delivery max, ms",
    "ack.p99": "acknowledged p99, ms",
    "join.p99": "join p99, ms",
    "cost": "cost, $",
}


def comparison_lines(out: Output, found: Comparison) -> Iterator[str]:
    """A line a figure: before, after, the difference and its interval."""
    yield f"{'':<20}{'before':>10}{'after':>10}{'change':>10}   95 % interval"
    for change in found.changes:
        yield (
            f"{WORDS.get(change.figure, change.figure):<20}{number(change.before):>10}{number(change.after):>10}"
            f"{_percent(change):>10}   {_interval(change)}"
        ).rstrip()
    if any(_by_chance(change) for change in found.changes):
        yield "? may be chance: the interval holds 0"
    for difference in found.scenario_differs:
        yield from textwrap.wrap(f"the scenarios differ in {safe_text(difference)}", 79, subsequent_indent="  ")
    for rule in found.broken:
        yield f"{out.styled('NOT KEPT', '1;31')}: {safe_text(rule)}"


def number(value: float, sign: str = "") -> str:
    """A figure in at most nine columns: counts whole, everything else with four digits.

    Args:
        sign: "+" to write that of a difference.
    """
    size = abs(value)
    if size >= 1_000_000:
        return f"{value / 1e6:{sign},.4g}M" if size < 1e10 else f"{value:{sign}.2g}"
    if size >= 1000:
        return f"{value:{sign},.0f}"
    if size >= 0.1 or not size:
        return f"{value:{sign}.4g}"
    return (
        f"{value:{sign}.2g}" if size >= 1e-4 or size < 1e-6 else f"{value:{sign}.6f}".rstrip("0")
    )  # 0.00004, not 4e-05


def _percent(change: Change) -> str:
    percent = change.percent
    if not change.difference:
        return "same"
    if percent is None:
        return "new"
    return f"{percent:+.1f} %" if abs(percent) < 1000 else f"{number(percent, '+')} %"


def _interval(change: Change) -> str:
    if change.low is None or change.high is None:
        return "(no repeats)"
    if not change.low and not change.high:
        return ""
    return f"{number(change.low, '+')} to {number(change.high, '+')}{' ?' if _by_chance(change) else ''}"


def _by_chance(change: Change) -> bool:
    """Whether there is a difference that an interval does not tell from none."""
    return change.certain is False and bool(change.low or change.high)
