"""Repeats of a load test, for people; 80 columns are enough."""

from collections.abc import Iterator, Mapping
from typing import Any

from chatops.chat.text import safe_text
from chatops.load.repeats import Repeats, Spread
from chatops.render.loadtest import duration, wrapped
from chatops.render.output import Output
from chatops.render.report import WORDS, number


def repeat_line(number: int, asked: int, run: Mapping[str, Any]) -> str:
    """How one repeat went, in a line."""
    latency, deliveries = run["latency_ms"]["delivery"], run["deliveries"]
    return (
        f"repeat {number} of {asked}: {safe_text(str(run['verdict']))}, p50 {duration(latency['p50'])}, "
        f"p99 {duration(latency['p99'])}, {deliveries['lost']:,} lost"
    )


def repeats_lines(out: Output, found: Repeats) -> Iterator[str]:
    """A line a figure: median, extremes, and the interval of the mean."""
    counted = len(found.counted)
    yield f"{'':<22}{'median':>10}{'least':>10}{'most':>10}  95 % interval of the mean"
    for spread in found.spreads:
        figures = "".join(f"{number(value):>10}" for value in (spread.median, spread.least, spread.most))
        yield f"{WORDS.get(spread.figure, spread.figure):<22}{figures}  {_interval(spread)}"
    yield ""
    words = f"{counted} of {found.asked}"
    yield f"counted      {words if counted == found.asked else out.styled(words, '1;33')} runs"
    for run in found.runs:
        if run not in found.counted:
            yield from wrapped("not valid", run.get("reasons", ())[:1])
    yield from wrapped("not kept", found.broken)


def _interval(spread: Spread) -> str:
    if spread.low is None or spread.high is None:
        return "(one run)"
    if spread.low == spread.high:
        return "always the same"
    return f"{number(spread.low)} to {number(spread.high)}"
