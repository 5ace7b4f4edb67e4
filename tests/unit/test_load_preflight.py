"""Preflight: what is refused, what is warned of, what it costs, how long joining takes."""

from dataclasses import replace

import pytest

from chatops.errors import UsageError
from chatops.load.cost import Prices
from chatops.load.preflight import ACCOUNT_QUOTAS, AccountQuotas, Preflight, preflight
from chatops.load.profile import Phase, Shape
from chatops.load.scenario import Scenario, Spread
from chatops.load.target import Rates

AWS = AccountQuotas()


def planned(
    scenario: Scenario, quotas: AccountQuotas = AWS, *, rates: Rates | None = None, max_cost: float | None = None
) -> Preflight:
    return preflight(scenario, rates or quotas.rates(), quotas, prices=Prices(), max_cost=max_cost)


def test_the_ramp_is_as_long_as_its_slowest_pace() -> None:
    assert planned(Scenario(clients=500)).ramp_s == pytest.approx(500 / 20)  # GetId at 0.8 of 25/s
    assert planned(Scenario(clients=500, identities=10)).ramp_s == pytest.approx(500 / 400)  # connects
    assert planned(Scenario(clients=500), rates=Rates()).ramp_s == 0.0


def test_the_cost_is_that_of_the_facts_example() -> None:
    scenario = Scenario(clients=500, spread=Spread.ONE, posts_per_s=0.1, warm_up_s=0.0, duration_s=600.0, identities=1)
    assert planned(scenario, AccountQuotas.of_local_stack("none")).cost_usd == pytest.approx(15.03, abs=0.02)


def test_a_room_over_100_messages_a_second_is_refused_where_it_is_enforced() -> None:
    scenario = Scenario(clients=150, spread=Spread.ONE, total_posts_per_s=100.0)
    refused = planned(scenario)
    assert refused.busiest_connection == pytest.approx(100 + 100 / 150)
    with pytest.raises(UsageError) as caught:
        refused.check()
    assert "100/s" in caught.value.problem
    assert "--force" in caught.value.remedy
    elsewhere = planned(scenario, AccountQuotas.of_local_stack("none"))
    elsewhere.check()
    assert "100/s" in elsewhere.warnings[0]
    near = planned(replace(scenario, total_posts_per_s=85.0))
    near.check()
    assert near.warnings


def test_the_peak_of_the_rate_decides() -> None:
    calm = Scenario(clients=300, spread=Spread.ONE, total_posts_per_s=30.0)
    planned(calm).check()
    for lively in (replace(calm, shape=Shape.SPIKE), replace(calm, phases=(Phase("rush", 10.0, 1.0, 4.0),))):
        with pytest.raises(UsageError):
            planned(lively).check()


@pytest.mark.parametrize(
    ("scenario", "words"),
    [
        (Scenario(clients=10, connects_per_s=501.0), "connects/s"),
        (Scenario(clients=500_001, rooms=100_000, posts_per_s=0.0), "connections"),
        (Scenario(clients=30_000, rooms=30_000, spread=Spread.EVEN, posts_per_s=0.7), "inbound publishes/s"),
        (Scenario(clients=500, rooms=5, spread=Spread.EVEN, total_posts_per_s=300.0), "outbound publishes/s"),
        (Scenario(clients=300, rooms=3, total_posts_per_s=30.0, message_bytes=100_000), "KiB/s"),
    ],
)
def test_each_quota_of_the_account_is_watched(scenario: Scenario, words: str) -> None:
    assert any(words in refusal for refusal in planned(scenario).refusals)


def test_the_accounts_own_quotas_count() -> None:
    scenario = Scenario(clients=500, rooms=5, spread=Spread.EVEN, total_posts_per_s=300.0)
    raised = replace(AWS, publishes_out=100_000.0)
    assert not planned(scenario, raised).refusals


def test_a_run_that_costs_too_much_is_refused() -> None:
    scenario = Scenario(clients=500, duration_s=3600.0)
    dollars = planned(scenario).cost_usd
    planned(scenario, max_cost=dollars + 0.01).check()
    with pytest.raises(UsageError) as caught:
        planned(scenario, max_cost=dollars - 0.01).check()
    assert "$" in caught.value.problem
    for allowed, words in ((1e-7, "$0.0000001 allowed"), (0.0005, "$0.0005 allowed"), (0.0, "$0 allowed")):
        with pytest.raises(UsageError) as caught:
            planned(scenario, max_cost=allowed).check()
        assert words in caught.value.problem


def test_the_local_stack_enforces_what_it_was_started_with() -> None:
    assert AccountQuotas.of_local_stack("aws").connects == 500
    assert AccountQuotas.of_local_stack("protocol").connects is None
    assert AccountQuotas.of_local_stack("protocol").per_connection
    assert not AccountQuotas.of_local_stack("none").per_connection
    assert AccountQuotas.of_local_stack("none").rates() == Rates()


def test_the_accounts_quotas_are_named_by_where_they_come_from() -> None:
    assert AccountQuotas.of_account({}) == replace(AWS, source="AWS's defaults: Service Quotas could not be asked")
    some = AccountQuotas.of_account({"identities": 500.0, "connects": 1000.0})
    assert (some.identities, some.connects, some.publishes_out) == (500.0, 1000.0, 20_000)
    assert some.source.startswith("Service Quotas; AWS's defaults: ")
    assert "outbound publishes per second" in some.source
    assert "GetId" not in some.source
    every = AccountQuotas.of_account(dict.fromkeys(ACCOUNT_QUOTAS, 7.0))
    assert every.source == "Service Quotas"


def test_joining_is_paced_by_whichever_is_lower_connects_or_subscriptions() -> None:
    assert replace(AWS, connects=5000.0).rates().connects_per_s == pytest.approx(400)
    assert replace(AWS, subscriptions=50.0).rates().connects_per_s == pytest.approx(40)


def test_an_hours_credentials_of_very_many_cannot_be_replaced_in_time() -> None:
    scenario = Scenario(clients=600_000, spread=Spread.EVEN, posts_per_s=0.0, duration_s=3600.0)
    assert any("182/s" in warning and "160/s" in warning for warning in planned(scenario).warnings)
    for calmer in ({"clients": 500_000}, {"identities": 1_000}):
        assert not any("credentials" in warning for warning in planned(replace(scenario, **calmer)).warnings)
    raised = replace(AWS, identities=1_000.0, credentials=1_000.0, connects=1_000.0, subscriptions=1_000.0)
    assert not any("credentials" in warning for warning in planned(scenario, raised).warnings)
    paced = Rates(identities_per_s=1_000.0, credentials_per_s=100.0)
    assert not planned(replace(scenario, clients=200_000, duration_s=60.0), rates=paced).warnings


def test_a_storms_return_over_the_quota_is_warned_of() -> None:
    scenario = Scenario(clients=20_000, identities=100, spread=Spread.EVEN, posts_per_s=0.01, storm_share=0.5)
    assert any("1,000 connects/s" in warning for warning in planned(scenario).warnings)
    assert not planned(replace(scenario, storm_back_s=60.0)).warnings
