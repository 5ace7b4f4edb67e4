"""Charts and the live view: whatever the figures, something that can be drawn, and text that stays text."""

import math
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatops.load.progress import Progress, Stage
from chatops.load.scenario import Scenario, Spread
from chatops.render.loadtest import duration, figure, per_second, progress_line, scenario_line, span
from chatops.render.loadtest_live import live_rows
from chatops.render.report_svg import Axis, Series, bar_chart, line_chart

PLAIN = Axis("x", lambda value: f"{value:g}")
LOG = Axis("<y>", lambda value: f"{value:g}", logarithmic=True)
VALUES = st.one_of(st.none(), st.floats(0, 1e9))


def drawn(html: str) -> ET.Element:
    return ET.fromstring(f"<div>{html}</div>")  # noqa: S314  (that it can be parsed is the point)


@given(st.lists(st.tuples(st.floats(0, 1e6), VALUES), max_size=50), st.sampled_from([PLAIN, LOG]), st.text(max_size=20))
def test_any_line_can_be_drawn_within_the_frame(points: list[tuple[float, float | None]], y: Axis, name: str) -> None:
    printable = "".join(character for character in name if character.isprintable())
    found = drawn(line_chart([Series(printable, sorted(points, key=lambda point: point[0]))], PLAIN, y, filled=True))
    for line in found.iter("polyline"):
        for pair in (line.get("points") or "").split():
            x, height = (float(part) for part in pair.split(","))
            assert math.isfinite(x)
            assert -1 <= x <= 721
            assert -1 <= height <= 251


@given(st.lists(st.tuples(st.text(max_size=20), st.floats(0, 1e9), st.text(max_size=20)), max_size=20))
def test_any_bars_can_be_drawn(rows: list[tuple[str, float, str]]) -> None:
    def plain(text: str) -> str:
        return "".join(character for character in text if character.isprintable())

    found = drawn(bar_chart([(plain(name), value, plain(words)) for name, value, words in rows]))
    assert len(list(found.iter("rect"))) == len(rows)


def progress(**changes: object) -> Progress:
    values: dict[str, object] = {
        "stage": Stage.STEADY,
        "elapsed_s": 12.0,
        "joined": 498,
        "join_failed": 2,
        "posts_sent": 600,
        "deliveries": 20_000,
        "posts_per_s": 50.0,
        "deliveries_per_s": 2_000.0,
        "p50_ms": 1.5,
        "p99_ms": 9.0,
        "lost": 3,
        "errors": 1,
        "cost_usd": 0.02,
        "cpu": 0.4,
        "lag_ms_p99": 2.0,
        "queue_max": 1_200,
    }
    return Progress(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("scenario", "line"),
    [
        (
            Scenario(clients=20, rooms=1, duration_s=1.62324, warm_up_s=0, total_posts_per_s=3.69631),
            "20 guests in 1 room (zipf), 3.7 posts/s, 73.9 deliveries/s expected, 1.62 s",
        ),
        (
            Scenario(clients=1, duration_s=7200, posts_per_s=1),
            "1 guest in 1 room (zipf), 1 post/s, 1 delivery/s expected, 2 h 0 min",
        ),
    ],
)
def test_a_scenario_is_said_in_figures_that_matter(scenario: Scenario, line: str) -> None:
    assert scenario_line(scenario) == line


@given(st.integers(1, 1_000_000), st.floats(0.001, 10), st.floats(0.1, 80_000))
def test_a_scenario_is_said_in_80_columns(clients: int, rate: float, seconds: float) -> None:
    scenario = Scenario(clients=clients, spread=Spread.EVEN, posts_per_s=rate / clients, duration_s=seconds)
    assert all(len(line) <= 80 for line in scenario_line(scenario).splitlines())


def test_the_live_view_shows_all_that_matters_and_warns_in_colour() -> None:
    rows = {name: (value, style) for name, value, style in live_rows(progress(), Scenario(clients=500))}
    assert rows["joined"] == ("498 of 500, 2 failed", "red")
    assert rows["lost"] == ("3", "red")
    assert rows["generator"] == ("40% of a core, timers 2.0 ms late at p99, 1,200 in the queue at most", "green")
    assert "p99 9.0 ms" in rows["latency"][0]
    assert "$0.0200" in rows["cost"][0]
    for change, style in (({"cpu": 0.7}, "yellow"), ({"lag_ms_p99": 30.0}, "bold red"), ({"cpu": 0.9}, "bold red")):
        assert live_rows(progress(**change), Scenario(clients=500))[-1][2] == style
    assert live_rows(None, Scenario(clients=5)) == [("phase", "starting", "")]
    assert len(live_rows(progress(stage=Stage.JOINING), Scenario(clients=500))) == 3


def test_a_progress_line_fits_80_columns() -> None:
    assert len(progress_line(progress())) <= 100
    assert len(progress_line(progress(join_failed=0, lost=0))) <= 80


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [(None, "-"), (0.25, "250 µs"), (1.5, "1.5 ms"), (176.4, "176 ms"), (2_000.0, "2000 ms"), (12_345.0, "12.3 s")],
)
def test_durations_are_in_the_unit_that_suits_them(milliseconds: float | None, words: str) -> None:
    assert duration(milliseconds) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0, "0"),
        (0.0324, "0.0324"),
        (18.5, "18.5"),
        (100.4, "100"),
        (9_999_999.0, "9,999,999"),
        (17_170_000.0, "17.17 million"),
        (1_125_338_438.0, "1,125 million"),
        (100e9, "100 billion"),
        (5e12, "5,000 billion"),
    ],
)
def test_figures_have_as_many_digits_as_matter(value: float, words: str) -> None:
    assert figure(value) == words
    assert per_second(max(value, 1000.0)).endswith("/s")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0, "0.0 s"), (119.9, "119.9 s"), (120.0, "2 min"), (7_199.0, "2 h 0 min"), (50_000.0, "13 h 53 min")],
)
def test_spans_have_the_units_that_suit_them(seconds: float, words: str) -> None:
    assert span(seconds) == words
