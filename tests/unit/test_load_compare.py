"""Comparing runs: intervals where there are repeats, rules that fail only on what is certain; exports."""

import csv
import io
import math
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatops.errors import UsageError
from chatops.load.compare import FIGURES, compare, parse_rule
from chatops.load.export import as_csv, as_junit
from chatops.render.output import Output
from chatops.render.report import comparison_lines, number


def a_run(p99: float, lost: int = 0, verdict: str = "valid", **scenario: Any) -> dict[str, Any]:
    return {
        "run": "12345678",
        "verdict": verdict,
        "latency_ms": {"delivery": {"p50": p99 / 10, "p90": p99 / 2, "p99": p99, "p999": p99, "max": p99}},
        "deliveries": {"received": 1000, "lost": lost, "duplicate": 0, "reordered": 0},
        "scenario": {"clients": 10, **scenario},
    }


def changes(found: Any) -> dict[str, Any]:
    return {change.figure: change for change in found.changes}


def test_single_runs_get_no_interval() -> None:
    found = compare([a_run(100.0)], [a_run(120.0)], [parse_rule("p99+10%"), parse_rule("p99+25%")])
    change = changes(found)["p99"]
    assert (change.difference, change.percent, change.certain) == (20.0, 20.0, None)
    assert found.broken == ("p99+10%",)


def test_repeats_get_welchs_interval() -> None:
    found = compare([a_run(x) for x in (100.0, 102.0, 98.0)], [a_run(x) for x in (120.0, 122.0, 118.0)])
    change = changes(found)["p99"]
    # Standard error sqrt(4/3 + 4/3), 4 degrees of freedom: t = 2.776.
    assert change.low == pytest.approx(20 - 2.776 * math.sqrt(8 / 3))
    assert change.high == pytest.approx(20 + 2.776 * math.sqrt(8 / 3))
    assert change.certain


def test_a_rule_does_not_fail_on_what_may_be_chance() -> None:
    before = [a_run(x) for x in (100.0, 200.0)]
    after = [a_run(x) for x in (120.0, 220.0)]
    assert compare(before, after, [parse_rule("p99+1%")]).broken == ()
    sure = compare([a_run(100.0), a_run(100.0)], [a_run(120.0), a_run(120.0)], [parse_rule("p99+1%")])
    assert sure.broken == ("p99+1%",)


def test_figures_can_fall_and_be_absolute() -> None:
    before, after = [a_run(100.0, lost=0)], [a_run(90.0, lost=3)]
    rules = [parse_rule(text) for text in ("p99-5%", "p99-15%", "lost+2", "lost+3", "p99+1ms")]
    assert compare(before, after, rules).broken == ("p99-5%", "lost+2")


def test_a_rule_on_what_was_not_measured_is_broken() -> None:
    assert compare([a_run(1.0)], [a_run(1.0)], [parse_rule("join.p99+1%")]).broken == ("join.p99+1%",)


def test_what_differs_between_the_scenarios_is_said() -> None:
    assert compare([a_run(1.0)], [a_run(1.0, clients=20)]).scenario_differs == ("clients: 10 and 20",)


def test_a_run_that_is_not_valid_is_no_baseline() -> None:
    with pytest.raises(UsageError):
        compare([a_run(1.0, verdict="not valid")], [a_run(1.0)])


@pytest.mark.parametrize("text", ["", "p99", "p98+1%", "p99+", "p99+x%", "p99*2", "p99+-1%"])
def test_rules_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_rule(text)


@given(st.lists(st.floats(1, 1e4), min_size=2, max_size=40), st.lists(st.floats(1, 1e4), min_size=2, max_size=40))
def test_an_interval_holds_the_difference(one: list[float], two: list[float]) -> None:
    change = changes(compare([a_run(x) for x in one], [a_run(x) for x in two]))["p99"]
    assert change.low is not None
    assert change.high is not None
    assert change.low <= change.difference + 1e-6
    assert change.high >= change.difference - 1e-6
    assert set(changes(compare([a_run(1.0)], [a_run(1.0)]))) <= set(FIGURES)


FIGURE = st.one_of(st.integers(0, 10**12), st.floats(0, 1e9))


@given(st.lists(FIGURE, min_size=1, max_size=3), st.lists(FIGURE, min_size=1, max_size=3), st.text(max_size=200))
def test_a_comparison_fits_80_columns(one: list[float], two: list[float], text: str) -> None:
    lost = 10_215_000
    found = compare([a_run(x, lost, note=text) for x in one], [a_run(x, 0) for x in two])
    assert [line for line in comparison_lines(Output(), found) if len(line) > 80] == []


def test_a_comparison_writes_counts_whole_and_says_what_may_be_chance_once() -> None:
    before = [a_run(100.0, lost=10_215), a_run(120.0, lost=10_217)]
    lines = list(comparison_lines(Output(), compare(before, [a_run(105.0, lost=10_220), a_run(118.0, lost=10_260)])))
    words = {line[:20].strip(): line[20:].split() for line in lines}
    assert words["lost"][:2] == ["10,216", "10,240"]
    assert words["delivery p99, ms"][-1] == "?"
    assert words["received"] == ["1,000", "1,000", "same"]
    assert lines[-1] == "? may be chance: the interval holds 0"
    same = list(comparison_lines(Output(), compare(before, before)))
    assert not any("+0" in line for line in same)
    assert [line.split()[-1] for line in same if line.startswith("received")] == ["same"]
    assert not any("?" in line for line in comparison_lines(Output(), compare([a_run(1.0)] * 2, [a_run(2.0)] * 2)))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "0"),
        (0.00004, "0.00004"),
        (0.0078, "0.0078"),
        (12.345678, "12.35"),
        (999.96, "1000"),
        (1234.5, "1,234"),
        (10_215, "10,215"),
        (2_345_678, "2.346M"),
        (10**12, "1e+12"),
    ],
)
def test_figures_are_written_as_elsewhere(value: float, words: str) -> None:
    assert number(value) == words


def test_csv_holds_numbers_alone() -> None:
    row = {"second": 0, "due": 5, "sent": 5, "acknowledged": "=1+1", "p50": None, "p99": 1.5}
    lines = list(csv.reader(io.StringIO(as_csv({"timeline": [row]}))))
    assert lines[0][-3:] == ["p50_ms", "p99_ms", "max_ms"]
    assert lines[1] == ["0", "5", "5", "", "", "", "", "1.5", ""]


@given(st.text(max_size=40), st.text(max_size=40))
def test_junit_can_be_read_whatever_the_run_says(name: str, reason: str) -> None:
    thresholds = [{"expression": name, "measured": None, "held": False}]
    suite = ET.fromstring(  # noqa: S314  (our own, and that it can be parsed is the point)
        as_junit({"run": name, "verdict": "partial", "reasons": [reason], "thresholds": thresholds})
    )
    assert (suite.get("tests"), suite.get("failures")) == ("2", "2")
