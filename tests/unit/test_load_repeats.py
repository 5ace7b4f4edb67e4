"""Repeats of a load test: their spread, and that invalid runs are no part of it."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatops.load.repeats import Repeats
from chatops.render.loadtest_repeat import repeat_line, repeats_lines
from chatops.render.output import Output


def a_run(p99: float | None, *, verdict: str = "valid", seed: int = 1, held: bool = True) -> dict[str, Any]:
    return {
        "run": "12345678",
        "verdict": verdict,
        "reasons": [] if verdict == "valid" else ["\x1b[31mtimers were late"],
        "latency_ms": {"delivery": {"p50": None if p99 is None else p99 / 10, "p99": p99}},
        "deliveries": {"lost": 2},
        "clients": {"joined": 10, "failed": 0},
        "scenario": {"seed": seed},
        "thresholds": [{"expression": "lost>0", "measured": 2.0, "held": held}],
    }


def test_the_spread_of_three_runs_by_hand() -> None:
    found = {spread.figure: spread for spread in Repeats(3, tuple(a_run(x) for x in (10.0, 13.0, 40.0))).spreads}
    p99 = found["p99"]
    assert (p99.runs, p99.median, p99.least, p99.most, p99.mean) == (3, 13.0, 10.0, 40.0, 21.0)
    # standard deviation sqrt((121 + 64 + 361) / 2), two degrees of freedom: t = 4.303
    half = 4.303 * math.sqrt(546 / 2) / math.sqrt(3)
    assert (p99.low, p99.high) == (pytest.approx(21 - half), pytest.approx(21 + half))
    assert (found["lost"].low, found["lost"].high) == (2.0, 2.0)


@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=40))
def test_median_and_mean_lie_between_the_extremes(values: list[float]) -> None:
    (spread,) = (each for each in Repeats(len(values), tuple(map(a_run, values))).spreads if each.figure == "p99")
    assert spread.least <= spread.median <= spread.most
    assert spread.least <= spread.mean * (1 + 1e-9)
    assert spread.mean * (1 - 1e-9) <= spread.most
    assert (spread.low is None) == (len(values) == 1)
    if spread.low is not None and spread.high is not None:
        assert spread.low <= spread.mean <= spread.high


def test_an_invalid_run_is_named_and_not_counted() -> None:
    runs = (a_run(10.0), a_run(900.0, verdict="not valid", seed=2), a_run(None, seed=3))
    found = Repeats(4, runs)
    assert found.counted == (runs[0], runs[2])
    document = found.document()
    assert (document["asked"], document["counted"], len(document["runs"])) == (4, 2, 3)
    assert document["figures"]["p99"]["most"] == 10.0
    assert [run["seed"] for run in document["runs"]] == [1, 2, 3]
    lines = list(repeats_lines(Output(), found))
    assert "counted      2 of 4 runs" in lines
    assert any(line.startswith("not valid") and "timers were late" in line for line in lines)
    assert not any("\x1b" in line for line in lines)


def test_without_any_valid_run_there_are_no_figures() -> None:
    found = Repeats(2, (a_run(1.0, verdict="not valid"),))
    assert found.spreads == ()
    assert list(repeats_lines(Output(), found))[-2].startswith("counted      0 of 2")


def test_lines_fit_80_columns_and_name_what_was_not_kept() -> None:
    found = Repeats(2, (a_run(1_234_567.89, held=False), a_run(2_345_678.9)))
    lines = list(repeats_lines(Output(), found))
    assert all(len(line) <= 80 for line in lines)
    assert lines[-1] == "not kept     lost>0"
    assert len(repeat_line(100, 100, a_run(None, verdict="not valid"))) <= 80
