"""Accumulators: true to HdrHistogram, mergeable in any order, and close to the exact percentiles."""

import copy
import math
import random

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st

from chatops.load.distribution import LARGEST_US, Distribution, bucket_of, upper_end
from chatops.load.statistics import Metric, Row, Statistics, Window

durations = st.integers(0, LARGEST_US) | st.integers(0, 50_000)
samples = st.lists(durations, max_size=60)


def distribution(values: list[int]) -> Distribution:
    made = Distribution()
    for value in values:
        made.record(value)
    return made


def state(of: Distribution) -> tuple[list[int], int]:
    return list(of.buckets), of.max_us


@given(durations)
def test_a_bucket_holds_its_value_and_is_narrower_than_a_thousandth(value: int) -> None:
    bucket = bucket_of(value)
    assert value <= upper_end(bucket)
    assert bucket == 0 or upper_end(bucket - 1) < value
    width = upper_end(bucket) - (upper_end(bucket - 1) if bucket else -1)
    assert width == 1 or width <= value / 1000


@given(samples.filter(bool))
@settings(deadline=None, max_examples=50)
def test_percentiles_are_those_of_hdrhistogram(values: list[int]) -> None:
    reference = HdrHistogram(1, LARGEST_US, 3)
    for value in values:
        reference.record_value(value)
    found = distribution(values).percentiles()
    assert found.count == len(values)
    assert found.max == max(values) / 1000
    for ours, percent in ((found.p50, 50), (found.p90, 90), (found.p99, 99), (found.p999, 99.9), (found.p9999, 99.99)):
        assert ours == min(reference.get_value_at_percentile(percent), max(values)) / 1000


def test_percentiles_of_many_samples_are_within_a_thousandth_of_the_exact_ones() -> None:
    draw = random.Random(3)  # noqa: S311  (samples, not secrets)
    values = sorted(int(draw.lognormvariate(8, 1.2)) for _ in range(20_000))
    found = distribution(values).percentiles()
    for ours, percent in ((found.p50, 50), (found.p90, 90), (found.p99, 99), (found.p999, 99.9), (found.p9999, 99.99)):
        assert ours is not None
        assert ours * 1000 == pytest.approx(values[math.ceil(len(values) * percent / 100) - 1], rel=0.001)


def test_nothing_measured_is_nothing_not_zero() -> None:
    found = Distribution().percentiles()
    assert found.count == 0
    assert found.document() == {"p50": None, "p90": None, "p99": None, "p999": None, "p9999": None, "max": None}


def test_values_beyond_the_range_are_counted_and_the_maximum_is_exact() -> None:
    made = distribution([-5, LARGEST_US * 3])
    assert made.count == 2
    assert made.max_us == LARGEST_US * 3
    assert made.buckets[0] == 1


@given(samples, samples, samples)
@settings(deadline=None, max_examples=30)
def test_merging_is_associative_and_commutative_and_the_same_as_recording_together(
    a: list[int], b: list[int], c: list[int]
) -> None:
    left = distribution(a)
    left.merge(distribution(b))
    left.merge(distribution(c))
    right = distribution(c)
    inner = distribution(b)
    inner.merge(distribution(a))
    right.merge(inner)
    assert state(left) == state(right) == state(distribution(a + b + c))


@given(samples)
@settings(deadline=None, max_examples=20)
def test_encoding_is_read_back_and_by_hdrhistogram_itself(values: list[int]) -> None:
    made = distribution(values)
    encoded = made.encode()
    assert state(Distribution.decode(encoded, made.max_us)) == state(made)
    assert HdrHistogram.decode(encoded).get_total_count() == len(values)


@pytest.mark.parametrize("rubbish", [b"", b"x", b"HISTFAAAAA", b"\xff" * 50])
def test_rubbish_is_no_histogram(rubbish: bytes) -> None:
    with pytest.raises(ValueError, match="histogram"):
        Distribution.decode(rubbish, 0)


