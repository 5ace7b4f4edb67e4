"""How clients come in, with pretended Cognito and gateway."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from chatops.errors import ChatopsError, ThrottledError
from chatops.load.books import NO_ANSWER, TIMED_OUT
from chatops.load.joining import Joiner, Joining
from chatops.load.pacing import Arrivals
from chatops.load.scenario import Scenario
from chatops.load.statistics import Window
from chatops.load.swarm import OFFLINE, Swarm
from chatops.load.target import Rates
from chatops.mqtt.guests import GuestCredentials
from chatops.mqtt.signing import Keys

SCENARIO = Scenario(clients=6, rooms=2, total_posts_per_s=60.0, arrivals=Arrivals.CONSTANT, join_timeout_s=5.0)


class Vendor:
    """Hands out identities and credentials; every `refuse`-th identity is throttled."""

    def __init__(self, *, refuse: int = 0, expires_at: float = 3600.0) -> None:
        self.asked = 0
        self.given: dict[str, int] = {}
        self.expires_at = expires_at
        self._refuse = refuse

    async def new_identity(self) -> str:
        self.asked += 1
        number = self.asked
        await asyncio.sleep(0)
        if self._refuse and number % self._refuse == 0:
            raise ThrottledError("too fast", "slow down")
        return f"us-east-1:{number:08d}"

    async def credentials(self, identity_id: str) -> GuestCredentials:
        await asyncio.sleep(0)
        count = self.given[identity_id] = self.given.get(identity_id, 0) + 1
        return GuestCredentials(identity_id, f"KEY{count}", "secret", "token", self.expires_at)

    def forget(self, identity_id: str) -> None:
        assert identity_id in self.given


class Connection:
    """A client of a pretended gateway that answers at once, as it is told to."""

    def __init__(
        self, swarm: Swarm, number: int, behaviour: str = "well", keys: Callable[[], Keys] | None = None
    ) -> None:
        self.swarm = swarm
        self.number = number
        self.behaviour = behaviour
        self.keys = keys
        self.stopped = False
        self.published: list[tuple[str, bytes]] = []
        self.done: Callable[[str | None], None] | None = None

    def start(self) -> None:
        match self.behaviour:
            case "refused":
                self.swarm.connect_failed(self.number, "NOT_AUTHORIZED (0x87)")
            case "silent":
                pass
            case _:
                self.swarm.connected(self.number)

    def stop(self) -> None:
        if not self.stopped:
            self.stopped = True
            self.swarm.stopped(self.number)

    def subscribe(self, topic: str, qos: int, done: Callable[[str | None], None]) -> None:
        assert topic.startswith("/chat/load-")
        done("QUOTA_EXCEEDED (0x97)" if self.behaviour == "unsubscribed" else None)

    def publish(self, topic: str, payload: bytes, done: Callable[[str | None], None]) -> None:
        self.published.append((topic, payload))
        self.done = done
        if self.behaviour == "deaf":
            raise RuntimeError("no")


class World:
    """A swarm, its connections and its joiner."""

    def __init__(
        self, scenario: Scenario, vendor: Vendor, behaviours: dict[int, str], rates: Rates, clock_s: float
    ) -> None:
        self.swarm = Swarm(scenario, "0123abcd", asyncio.get_running_loop())
        self.connections: dict[int, Connection] = {}
        self.stop = asyncio.Event()
        self._behaviours = behaviours
        self.joiner = Joiner(
            self.swarm,
            vendor,
            self._make,
            rates,
            calls_at_once=2,
            stop=self.stop,
            clock=lambda: clock_s,
        )

    def _make(self, number: int, client_id: str, keys: Callable[[], Keys]) -> Connection:
        made = Connection(self.swarm, number, self._behaviours.get(number, "well"), keys)
        self.connections[number] = made
        return made


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until the condition holds."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  (what is waited for happens on other threads too)
            await asyncio.sleep(0.001)


def joined(
    *,
    scenario: Scenario = SCENARIO,
    vendor: Vendor | None = None,
    behaviours: dict[int, str] | None = None,
    rates: Rates | None = None,
    clock_s: float = 0.0,
    then: Callable[[World], Awaitable[None]] | None = None,
) -> Joining:
    async def body() -> Joining:
        world = World(scenario, vendor or Vendor(), behaviours or {}, rates or Rates(), clock_s)
        await world.joiner.join(range(scenario.clients))
        if then is not None:
            await then(world)
        await world.swarm.stop_posting()
        assert await world.swarm.leave(5.0) == 0
        return world.joiner.joining

    return asyncio.run(body())


def test_all_join_and_each_stage_is_timed() -> None:
    joining = joined()
    assert (joining.joined, joining.failed) == (6, 0)
    assert len(set(joining.identities)) == 6
    assert {stage: found.count for stage, found in joining.stages.items()} == {
        "identity": 6,
        "credentials": 6,
        "connect": 6,
        "subscribe": 6,
    }
    assert joining.whole.count == 6


def test_failures_are_counted_by_stage_and_cause_and_the_others_join() -> None:
    errors: list[ChatopsError | None] = []

    async def then(world: World) -> None:
        errors.append(world.joiner.first_error)

    joining = joined(vendor=Vendor(refuse=3), behaviours={0: "refused", 1: "unsubscribed"}, then=then)
    assert joining.joined == 6 - 2 - 2
    assert joining.failures == {
        "identity: Throttled": 2,
        "connect: NOT_AUTHORIZED (0x87)": 1,
        "subscribe: QUOTA_EXCEEDED (0x97)": 1,
    }
    assert len(joining.identities) == 4
    assert isinstance(errors[0], ThrottledError)


def test_a_client_that_never_gets_an_answer_fails_in_time() -> None:
    scenario = Scenario(clients=2, rooms=1, join_timeout_s=1.0)

    async def body() -> Joining:
        world = World(scenario, Vendor(), {1: "silent"}, Rates(), 0.0)
        await world.joiner.join(range(2))
        assert world.connections[1].stopped
        await world.swarm.leave(5.0)
        return world.joiner.joining

    assert asyncio.run(body()).failures == {"connect: no answer in time": 1}


def test_stopping_ends_a_slow_joining() -> None:
    async def body() -> tuple[int, int]:
        world = World(SCENARIO, Vendor(), {}, Rates(identities_per_s=0.01), 0.0)
        task = asyncio.create_task(world.joiner.join(range(6)))
        await until(lambda: world.joiner.joining.joined > 0)
        world.stop.set()
        await task
        await world.swarm.leave(5.0)
        return world.joiner.joining.joined, world.joiner.joining.failed

    came, failed = asyncio.run(body())
    assert 1 <= came < 6
    assert failed == 0


def test_credentials_are_replaced_before_they_expire_and_reconnects_sign_with_them() -> None:
    vendor = Vendor(expires_at=1_000.0)

    async def then(world: World) -> None:
        keys = world.connections[0].keys
        assert keys is not None
        assert keys().access_key_id == "KEY1"
        task = asyncio.create_task(world.joiner.keep_fresh(every_s=0.0))
        await until(lambda: keys().access_key_id != "KEY1")
        task.cancel()

    joined(vendor=vendor, clock_s=900.0, then=then)
    assert sum(vendor.given.values()) > 6


def test_guests_who_share_an_identity_share_its_new_credentials() -> None:
    vendor = Vendor(expires_at=1_000.0)

    async def then(world: World) -> None:
        vendor.expires_at = 5_000.0
        task = asyncio.create_task(world.joiner.keep_fresh(every_s=0.0))
        for client in range(6):
            keys = world.connections[client].keys
            assert keys is not None
            await until(lambda keys=keys: keys().access_key_id == "KEY2")
        task.cancel()

    joined(scenario=replace(SCENARIO, identities=2), vendor=vendor, clock_s=900.0, then=then)
    assert list(vendor.given.values()) == [2, 2]


def test_credentials_that_expired_while_waiting_to_connect_are_replaced_first() -> None:
    class Hourly(Vendor):
        async def credentials(self, identity_id: str) -> GuestCredentials:
            given = await super().credentials(identity_id)
            self.expires_at = 3_600.0
            return given

    vendor = Hourly(expires_at=100.0)

    async def then(world: World) -> None:
        keys = [connection.keys for connection in world.connections.values()]
        assert [made is not None and made().access_key_id for made in keys] == ["KEY2"] * 6

    joining = joined(scenario=replace(SCENARIO, identities=1), vendor=vendor, clock_s=90.0, then=then)
    assert (joining.joined, joining.failed) == (6, 0)
    assert list(vendor.given.values()) == [2]


def test_who_cannot_get_credentials_anew_does_not_join_and_is_counted() -> None:
    class Once(Vendor):
        async def credentials(self, identity_id: str) -> GuestCredentials:
            if identity_id in self.given:
                raise ThrottledError("too fast", "slow down")
            return await super().credentials(identity_id)

    joining = joined(vendor=Once(expires_at=100.0), clock_s=90.0)
    assert (joining.joined, joining.failures) == (0, {"credentials: expired": 6})
    assert joining.refresh_failures == {"Throttled": 6}


def test_fresh_credentials_are_left_alone() -> None:
    vendor = Vendor(expires_at=3_600.0)

    async def then(world: World) -> None:
        task = asyncio.create_task(world.joiner.keep_fresh(every_s=0.0))
        for _ in range(20):
            await asyncio.sleep(0)
        task.cancel()

    joined(vendor=vendor, clock_s=0.0, then=then)
    assert set(vendor.given.values()) == {1}


async def posted(world: World, senders: list[int]) -> None:
    """Post once for each of these, at once, and enter it."""
    start_ns = time.monotonic_ns() - round(SCENARIO.warm_up_s * 1e9)
    world.swarm.start_posting(iter([(SCENARIO.warm_up_s, sender) for sender in senders]), start_ns)
    await until(lambda: not world.swarm.posting())
    world.swarm.books.enter()


def test_a_post_is_entered_before_its_answer_and_its_deliveries() -> None:
    async def then(world: World) -> None:
        swarm = world.swarm
        await posted(world, [0])
        topic, payload = world.connections[0].published[0]
        done = world.connections[0].done
        assert done is not None
        done(None)
        room = swarm.scenario.room_of[0]
        members = [client for client in range(6) if swarm.scenario.room_of[client] == room]
        for client in members:
            swarm.books.arrivals.append((client, topic, payload, time.monotonic_ns()))
        while swarm.books.enter(1):
            pass
        assert not swarm.books.under_way()
        counts = swarm.books.ledger.total(Window.STEADY)
        assert (counts.due, counts.sent, counts.acknowledged, counts.received) == (1, 1, 1, len(members))

    joined(then=then)


def test_posts_of_the_disconnected_and_refused_posts_have_failed_by_cause() -> None:
    async def then(world: World) -> None:
        swarm = world.swarm
        swarm.disconnected(1, "KEEP_ALIVE_TIMEOUT (0x8D)")
        await asyncio.sleep(0)
        await posted(world, [0, 1, 2, 4, 5])
        for number, cause in ((0, "QUOTA_EXCEEDED (0x97)"), (4, TIMED_OUT)):
            done = world.connections[number].done
            assert done is not None
            done(cause)
        swarm.books.enter()
        swarm.books.close(time.monotonic_ns())
        assert swarm.disconnects == {"KEEP_ALIVE_TIMEOUT (0x8D)": 1}
        assert swarm.books.post_failures == {OFFLINE: 1, "QUOTA_EXCEEDED (0x97)": 1, "RuntimeError": 1, NO_ANSWER: 2}
        counts = swarm.books.ledger.total(Window.STEADY)
        assert (counts.due, counts.sent, counts.failed, counts.acknowledged) == (5, 4, 5, 0)
        assert sum(row.failed for row in swarm.books.statistics.rows.values()) == 5

    joined(behaviours={2: "deaf"}, then=then)


def test_a_client_that_comes_back_subscribes_again_and_is_owed_posts_again() -> None:
    async def then(world: World) -> None:
        swarm = world.swarm
        before = swarm.subscribes
        swarm.disconnected(3, "lost")
        swarm.connected(3)
        for _ in range(5):
            await asyncio.sleep(0)
        assert swarm.subscribes == before + 1
        room = next(room for room in swarm.books.ledger.rooms if 3 in room.members)
        assert room.confirmed == len(room.members)
        assert len(room.periods[room.members.index(3)]) == 2

    joined(then=then)


@pytest.mark.parametrize("quiet", [0.0, 0.5])
def test_only_those_who_joined_and_speak_post(quiet: float) -> None:
    scenario = Scenario(clients=6, rooms=2, silent_share=quiet)

    async def then(world: World) -> None:
        posters = world.swarm.joined_posters()
        assert 0 not in posters
        assert set(posters) == set(scenario.posters) - {0}

    joined(scenario=scenario, behaviours={0: "refused"}, then=then)
