"""A load test on paper: what 10 thousand, 100 thousand and a million guests take, worked out by hand."""

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatops.load.cost import Prices
from chatops.load.preflight import AccountQuotas, preflight
from chatops.load.profile import Shape
from chatops.load.raises import plain, rounded_down, rounded_up
from chatops.load.scale import Scale, scale
from chatops.load.scenario import Scenario, Spread
from chatops.render.loadtest_scale import scale_lines

AWS = AccountQuotas()
DOCS = Path(__file__).resolve().parents[2] / "docs" / "scale.md"
QUIET = Scenario(clients=1_000_000, spread=Spread.EVEN, posts_per_s=0.01, warm_up_s=0.0, duration_s=3600.0)


def scaled(scenario: Scenario, quotas: AccountQuotas = AWS) -> Scale:
    return scale(scenario, quotas, prices=Prices(), region="eu-west-1")


def seconds(found: Scale) -> dict[str, float]:
    return {stage.name: stage.seconds for stage in found.joining}


def test_a_million_fresh_guests_wait_for_their_identities() -> None:
    found = scaled(QUIET)
    assert seconds(found) == {
        "GetId": 1_000_000 / 20,  # 0.8 of 25/s: nearly 14 hours, and 11 at the whole quota
        "GetCredentialsForIdentity": 1_000_000 / 160,
        "CONNECT": 1_000_000 / 400,
        "SUBSCRIBE": 1_000_000 / 400,
        "the generator": pytest.approx(1_000_000 / 150_000),
    }
    assert (found.slowest, found.join_s) == ("GetId", 50_000)
    shared = scaled(replace(QUIET, identities=5_000))
    assert (shared.slowest, shared.join_s) == ("CONNECT", 2_500)


def test_joining_takes_as_long_as_the_preflight_says() -> None:
    for scenario in (QUIET, replace(QUIET, identities=10), replace(QUIET, connects_per_s=37.0, identities=10)):
        assert scaled(scenario).join_s == preflight(scenario, AWS.rates(), AWS, prices=Prices()).ramp_s


def test_an_hour_costs_its_minutes_and_its_messages() -> None:
    hour = scaled(QUIET).hour
    assert hour.connectivity_usd == pytest.approx(1_000_000 * 60 / 1e6 * 0.08)
    # A CONNECT and a SUBSCRIBE each, 10,000 posts and 100,000 deliveries a second.
    assert hour.messages == 2 * 1_000_000 + 3600 * 110_000
    assert hour.messages_usd == pytest.approx(398.0)
    assert hour.usd == pytest.approx(402.8)
    assert hour.machine_hours == 63
    acknowledged = scaled(replace(QUIET, receive_qos=1)).hour
    assert acknowledged.messages == hour.messages + 3600 * 100_000


def test_spreads_differ_in_what_a_post_reaches() -> None:
    found = {each.spread: each for each in scaled(Scenario(clients=500, rooms=50)).spreads}
    # r · Σ sₖ²: 500 people at 0.1 posts/s, as `docs/loadtest.md` of the shared notes has them.
    assert found["even"].deliveries == pytest.approx(500)
    assert found["zipf"].deliveries == pytest.approx(2_007, abs=5)
    assert found["one"].deliveries == pytest.approx(25_000)
    assert (found["one"].rooms, found["one"].fullest_room) == (1, 500)
    assert found["one"].busiest_connection == pytest.approx(50.1)
    assert [each.chosen for each in found.values()] == [False, True, False]
    only = scaled(Scenario(clients=500, spread=Spread.ONE)).spreads
    assert [(each.rooms, each.chosen) for each in only] == [(50, False), (50, False), (1, True)]


def test_the_order_of_asking_is_the_order_of_breaking() -> None:
    found = scaled(replace(QUIET, identities=5_000)).raises
    assert [(each.code, each.needed, each.desired) for each in found] == [
        ("L-FE4EDCF9", pytest.approx(100_000), 130_000),
        ("L-75CAB723", pytest.approx(1_000_000), 1_300_000),
        ("L-AEA1E176", pytest.approx(1_000_000 / 1_800), 700),
        ("L-589D5E1D", pytest.approx(1_000_000 / 1_800), 700),
    ]
    assert found[0].times == pytest.approx(6.5)
    fresh = scaled(QUIET).raises
    assert {each.code: each.needed for each in fresh}["L-5AE9F13D"] == pytest.approx(1_000_000 / 1_800)
    assert (fresh[0].code, fresh[0].service, fresh[0].desired) == ("L-A38ADA84", "cognito-identity", 700)
    assert fresh[0].command is not None
    assert shlex.split(fresh[0].command) == [
        *("aws", "service-quotas", "request-service-quota-increase", "--region", "eu-west-1"),
        *("--service-code", "cognito-identity", "--quota-code", "L-A38ADA84", "--desired-value", "700"),
    ]


