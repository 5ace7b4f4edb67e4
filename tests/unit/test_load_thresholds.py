"""Thresholds: what can be written, what it means, and that a bad run keeps none."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatops.errors import UsageError
from chatops.load.thresholds import LEAST_SAMPLES, Limit, broken_meanwhile, judge, metrics, parse

DOCUMENT: dict[str, Any] = {
    "verdict": "valid",
    "clients": {"asked": 200, "joined": 197, "failed": 3},
    "posts": {"due": 1000, "sent": 1000, "acknowledged": 990, "failed": 10},
    "deliveries": {"expected": 10_000, "received": 9_900, "lost": 100, "late": 0, "duplicate": 4, "reordered": 0},
    "latency_ms": {"delivery": {"p50": 4.0, "p90": 9.0, "p99": 260.5, "p999": 300.0, "max": 310.0}},
    "failures": {"disconnect": {"KEEP_ALIVE (0x8D)": 2, "reset": 1}},
    "cost_usd": {"predicted": 0.5, "metered": 0.6},
    "join": {"seconds": 1.25},
}


@pytest.mark.parametrize(
    ("expression", "measured", "held"),
    [
        ("delivery.p99>250ms", 260.5, False),
        ("delivery.p99 > 0.3s", 260.5, True),
        ("delivery.p50>3999us", 4.0, False),
        ("delivery.p50>4", 4.0, True),
        ("delivery.p50>=4ms", 4.0, False),
        ("lost>0", 100, False),
        ("lost>1%", 1.0, True),
        ("lost>0.5%", 1.0, False),
        ("join.failed>1%", 1.5, False),
        ("joined<98%", 98.5, True),
        ("joined<=197", 197, False),
        ("duplicate>4", 4, True),
        ("posts.failed>=1%", 1.0, False),
        ("disconnects>2", 3, False),
        ("cost>$0.55", 0.6, False),
        ("join.seconds>2s", 1.25, True),
        ("ack.p99>1000ms", None, False),
    ],
)
def test_a_threshold_fails_when_it_comes_true_or_was_never_measured(
    expression: str,
    measured: float | None,
    held: bool,  # noqa: FBT001  (a column of the table)
) -> None:
    (found,) = judge([parse(expression)], DOCUMENT)
    assert (found.expression, found.measured, found.held) == (expression, measured, held)


def test_a_run_that_is_not_valid_keeps_nothing() -> None:
    (found,) = judge([parse("lost>50%")], {**DOCUMENT, "verdict": "not valid"})
    assert not found.held


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("", "cannot be read"),
        ("delivery.p99", "cannot be read"),
        ("delivery.p99>", "cannot be read"),
        ("delivery.p99=250", "cannot be read"),
        ("delivery.p99>-5ms", "cannot be read"),
        ("delivery.p99>nan", "cannot be read"),
        ("delivery.p99>250MB", "cannot be read"),
        ("delivery.p99>250h", "in 'h'"),
        ("delivery.p98>250ms", "delivery.p98"),
        ("deliverry.p99>250ms", "deliverry.p99"),
        ("lost>1ms", "counts in 'ms'"),
        ("cost>1%", "unit '%'"),
        ("a" * 10_000 + ">1", "names no figure"),
        ("9" * 10_000, "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(expression: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(expression)
    assert words in caught.value.problem


def test_a_misspelt_figure_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        parse("delivry.p99>1s")
    assert "delivery.p99" in caught.value.remedy


def test_every_figure_can_be_named() -> None:
    assert all(parse(f"{name}>1").metric == name for name in metrics())


def test_only_what_cannot_mend_itself_ends_a_run_early() -> None:
    limits = [parse(text) for text in ("lost>0", "delivery.p99>250ms", "received<1", "ack.p99>1s")]
    broken = [limit.expression for limit in broken_meanwhile(limits, DOCUMENT)]
    assert broken == ["lost>0", "delivery.p99>250ms"]
    few = {**DOCUMENT, "deliveries": {"expected": 200, "received": LEAST_SAMPLES - 1, "lost": 1}}
    assert [limit.expression for limit in broken_meanwhile(limits, few)] == ["lost>0"]


def test_costs_and_joining_are_beyond_mending_before_any_delivery() -> None:
    texts = ("cost>0.01", "join.seconds>3", "join.p99>100ms", "join.failed>0", "delivery.p50>1us")
    early = {
        **DOCUMENT,
        "deliveries": {"expected": 0, "received": 0, "lost": 0},
        "clients": {"asked": 10, "joined": 9, "failed": 1},
        "cost_usd": {"metered": 0.02},
        "join": {"seconds": 3.5},
        "latency_ms": {"join": {"p99": 101.0}, "delivery": {"p50": 4.0}},
    }
    broken = [limit.expression for limit in broken_meanwhile(map(parse, texts), early)]
    assert broken == ["cost>0.01", "join.seconds>3", "join.p99>100ms", "join.failed>0"]


@given(st.text(max_size=60))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    try:
        found = parse(text)
    except UsageError:
        return
    assert isinstance(found, Limit)
    judge([found], DOCUMENT)
    judge([found], {})
