"""Mergeable accumulators: windows, per-second rows, and the distributions of each latency.

Merging is associative and commutative, so that processes can be merged in any order, and percentiles are read from
merged distributions, never averaged.
"""

import zlib
from array import array
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from itertools import accumulate
from typing import Self

from chatops.load.distribution import BUCKETS, Distribution, lanewise, rank_of, upper_end

_UNPACKED_S = 30  # seconds that are still merged into time and again
_COARSE = 4  # a row's buckets are sixteen of a distribution's each, within 1.6 %
_ROW_BUCKETS = (BUCKETS >> _COARSE) + 1


class Window(IntEnum):
    """The parts of a run. A sample belongs to the window in which its post was due."""

    RAMP = 0
    WARM_UP = 1
    STEADY = 2
    DRAIN = 3


class Metric(StrEnum):
    """What is timed for a post: from when it was due, and from when it left.

    Deliveries from another machine are kept apart, since two clocks are in their figures.
    """

    ACK = "ack"
    ACK_FROM_SEND = "ack_from_send"
    DELIVERY = "delivery"
    DELIVERY_FROM_SEND = "delivery_from_send"
    DELIVERY_ACROSS = "delivery_across"
    DELIVERY_FROM_SEND_ACROSS = "delivery_from_send_across"


HEADLINES = (Metric.ACK, Metric.ACK_FROM_SEND, Metric.DELIVERY, Metric.DELIVERY_FROM_SEND)
"""What a run reports; the others are parts of these."""


@dataclass(slots=True)
class Row:
    """One second of the run, by when posts were due, with the delivery times from due in coarse buckets."""

    due: int = 0
    sent: int = 0
    acknowledged: int = 0
    failed: int = 0
    deliveries: int = 0
    max_us: int = 0
    latencies: "array[int] | bytes" = field(default_factory=lambda: array("Q", bytes(8 * _ROW_BUCKETS)))

    def seal(self) -> None:
        """Pack the buckets: the second is long past, though a merge may still come."""
        if not isinstance(self.latencies, bytes):
            self.latencies = zlib.compress(self.latencies.tobytes(), 1)

    def buckets(self) -> "array[int]":
        """The coarse buckets, unpacked."""
        if isinstance(self.latencies, bytes):
            unpacked = array("Q")
            unpacked.frombytes(zlib.decompress(self.latencies))
            self.latencies = unpacked
        return self.latencies

    def merge(self, other: "Row") -> None:
        """Add another process's same second."""
        self.due += other.due
        self.sent += other.sent
        self.acknowledged += other.acknowledged
        self.failed += other.failed
        self.deliveries += other.deliveries
        self.max_us = max(self.max_us, other.max_us)
        mine = self.buckets()
        mine[:] = lanewise(int.__add__, mine, other.buckets())

    def copy(self) -> "Row":
        """The same second, recorded into apart."""
        packed = self.latencies if isinstance(self.latencies, bytes) else self.latencies[:]
        return Row(self.due, self.sent, self.acknowledged, self.failed, self.deliveries, self.max_us, packed)

    def since(self, earlier: "Row") -> "Row":
        """What came after `earlier`, an older copy of this; the maximum is that of all."""
        return Row(
            self.due - earlier.due,
            self.sent - earlier.sent,
            self.acknowledged - earlier.acknowledged,
            self.failed - earlier.failed,
            self.deliveries - earlier.deliveries,
            self.max_us,
            lanewise(int.__sub__, _buckets_of(self), _buckets_of(earlier)),
        )

    def same_as(self, other: "Row") -> bool:
        """Tell whether nothing has been recorded since `other` was copied."""
        return (self.due, self.sent, self.acknowledged, self.failed, self.deliveries) == (
            other.due,
            other.sent,
            other.acknowledged,
            other.failed,
            other.deliveries,
        )

    def __reduce__(self) -> tuple[Callable[..., "Row"], tuple[object, ...]]:
        """Pickle with the buckets packed."""
        packed = self.latencies if isinstance(self.latencies, bytes) else zlib.compress(self.latencies.tobytes(), 1)
        return Row, (self.due, self.sent, self.acknowledged, self.failed, self.deliveries, self.max_us, packed)

    def percentile_us(self, percent: float) -> int | None:
        """A percentile of the second's delivery times, None without deliveries."""
        reached = list(accumulate(_buckets_of(self)))
        if not reached[-1]:
            return None
        coarse = bisect_left(reached, rank_of(reached[-1], percent))
        return min(upper_end(((coarse + 1) << _COARSE) - 1), self.max_us)


