"""Load tests against the real stack: every client its own guest, every delivery accounted for, whatever goes wrong."""

import asyncio
import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from chatops.aws.cognito import delete_identities
from chatops.environment import Environment
from chatops.errors import ChatopsError, ConnectionFailedError, NotAuthorisedError, NotFoundError
from chatops.load.alone import run, run_swarm
from chatops.load.books import Arrival
from chatops.load.generator import Verdict
from chatops.load.message import HEADER_BYTES
from chatops.load.pacing import Arrivals
from chatops.load.progress import Progress, Stage
from chatops.load.result import RunResult
from chatops.load.scenario import Scenario, Spread
from chatops.load.swarm import Client, Swarm
from chatops.load.tally import Kind
from chatops.load.target import Rates, Target
from chatops.mqtt.endpoint import gateway_address
from chatops.mqtt.guests import Guests
from chatops.mqtt.handshake_probe import HandshakeProbe, HandshakeTimes
from chatops.mqtt.signing import Keys
from chatops.mqtt.swarm_client import SwarmNetwork, SwarmOptions
from tests.local.harness import RunningStack

SMALL = Scenario(
    clients=12,
    rooms=3,
    total_posts_per_s=40.0,
    arrivals=Arrivals.CONSTANT,
    warm_up_s=0.25,
    duration_s=1.0,
    drain_limit_s=20.0,
    message_bytes=400,
)


def target_of(stack: RunningStack, chat: Environment) -> Target:
    address = gateway_address(chat.gateway, chat.endpoints["gateway"])
    return Target(address, chat.region, stack.aws_url, chat.identity_pool_id, Rates())


def ignore(_progress: Progress) -> None:
    pass


def load(
    scenario: Scenario,
    target: Target,
    *,
    arrived: Callable[[Arrival, Swarm], None] | None = None,
    wrap: Callable[[int, Client], Client] | None = None,
    events: Callable[[Progress, Swarm], None] | None = None,
    made: Callable[[int, str], None] | None = None,
    stop: asyncio.Event | None = None,
) -> RunResult:
    """One run whose arrivals and connections can be tampered with on their way in."""

    async def body() -> RunResult:
        swarm = Swarm(scenario, secrets.token_hex(4), asyncio.get_running_loop())
        append = swarm.books.arrivals.append
        network = SwarmNetwork(
            target.address,
            target.region,
            arrived=(lambda arrival: arrived(arrival, swarm)) if arrived else append,
            events=swarm,
            options=SwarmOptions(keep_bytes=HEADER_BYTES),
        )

        def make(number: int, client_id: str, keys: Callable[[], Keys]) -> Client:
            if made:
                made(number, client_id)
            client = network.client(number, client_id, keys)
            return wrap(number, client) if wrap else client

        async with Guests(target.cognito_url, target.pool_id) as guests:
            return await run_swarm(
                swarm,
                target,
                guests,
                make,
                events=(lambda progress: events(progress, swarm)) if events else ignore,
                stop=stop or asyncio.Event(),
            )

    return asyncio.run(body())


def test_every_client_is_a_guest_of_its_own_and_nothing_is_lost(stack: RunningStack, chat: Environment) -> None:
    identities: list[str] = []
    stages: list[Stage] = []

    async def discard(made: Sequence[str]) -> int:
        identities.extend(made)
        return await asyncio.to_thread(delete_identities, stack.aws(), made)

    async def body() -> RunResult:
        return await run(
            SMALL,
            target_of(stack, chat),
            events=lambda progress: stages.append(progress.stage),
            stop=asyncio.Event(),
            discard=discard,
        )

    result = asyncio.run(body())
    assert (result.joined, result.join_failed) == (12, 0)
    assert len(set(identities)) == 12
    assert (result.identities.made, result.identities.discarded) == (12, 12)
    counts = result.counts
    assert (counts.due, counts.sent, counts.acknowledged, counts.failed) == (40, 40, 40, 0)
    room_of = SMALL.room_of
    sizes = SMALL.room_sizes
    # At a constant rate each poster's turn is known: 50 posts go round the 12 clients, the first 10 in the warm-up.
    assert counts.expected == sum(sizes[room_of[turn % 12]] for turn in range(10, 50))
    assert counts.received == counts.expected
    assert (counts.lost, counts.duplicate, counts.reordered, counts.ambiguous, counts.unexpected) == (0, 0, 0, 0, 0)
    assert result.differences == ()
    assert result.unstopped == 0
    assert stages[-1] is Stage.LEAVING
    assert sum(room.counts.received for room in result.rooms) == counts.received
    assert sum(second.due for second in result.timeline) == 50


