"""Clients of another make: paho-mqtt with a URL signed by hand, stock boto3, and the AWS CLI."""

import http.client
import json
import ssl
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

import boto3
import paho.mqtt.client as paho
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from chatops import environment
from chatops.environment import Environment
from tests.local.cli import WAIT_S, running, variables
from tests.local.harness import RunningStack
from tests.local.signed_url import signed_path

VERSIONS = [MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311]


@dataclass(frozen=True)
class Guest:
    identity: str
    path: str


def guest(stack: RunningStack, chat: Environment) -> Guest:
    """A guest as any program gets one: stock boto3, no signature."""
    client = boto3.client(
        "cognito-identity",
        endpoint_url=stack.aws_url,
        region_name=chat.region,
        config=Config(signature_version=UNSIGNED),
    )
    identity = client.get_id(IdentityPoolId=chat.identity_pool_id)["IdentityId"]
    given = client.get_credentials_for_identity(IdentityId=identity)["Credentials"]
    client.close()
    host = f"127.0.0.1:{stack.stack.ports.gateway}"
    path = signed_path(host, chat.region, given["AccessKeyId"], given["SecretKey"], given["SessionToken"])
    return Guest(identity, path)


class Phone:
    """A paho client whose callbacks put what happens into queues."""

    def __init__(self, client: paho.Client) -> None:
        self.client = client
        self.connected: Queue[ReasonCode] = Queue()
        self.subscribed: Queue[list[ReasonCode]] = Queue()
        self.published: Queue[ReasonCode] = Queue()
        self.lost: Queue[ReasonCode] = Queue()
        self.messages: Queue[tuple[str, bytes]] = Queue()
        client.on_connect = lambda _c, _u, _f, reason, _p: self.connected.put(reason)
        client.on_subscribe = lambda _c, _u, _m, reasons, _p: self.subscribed.put(reasons)
        client.on_publish = lambda _c, _u, _m, reason, _p: self.published.put(reason)
        client.on_disconnect = lambda _c, _u, _f, reason, _p: self.lost.put(reason)
        client.on_message = lambda _c, _u, message: self.messages.put((message.topic, message.payload))

    def subscribe(self, topic: str) -> ReasonCode:
        self.client.subscribe(topic, qos=1)
        return self.subscribed.get(timeout=WAIT_S)[0]


@contextmanager
def phone(stack: RunningStack, guest: Guest, version: MQTTProtocolVersion, *, tls: bool = False) -> Generator[Phone]:
    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id=guest.identity, protocol=version, transport="websockets"
    )
    ports = stack.stack.ports
    client.ws_set_options(path=guest.path, headers={"Host": f"127.0.0.1:{ports.gateway}"})
    if tls:
        client.tls_set(str(stack.stack.certificate), tls_version=ssl.PROTOCOL_TLS_CLIENT)
    made = Phone(client)
    client.connect("127.0.0.1", ports.tls if tls else ports.gateway)
    client.loop_start()
    try:
        yield made
    finally:
        client.disconnect()
        client.loop_stop()


@pytest.mark.parametrize("version", VERSIONS)
def test_paho_chats_with_a_tail(
    stack: RunningStack, chat: Environment, tmp_path: Path, version: MQTTProtocolVersion
) -> None:
    environment.save(tmp_path / "env", chat)
    with (
        running("tail", "lobby", "-n", "1", "--env", "test", env=variables(tmp_path), cwd=tmp_path) as tail,
        phone(stack, guest(stack, chat), version) as other,
    ):
        tail.note("watching")
        assert other.connected.get(timeout=WAIT_S) == "Success"
        assert not other.subscribe("/chat/lobby").is_failure
        other.client.publish("/chat/lobby", b"from paho", qos=1)
        assert other.published.get(timeout=WAIT_S) == "Success"
        assert json.loads(tail.line())["text"] == "from paho"
        assert other.messages.get(timeout=WAIT_S) == ("/chat/lobby", b"from paho")


def test_both_versions_hear_each_other(stack: RunningStack, chat: Environment) -> None:
    with (
        phone(stack, guest(stack, chat), VERSIONS[0]) as new,
        phone(stack, guest(stack, chat), VERSIONS[1]) as old,
    ):
        for each in (new, old):
            assert each.connected.get(timeout=WAIT_S) == "Success"
            each.subscribe("/chat/#")
        new.client.publish("/chat/a", b"5", qos=1)
        old.client.publish("/chat/b", b"311", qos=1)
        for each in (new, old):
            assert {each.messages.get(timeout=WAIT_S) for _ in range(2)} == {("/chat/a", b"5"), ("/chat/b", b"311")}


def test_over_tls_with_the_certificate_that_the_stack_names(stack: RunningStack, chat: Environment) -> None:
    with phone(stack, guest(stack, chat), VERSIONS[0], tls=True) as other:
        assert other.connected.get(timeout=WAIT_S) == "Success"


