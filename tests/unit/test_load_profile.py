"""Profiles of the rate: what is offered is the area under them, and due times follow from that."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatops.errors import UsageError
from chatops.load.pacing import Arrivals, due_posts
from chatops.load.profile import Phase, Profile, Shape, shaped
from chatops.load.scenario import Scenario
from chatops.load.target import Rates

PHASES = st.lists(
    st.builds(Phase, st.just("p"), st.floats(0.1, 50), st.floats(0, 10), st.floats(0, 10)), min_size=1, max_size=6
)


def area(profile: Profile, until: float) -> float:
    """The effort up to a time, worked out the other way round."""
    total = 0.0
    for phase in profile.phases:
        span = min(max(0.0, until), phase.seconds)
        slope = (phase.end - phase.begin) / phase.seconds if phase.seconds else 0
        total += phase.begin * span + slope * span * span / 2
        until -= phase.seconds
    return total


@given(PHASES, st.floats(0, 1))
def test_the_time_of_an_effort_is_where_the_area_reaches_it(phases: list[Phase], part: float) -> None:
    profile = Profile(phases)
    effort = profile.effort * part
    time = profile.time_of(effort)
    assert 0 <= time <= profile.seconds
    assert area(profile, time) == pytest.approx(effort, rel=1e-6, abs=1e-6)


@given(PHASES, st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_order_is_kept(phases: list[Phase], parts: list[float]) -> None:
    profile = Profile(phases)
    times = [profile.time_of(profile.effort * part) for part in sorted(parts)]
    assert all(later >= earlier - 1e-9 for earlier, later in itertools.pairwise(times))


def test_a_constant_profile_changes_nothing() -> None:
    profile = Scenario(clients=3, rooms=1, warm_up_s=0.0, duration_s=10.0).profile
    schedule = list(due_posts(range(3), rate=2.0, span_s=10.0, arrivals=Arrivals.CONSTANT, seed=1))
    assert [(pytest.approx(due), sender) for due, sender in schedule] == list(profile.warp(schedule))


def test_each_shape_offers_what_its_area_is() -> None:
    areas = {shape: Profile(shaped(shape, 100.0, 5.0)).effort for shape in Shape}
    assert areas == {
        Shape.CONSTANT: 100.0,
        Shape.RAMP: 50.0,
        Shape.STEPS: pytest.approx(62.5),
        Shape.SPIKE: pytest.approx(180.0),
    }
    assert [Profile(shaped(shape, 10.0, 5.0)).peak for shape in Shape] == [1.0, 1.0, 1.0, 5.0]


def test_poisson_posts_follow_a_spike() -> None:
    scenario = Scenario(clients=20, rooms=1, posts_per_s=5.0, warm_up_s=0.0, duration_s=100.0, shape=Shape.SPIKE)
    schedule = due_posts(range(20), rate=5.0, span_s=scenario.profile.effort, arrivals=Arrivals.POISSON, seed=3)
    times = [due for due, _ in scenario.profile.warp(schedule)]
    within = sum(40 <= due < 60 for due in times)
    assert abs(within - 20 * 5 * 20 * 5) < 5 * math.sqrt(10_000)
    assert abs(len(times) - within - 20 * 5 * 80) < 5 * math.sqrt(8_000)


def test_phases_say_how_long_the_load_is_and_what_it_costs() -> None:
    calm = Scenario(clients=10, rooms=1, phases=(Phase("calm", 30.0),))
    busy = Scenario(clients=10, rooms=1, phases=(Phase("calm", 20.0), Phase("rush", 10.0, 1.0, 9.0)))
    assert calm.duration_s == busy.duration_s == 30.0
    assert busy.peak == 9.0
    one, two = calm.predicted_usage(Rates()), busy.predicted_usage(Rates())
    assert two.messages > one.messages


@pytest.mark.parametrize(
    "phases",
    [
        (Phase("none", 0.0),),
        (Phase("endless", math.inf),),
        (Phase("backwards", -1.0),),
        (Phase("negative", 1.0, -1.0, 1.0),),
        (Phase("wild", 1.0, 1.0, 1e9),),
        tuple(Phase("many", 1.0) for _ in range(2000)),
    ],
)
def test_phases_that_cannot_be_are_refused(phases: tuple[Phase, ...]) -> None:
    with pytest.raises(UsageError):
        Scenario(clients=3, rooms=1, phases=phases)


def test_a_shape_and_phases_do_not_go_together() -> None:
    with pytest.raises(UsageError):
        Scenario(clients=3, rooms=1, phases=(Phase("a", 1.0),), shape=Shape.RAMP)
