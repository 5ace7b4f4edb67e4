"""The data plane over HTTPS reaches real connections of the gateway."""

import asyncio
import json
import queue
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from chatops.local.gateway import Gateway
from chatops.local.limits import Limits
from tests.local.control_plane_harness import REGION, Chat, RunningControlPlane, error_of, running_control_plane
from tests.local.signed_url import signed_path

WAIT_S = 20


@dataclass
class Guest:
    """A guest's connection, made with paho."""

    client_id: str
    messages: "queue.Queue[mqtt.MQTTMessage]" = field(default_factory=queue.Queue)
    ended: "queue.Queue[ReasonCode]" = field(default_factory=queue.Queue)


@pytest.fixture(scope="module")
def plane() -> Generator[RunningControlPlane]:
    with running_control_plane() as running:
        yield running


@pytest.fixture(scope="module")
def chat(plane: RunningControlPlane) -> Chat:
    return plane.set_up_chat("connected")


@pytest.fixture(scope="module")
def gateway(plane: RunningControlPlane) -> Generator[Gateway]:
    async def start() -> Gateway:
        made = Gateway(plane.broker, plane.authorizer, Limits.aws_protocol())
        await made.start()
        return made

    made = asyncio.run_coroutine_threadsafe(start(), plane.loop).result(WAIT_S)
    yield made
    asyncio.run_coroutine_threadsafe(made.stop(), plane.loop).result(WAIT_S)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


@contextmanager
def connected(gateway: Gateway, chat: Chat, suffix: str, topic_filter: str) -> Generator[Guest]:
    guest = Guest(f"{chat.identity_id}-{suffix}")
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2, guest.client_id, transport="websockets", protocol=MQTTProtocolVersion.MQTTv5
    )
    keys = chat.guest
    client.ws_set_options(
        path=signed_path(f"127.0.0.1:{gateway.port}", REGION, keys.access_key_id, keys.secret, keys.token or "")
    )
    subscribed: queue.Queue[None] = queue.Queue()

    def on_connect(client: mqtt.Client, *_: Any) -> None:
        client.subscribe(topic_filter, qos=1)

    def on_disconnect(client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        guest.ended.put(reason)
        client.disconnect()  # or paho would come back

    client.on_message = lambda _client, _data, message: guest.messages.put(message)
    client.on_connect = on_connect
    client.on_subscribe = lambda *_: subscribed.put(None)
    client.on_disconnect = on_disconnect
    client.connect("127.0.0.1", gateway.port)
    client.loop_start()
    try:
        subscribed.get(timeout=WAIT_S)
        yield guest
    finally:
        client.disconnect()
        client.loop_stop()


def test_a_published_message_arrives_with_its_properties(
    plane: RunningControlPlane, gateway: Gateway, chat: Chat
) -> None:
    with connected(gateway, chat, "a", "/chat/lobby") as guest:
        plane.client("iot-data").publish(
            topic="/chat/lobby",
            qos=1,
            payload=b"hello",
            contentType="text/plain",
            userProperties='[{"name": "operator"}]',
            messageExpiry=600,
        )
        message = guest.messages.get(timeout=WAIT_S)
    assert (message.topic, message.payload, message.qos, message.retain) == ("/chat/lobby", b"hello", 1, False)
    properties: Any = message.properties
    assert properties.ContentType == "text/plain"
    assert properties.UserProperty == [("name", "operator")]
    assert 0 < properties.MessageExpiryInterval <= 600


def test_connections_are_told_and_ended(plane: RunningControlPlane, gateway: Gateway, chat: Chat) -> None:
    data = plane.client("iot-data")
    with connected(gateway, chat, "b", "/chat/games/#") as guest:
        found = data.get_connection(clientId=guest.client_id, includeSocketInformation=True)
        assert (found["connected"], found["clientId"]) == (True, guest.client_id)
        assert found["targetPort"] == gateway.port
        listed = data.list_subscriptions(clientId=guest.client_id)["subscriptions"]
        assert listed == [{"topicFilter": "/chat/games/#", "qos": 1}]
        data.delete_connection(clientId=guest.client_id)
        assert guest.ended.get(timeout=WAIT_S).value == 0x98
    found = data.get_connection(clientId=guest.client_id)
    assert (found["connected"], found["disconnectReason"]) == (False, "API_INITIATED_DISCONNECT")
    assert error_of(lambda: data.delete_connection(clientId=guest.client_id))[0] == "ResourceNotFoundException"


def test_a_message_to_one_client_needs_its_permission_but_no_subscription(
    plane: RunningControlPlane, gateway: Gateway, chat: Chat
) -> None:
    data = plane.client("iot-data")
    with connected(gateway, chat, "c", "/chat/elsewhere") as guest:
        data.send_direct_message(clientId=guest.client_id, topic="/chat/just-you", payload=b"psst", confirmation=True)
        message = guest.messages.get(timeout=WAIT_S)
        assert (message.topic, message.payload) == ("/chat/just-you", b"psst")
        code, status, text = error_of(
            lambda: data.send_direct_message(clientId=guest.client_id, topic="/other/you", payload=b"psst")
        )
    assert (code, status) == ("ForbiddenException", 403)
    assert "/other/you" in text
    until(lambda: not data.get_connection(clientId=guest.client_id)["connected"])
    code, status, _ = error_of(
        lambda: data.send_direct_message(clientId=guest.client_id, topic="/chat/just-you", payload=b"late")
    )
    assert (code, status) == ("ResourceNotFoundException", 404)


def test_health_counts_connections(plane: RunningControlPlane, gateway: Gateway, chat: Chat) -> None:
    def connections() -> int:
        return int(json.loads(plane.http("GET", "/_chatops/health")[2])["connections"])

    until(lambda: connections() == 0)
    with connected(gateway, chat, "d", "/chat/lobby"):
        assert connections() == 1
    until(lambda: connections() == 0)
