"""What was throttled: counts by the minute on the local stack, and what a run missed beside them."""

from typing import Any
from urllib.parse import parse_qs

import pytest

from chatops.load.books import NO_ANSWER
from chatops.load.throttling import counterparts
from chatops.local.throttles import Throttled, Throttles, put_metric_data


def test_counts_are_kept_by_the_minute_and_taken_once() -> None:
    now = [1_000_000_019.0]
    throttles = Throttles(lambda: now[0])
    for _ in range(3):
        throttles.count(Throttled.PUBLISH_OUT)
    now[0] += 60
    throttles.count(Throttled.PUBLISH_OUT)
    throttles.count(Throttled.CONNECT)
    taken = throttles.take()
    assert taken == [
        (Throttled.PUBLISH_OUT, 999_999_960, 3),
        (Throttled.PUBLISH_OUT, 1_000_000_020, 1),
        (Throttled.CONNECT, 1_000_000_020, 1),
    ]
    assert throttles.take() == []
    fields = parse_qs(put_metric_data(taken).decode())
    assert fields["Action"] == ["PutMetricData"]
    assert fields["MetricData.member.1.MetricName"] == ["PublishOut.Throttle"]
    assert fields["MetricData.member.1.Timestamp"] == ["2001-09-09T01:46:00Z"]
    assert fields["MetricData.member.3.Value"] == ["1"]


def test_counts_do_not_grow_for_ever() -> None:
    now = [0.0]
    throttles = Throttles(lambda: now[0])
    for minute in range(10_000):
        now[0] = 60.0 * minute
        throttles.count(Throttled.SUBSCRIBE)
    taken = throttles.take()
    assert len(taken) <= 4 * 24 * 60
    assert taken[-1] == (Throttled.SUBSCRIBE, 9_999 * 60, 1)


def a_run(**failures: dict[str, int]) -> dict[str, Any]:
    phases = {"warm_up": {"deliveries": {"lost": 2}}, "steady": {"deliveries": {"lost": 5}}}
    return {"failures": failures, "phases": phases}


def test_what_a_run_missed_stands_beside_what_aws_throttled() -> None:
    document = a_run(
        join={
            "connect: timed out": 3,
            "connect: QUOTA_EXCEEDED (0x97)": 1,
            "subscribe: timed out": 2,
            "identity: X": 9,
        },
        post={NO_ANSWER: 7, "sender not connected": 4},
    )
    found = counterparts(document, connects=4, subscriptions=1, publishes_in=8, publishes_out=70)
    assert [(each.name, each.throttled, each.missed) for each in found] == [
        ("connects", 4, 4),
        ("subscriptions", 1, 2),
        ("posts", 8, 7),
        ("deliveries", 70, 7),
    ]


@pytest.mark.parametrize(
    "document",
    [{}, {"failures": {}, "phases": {"x": {}}}, a_run(join={"connect: x": "many"})],  # type: ignore[dict-item]
)
def test_a_document_that_is_no_runs_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        counterparts(document, connects=0, subscriptions=0, publishes_in=0, publishes_out=0)