@pytest.mark.parametrize("topic", ["$aws/things/x", "/other/lobby", "chat/lobby"])
def test_a_guest_is_refused_outside_the_prefix(stack: RunningStack, chat: Environment, topic: str) -> None:
    with phone(stack, guest(stack, chat), VERSIONS[0]) as new:
        new.connected.get(timeout=WAIT_S)
        new.client.publish(topic, b"x", qos=1)
        assert new.published.get(timeout=WAIT_S) == "Not authorized"
        assert new.subscribe(topic) == "Not authorized"
    with phone(stack, guest(stack, chat), VERSIONS[1]) as old:
        old.connected.get(timeout=WAIT_S)
        old.client.publish(topic, b"x", qos=1)
        assert old.lost.get(timeout=WAIT_S).is_failure


def test_nobody_connects_as_somebody_else(stack: RunningStack, chat: Environment) -> None:
    mine, other = guest(stack, chat), guest(stack, chat)
    with phone(stack, Guest(other.identity, mine.path), VERSIONS[0]) as impostor:
        assert impostor.connected.get(timeout=WAIT_S) == "Not authorized"


def test_trying_to_be_somebody_else_does_not_lock_them_out(stack: RunningStack, chat: Environment) -> None:
    mine, other = guest(stack, chat), guest(stack, chat)
    for _ in range(3):
        with phone(stack, Guest(other.identity, mine.path), VERSIONS[0]) as impostor:
            assert impostor.connected.get(timeout=WAIT_S) == "Not authorized"
    with phone(stack, other, VERSIONS[0]) as victim:
        assert victim.connected.get(timeout=WAIT_S) == "Success"


def upgrade(stack: RunningStack, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", stack.stack.ports.gateway, timeout=WAIT_S)
    connection.request(
        "GET",
        path,
        headers={
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Protocol": "mqtt",
        },
    )
    response = connection.getresponse()
    body = response.read().decode() if response.status != 101 else ""
    connection.close()
    return response.status, body


def test_one_altered_character_in_the_signature_is_403(stack: RunningStack, chat: Environment) -> None:
    path = guest(stack, chat).path
    assert upgrade(stack, path)[0] == 101
    before, name, after = path.partition("X-Amz-Signature=")
    altered = ("0" if after[0] != "0" else "1") + after[1:]
    status, body = upgrade(stack, before + name + altered)
    assert status == 403
    assert "signature" in body.lower()


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("X-Amz-Security-Token=", "X-Amz-Security-Token=x", "token"),
        ("iotdevicegateway", "iotdata", "service"),
        ("ASIA", "ASIB", "key"),
        ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1", "algorithm"),
        ("X-Amz-Date=2", "X-Amz-Date=1", "date"),
    ],
)
def test_whatever_is_altered_is_403_and_the_body_says_which(
    stack: RunningStack, chat: Environment, old: str, new: str, word: str
) -> None:
    path = guest(stack, chat).path
    assert old in path
    status, body = upgrade(stack, path.replace(old, new, 1))
    assert status == 403
    assert word in body.lower()


def test_a_good_signature_for_another_region_is_403(stack: RunningStack, chat: Environment) -> None:
    client = stack.aws()
    identity = client.call("cognito-identity", "get_id", IdentityPoolId=chat.identity_pool_id)["IdentityId"]
    given = client.call("cognito-identity", "get_credentials_for_identity", IdentityId=identity)["Credentials"]
    host = f"127.0.0.1:{stack.stack.ports.gateway}"
    path = signed_path(host, "eu-west-1", given["AccessKeyId"], given["SecretKey"], given["SessionToken"])
    status, body = upgrade(stack, path)
    assert status == 403
    assert "region" in body.lower()


def test_a_missing_and_a_foreign_token_are_403(stack: RunningStack, chat: Environment) -> None:
    mine, other = guest(stack, chat).path, guest(stack, chat).path
    without = mine.partition("&X-Amz-Security-Token=")[0]
    assert upgrade(stack, without)[0] == 403
    foreign = without + "&X-Amz-Security-Token=" + other.partition("&X-Amz-Security-Token=")[2]
    status, body = upgrade(stack, foreign)
    assert status == 403
    assert "token" in body.lower()


def test_the_stock_aws_cli_works(stack: RunningStack, chat: Environment, tmp_path: Path) -> None:
    env = variables(
        tmp_path,
        AWS_ENDPOINT_URL=stack.aws_url,
        AWS_ACCESS_KEY_ID=stack.keys().access_key_id,
        AWS_SECRET_ACCESS_KEY=stack.keys().secret_access_key,
        AWS_REGION=chat.region,
        AWS_DEFAULT_REGION=chat.region,
    )
    aws = str(Path(sys.executable).with_name("aws"))

    def call(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([aws, *arguments], env=env, capture_output=True, text=True, timeout=WAIT_S, check=False)

    pools = call("cognito-identity", "list-identity-pools", "--max-results", "10")
    assert pools.returncode == 0, pools.stderr
    assert chat.identity_pool_id in pools.stdout
    endpoint = call("iot", "describe-endpoint", "--endpoint-type", "iot:Data-ATS")
    assert json.loads(endpoint.stdout)["endpointAddress"] == f"127.0.0.1:{stack.stack.ports.gateway}"
    posted = call("iot-data", "publish", "--topic", "/chat/lobby", "--qos", "1", "--payload", "aGVsbG8=")
    assert posted.returncode == 0, posted.stderr
