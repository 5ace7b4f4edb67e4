"""Mergeable accumulators: latency distributions, windows and per-second rows.

Merging is associative and commutative, so that processes can be merged in any order, and percentiles are read from
merged distributions, never averaged. The bucket layout is HdrHistogram's with three significant figures; recording goes
straight into the buckets, in small portions. (Gathering a second's samples and folding them at once blocked the
interpreter for 60 ms at 28,000 deliveries/s, which showed as latency.)
"""

import sys
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from itertools import accumulate
from typing import Self

from hdrh.histogram import HdrHistogram

LARGEST_US = 600_000_000
"""Ten minutes; longer ones count as that, and only `max` is exact."""

_FIGURES = 3
_BITS = 11  # three significant figures need 2,048 steps an octave's upper half
_HALF = 1 << (_BITS - 1)
_UNPACKED_S = 30  # seconds that are still merged into time and again
_COARSE = 4  # a row's buckets are sixteen of a distribution's each, within 1.6 %


def bucket_of(value_us: int) -> int:
    """The bucket of a value from 0 to `LARGEST_US`."""
    shift = value_us.bit_length() - _BITS
    return value_us if shift <= 0 else shift * _HALF + (value_us >> shift)


def upper_end(bucket: int) -> int:
    """The largest value in a bucket."""
    if bucket < 2 * _HALF:
        return bucket
    shift = bucket // _HALF - 1
    return ((bucket - shift * _HALF + 1) << shift) - 1