@st.composite
def recorded(draw: st.DrawFn) -> Statistics:
    made = Statistics()
    for window, second, from_due, from_send in draw(
        st.lists(st.tuples(st.sampled_from([Window.WARM_UP, Window.STEADY]), st.integers(0, 3), durations, durations))
    ):
        place = made.bin(window, second)
        place.row.due += 1
        place.row.sent += 1
        place.acknowledged(from_send, from_send)
        place.delivered(from_due, from_send)
    return made


def whole_state(of: Statistics) -> object:
    return (
        {key: state(found) for key, found in of.distributions.items() if found.count},
        {
            second: (row.due, row.sent, row.acknowledged, row.failed, row.deliveries, row.max_us, list(row.buckets()))
            for second, row in of.rows.items()
        },
    )


@given(recorded(), recorded(), recorded())
@settings(deadline=None, max_examples=25)
def test_merging_statistics_is_associative_and_commutative(a: Statistics, b: Statistics, c: Statistics) -> None:
    a2, b2, c2 = copy.deepcopy((a, b, c))
    a.merge(b)
    a.merge(c)
    b2.merge(c2)
    b2.merge(a2)
    assert whole_state(a) == whole_state(b2)


def test_samples_go_to_the_window_and_second_of_their_post() -> None:
    made = Statistics()
    made.bin(Window.WARM_UP, 0).delivered(5_000, 4_000)
    made.bin(Window.STEADY, 1).delivered(7_000, 6_000)
    made.bin(Window.STEADY, 1).acknowledged(2_000, 1_000)
    assert made.distribution(Window.WARM_UP, Metric.DELIVERY).max_us == 5_000
    assert made.distribution(Window.STEADY, Metric.DELIVERY).max_us == 7_000
    assert made.distribution(Window.STEADY, Metric.DELIVERY_FROM_SEND).max_us == 6_000
    assert made.distribution(Window.STEADY, Metric.ACK).max_us == 2_000
    assert made.distribution(Window.STEADY, Metric.ACK_FROM_SEND).max_us == 1_000
    assert made.rows[1].deliveries == made.rows[1].acknowledged == 1


def test_what_is_merged_second_by_second_for_hours_is_packed_away() -> None:
    front = Statistics()
    for second in range(500):
        for _process in range(2):
            told = Statistics()
            told.bin(Window.STEADY, second).delivered(1_000 + second, 900)
            front.merge(told)
    late = Statistics()
    late.bin(Window.STEADY, 3).delivered(9_000, 900)
    front.merge(late)
    unpacked = [second for second, row in front.rows.items() if not isinstance(row.latencies, bytes)]
    assert unpacked == list(range(470, 500))
    assert front.rows[3].deliveries == 3
    assert front.rows[3].percentile_us(100) == 9_000
    assert front.rows[7].percentile_us(50) == pytest.approx(1_007, rel=0.016)
    assert isinstance(front.rows[7].latencies, bytes)
    assert front.copy().rows[7].percentile_us(50) == front.rows[7].percentile_us(50)


def test_a_row_keeps_its_percentiles_when_packed() -> None:
    made = Statistics()
    for value in range(1, 1001):
        made.bin(Window.STEADY, 0).delivered(value * 10, value * 10)
    before = [made.rows[0].percentile_us(percent) for percent in (50, 99, 100)]
    assert before[0] == pytest.approx(5_000, rel=0.016)
    assert before[1] == pytest.approx(9_900, rel=0.016)
    assert before[2] == 10_000
    made.seal(1)
    assert isinstance(made.rows[0].latencies, bytes)
    assert [made.rows[0].percentile_us(percent) for percent in (50, 99, 100)] == before
    made.seal(1)
    made.rows[0].merge(copy.deepcopy(made.rows[0]))
    assert made.rows[0].deliveries == 2000
    assert Row().percentile_us(50) is None