class Bin:
    """Where the samples of posts due in one second of one window go."""

    __slots__ = ("_ack", "_ack_from_send", "_delivery", "_delivery_from_send", "_latencies", "row")

    def __init__(self, statistics: "Statistics", window: Window, row: Row, *, across: bool) -> None:
        self.row = row
        self._latencies = row.buckets()
        self._ack = statistics.distribution(window, Metric.ACK)
        self._ack_from_send = statistics.distribution(window, Metric.ACK_FROM_SEND)
        delivery = (Metric.DELIVERY_ACROSS, Metric.DELIVERY_FROM_SEND_ACROSS) if across else HEADLINES[2:]
        self._delivery = statistics.distribution(window, delivery[0])
        self._delivery_from_send = statistics.distribution(window, delivery[1])

    def acknowledged(self, from_due_us: int, from_send_us: int) -> None:
        """Enter an acknowledgement."""
        self.row.acknowledged += 1
        self._ack.record(from_due_us)
        self._ack_from_send.record(from_send_us)

    def delivered(self, from_due_us: int, from_send_us: int) -> None:
        """Enter a delivery."""
        row = self.row
        row.deliveries += 1
        row.max_us = max(row.max_us, from_due_us)
        self._latencies[self._delivery.record(from_due_us) >> _COARSE] += 1
        self._delivery_from_send.record(from_send_us)


class Statistics:
    """All latencies of one process, or of several merged."""

    def __init__(self) -> None:
        self.distributions: dict[tuple[Window, Metric], Distribution] = {}
        self.rows: dict[int, Row] = {}
        self._bins: dict[tuple[Window, int, bool], Bin] = {}
        self._unpacked: set[int] = set()  # of the seconds that were merged

    def bin(self, window: Window, second: int, *, across: bool = False) -> Bin:
        """Where the samples of posts due in this window and second of the run go.

        Args:
            across: the posts come from another machine.
        """
        key = (window, second, across)
        found = self._bins.get(key)
        if found is None:
            row = self.rows.setdefault(second, Row())
            found = self._bins[key] = Bin(self, window, row, across=across)
        return found

    def seal(self, before_second: int) -> None:
        """Pack away seconds so old that no post under way refers to them any more."""
        for key in [key for key in self._bins if key[1] < before_second]:
            del self._bins[key]
            self.rows[key[1]].seal()

    def distribution(self, window: Window, metric: Metric) -> Distribution:
        """The distribution of a metric in a window, made when first asked for."""
        key = (window, metric)
        found = self.distributions.get(key)
        if found is None:
            found = self.distributions[key] = Distribution()
        return found

    def merge(self, other: Self) -> None:
        """Add another process's statistics, when neither is being recorded into.

        Seconds long past are packed away: a day has 86,400 of them, of 10 KB each.
        """
        for (window, metric), distribution in other.distributions.items():
            self.distribution(window, metric).merge(distribution)
        for second, row in other.rows.items():
            self.rows.setdefault(second, Row()).merge(row)
        self._unpacked.update(other.rows)
        if len(self._unpacked) > _UNPACKED_S:
            newest = max(self._unpacked)
            for second in [second for second in self._unpacked if second <= newest - _UNPACKED_S]:
                self.rows[second].seal()
                self._unpacked.discard(second)

    def copy(self) -> "Statistics":
        """The same samples, recorded into apart."""
        same = Statistics()
        same.distributions = {key: found.copy() for key, found in self.distributions.items()}
        same.rows = {second: row.copy() for second, row in self.rows.items()}
        return same

    def since(self, earlier: "Statistics") -> "Statistics":
        """What came after `earlier`, an older copy of this: merging it into the copy makes them equal."""
        later = Statistics()
        nothing = Distribution()
        later.distributions = {
            key: found.since(earlier.distributions.get(key, nothing)) for key, found in self.distributions.items()
        }
        for second, row in self.rows.items():
            known = earlier.rows.get(second)
            if known is None:
                later.rows[second] = row.copy()
            elif not row.same_as(known):
                later.rows[second] = row.since(known)
        return later

    def __reduce__(self) -> tuple[Callable[..., "Statistics"], tuple[object, ...]]:
        """Pickle without the bins, which are only where to record."""
        return _gathered, (self.distributions, self.rows)


def _gathered(distributions: dict[tuple[Window, Metric], Distribution], rows: dict[int, Row]) -> Statistics:
    statistics = Statistics()
    statistics.distributions, statistics.rows = distributions, rows
    return statistics


def _buckets_of(row: Row) -> "array[int]":
    """A row's buckets without unpacking them in place."""
    return row.buckets() if not isinstance(row.latencies, bytes) else Row(latencies=row.latencies).buckets()
