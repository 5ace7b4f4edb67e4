"""Due times: pure, reproducible, the same however the senders are shared out."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatops.load.pacing import Arrivals, Slots, due_posts, uniform


def test_constant_posts_are_evenly_staggered_and_do_not_drift() -> None:
    posts = list(due_posts([3, 5, 8], rate=2.0, span_s=1000.0, arrivals=Arrivals.CONSTANT, seed=1))
    assert len(posts) == 6000
    assert posts[:4] == [(0.0, 3), (pytest.approx(1 / 6), 5), (pytest.approx(2 / 6), 8), (0.5, 3)]
    for index, (due, _) in enumerate(posts):
        assert due == pytest.approx(index / 6, abs=1e-9)


def test_poisson_posts_come_at_the_rate_with_exponential_gaps() -> None:
    posts = [due for due, _ in due_posts(range(50), rate=2.0, span_s=200.0, arrivals=Arrivals.POISSON, seed=7)]
    expected = 50 * 2 * 200
    assert abs(len(posts) - expected) < 5 * math.sqrt(expected)
    gaps = [later - earlier for earlier, later in itertools.pairwise(posts)]
    mean = sum(gaps) / len(gaps)
    spread = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert spread == pytest.approx(mean, rel=0.05)


@given(
    st.sampled_from(list(Arrivals)),
    st.integers(1, 20),
    st.floats(0.01, 20.0),
    st.floats(0.1, 5.0),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(1, 4),
)
def test_shares_of_the_senders_post_together_what_all_would_have_posted(
    arrivals: Arrivals, people: int, rate: float, span_s: float, seed: int, shares: int
) -> None:
    senders = list(range(people))
    whole = list(due_posts(senders, rate=rate, span_s=span_s, arrivals=arrivals, seed=seed))
    assert all(0 <= due < span_s for due, _ in whole)
    assert [due for due, _ in whole] == sorted(due for due, _ in whole)
    parts = []
    for share in range(shares):
        mine = senders[share::shares]
        parts += list(
            due_posts(mine, rate=rate, span_s=span_s, arrivals=arrivals, seed=seed, ranks=mine, population=people)
        )
    assert sorted(parts) == sorted(whole)


@pytest.mark.parametrize("total", [1, 3, 7, 40, 70, 333])
@pytest.mark.parametrize("people", [1, 3, 7, 12])
def test_a_constant_rate_gives_exactly_the_number_asked_for(total: int, people: int) -> None:
    posts = due_posts(range(people), rate=total / people, span_s=1.0, arrivals=Arrivals.CONSTANT, seed=1)
    assert len(list(posts)) == total


@pytest.mark.parametrize(("senders", "rate", "span_s"), [([], 1.0, 1.0), ([1], 0.0, 1.0), ([1], 1.0, 0.0)])
def test_no_senders_no_rate_or_no_time_is_no_posts(senders: list[int], rate: float, span_s: float) -> None:
    for arrivals in Arrivals:
        assert list(due_posts(senders, rate=rate, span_s=span_s, arrivals=arrivals, seed=1)) == []


def test_another_seed_is_another_rhythm_and_the_same_seed_the_same() -> None:
    def rhythm(seed: int) -> list[tuple[float, int]]:
        return list(due_posts([1, 2], rate=5.0, span_s=5.0, arrivals=Arrivals.POISSON, seed=seed))

    assert rhythm(1) == rhythm(1)
    assert rhythm(1) != rhythm(2)


@given(st.integers(), st.integers(0, 2**42), st.integers(0, 2**30))
def test_uniform_numbers_can_be_taken_the_logarithm_of(seed: int, stream: int, index: int) -> None:
    assert 0 < uniform(seed, stream, index) <= 1


def test_uniform_numbers_are_even() -> None:
    tenths = [0] * 10
    for client in range(200):
        for index in range(50):
            tenths[min(9, int(uniform(1, client, index) * 10))] += 1
    assert all(850 < count < 1150 for count in tenths)


def test_slots_keep_their_rate_and_save_nothing_up() -> None:
    slots = Slots(10.0)
    assert [slots.take(100.0) for _ in range(3)] == pytest.approx([100.0, 100.1, 100.2])
    assert slots.take(105.0) == 105.0
    assert slots.take(105.0) == pytest.approx(105.1)


def test_without_a_rate_every_slot_is_now() -> None:
    slots = Slots(None)
    assert [slots.take(3.0), slots.take(3.0)] == [3.0, 3.0]
