"""The rule that says whether the generator was the bottleneck."""

from dataclasses import replace

import pytest

from chatops.load.generator import Health, Verdict, judge, peak_rss_mb

HEALTHY = Health(cpu=0.3, lag_ms_p99=1.0, slip_ms_p99=1.0, rss_mb=80.0, in_window=1.0)


def test_a_healthy_generator_measures_validly() -> None:
    found = judge(HEALTHY)
    assert (found.verdict, found.reasons, found.warnings) == (Verdict.VALID, (), ())


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"cpu": 0.86}, "core"),
        ({"slip_ms_p99": 20.1}, "late"),
        ({"in_window": 0.96}, "draining"),
    ],
)
def test_a_busy_generator_is_not_valid_and_says_what_to_change(change: dict[str, float], word: str) -> None:
    found = judge(replace(HEALTHY, **change))
    assert found.verdict is Verdict.NOT_VALID
    assert word in found.reasons[0]


@pytest.mark.parametrize("change", [{"cpu": 0.61}, {"lag_ms_p99": 5.1}])
def test_a_lively_generator_is_warned_of(change: dict[str, float]) -> None:
    found = judge(replace(HEALTHY, **change))
    assert found.verdict is Verdict.VALID
    assert len(found.warnings) == 1


@pytest.mark.parametrize(
    "change", [{"cpu": 0.60}, {"cpu": 0.59, "lag_ms_p99": 5.0}, {"slip_ms_p99": 20.0}, {"in_window": 0.97}]
)
def test_the_limits_themselves_still_hold(change: dict[str, float]) -> None:
    found = judge(replace(HEALTHY, **change))
    assert found.verdict is Verdict.VALID
    assert found.warnings == ()


def test_deliveries_that_never_came_are_loss_and_not_the_generators_delay() -> None:
    assert judge(replace(HEALTHY, in_window=0.5), lost=10).verdict is Verdict.VALID


def test_without_deliveries_there_is_no_share_to_judge() -> None:
    assert judge(replace(HEALTHY, in_window=None)).verdict is Verdict.VALID


def test_a_part_of_a_run_is_partial_unless_it_is_not_valid_at_all() -> None:
    partial = judge(HEALTHY, partial=("interrupted",))
    assert (partial.verdict, partial.reasons) == (Verdict.PARTIAL, ("interrupted",))
    worse = judge(replace(HEALTHY, cpu=2.0), partial=("interrupted",))
    assert worse.verdict is Verdict.NOT_VALID
    assert worse.reasons[-1] == "interrupted"


def test_memory_is_in_mebibytes() -> None:
    assert 5 < peak_rss_mb() < 50_000


def test_a_generator_that_others_starve_is_not_valid_however_little_cpu_it_used() -> None:
    starved = replace(HEALTHY, cpu=0.08, lag_ms_p99=12.4, slip_ms_p99=8.6)
    judged = judge(starved)
    assert judged.verdict is Verdict.NOT_VALID
    assert "free the machine" in judged.reasons[0]
    near = judge(replace(starved, lag_ms_p99=10.0))
    assert (near.verdict, len(near.warnings)) == (Verdict.VALID, 1)