def test_the_document_has_the_keys_that_were_promised(stack: RunningStack, chat: Environment) -> None:
    document = json.loads(json.dumps(load(SMALL, target_of(stack, chat)).document()))
    assert document["clients"] == {"asked": 12, "joined": 12, "failed": 0}
    assert set(document["posts"]) == {"due", "sent", "acknowledged", "failed"}
    assert {"expected", "received", "lost", "duplicate", "reordered"} <= set(document["deliveries"])
    for name in ("join", "ack", "delivery", "delivery_from_send"):
        figures = document["latency_ms"][name]
        assert set(figures) == {"p50", "p90", "p99", "p999", "p9999", "max"}
        assert 0 < figures["p50"] <= figures["p99"] <= figures["max"]
    assert set(document["join"]["stages_ms"]) == {
        "identity",
        "credentials",
        "connect",
        "subscribe",
        "first_message",
    }
    assert document["usage"]["metered"]["messages"] > document["usage"]["metered"]["minutes"] == 12
    assert 0 < document["cost_usd"]["metered"] < 0.01
    assert 0 < document["cost_usd"]["predicted"] < 0.01
    assert {"cpu", "lag_ms_p99", "rss_mb", "queue_max"} <= set(document["generator"])
    assert 0 < document["generator"]["queue_max"] <= document["deliveries"]["received"]
    assert document["verdict"] in {verdict.value for verdict in Verdict}
    assert document["thresholds"] == []
    assert set(document["phases"]) == {"ramp", "warm_up", "steady", "drain"}
    assert document["phases"]["warm_up"]["posts"]["due"] == 10


def test_dropped_duplicated_and_delayed_deliveries_are_reported_as_they_are(
    stack: RunningStack, chat: Environment
) -> None:
    tampered = {"dropped": 0, "doubled": 0, "seen": 0}
    late_ns = 300_000_000

    def tamper(arrival: Arrival, swarm: Swarm) -> None:
        client, topic, head, at_ns = arrival
        tampered["seen"] += 1
        if tampered["seen"] % 10 == 0:
            tampered["dropped"] += 1
            return
        swarm.books.arrivals.append((client, topic, head, at_ns + late_ns))
        if tampered["seen"] % 10 == 5:
            tampered["doubled"] += 1
            swarm.books.arrivals.append((client, topic, head, at_ns + late_ns))

    scenario = replace(SMALL, warm_up_s=0.0, drain_limit_s=0.5)
    result = load(scenario, target_of(stack, chat), arrived=tamper)
    assert result.counts.expected == tampered["seen"]
    assert result.counts.lost == tampered["dropped"] > 0
    assert result.counts.duplicate == tampered["doubled"] > 0
    assert result.counts.received == tampered["seen"] - tampered["dropped"]
    assert [each.kind for each in result.differences].count(Kind.LOST) == tampered["dropped"]
    delivery = result.latency["delivery"]
    assert delivery.count == result.counts.received
    assert delivery.p50 is not None
    assert delivery.p50 > 300


def test_messages_of_strangers_are_counted_as_unexpected_and_not_timed(stack: RunningStack, chat: Environment) -> None:
    def tamper(arrival: Arrival, swarm: Swarm) -> None:
        client, topic, head, at_ns = arrival
        swarm.books.arrivals.append(arrival)
        for strange in (b"", b"hello", b'{"load":"' + b"z" * 60, head[:9] + b"deadbeef" + head[17:], head[:20]):
            swarm.books.arrivals.append((client, topic, strange, at_ns))
        swarm.books.arrivals.append((client, "/chat/elsewhere", head, at_ns))

    result = load(replace(SMALL, warm_up_s=0.0), target_of(stack, chat), arrived=tamper)
    assert result.counts.received == result.counts.expected
    assert result.counts.unexpected == result.counts.received * 6
    assert result.latency["delivery"].count == result.counts.received


def test_a_client_that_cannot_join_is_counted_by_cause_and_the_others_go_on(
    stack: RunningStack, chat: Environment
) -> None:
    class Broken:
        def __init__(self, client: Client) -> None:
            self._client = client

        def start(self) -> None:
            raise ValueError("broken")

        def stop(self) -> None:
            self._client.stop()

        def subscribe(self, topic: str, qos: int, done: Callable[[str | None], None]) -> None:
            raise AssertionError

        def publish(self, topic: str, payload: bytes, done: Callable[[str | None], None]) -> None:
            raise AssertionError

    result = load(
        SMALL,
        target_of(stack, chat),
        wrap=lambda number, client: Broken(client) if number % 4 == 0 else client,
    )
    assert (result.joined, result.join_failed) == (9, 3)
    assert result.failures["join"] == {"connect: ValueError": 3}
    assert result.counts.due == 30
    assert result.counts.received == result.counts.expected > 0
    assert result.counts.lost == 0


