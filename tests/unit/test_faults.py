"""Injected faults: the same seed, the same fate; shares that add up; held deliveries that come after all."""

import heapq
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatops.local.faults import THROTTLES, FaultError, Faults, FaultSettings


class Clock:
    """Time that passes when told to, and what is due then."""

    def __init__(self) -> None:
        self.now = 100.0
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def __call__(self) -> float:
        return self.now

    def later(self, delay: float, function: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (self.now + delay, next(self._numbers), function))

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self._timers and self._timers[0][0] <= end:
            self.now, _, function = heapq.heappop(self._timers)
            function()
        self.now = end


class Receiver:
    def __init__(self, faults: Faults) -> None:
        self.got: list[int] = []
        self._faults = faults

    def take(self, number: int, sender: object = "ada", topic: str = "/chat/a") -> bool:
        def send() -> bool:
            self.got.append(number)
            return True

        return self._faults.deliver(self, sender, topic, send)


def made(clock: Clock, **changes: Any) -> tuple[Faults, Receiver]:
    faults = Faults(clock.later, clock=clock)
    faults.change(FaultSettings().changed(changes))
    return faults, Receiver(faults)


def test_without_faults_everything_passes_at_once() -> None:
    faults, receiver = made(Clock())
    assert all(receiver.take(number) for number in range(100))
    assert receiver.got == list(range(100))
    assert not faults.counts


def test_a_share_is_dropped_and_counted_and_the_same_seed_drops_the_same() -> None:
    runs = []
    for seed in (7, 7, 8):
        faults, receiver = made(Clock(), drop_deliveries=0.01, seed=seed)
        for number in range(20_000):
            receiver.take(number)
        assert faults.counts["dropped"] == 20_000 - len(receiver.got)
        assert 140 <= faults.counts["dropped"] <= 260  # five standard deviations around 200
        runs.append(receiver.got)
    assert runs[0] == runs[1] != runs[2]


def test_kinds_of_faults_do_not_disturb_each_other() -> None:
    alone_faults, alone = made(Clock(), drop_deliveries=0.1)
    both_faults, both = made(Clock(), drop_deliveries=0.1, duplicate=0.3)
    for number in range(2000):
        alone.take(number)
        both.take(number)
    assert sorted(set(both.got)) == alone.got
    assert both_faults.counts["dropped"] == alone_faults.counts["dropped"]
    assert len(both.got) == len(alone.got) + both_faults.counts["duplicated"]


def test_a_delay_keeps_the_order_and_is_as_long_as_asked() -> None:
    clock = Clock()
    _, receiver = made(clock, delay_s=0.05)
    receiver.take(1)
    clock.advance(0.02)
    receiver.take(2)
    clock.advance(0.029)
    assert receiver.got == []
    clock.advance(0.002)
    assert receiver.got == [1]
    clock.advance(0.02)
    assert receiver.got == [1, 2]


def test_what_was_delayed_still_comes_when_faults_end_and_nothing_overtakes_it() -> None:
    clock = Clock()
    faults, receiver = made(clock, delay_s=1.0)
    receiver.take(1)
    faults.change(FaultSettings())
    clock.advance(2.0)
    receiver.take(2)
    clock.advance(1.0)
    assert receiver.got == [1, 2]


def test_a_reordered_delivery_is_overtaken_by_its_senders_next_alone() -> None:
    clock = Clock()
    faults, receiver = made(clock, reorder=1.0)
    receiver.take(1, "ada")
    receiver.take(2, "bob")
    receiver.take(3, "ada")
    assert receiver.got == [3, 1]
    assert faults.counts["reordered"] == 2
    clock.advance(10.0)
    assert receiver.got == [3, 1, 2]  # nothing more came from bob: his waits no longer than that


def test_reserved_topics_are_left_alone() -> None:
    _, receiver = made(Clock(), drop_deliveries=1.0)
    assert receiver.take(1, topic="$aws/events/presence/connected/x")
    assert not receiver.take(2)
    assert receiver.got == [1]


def test_outbound_publishes_are_throttled_by_the_second() -> None:
    clock = Clock()
    faults, receiver = made(clock, throttle={"publishes-out": 10})
    assert faults.settings.on_deliveries
    for number in range(30):
        receiver.take(number)
    assert receiver.got == list(range(10))
    assert faults.counts["throttled"] == 20
    clock.advance(0.5)
    for number in range(30, 60):
        receiver.take(number)
    assert len(receiver.got) == 15


@given(
    drop=st.floats(0, 1), duplicate=st.floats(0, 1), reorder=st.floats(0, 1), delay=st.floats(0, 1), seed=st.integers()
)
def test_every_delivery_comes_as_often_as_the_counts_say(
    drop: float, duplicate: float, reorder: float, delay: float, seed: int
) -> None:
    clock = Clock()
    faults, receiver = made(
        clock, drop_deliveries=drop, duplicate=duplicate, reorder=reorder, delay_s=delay, seed=seed % 2**63
    )
    for number in range(60):
        receiver.take(number)
        clock.advance(0.01)
    clock.advance(20.0)
    assert len(set(receiver.got)) == 60 - faults.counts["dropped"]
    assert len(receiver.got) <= 60 - faults.counts["dropped"] + faults.counts["duplicated"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("drop_deliveries", 1.5),
        ("drop_deliveries", -0.1),
        ("duplicate", "1%"),
        ("reorder", True),
        ("reorder", float("nan")),
        ("delay_s", 61),
        ("refuse_connects", None),
        ("request_status", 200),
        ("request_status", 500.0),
        ("seed", 2**64),
        ("seed", "x"),
        ("throttle", ["publishes-in"]),
        ("throttle", {"posts": 1}),
        ("throttle", {"connects": 0}),
        ("throttle", {"connects": "fast"}),
        ("explode", 1),
    ],
)
def test_a_fault_that_cannot_be_is_refused(name: str, value: object) -> None:
    with pytest.raises(FaultError):
        FaultSettings().changed({name: value})


def test_throttles_add_up_and_settings_describe_themselves() -> None:
    settings = FaultSettings().changed({"throttle": {"connects": 5}, "delay_s": 0.05})
    settings = settings.changed({"throttle": {"publishes-in": 50.0}})
    assert settings.rates == {"connects": 5.0, "publishes-in": 50.0}
    assert settings.document() == {"delay_s": 0.05, "seed": 1, "throttle": settings.rates}
    assert all(FaultSettings().changed({"throttle": {name: 1}}).throttle for name in THROTTLES)
