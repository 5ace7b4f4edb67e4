"""A search for the largest load, for people."""

import textwrap
from collections.abc import Iterator

from chatops.chat.text import safe_text
from chatops.load.find_limit import Found, Outcome
from chatops.render.loadtest import duration
from chatops.render.output import Output

_STYLES = {Outcome.HELD: "32", Outcome.BROKEN: "31"}
_STOPPED = {
    Outcome.BROKEN: "more breaks a threshold",
    Outcome.REFUSED: "a quota refuses more",
    Outcome.NOT_VALID: "more saturates the generator: the chat may hold more than this",
    Outcome.ENDED: "the search ended here",
    Outcome.HELD: "the search ended here",
}

_LONGEST = 60


def limit_lines(out: Output, found: Found) -> Iterator[str]:
    """A line a step, and the answer."""
    yield f"{'posts/s':>10}{'deliveries/s':>14}{'p99':>10}   outcome"
    for probe in found.probes:
        words = f": {textwrap.shorten(safe_text(probe.words), _LONGEST, placeholder=' …')}" if probe.words else ""
        yield (
            f"{probe.posts_per_s:>10,.4g}{probe.deliveries_per_s:>14,.4g}{duration(probe.p99_ms):>10}   "
            f"{out.styled(probe.outcome.value, _STYLES.get(probe.outcome, '33'))}{words}"
        )
    if found.largest is None:
        early = found.stopped_by is Outcome.ENDED
        yield f"limit        {'not known: the search ended early' if early else 'below the first load'}"
        return
    most = found.largest
    yield f"limit        {most.posts_per_s:,.4g} posts/s, {most.deliveries_per_s:,.4g} deliveries/s held;"
    yield f"             {_STOPPED[found.stopped_by]}"
