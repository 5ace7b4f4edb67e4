"""When posts and connections are due: pure arithmetic on seeds, without a clock.

Due times are absolute offsets from the start of the load and follow from the seed and the client's number alone, so
that a run shared out over several processes posts exactly what one process would have posted. Nothing here waits, and
a late send never moves the ones after it: the load model is open.
"""

import heapq
import math
from collections.abc import Iterator, Sequence
from enum import StrEnum

_MASK = 0xFFFF_FFFF_FFFF_FFFF
_ROUNDING_S = 1e-9  # so that a post due at the very end does not slip in by a rounding error


class Arrivals(StrEnum):
    """How posts follow one another."""

    POISSON = "poisson"
    CONSTANT = "constant"


def uniform(seed: int, stream: int, index: int) -> float:
    """A reproducible number in (0, 1]: the `index`-th of a `stream` under a `seed`.

    It is splitmix64 over the three numbers, so that thousands of clients need no generator state of their own
    (`random.Random` takes 2.5 KB).
    """
    value = (seed * 0x9E3779B97F4A7C15 + stream * 0xBF58476D1CE4E5B9 + index * 0x94D049BB133111EB) & _MASK
    for _ in range(2):
        value = (value + 0x9E3779B97F4A7C15) & _MASK
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
        value ^= value >> 31
    return ((value >> 11) + 1) / (1 << 53)


def due_posts(
    senders: Sequence[int],
    *,
    rate: float,
    span_s: float,
    arrivals: Arrivals,
    seed: int,
    ranks: Sequence[int] | None = None,
    population: int | None = None,
) -> Iterator[tuple[float, int]]:
    """Yield (due time, sender) in order of due time, from 0 to below `span_s`.

    Args:
        senders: the clients that post, by number.
        rate: posts per second of each sender; 0 yields nothing.
        span_s: seconds.
        arrivals: independent Poisson processes, or a constant interval with the senders evenly staggered.
        seed: what the Poisson gaps follow from.
        ranks: each sender's place in the stagger, when `senders` are one process's share of `population`.
        population: how many senders there are in all; as many as given here when None.
    """
    if rate <= 0 or not senders or span_s <= 0:
        return
    interval = 1.0 / rate
    end = span_s - _ROUNDING_S
    whole = population or len(senders)
    heap: list[tuple[float, int, int]] = []
    for place, sender in enumerate(senders):
        if arrivals is Arrivals.POISSON:
            first = -math.log(uniform(seed, sender, 0)) * interval
        else:
            first = (ranks[place] if ranks else place) * interval / whole
        if first < end:
            heap.append((first, sender, 1))
    heapq.heapify(heap)
    starts = {sender: due for due, sender, _ in heap} if arrivals is Arrivals.CONSTANT else {}
    while heap:
        due, sender, index = heap[0]
        yield due, sender
        if arrivals is Arrivals.POISSON:
            following = due - math.log(uniform(seed, sender, index)) * interval
        else:
            following = starts[sender] + index * interval
        if following < end:
            heapq.heapreplace(heap, (following, sender, index + 1))
        else:
            heapq.heappop(heap)


class Slots:
    """Hands out absolute times at a steady rate: the `n`-th slot is at `start + n / rate`, never earlier than asked.

    Used for connects and Cognito calls. Unused slots are not saved up: after a pause the rate holds as before, so that
    a quota per second is never exceeded.

    Args:
        rate: slots a second; None gives every slot at once.
    """

    def __init__(self, rate: float | None) -> None:
        self._interval = 1.0 / rate if rate else 0.0
        self._next = -math.inf

    def take(self, now: float) -> float:
        """The time of the next slot, `now` or later, in the caller's clock."""
        at = max(now, self._next)
        self._next = at + self._interval
        return at
