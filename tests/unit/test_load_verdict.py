"""What a run is worth when it covers less than was asked for, or nothing at all."""

from collections import Counter

import pytest

from chatops.load.generator import Health, Verdict, judge
from chatops.load.joining import Joining
from chatops.load.scenario import Scenario
from chatops.load.summary import _failing, _nothing, _unplanned
from chatops.load.tally import Tally
from chatops.load.totals import Totals

HEALTHY = Health(cpu=0.1, lag_ms_p99=1.0, slip_ms_p99=1.0, rss_mb=50.0, in_window=None)


def unplanned(lost: int, **wishes: float) -> list[str]:
    totals = Totals(disconnects=Counter({"gone": lost}), joining=Joining(joined=100))
    return _unplanned(Scenario(clients=100, **wishes), totals)  # type: ignore[arg-type]


def test_connections_lost_against_the_plan_make_a_run_partial() -> None:
    assert unplanned(0) == unplanned(1) == []
    assert unplanned(50) == ["50 connections of 100 guests were lost during the run"]
    assert judge(HEALTHY, partial=tuple(unplanned(50))).verdict is Verdict.PARTIAL


@pytest.mark.parametrize("wishes", [{"churn_per_minute": 1.0}, {"storm_share": 0.5}])
def test_connections_that_were_to_be_lost_do_not(wishes: dict[str, float]) -> None:
    assert unplanned(50, **wishes) == []


def test_a_run_that_measured_nothing_is_not_valid_and_says_so() -> None:
    scenario = Scenario(clients=1)
    nothing = _nothing(scenario, Tally())
    assert nothing is not None
    assert "raise --rate or --duration" in nothing
    judged = judge(HEALTHY, nothing=nothing)
    assert (judged.verdict, judged.reasons) == (Verdict.NOT_VALID, (nothing,))
    unanswered = _nothing(scenario, Tally(due=7, sent=7, failed=7))
    assert unanswered is not None
    assert "none of 7 posts was acknowledged" in unanswered


def test_a_run_that_only_connects_may_measure_no_posts() -> None:
    assert _nothing(Scenario(clients=5, posts_per_s=0), Tally()) is None
    assert _nothing(Scenario(clients=5), Tally(due=1, acknowledged=1, expected=1)) is None


def test_posts_that_failed_are_warned_of_since_nobody_is_owed_them() -> None:
    totals = Totals(post_failures=Counter({"no acknowledgement": 90, "sender not connected": 9}))
    assert _failing(totals, Tally(due=1000, failed=10)) == []
    assert _failing(totals, Tally()) == []
    (warning,) = _failing(totals, Tally(due=1000, failed=79))
    assert warning.startswith("79 of 1,000 posts failed (mostly: no acknowledgement)")


def test_a_run_without_a_window_does_not_judge_its_generator() -> None:
    judged = judge(None, partial=("interrupted",))
    assert (judged.verdict, judged.reasons, judged.warnings) == (Verdict.PARTIAL, ("interrupted",), ())