@pytest.mark.parametrize(
    ("clients", "codes"),
    [
        (10_000, []),  # 100/s in and 1,000/s out; in within 500 s
        (36_000, []),  # GetId: 20/s for half an hour
        (37_000, ["L-A38ADA84"]),
        (100_000, ["L-A38ADA84"]),  # 10,000/s out
    ],
)
def test_fewer_guests_need_less(clients: int, codes: list[str]) -> None:
    scenario = replace(QUIET, clients=clients, duration_s=600.0)
    assert [each.code for each in scaled(scenario).raises] == codes


def test_quotas_that_were_raised_need_not_be_raised() -> None:
    asked = {"L-FE4EDCF9": "publishes_out", "L-75CAB723": "connections", "L-A38ADA84": "identities"}
    asked |= {"L-5AE9F13D": "credentials", "L-AEA1E176": "connects", "L-589D5E1D": "subscriptions"}
    granted = {asked[each.code]: each.desired for each in scaled(QUIET).raises}
    raised = AccountQuotas.of_account(granted)
    found = scaled(QUIET, raised)
    assert not found.raises
    assert found.join_s <= 1_800
    assert not preflight(QUIET, raised.rates(), raised, prices=Prices()).refusals


def test_what_cannot_be_raised_says_what_to_change_and_that_then_fits() -> None:
    crowded = Scenario(clients=10_000)
    found = scaled(crowded)
    limit = found.limits[0]
    assert (limit.code, limit.needed, limit.held) == ("L-083F3861", pytest.approx(133.7), False)
    assert limit.change == "fewer posts (--rate 0.059) or smaller rooms (--spread even --rooms 13)"
    assert scaled(replace(crowded, posts_per_s=0.059)).limits[0].held
    assert scaled(replace(crowded, spread=Spread.EVEN, rooms=13)).limits[0].held
    assert scaled(replace(crowded, spread=Spread.EVEN, rooms=12)).limits[0].needed > 80
    assert found.fitting.rate_for_account == 0.0054
    assert not scaled(replace(crowded, posts_per_s=0.0054)).raises
    assert found.fitting.rooms_for_account == 625
    assert not scaled(replace(crowded, spread=Spread.EVEN, rooms=625)).raises


def test_large_messages_can_be_made_smaller() -> None:
    large = Scenario(clients=300, rooms=3, total_posts_per_s=30.0, message_bytes=100_000)
    limit = scaled(large).limits[1]
    assert (limit.code, limit.held) == ("L-D9C66F9D", False)
    size = int(limit.change.split("--size ")[1].split(")")[0])
    kept = scaled(replace(large, message_bytes=size)).limits[1]
    assert 0.79 * 512 < kept.needed <= 0.8 * 512
    assert "--total-rate" in limit.change


def test_the_peak_counts_and_a_storm_does_too() -> None:
    spiky = replace(QUIET, clients=20_000, shape=Shape.SPIKE, spike_factor=10.0)
    assert scaled(spiky).raises[0].needed == pytest.approx(20_000)
    storm = replace(QUIET, clients=20_000, storm_share=0.5, storm_back_s=10.0)
    assert {each.code: each.needed for each in scaled(storm).raises}["L-AEA1E176"] == pytest.approx(1_000)


def test_the_local_stack_is_held_against_awss_defaults() -> None:
    found = scaled(QUIET, AccountQuotas.of_local_stack("protocol"))
    assert found.quotas.connections == 500_000
    assert "defaults" in found.quotas.source
    assert found.raises == scaled(QUIET).raises


def test_more_than_service_quotas_takes_is_not_asked_for() -> None:
    huge = Scenario(clients=5_000_000, spread=Spread.ONE, total_posts_per_s=1_000_000.0)
    found = scaled(huge)
    assert found.raises[0].command is None
    lines = list(scale_lines(found))
    assert any("more than Service Quotas" in line for line in lines)
    assert all(len(line) <= 79 for line in lines)


def test_few_identities_keep_few_processes_busy() -> None:
    notes = scaled(replace(QUIET, identities=100)).notes
    assert any("100 identities" in note and "--identities 500" in note for note in notes)
    assert any("front" in note for note in notes)
    assert not scaled(Scenario(clients=100)).notes


def test_nobody_posts_and_nothing_is_divided_by_nothing() -> None:
    for scenario in (Scenario(clients=1, posts_per_s=0.0), Scenario(clients=7, silent_share=1.0), Scenario(clients=1)):
        found = scaled(scenario)
        assert all(limit.held for limit in found.limits)
        assert list(scale_lines(found))


