"""The HTML report of a load test in Chromium, on a phone and on a desk: what is wide scrolls in its own box."""

import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from chatops.render.report_html import report_page
from tests.browser.conftest import SWITCHES

LONG = "/chat/" + "x" * 240
LATENCY = {"p50": 1.5, "p90": 12.3, "p99": 12_345.6, "p999": 123_456.7, "p9999": 123_456.7, "max": 123_456.7}
SIDEWAYS = """() => [...document.querySelectorAll('body *')].filter(each => !each.closest('.scroll') &&
    each.getBoundingClientRect().right > innerWidth + 0.5).map(each => each.outerHTML.slice(0, 80))"""
LINES = """selector => [...document.querySelectorAll(selector)].map(each => {
    const range = document.createRange(); range.selectNodeContents(each);
    return new Set([...range.getClientRects()].map(box => Math.round(box.top))).size })"""
TEXT_PX = """() => [...document.querySelectorAll('svg text')].filter(each => each.getBoundingClientRect().height)
    .map(each => parseFloat(getComputedStyle(each).fontSize) * each.ownerSVGElement.getScreenCTM().a)"""
APART = """() => [...document.querySelectorAll('svg[role=img]')].every(chart => {
    const boxes = [...chart.querySelectorAll('text.mid')].map(each => each.getBoundingClientRect())
        .filter(box => box.width).sort((a, b) => a.left - b.left);
    return boxes.every((box, index) => !index || boxes[index - 1].right <= box.left) })"""


def document() -> dict[str, Any]:
    """A run with large figures, and with names and reasons that are longer than a phone is wide."""
    counts = dict.fromkeys(("expected", "received", "lost", "duplicate", "reordered", "late"), 12_345_678)
    rooms = [f"/chat/load-1234abcd-{room:04}" for room in range(30)]
    return {
        "run": "1234abcd",
        "verdict": "not valid",
        "reasons": [f"the generator was busy on {LONG}"],
        "warnings": [LONG],
        "clients": {"asked": 100_000, "joined": 99_999, "failed": 1},
        "join": {
            "seconds": 123.4,
            "probes": 20,
            "stages_ms": {"identity": LATENCY, "connect": LATENCY, "first_message": LATENCY},
            "connect_parts_ms": {"transport": LATENCY, "upgrade": LATENCY, "connack": LATENCY},
        },
        "posts": dict.fromkeys(("due", "sent", "acknowledged", "failed"), 1_234_567),
        "deliveries": counts,
        "latency_ms": {"delivery": LATENCY, "delivery_from_send": LATENCY},
        "cost_usd": {"predicted": 1234.5, "metered": 1234.5},
        "generator": {"cpu": 0.9, "lag_ms_p99": 12.0, "slip_ms_p99": 12.0, "rss_mb": 12_345.0, "queue_max": 1_234_567},
        "thresholds": [{"expression": "delivery_from_send.p9999>250ms", "measured": 123_456.7, "held": False}],
        "failures": {"join": {f"connect: {LONG}": 12}},
        "scenario": {"clients": 100_000, "phases": [{"name": LONG}]},
        "environment": {"name": "production", "gateway": f"{'g' * 60}.iot.eu-west-1.amazonaws.com", "region": "eu"},
        "rooms": [{"room": room, "people": 100, **counts} for room in (*rooms, LONG)],
        "timeline": [
            {"second": second, "p50": 0.5 + second, "p99": 100.0 * second, "max": 9_000.0}
            | {"deliveries": 40_000 + second, "due": 100, "failed": 1}
            for second in range(60)
        ],
    }


@pytest.fixture(scope="module")
def chromium() -> Generator[Browser]:
    executable = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if executable is None:
        pytest.fail("there is no Chromium: apt-get install chromium", pytrace=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(SWITCHES))
        yield browser
        browser.close()


def opened(chromium: Browser, tmp_path: Path, width: int) -> Page:
    path = tmp_path / "report.html"
    path.write_text(report_page(document()), encoding="utf-8")
    page = chromium.new_page(viewport={"width": width, "height": 900})
    page.goto(path.as_uri())
    page.evaluate("() => document.querySelectorAll('details').forEach(each => each.open = true)")
    return page


@pytest.mark.parametrize("width", [420, 1100])
def test_nothing_but_wide_tables_scrolls_sideways(chromium: Browser, tmp_path: Path, width: int) -> None:
    page = opened(chromium, tmp_path, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(SIDEWAYS) == []
    wide = page.locator(".scroll", has=page.get_by_text("reordered", exact=True))
    if width == 420:
        assert wide.evaluate("box => { box.scrollLeft = 9999; return box.scrollLeft }") > 0
    assert wide.evaluate("box => getComputedStyle(box).overflowX") == "auto"
    page.close()


@pytest.mark.parametrize("width", [420, 1100])
def test_names_and_figures_are_not_broken_and_charts_can_be_read(chromium: Browser, tmp_path: Path, width: int) -> None:
    page = opened(chromium, tmp_path, width)
    assert set(page.evaluate(LINES, "th")) <= {0, 1}
    assert set(page.evaluate(LINES, "td.n")) <= {0, 1}
    assert page.locator("td.n", has_text="/chat/load-1234abcd-0000").count() == 1
    assert min(page.evaluate(TEXT_PX)) >= 9
    assert page.evaluate(APART)
    page.close()