def test_a_client_that_is_cut_off_loses_nothing_that_comes_later_and_comes_back(
    stack: RunningStack, chat: Environment
) -> None:
    victim = 3
    cut: list[str] = []
    stop = asyncio.Event()
    identity_of: dict[int, str] = {}
    heard_again: list[Arrival] = []

    def remember(number: int, client_id: str) -> None:
        identity_of[number] = client_id

    def listen(arrival: Arrival, swarm: Swarm) -> None:
        swarm.books.arrivals.append(arrival)
        if arrival[0] == victim and swarm.connects > SMALL.clients:
            heard_again.append(arrival)

    def cut_then_wait(progress: Progress, swarm: Swarm) -> None:
        if progress.stage is Stage.STEADY and not cut:
            assert swarm.connects == SMALL.clients
            cut.append(identity_of[victim])
            assert stack.call(lambda: stack.stack.broker.disconnect_client(identity_of[victim]))
        if len(heard_again) > 3:
            stop.set()

    result = load(
        replace(SMALL, duration_s=600.0),
        target_of(stack, chat),
        arrived=listen,
        made=remember,
        events=cut_then_wait,
        stop=stop,
    )
    assert sum(result.failures["disconnect"].values()) == 1
    assert "ADMINISTRATIVE" in next(iter(result.failures["disconnect"]))
    assert result.counts.lost == result.counts.lost_at_disconnect
    assert result.counts.duplicate == result.counts.unexpected == 0
    acknowledged = {room.topic[-4:]: (room.people, room.counts.acknowledged) for room in result.rooms}
    everybody = sum(people * posts for people, posts in acknowledged.values())
    assert result.counts.expected + result.counts.ambiguous < everybody
    assert result.failures["resubscribe"] == {}


def test_a_run_that_is_stopped_drains_and_says_what_it_covers(stack: RunningStack, chat: Environment) -> None:
    async def body() -> RunResult:
        stop = asyncio.Event()

        def until_steady(progress: Progress) -> None:
            if progress.stage is Stage.STEADY and progress.deliveries > 50:
                stop.set()

        return await run(replace(SMALL, duration_s=600.0), target_of(stack, chat), events=until_steady, stop=stop)

    result = asyncio.run(body())
    assert result.interrupted
    assert result.verdict is not Verdict.VALID
    assert "interrupted" in result.reasons[-1]
    assert result.counts.received == result.counts.expected > 0
    assert result.counts.lost == 0
    assert (result.identities.made, result.identities.discarded) == (12, 0)


def test_a_run_stopped_while_joining_reports_and_posts_nothing(stack: RunningStack, chat: Environment) -> None:
    async def body() -> RunResult:
        stop = asyncio.Event()
        target = replace(target_of(stack, chat), rates=Rates(identities_per_s=2.0))
        return await run(SMALL, target, events=lambda _: stop.set(), stop=stop)

    result = asyncio.run(body())
    assert result.interrupted
    assert result.joined < 12
    assert result.counts.due == 0
    assert result.latency["delivery"].p50 is None


def test_an_unreachable_gateway_a_missing_pool_and_a_refusing_policy_say_so(
    stack: RunningStack, chat: Environment
) -> None:
    target = target_of(stack, chat)
    elsewhere = replace(target, address=replace(target.address, port=1))
    no_pool = replace(target, pool_id="us-east-1:00000000-0000-4000-8000-000000000000")
    wrong_region = replace(target, region="eu-west-3")
    scenario = replace(SMALL, clients=3, rooms=1)
    cases: list[tuple[Target, type[ChatopsError]]] = [
        (elsewhere, ConnectionFailedError),
        (no_pool, NotFoundError),
        (wrong_region, NotAuthorisedError),
    ]
    for wrong, kind in cases:
        with pytest.raises(kind):
            load(scenario, wrong)


def test_a_room_outside_the_policy_fails_at_subscribing(stack: RunningStack, chat: Environment) -> None:
    scenario = replace(SMALL, prefix="/elsewhere/")
    with pytest.raises(ChatopsError) as caught:
        load(scenario, target_of(stack, chat))
    assert "subscribe" in caught.value.problem


def test_identities_are_handed_over_even_when_nobody_joined(stack: RunningStack, chat: Environment) -> None:
    handed: list[str] = []

    async def discard(made: Sequence[str]) -> int:
        handed.extend(made)
        return len(made)

    async def body() -> None:
        target = target_of(stack, chat)
        elsewhere = replace(target, address=replace(target.address, port=1))
        await run(SMALL, elsewhere, events=ignore, stop=asyncio.Event(), discard=discard)

    with pytest.raises(ConnectionFailedError):
        asyncio.run(body())
    assert len(handed) == 12