SCENARIOS = st.builds(
    Scenario,
    clients=st.integers(1, 50_000),
    spread=st.sampled_from(list(Spread)),
    posts_per_s=st.floats(0, 4),
    message_bytes=st.integers(256, 100_000),
    silent_share=st.floats(0, 1),
    churn_per_minute=st.floats(0, 60),
    storm_share=st.floats(0, 1),
    shape=st.sampled_from(list(Shape)),
    duration_s=st.floats(1, 80_000),
)


@given(SCENARIOS)
@settings(max_examples=150, deadline=None)
def test_any_scenario_has_a_plan_that_fits_80_columns_and_json(scenario: Scenario) -> None:
    found = scaled(scenario)
    assert all(len(line) <= 79 for line in scale_lines(found))
    assert json.loads(json.dumps(found.document(), allow_nan=False))["slowest"] == found.slowest
    assert [each.times for each in found.raises] == sorted((each.times for each in found.raises), reverse=True)
    for each in found.raises:
        assert 0.8 * each.desired >= each.needed * (1 - 1e-9)


@given(SCENARIOS, st.integers(1, 50_000))
@settings(max_examples=100, deadline=None)
def test_more_guests_never_join_sooner_or_need_fewer_raises_to_join(scenario: Scenario, more: int) -> None:
    fewer, larger = scaled(scenario), scaled(replace(scenario, clients=scenario.clients + more))
    before, after = seconds(fewer), seconds(larger)
    assert all(before[name] <= after[name] for name in before if name != "the generator")
    assert fewer.sizing.by_clients <= larger.sizing.by_clients
    assert fewer.sizing.source_addresses <= larger.sizing.source_addresses


@given(SCENARIOS)
@settings(max_examples=100, deadline=None)
def test_what_is_said_to_fit_fits(scenario: Scenario) -> None:
    fits = scaled(scenario).fitting
    if fits.rate_for_connection is not None:
        slower = scaled(replace(scenario, posts_per_s=fits.rate_for_connection))
        assert all(limit.needed <= 0.8 * limit.most * (1 + 1e-9) for limit in slower.limits[:2])
    if fits.rooms_for_connection is not None:
        spread = scaled(replace(scenario, spread=Spread.EVEN, rooms=fits.rooms_for_connection))
        assert all(limit.needed <= 0.8 * limit.most * (1 + 1e-9) for limit in spread.limits[:2])
    if fits.rate_for_account is not None:
        assert not {"L-4B33E451", "L-FE4EDCF9"} & {
            each.code for each in scaled(replace(scenario, posts_per_s=fits.rate_for_account)).raises
        }


@given(st.floats(1e-9, 1e13))
def test_two_figures_up_and_down(value: float) -> None:
    up, down = rounded_up(value), rounded_down(value)
    assert down <= value * (1 + 1e-8)
    assert up >= value * (1 - 1e-8)
    assert up - down <= 0.11 * value
    assert rounded_up(up) == up
    assert rounded_down(down) == down


def test_rates_are_written_as_options_take_them() -> None:
    assert [plain(value) for value in (0.0000014, 0.059, 12.0, 1_300_000.0)] == ["0.0000014", "0.059", "12", "1300000"]


def keys_of(document: object) -> set[str]:
    if isinstance(document, dict):
        return set(document).union(*(keys_of(value) for value in document.values()))
    if isinstance(document, list | tuple):
        return set[str]().union(*(keys_of(value) for value in document))
    return set()


def test_every_key_of_the_document_is_documented() -> None:
    words = set(re.findall(r"[a-z_]+", DOCS.read_text(encoding="utf-8")))
    scenario = Scenario(clients=1_000_000)
    assert keys_of(scaled(scenario).document()) <= words
    assert keys_of(preflight(scenario, AWS.rates(), AWS, prices=Prices()).document()) <= words


def test_what_the_documentation_says_in_words_is_what_its_tables_say() -> None:
    text = " ".join(DOCS.read_text(encoding="utf-8").split())
    found = scaled(replace(QUIET, identities=5_000))
    assert f"{found.sizing.machines} of them for the hour above" in text
    assert (
        f"a million use {found.sizing.processes} processes and some {found.sizing.cpu_cores:.0f} cores' worth" in text
    )
    assert f"need {scaled(QUIET).renewals_per_s:.0f} GetCredentialsForIdentity a second" in text
    assert f"A silent million costs ${found.hour.connectivity_usd:.2f} an hour" in text
    assert f"need a NAT with {found.sizing.source_addresses}" in text


def test_a_rate_that_fits_exactly_asks_for_no_raise() -> None:
    """0.00064 posts/s of 5,000 people in one room are 16,000 deliveries/s, and a little more in binary fractions."""
    scenario = Scenario(clients=5000, spread=Spread.ONE, posts_per_s=0.00064)
    assert scenario.offered_deliveries_per_s > 16_000.0
    assert not {"L-4B33E451", "L-FE4EDCF9"} & {each.code for each in scaled(scenario).raises}