_BUCKETS = bucket_of(LARGEST_US) + 1
_ROW_BUCKETS = (_BUCKETS >> _COARSE) + 1


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


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Percentiles of a latency in milliseconds; all None when nothing was measured."""

    count: int
    p50: float | None = None
    p90: float | None = None
    p99: float | None = None
    p999: float | None = None
    p9999: float | None = None
    max: float | None = None

    def document(self) -> dict[str, float | None]:
        """The figures by name."""
        return {
            "p50": self.p50,
            "p90": self.p90,
            "p99": self.p99,
            "p999": self.p999,
            "p9999": self.p9999,
            "max": self.max,
        }


class Distribution:
    """A distribution of durations in microseconds, within 0.1 %; the maximum is exact."""

    __slots__ = ("_counts", "max_us")

    def __init__(self, counts: "array[int] | None" = None, max_us: int = 0) -> None:
        # As far as they were needed; all of them would take 165 KB, and most distributions stay empty.
        self._counts: array[int] = array("Q") if counts is None else counts
        self.max_us = max_us

    @property
    def buckets(self) -> "array[int]":
        """The counts of the buckets that are used."""
        self._reach(self.used)
        return self._counts[: self.used]

    @property
    def count(self) -> int:
        """How many samples there are."""
        return sum(self.buckets)

    @property
    def used(self) -> int:
        """All samples are in the first so many buckets."""
        return bucket_of(min(max(0, self.max_us), LARGEST_US)) + 1

    def record(self, value_us: int, count: int = 1) -> int:
        """Add a sample and return its bucket; a negative one (two clocks) counts as zero."""
        value = min(max(0, value_us), LARGEST_US)
        self.max_us = max(self.max_us, value_us)
        shift = value.bit_length() - _BITS
        bucket = value if shift <= 0 else shift * _HALF + (value >> shift)
        try:
            self._counts[bucket] += count
        except IndexError:
            self._reach(min(_BUCKETS, bucket + _HALF))
            self._counts[bucket] += count
        return bucket

    def _reach(self, end: int) -> None:
        """Have room for the first `end` buckets."""
        missing = end - len(self._counts)
        if missing > 0:
            self._counts.frombytes(bytes(8 * missing))

    def merge(self, other: Self) -> None:
        """Add another distribution's samples."""
        self.max_us = max(self.max_us, other.max_us)
        if other._counts:
            end = other.used
            self._reach(end)
            self._counts[:end] = _lanewise(int.__add__, self._counts[:end], other.buckets)

    def copy(self) -> Self:
        """The same samples, recorded into apart."""
        return type(self)(self._counts[:], self.max_us)

    def since(self, earlier: Self) -> Self:
        """The samples that came after `earlier`, an older copy of this; the maximum is that of all."""
        earlier._reach(self.used)
        mine, before = self.buckets, earlier._counts[: self.used]
        return type(self)(None if mine == before else _lanewise(int.__sub__, mine, before), self.max_us)

    def __reduce__(self) -> tuple[Callable[..., "Distribution"], tuple[bytes, int]]:
        """Pickle as the part of the buckets that is used, compressed: some 2 KB in place of 165."""
        return _restored, (zlib.compress(self._counts[: self.used].tobytes(), 1), self.max_us)

    def percentiles(self) -> Percentiles:
        """Read the percentiles, in milliseconds; each is the upper end of its bucket, as HdrHistogram has it."""
        reached = list(accumulate(self.buckets))
        total = reached[-1]
        if not total:
            return Percentiles(0)
        p50, p90, p99, p999, p9999 = (
            min(upper_end(bisect_left(reached, _rank(total, percent))), self.max_us) / 1000
            for percent in (50.0, 90.0, 99.0, 99.9, 99.99)
        )
        return Percentiles(total, p50, p90, p99, p999, p9999, self.max_us / 1000)

    def percentile_ms(self, percent: float) -> float | None:
        """One percentile, in milliseconds; None without samples."""
        reached = list(accumulate(self.buckets))
        if not reached[-1]:
            return None
        return min(upper_end(bisect_left(reached, _rank(reached[-1], percent))), self.max_us) / 1000

    def ranked_us(self, rank: int) -> int | None:
        """The `rank`-th smallest sample, counted from 1, in microseconds; None when there are not so many."""
        reached = list(accumulate(self.buckets))
        if not 0 < rank <= reached[-1]:
            return None
        return min(upper_end(bisect_left(reached, rank)), self.max_us)

    def encode(self) -> bytes:
        """The compressed form that HdrHistogram's libraries read; `max_us` travels beside it."""
        histogram = HdrHistogram(1, LARGEST_US, _FIGURES)
        for bucket, count in enumerate(self.buckets):
            if count:
                histogram.record_value(upper_end(bucket), count)
        return bytes(histogram.encode())

    @classmethod
    def decode(cls, encoded: bytes, max_us: int) -> Self:
        """Read what `encode` wrote.

        Raises:
            ValueError: it is not that.
        """
        distribution = cls()
        histogram = HdrHistogram(1, LARGEST_US, _FIGURES)
        try:
            histogram.decode_and_add(encoded)
        except Exception as error:  # noqa: BLE001  (zlib, base64, ctypes and its own: whatever the bytes provoke)
            raise ValueError(f"not an encoded histogram: {error}") from None
        for item in histogram.get_recorded_iterator():
            distribution.record(item.value_iterated_to, item.count_at_value_iterated_to)
        distribution.max_us = max_us
        return distribution


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
        mine[:] = _lanewise(int.__add__, mine, other.buckets())

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
            _lanewise(int.__sub__, _buckets_of(self), _buckets_of(earlier)),
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
        coarse = bisect_left(reached, _rank(reached[-1], percent))
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


def _restored(packed: bytes, max_us: int) -> Distribution:
    counts: array[int] = array("Q")
    counts.frombytes(zlib.decompress(packed))
    return Distribution(counts, max_us)


def _lanewise(operation: Callable[[int, int], int], one: "array[int]", other: "array[int]") -> "array[int]":
    """Add or subtract two arrays of 64-bit counts, element by element.

    Each array is taken as one large number, whose 64-bit digits never carry, since counts stay far below 2^63 and
    what is subtracted is never larger. A loop over 20,000 buckets takes 1.3 ms, this 0.1 ms.
    """
    order = sys.byteorder
    result = operation(int.from_bytes(one.tobytes(), order), int.from_bytes(other.tobytes(), order))
    total: array[int] = array("Q")
    total.frombytes(result.to_bytes(8 * len(one), order))
    return total


def _buckets_of(row: Row) -> "array[int]":
    """A row's buckets without unpacking them in place."""
    return row.buckets() if not isinstance(row.latencies, bytes) else Row(latencies=row.latencies).buckets()


def _rank(total: int, percent: float) -> int:
    """How many samples a percentile has at or below it, as HdrHistogram rounds it."""
    return max(1, int(total * percent / 100 + 0.5))
