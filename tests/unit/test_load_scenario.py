"""Scenarios: what cannot be is refused with a remedy, and the predictions are the documented ones."""

import math
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatops.errors import ConfigurationError, UsageError
from chatops.load.cost import Prices, Usage, metered_steps, session_minutes, usage
from chatops.load.scenario import Scenario, Spread, room_topic
from chatops.load.target import Rates


@pytest.mark.parametrize(
    "wrong",
    [
        {"clients": 0},
        {"clients": -5},
        {"clients": 10**9},
        {"clients": 10, "rooms": 0},
        {"clients": 10, "rooms": 11},
        {"clients": 10, "rooms": 2, "spread": Spread.ONE},
        {"clients": 10, "posts_per_s": -0.1},
        {"clients": 10, "posts_per_s": math.nan},
        {"clients": 10, "posts_per_s": math.inf},
        {"clients": 100_000, "posts_per_s": 1000.0},
        {"clients": 10, "total_posts_per_s": -1.0},
        {"clients": 10, "total_posts_per_s": 1e9},
        {"clients": 10, "message_bytes": 10},
        {"clients": 10, "message_bytes": 128 * 1024 + 1},
        {"clients": 10, "silent_share": 1.5},
        {"clients": 10, "silent_share": -0.5},
        {"clients": 10, "connects_per_s": 0.0},
        {"clients": 10, "connects_per_s": -3.0},
        {"clients": 10, "duration_s": 0.0},
        {"clients": 10, "duration_s": -1.0},
        {"clients": 10, "duration_s": math.nan},
        {"clients": 10, "duration_s": 86_400.0, "warm_up_s": 1.0},
        {"clients": 10, "warm_up_s": -1.0},
        {"clients": 10, "drain_limit_s": 1e9},
        {"clients": 10, "join_timeout_s": 0.0},
        {"clients": 10, "zipf_exponent": -1.0},
        {"clients": 10, "receive_qos": 2},
        {"clients": 10, "seed": 2**64},
        {"clients": 10, "prefix": "/" + "x" * 250 + "/"},
        {"clients": 10, "prefix": "/a/b/c/d/e/f/g/"},
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(wrong: dict[str, Any]) -> None:
    with pytest.raises((UsageError, ConfigurationError)) as caught:
        Scenario(**wrong)
    assert caught.value.problem
    assert caught.value.remedy
    assert "\n" not in caught.value.problem


@pytest.mark.parametrize(
    ("rooms", "even", "zipf"),
    [(1, 25_000, 25_000), (10, 2_500, 4_516), (50, 500, 2_007), (200, 125, 1_187)],
)
def test_predicted_deliveries_are_those_of_the_table_in_the_documentation(rooms: int, even: int, zipf: int) -> None:
    def predicted(spread: Spread) -> float:
        return Scenario(clients=500, rooms=rooms, spread=spread, posts_per_s=0.1).offered_deliveries_per_s

    assert predicted(Spread.EVEN) == pytest.approx(even, rel=0.05)
    assert predicted(Spread.ZIPF) == pytest.approx(zipf, rel=0.03)


def test_defaults() -> None:
    scenario = Scenario(clients=500)
    assert scenario.room_count == 50
    assert scenario.offered_posts_per_s == pytest.approx(50)
    assert Scenario(clients=3).room_count == 1
    assert Scenario(clients=30, spread=Spread.ONE).room_sizes == (30,)


@given(
    st.integers(1, 400).flatmap(lambda clients: st.tuples(st.just(clients), st.integers(1, clients))),
    st.sampled_from([Spread.ZIPF, Spread.EVEN]),
    st.floats(0, 10),
    st.integers(0, 100),
)
@settings(deadline=None)
def test_everybody_is_in_one_room(people: tuple[int, int], spread: Spread, exponent: float, seed: int) -> None:
    clients, rooms = people
    scenario = Scenario(clients=clients, rooms=rooms, spread=spread, zipf_exponent=exponent, seed=seed)
    sizes = scenario.room_sizes
    assert sum(sizes) == clients
    assert len(sizes) == rooms
    assert list(sizes) == sorted(sizes, reverse=True)
    assert [scenario.room_of.count(room) for room in range(rooms)] == list(sizes)
    if spread is Spread.EVEN:
        assert min(sizes) >= 1
        assert max(sizes) - min(sizes) <= 1


@given(st.integers(1, 300), st.floats(0, 1))
def test_silent_people_do_not_post_and_the_others_share_the_total(clients: int, share: float) -> None:
    scenario = Scenario(clients=clients, silent_share=share, total_posts_per_s=10.0)
    assert len(scenario.posters) == scenario.poster_count == clients - round(clients * share)
    assert len(set(scenario.posters)) == scenario.poster_count
    expected = 10.0 if scenario.poster_count else 0.0
    assert scenario.posts_per_s_each * scenario.poster_count == pytest.approx(expected)


def test_every_room_of_a_run_has_its_own_topic_under_the_prefix() -> None:
    topics = {room_topic("/chat/", "0123abcd", room) for room in range(12_000)}
    assert len(topics) == 12_000
    assert all(topic.startswith("/chat/") for topic in topics)


def test_the_cost_of_the_documented_examples() -> None:
    usual = Scenario(clients=500, warm_up_s=0.0, duration_s=600.0)
    assert usual.predicted_cost(Prices()) == pytest.approx(1.24, abs=0.01)
    acknowledged = Scenario(clients=500, receive_qos=1, warm_up_s=0.0, duration_s=600.0)
    assert acknowledged.predicted_cost(Prices()) == pytest.approx(2.44, abs=0.02)
    one_room = Scenario(clients=500, spread=Spread.ONE, warm_up_s=0.0, duration_s=600.0)
    assert one_room.predicted_cost(Prices()) == pytest.approx(15.0, abs=0.1)


def test_a_slow_ramp_costs_minutes() -> None:
    scenario = Scenario(clients=600, duration_s=10.0)
    assert scenario.predicted_usage(Rates()).minutes == 600
    assert scenario.predicted_usage(Rates(connects_per_s=10.0)).minutes == 1200
    assert Scenario(clients=600, connects_per_s=600.0).predicted_usage(Rates(connects_per_s=10.0)).minutes == 600


def test_metering_steps_and_minutes() -> None:
    assert [metered_steps(size, 0) for size in (0, 1, 5120, 5121, 128 * 1024)] == [1, 1, 1, 2, 26]
    assert [session_minutes(seconds) for seconds in (0, 1, 60, 61)] == [1, 1, 1, 2]
    assert usage(connects=2, subscribes=2, posts=3, deliveries=6, steps=2, receive_qos=1, minutes=4) == Usage(
        minutes=4, messages=2 + 2 + 2 * 9 + 6
    )


def test_prices_fall_by_tiers() -> None:
    prices = Prices(tiers=((1.0, 1.0), (2.0, 0.5), (math.inf, 0.1)), connectivity_per_million_minutes=0.0)
    assert Usage(messages=500_000).dollars(prices) == pytest.approx(0.5)
    assert Usage(messages=1_500_000).dollars(prices) == pytest.approx(1.25)
    assert Usage(messages=12_000_000).dollars(prices) == pytest.approx(1.0 + 0.5 + 1.0)
    assert Usage(1, 2) + Usage(3, 4) == Usage(4, 6)


def test_rooms_are_as_full_as_largest_remainders_have_it() -> None:
    # 10 guests, weights 1, 1/2, 1/3: 5.45, 2.73, 1.82 are 5, 2, 1, and the two largest remainders get one more.
    assert Scenario(clients=10, rooms=3).room_sizes == (5, 3, 2)
    assert Scenario(clients=11, rooms=3, spread=Spread.EVEN).room_sizes == (4, 4, 3)
    assert Scenario(clients=11, rooms=3, zipf_exponent=0.0).room_sizes == (4, 4, 3)
    assert Scenario(clients=11, spread=Spread.ONE).room_sizes == (11,)


def test_joining_takes_as_long_as_its_slowest_pace_and_so_is_billed() -> None:
    scenario = Scenario(clients=600, identities=60, warm_up_s=0.0, duration_s=60.0)
    rates = Rates(identities_per_s=0.5, credentials_per_s=160.0, connects_per_s=400.0)
    assert scenario.ramp_s(rates) == pytest.approx(120.0)
    assert scenario.predicted_usage(rates).minutes == 600 * 3


def test_those_who_come_back_ask_for_connects() -> None:
    scenario = Scenario(clients=600, churn_per_minute=0.1, storm_share=0.5, storm_back_s=10.0)
    assert scenario.reconnects_per_s == pytest.approx(1 + 30)
    assert Scenario(clients=600, expiry_at_s=5.0, expiry_back_s=20.0).reconnects_per_s == pytest.approx(30)
    assert Scenario(clients=600).reconnects_per_s == 0


def test_what_follows_from_a_scenario_is_not_sent_to_other_processes() -> None:
    scenario = Scenario(clients=10_000, silent_share=0.5)
    sent = pickle.dumps(scenario)
    assert len(scenario.room_of) == len(scenario.posters) * 2 == 10_000
    assert pickle.dumps(scenario) == sent
    received = pickle.loads(sent)  # noqa: S301  (our own)
    assert received == scenario
    assert (received.room_of, received.posters) == (scenario.room_of, scenario.posters)


def test_everybody_posts_unless_somebody_is_silent() -> None:
    assert Scenario(clients=5).posters == (0, 1, 2, 3, 4)
    few = Scenario(clients=100, silent_share=0.9).posters
    assert len(few) == 10
    assert few == tuple(sorted(few))
