"""What clocks of several machines are worth: an estimate is never further off than it says."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatops.load.clocks import SAME_CLOCK, Reading, agree, best, clock_name, read, this_clock
from chatops.load.cluster_report import ClusterReport, Machine

_WAYS = st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), min_size=1, max_size=50)


@given(_WAYS, st.integers(-(10**18), 10**18))
def test_the_true_difference_lies_within_the_bound_however_lopsided_the_ways(
    ways: list[tuple[int, int]], ahead_ns: int
) -> None:
    now, rounds = 10**12, []
    for there, back in ways:
        rounds.append((now, now + there + ahead_ns, now + there + back))
        now += there + back + 1
    reading = read(rounds)
    assert abs(reading.ahead_ns - ahead_ns) <= reading.bound_ns
    assert reading.bound_ns == math.ceil(min(there + back for there, back in ways) / 2)


def test_without_an_answer_there_is_no_reading() -> None:
    with pytest.raises(ValueError, match="empty"):
        read([])


@given(
    st.integers(-(10**9), 10**9),
    st.integers(-(10**6), 10**6),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.floats(0, 1),
)
def test_a_later_reading_covers_a_drift_that_goes_one_way(
    ahead_ns: int, drift_ns: int, first_ns: int, later_ns: int, when: float
) -> None:
    """The errors of both readings are as large as they may be, in either direction."""
    for sign in (-1, 1):
        first = Reading(ahead_ns + sign * first_ns, first_ns)
        later = Reading(ahead_ns + drift_ns + sign * later_ns, later_ns)
        true_ns = ahead_ns + when * drift_ns
        assert abs(first.again(later).ahead_ns - true_ns) <= first.again(later).bound_ns + 1


def test_the_best_reading_is_the_one_with_the_smallest_error() -> None:
    assert best([Reading(5, 30), Reading(6, 20), Reading(7, 40)]) == Reading(6, 20)


def test_between_two_machines_the_two_worst_errors_add_up() -> None:
    found = agree([SAME_CLOCK, Reading(10, 300_000), Reading(20, 200_000)], 7, [30.0, 20.0])
    assert (found.machines, found.bound_ms, found.deliveries, found.median_ms) == (3, 0.5, 7, 20.0)
    assert found.timed
    assert found.reason is None


@pytest.mark.parametrize(
    ("bound_ns", "median_ms", "timed"),
    [(999_999, 10.0, True), (1_000_000, 10.0, False), (5_000_000, None, True), (0, 0.0, False)],
)
def test_deliveries_between_machines_are_timed_within_a_tenth_of_the_median(
    bound_ns: int, median_ms: float | None, *, timed: bool
) -> None:
    found = agree([SAME_CLOCK, Reading(0, bound_ns)], 1234, [median_ms])
    assert found.timed is timed
    if not timed:
        assert "1,234 deliveries between machines are counted but not timed" in (found.reason or "")


def test_one_machine_has_nothing_between() -> None:
    found = agree([Reading(0, 10**9)], 0, [])
    assert (found.bound_ms, found.timed, found.document()["reason"]) == (0.0, True, None)


def test_what_a_reader_has_to_know_is_a_warning() -> None:
    machines = tuple(
        Machine(f"host-{number}", {f"tcp://10.0.0.{number}:1": (number,)}, Reading(0, 10**6), checked=number == 1)
        for number in (1, 2)
    )
    between = agree([machine.reading for machine in machines], 10, [3.0])
    report = ClusterReport("tcp://10.0.0.9:8786", machines, between, late_workers=("tcp://10.0.0.3:1",))
    withheld, unchecked, late = report.warnings
    assert "agree within 2 ms, which is more than a tenth of their median of 3 ms" in withheld
    assert "1 machines could not be compared again" in unchecked
    assert "tcp://10.0.0.3:1" in late
    assert report.document()["between_machines"]["clock_error_ms"] == 2.0


def test_processes_of_one_machine_read_the_same_clock() -> None:
    assert this_clock() == this_clock() != ""
    assert clock_name("boot\n", "time:[1]") != clock_name("boot", "time:[2]")
