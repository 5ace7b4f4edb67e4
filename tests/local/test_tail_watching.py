"""A watcher against the real stack: whatever happens to its connection, it goes on, or says why not."""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chatops.aws.iam import put_inline_policy
from chatops.chat.policy import guest_policy
from chatops.environment import Environment
from chatops.errors import NotAuthorisedError
from chatops.local.broker import Message
from chatops.local.stack import Quotas
from chatops.mqtt.connection import Delivery, connect
from chatops.mqtt.inbox import INBOX_LIMIT
from chatops.mqtt.login import Login, log_in
from chatops.mqtt.watching import Arrived, Connected, Event, Lost, Overrun, Timing, watch
from tests.local.harness import RunningStack, running_stack

WAIT_S = 30.0
LOBBY = "/chat/lobby"
QUICK = Timing(shortest=0.0, first_delay=0.05, longest_delay=0.2)
ACCOUNT = "123456789012"


@dataclasses.dataclass
class Watched:
    """A watcher in the background, and all it has said."""

    events: list[Event]
    logins: list[Login]
    task: "asyncio.Task[None]"

    @property
    def payloads(self) -> list[bytes]:
        return [each.payload for event in self.events if isinstance(event, Arrived) for each in event.deliveries]

    def of(self, kind: type) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition():
                if self.task.done():
                    self.task.result()
                await asyncio.sleep(0.01)


@asynccontextmanager
async def watching(
    chat: Environment,
    directory: Path,
    *,
    timing: Timing = QUICK,
    filters: Sequence[str] = (LOBBY,),
    change: Callable[[Login], Login] = lambda login: login,
    slow: Callable[[], Awaitable[None]] | None = None,
) -> AsyncGenerator[Watched]:
    events: list[Event] = []
    logins: list[Login] = []

    async def login() -> Login:
        logins.append(change(await log_in(chat, {}, directory)))
        return logins[-1]

    async def run() -> None:
        async with contextlib.aclosing(watch(login, filters, timing=timing)) as source:
            async for event in source:
                events.append(event)
                if slow is not None:
                    await slow()

    watched = Watched(events, logins, asyncio.create_task(run()))
    try:
        await watched.until(lambda: watched.of(Connected))
        yield watched
    finally:
        watched.task.cancel()
        with contextlib.suppress(asyncio.CancelledError, NotAuthorisedError):
            await watched.task


def say(stack: RunningStack, *payloads: bytes, topic: str = LOBBY) -> None:
    def publish() -> None:
        for payload in payloads:
            stack.stack.broker.publish(Message(topic, payload, 0))

    stack.call(publish)


def test_the_gateway_goes_and_comes_back_and_the_gap_names_the_outage(
    stack: RunningStack, chat: Environment, tmp_path: Path
) -> None:
    async def scenario() -> None:
        gateway = stack.stack.gateway
        port = gateway.port
        async with watching(chat, tmp_path) as watched:
            say(stack, b"before")
            await watched.until(lambda: watched.payloads == [b"before"])
            began = time.time()
            await asyncio.to_thread(stack.run, gateway.stop())
            await watched.until(lambda: watched.of(Lost))
            await asyncio.sleep(0.5)
            back = time.time()
            await asyncio.to_thread(stack.run, gateway.start(port=port))
            await watched.until(lambda: len(watched.of(Connected)) == 2)
            say(stack, b"after")
            await watched.until(lambda: watched.payloads == [b"before", b"after"])
            gap = watched.events[-2].gap if isinstance(watched.events[-2], Connected) else None
            assert gap is not None
            assert gap.until is not None
            assert gap.since.timestamp() < began + 0.5
            assert gap.until.timestamp() >= back
            assert gap.reason

    asyncio.run(scenario())


