"""Faults on demand, through the control plane and the command line, as clients then meet them."""

import asyncio
import http.client
import json
import os
import secrets
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from chatops.cli.app import run
from chatops.environment import Environment
from chatops.errors import ChatopsError
from chatops.local.record import FAULTS_PATH, StackRecord, environment_directory, fault_token, write_record
from chatops.mqtt.connection import connect
from chatops.mqtt.endpoint import gateway_address
from chatops.mqtt.guests import GuestCredentials, Guests
from tests.local.harness import RunningStack


def call(stack: RunningStack, method: str, asked: Any = None, token: str | None = None) -> tuple[int, dict[str, Any]]:
    """One request for faults, as anyone on this machine could make it."""
    shown = fault_token(stack.stack.operator.secret_access_key) if token is None else token
    connection = http.client.HTTPConnection("127.0.0.1", stack.stack.ports.control, timeout=30)
    try:
        body = asked if isinstance(asked, bytes) else None if asked is None else json.dumps(asked).encode()
        connection.request(method, FAULTS_PATH, body=body, headers={"Authorization": f"Bearer {shown}"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


@pytest.fixture(autouse=True)
def cleared(stack: RunningStack, chat: Environment) -> Generator[None]:
    yield
    assert call(stack, "DELETE")[1]["faults"] == {"seed": 1}


@pytest.fixture
def runtime(stack: RunningStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runtime directory whose record names the test's stack."""
    monkeypatch.setenv("CHATOPS_RUNTIME_DIR", str(tmp_path))
    parts = stack.stack
    write_record(
        tmp_path,
        StackRecord(
            pid=os.getpid(),
            instance=parts.instance,
            version="0",
            started=0.0,
            region=parts.region,
            account="123456789012",
            control_port=parts.ports.control,
            gateway_port=parts.ports.gateway,
            tls_port=parts.ports.tls,
            quotas="protocol",
            certificate=str(parts.certificate),
            access_key_id=parts.operator.access_key_id,
            secret_access_key=parts.operator.secret_access_key,
        ),
    )
    assert environment_directory(tmp_path)
    return tmp_path


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  (what is waited for happens in the stack)
        await asyncio.sleep(0.02)


async def guest(stack: RunningStack, chat: Environment) -> GuestCredentials:
    async with Guests(stack.aws_url, chat.identity_pool_id) as guests:
        return await guests.credentials(await guests.new_identity())


async def deliveries(stack: RunningStack, chat: Environment, count: int, until: int) -> list[str]:
    """Post `count` numbers to a room; returns what comes until `until` deliveries, or half a second without any."""
    found = await guest(stack, chat)
    address = gateway_address(chat.gateway, chat.endpoints["gateway"])
    room = f"/chat/{secrets.token_hex(4)}"
    got: list[str] = []
    async with connect(address, chat.region, found, found.identity_id) as connection:
        await connection.subscribe([room])
        for number in range(count):
            await connection.publish(room, str(number).encode())
        while len(got) < until:
            batch = await connection.next_batch(0.5 if got else 10.0)
            if not batch:
                break
            got += [delivery.payload.decode() for delivery in batch]
    return got


def test_only_who_can_read_the_record_may_break_things(stack: RunningStack) -> None:
    for token in ("", "x" * 64, "ü"):
        status, answer = call(stack, "POST", {"delay_s": 1}, token=token)
        assert (status, "delay" in json.dumps(answer)) == (403, False)
    assert call(stack, "GET")[1] == {"faults": {"seed": 1}, "planned": [], "counts": call(stack, "GET")[1]["counts"]}


@pytest.mark.parametrize(
    "asked",
    [
        b"",
        b"[]",
        b"{",
        b"[" * 10_000,
        b'{"x": "' + b"y" * 20_000 + b'"}',
        {"explode": 1},
        {"delay_s": -1},
        {"delay_s": 1e9},
        {"delay_s": 1, "drop_deliveries": 2},
        {"freeze": {}},
        {"freeze": {"seconds": 61}},
        {"cut": True},
        {"cut": {"after_s": "soon"}},
        {"cut": {"when": 1}},
    ],
)
def test_a_fault_that_cannot_be_changes_nothing(stack: RunningStack, asked: Any) -> None:
    status, answer = call(stack, "POST", asked)
    assert (status, list(answer)) == (400, ["problem"])
    assert call(stack, "GET")[1]["faults"] == {"seed": 1}


def test_dropped_and_doubled_deliveries_are_what_the_stack_says(stack: RunningStack, chat: Environment) -> None:
    before = call(stack, "GET")[1]["counts"]
    status, answer = call(stack, "POST", {"drop_deliveries": 0.3, "duplicate": 0.2, "seed": 5})
    assert (status, answer["faults"]) == (200, {"drop_deliveries": 0.3, "duplicate": 0.2, "seed": 5})
    got = asyncio.run(deliveries(stack, chat, 40, 1000))
    after = call(stack, "GET")[1]["counts"]
    dropped, doubled = (after.get(name, 0) - before.get(name, 0) for name in ("dropped", "duplicated"))
    assert len(set(got)) == 40 - dropped < 40
    assert len(got) == 40 - dropped + doubled > len(set(got))


def test_reordered_deliveries_are_overtaken(stack: RunningStack, chat: Environment) -> None:
    call(stack, "POST", {"reorder": 0.3})
    got = [int(text) for text in asyncio.run(deliveries(stack, chat, 40, 40))]
    assert sorted(got) == list(range(40))
    assert got != sorted(got)


def test_connects_are_refused_with_503_and_cut_connections_are_lost(stack: RunningStack, chat: Environment) -> None:
    async def body() -> None:
        found = await guest(stack, chat)
        address = gateway_address(chat.gateway, chat.endpoints["gateway"])
        call(stack, "POST", {"refuse_connects": 1.0})
        with pytest.raises(ChatopsError):
            async with connect(address, chat.region, found, found.identity_id):
                pass
        call(stack, "DELETE")
        async with connect(address, chat.region, found, found.identity_id):
            assert stack.call(lambda: stack.stack.broker.connection_count) == 1
            before = call(stack, "GET")[1]["counts"].get("cut", 0)
            call(stack, "POST", {"cut": {}})
            await until(lambda: call(stack, "GET")[1]["counts"].get("cut", 0) > before)

    asyncio.run(asyncio.wait_for(body(), 30))


def test_credentials_expire_when_told(stack: RunningStack, chat: Environment) -> None:
    async def body() -> None:
        found = await guest(stack, chat)
        address = gateway_address(chat.gateway, chat.endpoints["gateway"])
        call(stack, "POST", {"expire_credentials": {}})
        await until(lambda: bool(call(stack, "GET")[1]["counts"].get("expired")))
        with pytest.raises(ChatopsError) as caught:
            async with connect(address, chat.region, found, found.identity_id):
                pass
        assert "expired" in caught.value.problem.lower()

    asyncio.run(asyncio.wait_for(body(), 30))


def test_guests_and_posts_are_throttled_as_an_account_is(stack: RunningStack, chat: Environment) -> None:
    call(stack, "POST", {"throttle": {"identities": 0.001, "publishes-in": 5}})
    statuses = []
    connection = http.client.HTTPConnection("127.0.0.1", stack.stack.ports.control, timeout=30)
    body = json.dumps({"IdentityPoolId": chat.identity_pool_id})
    for _ in range(3):
        connection.request("POST", "/", body, {"X-Amz-Target": "AWSCognitoIdentityService.GetId"})
        response = connection.getresponse()
        statuses.append((response.status, b"TooManyRequests" in response.read()))
    connection.close()
    assert statuses == [(200, False), (400, True), (400, True)]
    call(stack, "POST", {"throttle": {"identities": 1000}})
    found = asyncio.run(_unacknowledged(stack, chat, 10))
    assert found >= 4


async def _unacknowledged(stack: RunningStack, chat: Environment, posts: int) -> int:
    """How many of so many posts at once got no acknowledgement within a second."""
    found = await guest(stack, chat)
    address = gateway_address(chat.gateway, chat.endpoints["gateway"])
    async with connect(address, chat.region, found, found.identity_id) as connection:
        tasks = [asyncio.create_task(connection.publish("/chat/throttled", b"x")) for _ in range(posts)]
        _, waiting = await asyncio.wait(tasks, timeout=1.0)
    await asyncio.gather(*tasks, return_exceptions=True)
    return len(waiting)


def test_the_control_plane_answers_429_or_500_when_told(stack: RunningStack, chat: Environment) -> None:
    call(stack, "POST", {"refuse_requests": 1.0, "request_status": 429})
    connection = http.client.HTTPConnection("127.0.0.1", stack.stack.ports.control, timeout=30)
    connection.request("POST", "/", b"{}", {"X-Amz-Target": "AWSCognitoIdentityService.GetId"})
    response = connection.getresponse()
    assert (response.status, json.loads(response.read())["__type"]) == (429, "TooManyRequestsException")
    connection.request("GET", "/_chatops/health")
    response = connection.getresponse()
    assert response.status == 200
    response.read()
    connection.close()


def test_the_command_sets_lists_and_clears(
    stack: RunningStack, runtime: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["local", "fault", "--delay", "50ms", "--drop-deliveries", "1%", "--throttle", "connects=9"]) == 0
    text = capsys.readouterr().out
    assert "deliveries delayed by 50 ms" in text
    assert "1 % of all deliveries dropped" in text
    assert "connects throttled to 9/s" in text
    assert call(stack, "POST", {"refuse_requests": 1.0})[0] == 200
    connection = http.client.HTTPConnection("127.0.0.1", stack.stack.ports.control, timeout=30)
    connection.request("POST", "/", b"{}", {"X-Amz-Target": "AWSCognitoIdentityService.GetId"})
    connection.getresponse().read()
    connection.close()
    assert call(stack, "POST", {"refuse_requests": 0.0})[0] == 200
    assert run(["local", "fault"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split() for line in said if "requests" in line] == [["requests", "refused", "1"]]
    assert all(len(line) <= 80 for line in said)
    assert run(["local", "fault", "--reorder", "0.5", "--freeze", "10ms", "--after", "30s", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["faults"]["delay_s"] == 0.05
    assert document["faults"]["reorder"] == 0.5
    assert document["planned"] == ["freeze for 0.01 s"]
    assert run(["local", "fault", "--throttle", "aws"]) == 0
    assert "identities throttled to 25/s" in capsys.readouterr().out
    assert run(["local", "fault", "--clear"]) == 0
    assert capsys.readouterr().out.startswith("no faults\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--delay", "soon"],
        ["--delay", "-5ms"],
        ["--delay", "2h"],
        ["--drop-deliveries", "101%"],
        ["--drop-deliveries", "many"],
        ["--throttle", "connects"],
        ["--throttle", "posts=5"],
        ["--throttle", "connects=fast"],
        ["--request-status", "200"],
        ["--freeze", "5m"],
        ["--after", "x", "--cut"],
    ],
)
def test_the_command_refuses_what_cannot_be(
    stack: RunningStack, runtime: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["local", "fault", *arguments]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("  fix: ")


def test_without_a_stack_there_is_nothing_to_break(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CHATOPS_RUNTIME_DIR", str(tmp_path))
    assert run(["local", "fault", "--cut"]) == 3
    assert "chatops local up" in capsys.readouterr().err
