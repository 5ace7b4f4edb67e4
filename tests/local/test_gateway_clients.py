"""A stock MQTT client of another make, paho, in both versions, over ws and wss; and one version beside the other."""

import asyncio
import queue
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mqtt5
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from chatops.local.certificate import make_tls_context
from tests.local.gateway_harness import publish, run, serving


class Paho:
    """A paho client with its events in queues."""

    def __init__(self, client: paho.Client) -> None:
        self.client = client
        self.messages: queue.Queue[paho.MQTTMessage] = queue.Queue()
        self.connected: queue.Queue[Any] = queue.Queue()
        self.subscribed: queue.Queue[Any] = queue.Queue()
        self.gone: queue.Queue[Any] = queue.Queue()
        client.on_message = lambda _client, _data, message: self.messages.put(message)
        client.on_connect = lambda _client, _data, flags, reason, _properties: self.connected.put((flags, reason))
        client.on_subscribe = lambda _client, _data, _id, reasons, _properties: self.subscribed.put(reasons)
        client.on_disconnect = lambda _client, _data, _flags, reason, _properties: self.gone.put(reason)


@contextmanager
def connected(
    port: int, name: str, version: MQTTProtocolVersion, *, certificate: Path | None = None, **options: Any
) -> Generator[Paho]:
    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id=name, transport="websockets", protocol=version, **options
    )
    client.ws_set_options(path="/mqtt")
    if certificate is not None:
        client.tls_set(ca_certs=str(certificate), tls_version=ssl.PROTOCOL_TLS_CLIENT)
    wrapped = Paho(client)
    client.connect("127.0.0.1", port, keepalive=60)
    client.loop_start()
    try:
        assert not wrapped.connected.get(timeout=10)[1].is_failure
        yield wrapped
    finally:
        client.disconnect()
        client.loop_stop()


@pytest.mark.parametrize("version", [MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311], ids=["5", "3.1.1"])
@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_a_chat_between_two(version: MQTTProtocolVersion, tmp_path: Path, *, tls: bool) -> None:
    async def main() -> None:
        certificate = tmp_path / "certificate.pem"
        context = make_tls_context(certificate) if tls else None
        async with serving(tls_context=context) as served:
            port = served.gateway.tls_port if tls else served.gateway.port

            def chat() -> None:
                trusted = certificate if tls else None
                with (
                    connected(port, "one", version, certificate=trusted) as one,
                    connected(port, "two", version, certificate=trusted) as two,
                ):
                    for client in (one, two):
                        client.client.subscribe("/chat/#", qos=1)
                        assert not client.subscribed.get(timeout=10)[0].is_failure
                    for number in range(20):
                        sender = (one, two)[number % 2]
                        sender.client.publish("/chat/lobby", b"%d" % number * 100, qos=number % 2)
                    for client in (one, two):
                        got = sorted(client.messages.get(timeout=10).payload for _ in range(20))
                        assert got == sorted(b"%d" % number * 100 for number in range(20))

            await asyncio.to_thread(chat)

    run(main())


def test_one_version_hears_the_other() -> None:
    async def main() -> None:
        async with serving() as served:

            def chat() -> None:
                port = served.gateway.port
                with (
                    connected(port, "new", MQTTProtocolVersion.MQTTv5) as new,
                    connected(port, "old", MQTTProtocolVersion.MQTTv311) as old,
                ):
                    for client in (new, old):
                        client.client.subscribe("t", qos=1)
                        client.subscribed.get(timeout=10)
                    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
                    properties.UserProperty = ("k", "v")
                    properties.MessageExpiryInterval = 100
                    new.client.publish("t", b"from new", qos=1, properties=properties)
                    assert old.messages.get(timeout=10).payload == b"from new"
                    heard = new.messages.get(timeout=10)
                    assert heard.properties.UserProperty == [("k", "v")]  # type: ignore[union-attr]
                    old.client.publish("t", b"from old", qos=0)
                    assert [client.messages.get(timeout=10).payload for client in (new, old)] == [b"from old"] * 2

            await asyncio.to_thread(chat)

    run(main())


def test_paho_resumes_a_persistent_session_of_311() -> None:
    async def main() -> None:
        async with serving() as served:

            def chat() -> None:
                port = served.gateway.port
                with connected(port, "old", MQTTProtocolVersion.MQTTv311, clean_session=False) as old:
                    old.client.subscribe("t", qos=1)
                    old.subscribed.get(timeout=10)
                with connected(port, "new", MQTTProtocolVersion.MQTTv5) as new:
                    new.client.publish("t", b"while away", qos=1).wait_for_publish(10)
                with connected(port, "old", MQTTProtocolVersion.MQTTv311, clean_session=False) as old:
                    assert old.messages.get(timeout=10).payload == b"while away"

            await asyncio.to_thread(chat)

    run(main())


def test_takeover_tells_paho_why() -> None:
    async def main() -> None:
        async with serving() as served:

            def chat() -> None:
                port = served.gateway.port
                with (
                    connected(port, "same", MQTTProtocolVersion.MQTTv5) as older,
                    connected(port, "same", MQTTProtocolVersion.MQTTv5),
                ):
                    assert older.gone.get(timeout=10).value == 0x8E
                    older.client.loop_stop()

            await asyncio.to_thread(chat)

    run(main())


def test_a_raw_311_client_gets_raw_311_packets() -> None:
    async def main() -> None:
        async with serving() as served:
            old = await served.connect_311("old")
            assert await old.ask(b"\x82\x06\x00\x09\x00\x01t\x01") == b"\x90\x03\x00\x09\x01"
            new = await served.connect("new")
            new.send(publish("t", b"x", packet_id=3, user_properties=[("a", "b")]))
            assert isinstance(await new.packet(), mqtt5.PubAckPacket)
            got = await old.packet()
            assert (got[:2], got[2:5], got[7:]) == (b"\x32\x06", b"\x00\x01t", b"x")
            old.send(b"\x40\x02" + got[5:7])
            assert await old.ask(b"\xa2\x05\x00\x0a\x00\x01t") == b"\xb0\x02\x00\x0a"
            old.send(b"\xe0\x00")
            await old.gone()

    run(main())
