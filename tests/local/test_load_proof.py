"""The load test proved right: faults of known size go in, the same sizes come out.

Latencies asserted here are those of injected faults; nothing asserts that this machine is fast.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from chatops.environment import Environment
from chatops.load.alone import run
from chatops.load.front import Wishes
from chatops.load.generator import Verdict
from chatops.load.message import post_number
from chatops.load.pacing import Arrivals
from chatops.load.progress import Progress, Stage
from chatops.load.recording import DELIVERIES, DIFFERENCES, EVENTS, KINDS, POSTS, read_events
from chatops.load.result import RunResult
from chatops.load.scenario import Scenario, Spread
from chatops.load.swarm import Client, Swarm
from chatops.load.tally import Kind
from chatops.load.target import Rates, Target
from chatops.load.thresholds import parse
from chatops.local.faults import FaultSettings
from chatops.mqtt.connection import connect
from chatops.mqtt.endpoint import gateway_address
from chatops.mqtt.guests import Guests
from tests.local.harness import RunningStack
from tests.local.test_load_engine import load

STEADY = Scenario(
    clients=12,
    rooms=3,
    total_posts_per_s=60.0,
    arrivals=Arrivals.CONSTANT,
    warm_up_s=0.2,
    duration_s=1.5,
    drain_limit_s=1.0,
    message_bytes=400,
)


def target_of(stack: RunningStack, chat: Environment) -> Target:
    address = gateway_address(chat.gateway, chat.endpoints["gateway"])
    return Target(address, chat.region, stack.aws_url, chat.identity_pool_id, Rates())


@pytest.fixture(autouse=True)
def cleared(stack: RunningStack, chat: Environment) -> Generator[None]:
    yield
    stack.call(stack.stack.faults.clear)


def with_faults(stack: RunningStack, **changes: Any) -> None:
    """Put faults in force and count anew."""
    faults = stack.stack.faults
    stack.call(lambda: (faults.faults.counts.clear(), faults.set(FaultSettings().changed(changes))))


def struck(stack: RunningStack) -> Counter[str]:
    return stack.call(lambda: Counter(stack.stack.faults.faults.counts))


def recorded(
    stack: RunningStack,
    chat: Environment,
    folder: Path,
    scenario: Scenario,
    events: Callable[[Progress], None] = lambda _: None,
    **wishes: Any,
) -> RunResult:
    async def body() -> RunResult:
        return await run(
            scenario,
            target_of(stack, chat),
            events=events,
            stop=asyncio.Event(),
            wishes=Wishes(folder=folder, **wishes),
        )

    return asyncio.run(body())


def rows(folder: Path, kind: int, *names: str) -> list[tuple[int, ...]]:
    return [
        row
        for block in read_events(folder / EVENTS)
        if block.kind == kind
        for row in zip(*(block.columns[name] for name in names), strict=True)
    ]


def test_a_delay_of_50_ms_is_measured_as_50_ms(stack: RunningStack, chat: Environment) -> None:
    undisturbed = load(STEADY, target_of(stack, chat)).latency["delivery"]
    with_faults(stack, delay_s=0.05)
    result = load(STEADY, target_of(stack, chat))
    delivery = result.latency["delivery"]
    assert undisturbed.p50 is not None
    assert delivery.p50 is not None
    # What the path takes anyway is part of the figure, and measured in the same minute.
    assert 50 - 2 <= delivery.p50 <= 50 + 2 + 2 * undisturbed.p50
    assert result.counts.received == result.counts.expected > 0
    assert result.latency["ack"].p50 is not None
    assert result.latency["ack"].p50 < delivery.p50  # only deliveries were delayed


def test_dropped_deliveries_are_lost_ones_and_each_is_named(
    stack: RunningStack, chat: Environment, tmp_path: Path
) -> None:
    with_faults(stack, drop_deliveries=0.05, seed=3)
    result = recorded(stack, chat, tmp_path, replace(STEADY, warm_up_s=0.0))
    dropped = struck(stack)["dropped"]
    assert result.counts.lost == dropped > 0
    assert result.counts.received == result.counts.expected - dropped
    room_of = STEADY.room_of
    arrived = set(rows(tmp_path, DELIVERIES, "number", "receiver"))
    owed = {
        (number, receiver)
        for (number,) in rows(tmp_path, POSTS, "number")
        for receiver in range(STEADY.clients)
        if room_of[receiver] == room_of[number >> 24]
    }
    named = rows(tmp_path, DIFFERENCES, "kind", "number", "receiver")
    lost = {(number, receiver) for kind, number, receiver in named if KINDS[kind] is Kind.LOST}
    assert lost == owed - arrived
    assert len(lost) == dropped
    assert {
        (post_number(each.sender, each.sequence), each.receiver)
        for each in result.differences
        if each.kind is Kind.LOST
    } == lost


def test_duplicates_and_reorderings_are_counted_as_often_as_they_happened(
    stack: RunningStack, chat: Environment
) -> None:
    with_faults(stack, duplicate=0.05)
    result = load(replace(STEADY, warm_up_s=0.0), target_of(stack, chat))
    assert result.counts.duplicate == struck(stack)["duplicated"] > 0
    assert (result.counts.lost, result.counts.reordered, result.counts.unexpected) == (0, 0, 0)
    with_faults(stack, reorder=0.05)
    result = load(replace(STEADY, warm_up_s=0.0), target_of(stack, chat))
    # Those that no next post of their sender overtook, at the very end, were still held back when the run ended.
    assert result.counts.reordered > 0
    assert result.counts.reordered + result.counts.lost == struck(stack)["reordered"]
    assert result.counts.duplicate == 0


def test_a_freeze_of_2_s_shows_from_due_and_a_naive_clock_hides_it(stack: RunningStack, chat: Environment) -> None:
    naive: list[float] = []
    frozen = threading.Event()

    async def naive_client(stop: asyncio.Event) -> None:
        """Posts, waits for the answer, writes the time down, goes on: what most tools do."""
        target = target_of(stack, chat)
        async with Guests(target.cognito_url, target.pool_id) as guests:
            found = await guests.credentials(await guests.new_identity())
        async with connect(target.address, chat.region, found, found.identity_id) as chatting:
            while not stop.is_set():
                begun = time.monotonic()
                await chatting.publish("/chat/naive", b"x")
                naive.append(time.monotonic() - begun)
                await asyncio.sleep(0.01)

    def freeze_once(progress: Progress) -> None:
        if progress.stage is Stage.STEADY and not frozen.is_set():
            frozen.set()
            stack.stack.faults._sleep = time.sleep
            asyncio.run_coroutine_threadsafe(_apply(stack, {"freeze": {"seconds": 2.0}}), stack._loop)

    async def body() -> RunResult:
        stop = asyncio.Event()
        beside = asyncio.create_task(naive_client(stop))
        try:
            scenario = replace(STEADY, duration_s=5.0, drain_limit_s=10.0)
            return await run(scenario, target_of(stack, chat), events=freeze_once, stop=asyncio.Event())
        finally:
            stop.set()
            await beside

    result = asyncio.run(body())
    due = result.latency["delivery"]
    assert due.p99 is not None
    assert due.max is not None
    assert 1800 <= due.p99 <= due.max
    assert due.max >= 1950
    assert result.counts.received == result.counts.expected > 0
    assert max(naive) > 1.8  # it met the freeze as well, once
    naive.sort()
    assert naive[int(0.99 * len(naive))] * 1000 < due.p99 / 2


async def _apply(stack: RunningStack, asked: dict[str, Any]) -> None:
    stack.stack.faults.apply(asked)


def test_posts_that_leave_late_show_from_due_not_from_sent_and_make_the_run_invalid(
    stack: RunningStack, chat: Environment
) -> None:
    class Stalling:
        """A client whose library blocks for a while, once: the generator is the bottleneck."""

        def __init__(self, client: Client) -> None:
            self._client = client
            self._posts = 0
            self.start, self.stop, self.drop, self.subscribe = (
                client.start,
                client.stop,
                client.drop,
                client.subscribe,
            )

        def publish(self, topic: str, payload: bytes, done: Callable[[str | None], None]) -> None:
            self._posts += 1
            self._client.publish(topic, payload, done)
            if self._posts == 4:
                time.sleep(1.0)

    result = load(
        replace(STEADY, warm_up_s=0.0),
        target_of(stack, chat),
        wrap=lambda number, client: Stalling(client) if number == STEADY.posters[0] else client,
    )
    due, sent = result.latency["delivery"], result.latency["delivery_from_send"]
    assert due.p99 is not None
    assert due.p90 is not None
    assert sent.p90 is not None
    assert due.p99 > 800
    assert sent.p90 < due.p90 / 2
    assert result.verdict is Verdict.NOT_VALID
    assert any("late at p99" in reason for reason in result.reasons)
    assert result.counts.lost == 0


def test_a_starved_generator_says_so(stack: RunningStack, chat: Environment) -> None:
    def starve(progress: Progress) -> None:
        if progress.stage is Stage.STEADY:
            time.sleep(0.3)  # on the event loop's thread, as any program that hogs it would

    async def body() -> RunResult:
        limits = (parse("delivery.p99>60s"),)
        return await run(
            replace(STEADY, duration_s=1.5),
            target_of(stack, chat),
            events=starve,
            stop=asyncio.Event(),
            wishes=Wishes(limits=limits),
        )

    result = asyncio.run(body())
    assert result.verdict is Verdict.NOT_VALID
    assert any("timers were" in reason for reason in result.reasons)
    assert [threshold.held for threshold in result.thresholds] == [False]


def test_clients_that_were_cut_off_lose_nothing_that_comes_later(
    stack: RunningStack, chat: Environment, tmp_path: Path
) -> None:
    cut = threading.Event()

    def cut_once(progress: Progress) -> None:
        if progress.stage is Stage.STEADY and not cut.is_set():
            cut.set()
            stack.call(stack.stack.cut)

    result = recorded(stack, chat, tmp_path, replace(STEADY, duration_s=3.0), cut_once)
    assert sum(result.failures["disconnect"].values()) == STEADY.clients
    assert result.counts.lost == result.counts.lost_at_disconnect
    assert result.counts.unexpected == 0
    everything = sum(room.people * room.counts.acknowledged for room in result.rooms)
    counts = result.counts
    assert counts.expected + counts.ambiguous + counts.missed == everything
    assert counts.missed > 0


def test_a_threshold_on_losses_ends_the_run_early_and_fails_it(
    stack: RunningStack, chat: Environment, tmp_path: Path
) -> None:
    with_faults(stack, drop_deliveries=1.0)
    limits = (parse("posts.failed>0"), parse("received<1"), parse("disconnects>0"))
    cut = threading.Event()

    def cut_once(progress: Progress) -> None:
        if progress.stage is Stage.STEADY and not cut.is_set():
            cut.set()
            stack.call(stack.stack.cut)

    scenario = replace(STEADY, duration_s=600.0, drain_limit_s=0.5)
    result = recorded(stack, chat, tmp_path, scenario, cut_once, limits=limits, abort=True)
    assert "disconnects>0" in result.aborted
    assert not result.interrupted
    assert result.verdict is not Verdict.VALID
    held = {threshold.expression: threshold.held for threshold in result.thresholds}
    assert not held["received<1"]
    assert not held["disconnects>0"]


def test_people_leave_and_come_back_and_a_storm_is_timed(stack: RunningStack, chat: Environment) -> None:
    scenario = replace(
        STEADY,
        duration_s=2.5,
        churn_per_minute=6.0,
        away_s=1.3,
        storm_share=0.5,
        storm_at_s=1.0,
        storm_back_s=2.0,
    )
    result = load(scenario, target_of(stack, chat))
    found = result.reconnects
    assert found is not None
    assert found.storm_dropped == found.storm_returned
    assert 0 < found.storm_dropped <= 6
    assert found.returned == found.left >= found.storm_dropped
    assert found.storm_back_s is not None
    assert found.storm_back_s >= 1.2
    assert found.took.count == found.returned
    assert result.counts.missed > 0
    assert (result.counts.lost, result.counts.unexpected) == (0, 0)
    assert result.failures["disconnect"] == {}


def test_few_identities_carry_many_connections_and_can_be_used_again(
    stack: RunningStack, chat: Environment, tmp_path: Path
) -> None:
    kept: list[str] = []
    scenario = replace(STEADY, identities=3, duration_s=0.5)
    first = recorded(stack, chat, tmp_path, scenario, keep=kept.extend)
    assert (first.joined, first.identities.made, first.identities.kept) == (12, 3, 3)
    assert first.counts.received == first.counts.expected > 0
    gone = "us-east-1:00000000-0000-4000-8000-000000000000"
    second = recorded(stack, chat, tmp_path, scenario, known=(kept[0], gone, kept[2]), keep=kept.extend)
    assert (second.joined, second.identities.made, second.identities.reused) == (12, 1, 2)


def test_events_are_in_order_of_their_posts_and_hold_every_delivery(
    stack: RunningStack, chat: Environment, tmp_path: Path
) -> None:
    result = recorded(stack, chat, tmp_path, replace(STEADY, warm_up_s=0.0, spread=Spread.EVEN))
    dues = [due for (due,) in rows(tmp_path, POSTS, "due")]
    assert len(dues) == result.counts.due
    assert all(0 <= earlier <= later for earlier, later in pairwise(dues))
    assert len(rows(tmp_path, DELIVERIES, "number")) == result.counts.received
    assert all(at >= 0 for (at,) in rows(tmp_path, DELIVERIES, "at"))


def test_when_credentials_expire_everybody_signs_anew_and_is_back(stack: RunningStack, chat: Environment) -> None:
    expired: list[int] = []

    def events(progress: Progress, _swarm: Swarm) -> None:
        if progress.stage is Stage.STEADY and not expired:
            expired.append(stack.call(stack.stack.credentials.expire_guests))

    scenario = replace(STEADY, duration_s=4.0, expiry_at_s=1.5, expiry_back_s=2.0)
    result = load(scenario, target_of(stack, chat), events=events)
    found = result.reconnects
    assert found is not None
    assert expired
    assert expired[0] >= scenario.clients
    assert (found.expired, found.renewed) == (scenario.clients, scenario.clients)
    assert found.expiry_took.count == scenario.clients
    assert found.expiry_back_s is not None
    assert (result.counts.lost, result.counts.unexpected) == (0, 0)
    assert result.counts.received > 0
