"""A comparison of runs, for people; 80 columns are enough."""

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
    yield f"{'':<22}{'before':>12}{'after':>12}{'change':>10}   95 % interval"
    for change in found.changes:
        yield (
            f"{WORDS.get(change.figure, change.figure):<22}{change.before:>12,.4g}{change.after:>12,.4g}"
            f"{_percent(change):>10}   {_interval(change)}"
        )
    for difference in found.scenario_differs:
        yield f"the scenarios differ in {safe_text(difference)}"
    for rule in found.broken:
        yield f"{out.styled('NOT KEPT', '1;31')}: {safe_text(rule)}"


def _percent(change: Change) -> str:
    if not change.difference:
        return "same"
    return "new" if change.percent is None else f"{change.percent:+.1f} %"


def _interval(change: Change) -> str:
    if change.low is None or change.high is None:
        return "(no repeats)"
    return f"{change.low:+.4g} to {change.high:+.4g}{'' if change.certain else ' (may be chance)'}"
