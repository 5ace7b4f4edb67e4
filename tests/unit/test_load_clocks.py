"""What clocks of several machines are worth: an estimate is never further off than it says."""

import asyncio
import math
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatops.load.clocks import SAME_CLOCK, Reading, agree, best, clock_name, read, this_clock
from chatops.load.cluster_report import ClusterReport, Machine
from chatops.load.cost import Prices
from chatops.load.front import Front, Wishes
from chatops.load.meters import figures_so_far, headlines
from chatops.load.progress import Progress, Stage
from chatops.load.scenario import Scenario
from chatops.load.statistics import Window
from chatops.load.tally import Tally
from chatops.load.target import Rates, Target
from chatops.load.thresholds import broken_meanwhile, parse
from chatops.load.totals import Part, Totals
from chatops.mqtt.endpoint import GatewayAddress

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


def counted() -> Totals:
    """Deliveries within a machine that took 10 ms, and from another one that seem to have taken 2 s."""
    totals = Totals(tallies={(int(Window.STEADY), 0): Tally(received=800)})
    for across, took_us, count in ((False, 10_000, 500), (True, 2_000_000, 300)):
        samples = totals.statistics.bin(Window.STEADY, 0, across=across)
        for _ in range(count):
            samples.delivered(took_us, took_us - 1_000)
    return totals


@pytest.mark.parametrize(("across", "count", "longest_ms"), [(True, 800, 2_000.0), (False, 500, 10.0)])
def test_what_is_withheld_is_in_no_latency_and_in_no_threshold(*, across: bool, count: int, longest_ms: float) -> None:
    totals = counted()
    for window in (Window.STEADY, Window.WARM_UP):
        found = headlines(totals.statistics, window, across=across)
        assert found["delivery"].count == found["delivery_from_send"].count == (count if window is Window.STEADY else 0)
    figures = figures_so_far(totals, 800, 0.0, joined_in_s=1.0, across=across)
    assert figures["latency_ms"]["delivery"]["max"] == longest_ms
    assert bool(broken_meanwhile([parse("delivery.max>1s")], figures)) is across


def _answer(answer: object, _: object) -> bool:
    return bool(answer)


def test_a_run_shows_no_live_latencies_while_clocks_disagree() -> None:
    seen: list[Progress] = []

    async def body() -> None:
        scenario = Scenario(clients=8)
        target = Target(GatewayAddress("127.0.0.1", 1, tls=False), "eu-west-1", "http://127.0.0.1:1", "pool", Rates())
        front = Front(
            scenario,
            "0123abcd",
            target,
            events=seen.append,
            stop=asyncio.Event(),
            discard=None,
            prices=Prices(),
            wishes=Wishes(limits=(parse("delivery.max>1s"),), abort=True),
        )
        for agreed in (False, True):
            front.timed_across = partial(_answer, agreed)
            front.tell(counted(), [Part(stage=Stage.STEADY)])
            assert front.stop.is_set() is agreed

    asyncio.run(body())
    assert [progress.p50_ms is None for progress in seen] == [True, False]