def test_identities_that_cannot_be_discarded_do_not_cost_the_result(stack: RunningStack, chat: Environment) -> None:
    async def discard(_made: Sequence[str]) -> int:
        raise NotAuthorisedError("You may not delete identities", "ask for cognito-identity:DeleteIdentities")

    async def body() -> RunResult:
        return await run(SMALL, target_of(stack, chat), events=ignore, stop=asyncio.Event(), discard=discard)

    result = asyncio.run(body())
    assert result.identities.problem == "You may not delete identities"
    assert result.counts.received == result.counts.expected > 0


def test_over_tls_and_with_acknowledged_deliveries(stack: RunningStack, chat: Environment) -> None:
    target = target_of(stack, chat)
    address = replace(target.address, port=stack.stack.ports.tls, tls=True, ca_file=str(stack.stack.certificate))
    scenario = replace(SMALL, receive_qos=1, spread=Spread.ONE, rooms=None, total_posts_per_s=10.0)
    result = load(scenario, replace(target, address=address))
    assert result.joined == 12
    assert result.counts.received == result.counts.expected == result.counts.acknowledged * 12 > 0


@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize("direct", [True, False])
def test_deliveries_count_the_same_with_and_without_awscrts_packet_objects(
    stack: RunningStack, chat: Environment, *, direct: bool, qos: int
) -> None:
    """At QoS 1 the gateway lets 100 deliveries at most be unacknowledged: awscrt has to send the PUBACKs."""
    target = target_of(stack, chat)
    scenario = replace(SMALL, clients=3, rooms=1, total_posts_per_s=60.0, duration_s=2.0, receive_qos=qos)

    async def body() -> RunResult:
        swarm = Swarm(scenario, secrets.token_hex(4), asyncio.get_running_loop())
        network = SwarmNetwork(
            target.address,
            target.region,
            arrived=swarm.books.arrivals.append,
            events=swarm,
            options=SwarmOptions(keep_bytes=HEADER_BYTES),
        )
        assert network.direct, "this version of awscrt is not the one that the direct way was written for"
        network.direct = direct
        async with Guests(target.cognito_url, target.pool_id) as guests:
            return await run_swarm(swarm, target, guests, network.client, events=ignore, stop=asyncio.Event())

    counts = asyncio.run(body()).counts
    assert counts.received == counts.expected == 3 * 120
    assert (counts.lost, counts.duplicate, counts.unexpected) == (0, 0, 0)


def test_a_few_connects_are_taken_apart_beside_the_guests_own(stack: RunningStack, chat: Environment) -> None:
    target = target_of(stack, chat)
    address = replace(target.address, port=stack.stack.ports.tls, tls=True, ca_file=str(stack.stack.certificate))
    for each in (target, replace(target, address=address)):

        async def body(where: Target = each) -> RunResult:
            return await run(SMALL, where, events=ignore, stop=asyncio.Event())

        result = asyncio.run(body())
        assert result.joined == result.probes == 12
        document = result.document()
        parts = document["join"]["connect_parts_ms"]
        assert set(parts) == {"transport", "upgrade", "connack"}
        assert all(0 < found["p50"] <= found["max"] < 10_000 for found in parts.values())
        # they neither chat nor count as guests, but AWS would meter their connects
        assert result.counts.received == result.counts.expected > 0
        assert document["usage"]["metered"]["minutes"] == 24


def test_a_gateway_that_lets_nobody_in_has_no_connect_to_take_apart(stack: RunningStack, chat: Environment) -> None:
    target = target_of(stack, chat)

    async def body() -> list[HandshakeTimes | None]:
        async with Guests(target.cognito_url, target.pool_id) as guests:
            keys = await guests.credentials(await guests.new_identity())
        wrong = replace(keys, secret_access_key="x" * 40)
        probe = HandshakeProbe(target.address, target.region)
        nobody = HandshakeProbe(replace(target.address, port=1), target.region)
        found = [await probe(f"{keys.identity_id}-p", keys)]  # the only one that may
        found.append(await probe("somebody-else", keys))  # the policy refuses: CONNACK 0x87
        found.append(await probe(f"{keys.identity_id}-q", wrong))  # HTTP 403
        found.append(await nobody(f"{keys.identity_id}-r", keys))  # nothing listens there
        return found

    first, *others = asyncio.run(body())
    assert first is not None
    assert others == [None, None, None]