def test_expired_credentials_are_no_obstacle_to_connecting_again(
    stack: RunningStack, chat: Environment, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with watching(chat, tmp_path) as watched:
            client_id = watched.logins[0].client_id
            stack.call(stack.stack.credentials.expire_guests)
            stack.call(lambda: stack.stack.broker.disconnect_client(client_id))
            await watched.until(lambda: len(watched.of(Connected)) == 2)
            assert watched.logins[-1].keys.access_key_id != watched.logins[0].keys.access_key_id
            say(stack, b"again")
            await watched.until(lambda: watched.payloads == [b"again"])

    asyncio.run(scenario())


def test_a_connection_is_replaced_before_its_credentials_expire_without_gap_or_repetition(
    stack: RunningStack, chat: Environment, tmp_path: Path
) -> None:
    lifetime_s = 1.2

    def short(login: Login) -> Login:
        return dataclasses.replace(login, keys=dataclasses.replace(login.keys, expires_at=time.time() + lifetime_s))  # type: ignore[type-var]

    async def scenario() -> None:
        timing = dataclasses.replace(QUICK, overlap=0.2)
        async with watching(chat, tmp_path, timing=timing, change=short) as watched:
            posted: list[bytes] = []
            async with asyncio.timeout(WAIT_S):
                while len(watched.of(Connected)) < 3:
                    # Below AWS's quota of 100 a second and connection, which the stack enforces.
                    posted.append(f"{len(posted)} of many".encode())
                    say(stack, posted[-1])
                    await asyncio.sleep(0.015)
            await watched.until(lambda: len(watched.payloads) >= len(posted))
            assert watched.payloads == posted
            assert all(isinstance(event, Connected) and event.gap is None for event in watched.of(Connected))
            assert not watched.of(Lost)
            assert len({login.client_id for login in watched.logins}) == len(watched.logins)

    asyncio.run(scenario())


def test_somebody_takes_the_session_over_and_the_watcher_goes_on_under_another_name(
    stack: RunningStack, chat: Environment, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with watching(chat, tmp_path) as watched:
            victim = watched.logins[0]
            await asyncio.sleep(1.1)  # AWS takes one CONNECT a second of a client id
            async with connect(victim.address, victim.region, victim.keys, victim.client_id):
                await watched.until(lambda: len(watched.of(Connected)) == 2)
                lost = watched.of(Lost)[0]
                assert isinstance(lost, Lost)
                assert "taken over" in lost.reason
                assert watched.logins[-1].client_id != victim.client_id
                say(stack, b"still here")
                await watched.until(lambda: b"still here" in watched.payloads)

    asyncio.run(scenario())


def test_the_gateway_closes_a_connection_that_has_lived_24_hours(
    stack: RunningStack, chat: Environment, tmp_path: Path
) -> None:
    async def scenario() -> None:
        timing = dataclasses.replace(QUICK, longest=0.3, overlap=0.1)
        async with watching(chat, tmp_path, timing=timing) as watched:
            await watched.until(lambda: len(watched.of(Connected)) >= 3)
            assert not watched.of(Lost)

    asyncio.run(scenario())


@pytest.mark.parametrize("cut", [True, False], ids=["found when it connects again", "found while it is connected"])
def test_a_change_of_policy_is_said_and_why(
    stack: RunningStack,
    chat: Environment,
    tmp_path: Path,
    cut: bool,  # noqa: FBT001
) -> None:
    aws, role, policy = stack.aws(), chat.managed["role"], chat.managed["policy"]
    allowed = guest_policy(region=chat.region, account=ACCOUNT, prefix="/chat/")
    denied = {**allowed, "Statement": allowed["Statement"][:2]}  # nobody may subscribe any more

    async def scenario() -> None:
        timing = QUICK if cut else dataclasses.replace(QUICK, check=0.2)
        async with watching(chat, tmp_path, timing=timing) as watched:
            say(stack, b"before")
            await watched.until(lambda: watched.payloads == [b"before"])
            await asyncio.to_thread(put_inline_policy, aws, role, policy, denied)
            if cut:
                stack.call(lambda: stack.stack.broker.disconnect_client(watched.logins[0].client_id))
            with pytest.raises(NotAuthorisedError) as refused:
                await watched.until(lambda: False)
            assert LOBBY in refused.value.problem
            assert watched.of(Lost)

    try:
        asyncio.run(scenario())
    finally:
        put_inline_policy(aws, role, policy, allowed)


def test_asking_for_permission_again_shows_nothing_twice(
    stack: RunningStack, chat: Environment, tmp_path: Path
) -> None:
    room = "/chat/retained"
    stack.call(lambda: stack.stack.broker.publish(Message(room, b"kept", 0, retain=True)))

    async def scenario() -> None:
        timing = dataclasses.replace(QUICK, check=0.1)
        async with watching(chat, tmp_path, timing=timing, filters=[room]) as watched:
            for number in range(30):
                say(stack, str(number).encode(), topic=room)
                await asyncio.sleep(0.02)
            await watched.until(lambda: len(watched.payloads) >= 31)
            assert watched.payloads == [b"kept", *(str(number).encode() for number in range(30))]
            assert len(watched.of(Connected)) == 1

    asyncio.run(scenario())


def missed(watched: Watched) -> int:
    return sum(event.gap.missed or 0 for event in watched.events if isinstance(event, Overrun))


def test_a_flood_that_is_too_fast_is_cut_off_and_counted(tmp_path: Path) -> None:
    flood = INBOX_LIMIT + 15_000

    async def scenario(stack: RunningStack, chat: Environment) -> None:
        gate = asyncio.Event()

        async def wait() -> None:
            await gate.wait()

        async with watching(chat, tmp_path, slow=wait) as watched:
            for start in range(0, flood, 500):
                batch = [str(number).encode() for number in range(start, min(start + 500, flood))]
                await asyncio.to_thread(say, stack, *batch)
            await asyncio.sleep(0.5)
            gate.set()
            await watched.until(lambda: len(watched.payloads) + missed(watched) == flood)
            assert missed(watched) > 0
            assert len(watched.payloads) >= INBOX_LIMIT
            say(stack, b"last")
            await watched.until(lambda: watched.payloads[-1] == b"last")

    with running_stack(tmp_path, quotas=Quotas.NONE) as stack:
        asyncio.run(scenario(stack, stack.set_up(tmp_path / "env")))


def test_a_delivery_is_a_value() -> None:
    assert Delivery("/chat/lobby", b"x", retain=False) == Delivery("/chat/lobby", b"x", retain=False)
