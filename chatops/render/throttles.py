"""What AWS throttled, beside what a run missed, for people; 80 columns are enough."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from chatops.load.throttling import Counterpart


def throttles_lines(since: datetime, until: datetime, found: Sequence[Counterpart]) -> Iterator[str]:
    """A line a kind, and what the figures cover."""
    yield f"{'':<16}{'throttled':>12}{'missed':>12}"
    for each in found:
        yield f"{each.name:<16}{each.throttled:>12,}{each.missed:>12,}   {each.words}"
    yield ""
    yield f"throttled    in the whole account and Region, {since:%H:%M} to {until:%H:%M} UTC (CloudWatch)"
    yield "missed       by this run"
