"""Bytes, frames and behaviour that no decent client shows: all of it ends in a clean refusal, and others go on."""

import asyncio
import logging
import random
import socket

import mqtt5
import pytest
from picows import WSMsgType

from chatops.local import gateway_connection
from chatops.local.broker import Message
from chatops.local.limits import Limits
from tests.local.gateway_harness import CONNECT_311, Raw, Served, publish, run, serving, until, upgrade

CONNECT_5 = mqtt5.ConnectPacket("me", clean_start=True).write()


@pytest.fixture(autouse=True)
def nothing_unexpected(caplog: pytest.LogCaptureFixture) -> object:
    """No test of this file may make the gateway log a failure of its own."""
    yield
    failures = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert failures == []


async def survives(served: Served) -> None:
    """Make sure that another client is still served."""
    client = await served.connect("bystander")
    await served.subscribe(client, "still/here")
    assert (await client.ask(publish("still/here"))).payload == b"hello"
    client.send(mqtt5.DisconnectPacket())
    await client.gone()


BEFORE_CONNECT = {
    "a ping": b"\xc0\x00",
    "a PUBLISH": b"\x30\x04\x00\x01ax",
    "a SUBSCRIBE": b"\x82\x06\x00\x01\x00\x01a\x00",
    "a CONNACK": b"\x20\x02\x00\x00",
    "packet type 0": b"\x00\x00",
    "AUTH": b"\xf0\x00",
    "HTTP": b"GET / HTTP/1.1\r\n\r\n",
    "zeros": b"\x00" * 1000,
    "a CONNECT with flags in its type": b"\x11" + CONNECT_5[1:],
    "a length of five bytes": b"\x10\xff\xff\xff\xff\x01",
    "a giant": b"\x10\xff\xff\xff\x7f",
}


@pytest.mark.parametrize("data", BEFORE_CONNECT.values(), ids=BEFORE_CONNECT.keys())
def test_anything_but_a_connect_first(data: bytes) -> None:
    async def main() -> None:
        async with serving(Limits.aws_protocol()) as served:
            client = await served.raw()
            client.send(data)
            await client.gone()
            assert client.waiting == 0
            await survives(served)

    run(main())


REFUSED_CONNECTS = {
    "MQTT 3.1": (b"\x10\x11\x00\x06MQIsdp\x03\x02\x00\x1e\x00\x03abc", b"\x20\x02\x00\x01"),
    "bad UTF-8 in the client id": (b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02\xff\xfe", b"\x20\x02\x00\x03"),
    "cut short": (b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x02", b"\x20\x02\x00\x03"),
    "persistent without an id": (b"\x10\x0c\x00\x04MQTT\x04\x00\x00\x3c\x00\x00", b"\x20\x02\x00\x02"),
}


@pytest.mark.parametrize(("data", "answer"), REFUSED_CONNECTS.values(), ids=REFUSED_CONNECTS.keys())
def test_bad_connects(data: bytes, answer: bytes) -> None:
    async def main() -> None:
        async with serving() as served:
            client = await served.raw(version=4)
            assert await client.ask(data) == answer
            await client.gone()
            await survives(served)

    run(main())


def test_enhanced_authentication_is_not_supported() -> None:
    async def main() -> None:
        async with serving() as served:
            _, connack = await served.connect_and_answer("c", authentication_method="SCRAM", authentication_data=b"x")
            assert connack.reason_code == 0x8C

    run(main())


AFTER_CONNECT = {
    "a second CONNECT": (CONNECT_5, 0x82),
    "a CONNACK": (b"\x20\x03\x00\x00\x00", 0x81),
    "a PUBREC": (b"\x50\x02\x00\x01", 0x81),
    "AUTH": (b"\xf0\x00", 0x81),
    "packet type 0": (b"\x00\x00", 0x81),
    "a ping with a body": (b"\xc0\x01\x00", 0x81),
    "a SUBSCRIBE without its flags": (b"\x80\x07\x00\x01\x00\x00\x01a\x00", 0x81),
    "plus in a topic": (b"\x30\x05\x00\x03a/+", 0x90),
    "hash in a topic": (b"\x30\x04\x00\x01#\x00", 0x90),
    "bad UTF-8": (b"\x30\x05\x00\x02\xff\xfe\x00", 0x81),
    "NUL": (b"\x30\x06\x00\x03a\x00b\x00", 0x81),
    "packet id 0": (b"\x32\x06\x00\x01a\x00\x00\x00", 0x82),
    "QoS 2": (b"\x34\x06\x00\x01a\x00\x01\x00", 0x9B),
    "QoS 3": (b"\x36\x06\x00\x01a\x00\x01\x00", 0x81),
    "a PUBACK with packet id 0": (b"\x40\x02\x00\x00", 0x82),
    "a subscription id": (b"\x82\x09\x00\x01\x02\x0b\x05\x00\x01a\x00", 0xA1),
    "a giant": (b"\x30\xff\xff\xff\x7f", 0x95),
    "a length of five bytes": (b"\x30\x80\x80\x80\x80\x01", 0x81),
    "a topic longer than its packet": (b"\x30\x04\xff\xffab", 0x81),
}


@pytest.mark.parametrize(("data", "reason"), AFTER_CONNECT.values(), ids=AFTER_CONNECT.keys())
def test_bad_packets_are_answered_with_their_reason(data: bytes, reason: int) -> None:
    async def main() -> None:
        async with serving(Limits.aws_protocol()) as served:
            client = await served.connect("c")
            answer = await client.ask(data)
            assert isinstance(answer, mqtt5.DisconnectPacket)
            assert answer.reason_code == reason
            assert answer.reason_str
            await client.gone()
            info = served.broker.connection("c")
            assert info is not None
            assert info.disconnect_reason == "CLIENT_ERROR"
            await survives(served)

    run(main())


@pytest.mark.parametrize("data", [CONNECT_311, b"\x34\x05\x00\x01a\x00\x01", b"\xff\xff", b"\x30\x03\x00\x01#"])
def test_bad_packets_in_311_end_the_connection(data: bytes) -> None:
    async def main() -> None:
        async with serving() as served:
            client = await served.connect_311("c")
            client.send(data)
            await client.gone()
            assert client.waiting == 0
            await survives(served)

    run(main())


def test_qos_2_is_granted_as_1() -> None:
    async def main() -> None:
        async with serving() as served:
            assert await served.subscribe(await served.connect("c"), "t", qos=2) == [1]

    run(main())


def test_packets_spread_over_frames_and_frames_full_of_packets() -> None:
    async def main() -> None:
        async with serving() as served:
            client = await served.raw()
            for byte in CONNECT_5:
                client.send(bytes((byte,)))
            assert (await client.packet()).reason_code == 0
            await served.subscribe(client, "t")
            stream = b"".join(publish("t", b"%d" % number * 50).write() for number in range(40))
            cuts = sorted(random.Random(1).sample(range(1, len(stream)), 60))  # noqa: S311  (a fixed sequence)
            for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
                client.send(stream[start:stop])
            assert [(await client.packet()).payload for _ in range(40)] == [b"%d" % n * 50 for n in range(40)]

    run(main())


def test_fragmented_messages_and_pings_between() -> None:
    async def main() -> None:
        async with serving() as served:
            client = await served.raw()
            transport = client.transport
            transport.send(WSMsgType.BINARY, CONNECT_5[:5], fin=False)
            transport.send_ping(b"between")
            transport.send(WSMsgType.CONTINUATION, CONNECT_5[5:9], fin=False)
            transport.send(WSMsgType.CONTINUATION, CONNECT_5[9:])
            assert await client.packet() == b"between"
            assert (await client.packet()).reason_code == 0
            transport.send(WSMsgType.CONTINUATION, b"\xc0\x00")
            await client.gone()

    run(main())


@pytest.mark.parametrize("connected", [True, False])
def test_text_frames_are_refused(*, connected: bool) -> None:
    async def main() -> None:
        async with serving() as served:
            client = await served.connect("c") if connected else await served.raw()
            client.transport.send(WSMsgType.TEXT, CONNECT_5)
            await client.gone()
            assert client.close_code == 1003
            await survives(served)

    run(main())


def test_a_frame_beyond_the_limit_is_refused_by_its_header() -> None:
    async def main() -> None:
        async with serving(Limits.aws_protocol()) as served:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.gateway.port)
            writer.write(upgrade() + b"\x82\xff\x00\x00\x00\x7f\xff\xff\xff\xff\x00\x00\x00\x00")
            answer = await asyncio.wait_for(reader.read(), 10)
            assert b"101 Switching" in answer
            assert b"\x03\xf1" in answer
            writer.close()
            await writer.wait_closed()
            await survives(served)

    run(main())


def test_a_closing_handshake_counts_as_goodbye() -> None:
    async def main() -> None:
        async with serving() as served:
            watcher = await served.connect("watcher")
            await served.subscribe(watcher, "last")
            client = await served.connect("c", will=mqtt5.Will("last", payload=b"gone"))
            client.transport.send_close()
            await client.gone()
            await watcher.quiet()
            info = served.broker.connection("c")
            assert info is not None
            assert info.disconnect_reason == "CLIENT_INITIATED_DISCONNECT"

    run(main())


def test_a_half_closed_socket_ends_the_connection() -> None:
    async def main() -> None:
        async with serving() as served:
            client = await served.connect("c")
            client.transport.underlying_transport.get_extra_info("socket").shutdown(socket.SHUT_WR)
            await until(lambda: not served.broker.connection_count)
            await client.gone()
            info = served.broker.connection("c")
            assert info is not None
            assert info.disconnect_reason == "CONNECTION_LOST"

    run(main())


def test_random_bytes_after_connect() -> None:
    async def main() -> None:
        generator = random.Random(7)  # noqa: S311  (a fixed sequence)
        async with serving(Limits.none()) as served:
            for number in range(60):
                client = await served.connect(f"c{number}")
                first = generator.choice([0x30, 0x32, 0x40, 0x82, 0xA2, 0xE0, generator.randrange(256)])
                body = generator.randbytes(generator.randrange(60))
                client.send(bytes((first, len(body))) + body)
                client.send(b"\xc0\x00" * 3)
                client.transport.send_close()
                await client.gone()
            assert served.broker.connection_count == 0
            await survives(served)

    run(main())


def test_no_connect_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_connection, "CONNECT_WITHIN_S", 0.05)

    async def main() -> None:
        async with serving() as served:
            client = await served.raw()
            await client.gone()
            assert client.close_code == 1008

    run(main())


def test_keep_alive_is_cut_after_one_and_a_half_times() -> None:
    async def main() -> None:
        async with serving(Limits(keep_alive_minimum=1)) as served:
            watcher = await served.connect("watcher", keep_alive=60)
            await served.subscribe(watcher, "last")
            client = await served.connect("c", keep_alive=1, will=mqtt5.Will("last", payload=b"gone"))
            farewell = await client.packet()
            assert farewell.reason_code == 0x8D
            await client.gone()
            assert (await watcher.packet()).payload == b"gone"
            info = served.broker.connection("c")
            assert info is not None
            assert info.disconnect_reason == "MQTT_KEEP_ALIVE_TIMEOUT"

    run(main())


def test_a_connection_has_a_longest_life() -> None:
    async def main() -> None:
        async with serving(Limits(connection_lifetime=0.05)) as served:
            client = await served.connect("c")
            assert (await client.packet()).reason_code == 0xA0
            await client.gone()

    run(main())


async def deaf(served: Served, **options: object) -> Raw:
    """A subscriber that stops reading."""
    client = await served.connect("deaf", **options)
    sock = client.transport.underlying_transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.transport.underlying_transport.pause_reading()
    return client


@pytest.mark.parametrize("qos", [0, 1])
def test_a_slow_reader_costs_bounded_memory_and_nobody_else_notices(qos: int) -> None:
    async def main() -> None:
        limits = Limits.none()
        async with serving(limits) as served:
            fast = await served.connect("fast")
            client = await served.connect("slow")
            await served.subscribe(client, "t", qos=qos)
            client.transport.underlying_transport.pause_reading()
            session = served.broker._sessions["slow"]
            for number in range(400):
                served.broker.publish(Message("t", bytes(50_000), 1))
                if number % 10 == 0:
                    await fast.quiet()
            waiting = sum(map(len, session.out)) + session._queued_bytes
            assert session.slow
            assert waiting < limits.outgoing_bytes + limits.queued_bytes + 100_000
            assert served.broker.statistics().dropped > 100
            client.transport.underlying_transport.resume_reading()
            got = await client.packet()
            assert got.payload == bytes(50_000)
            if qos:
                client.send(mqtt5.PubAckPacket(got.packet_id))
            await until(lambda: not session.slow)
            client.drop()
            await until(lambda: served.broker.connection_count == 1)

    run(main())


def test_a_client_that_asks_and_never_reads_is_cut_off() -> None:
    async def main() -> None:
        async with serving(Limits.none()) as served:
            client = await served.connect("deaf")
            client.transport.underlying_transport.pause_reading()
            session = served.broker._sessions["deaf"]
            pings = b"\xc0\x00" * 50_000
            async with asyncio.timeout(30):
                while served.broker.connection_count:
                    if client.transport.underlying_transport.get_write_buffer_size() < 1_000_000:
                        client.send(pings)
                        client.transport.send_ping(b"x" * 100)
                    await asyncio.sleep(0)
            assert sum(map(len, session.out)) == 0
            await survives(served)
            client.drop()

    run(main())


def test_a_stalled_reader_is_cut_off_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_connection, "STALLED_AFTER_S", 0.1)
    monkeypatch.setattr(gateway_connection, "CLOSE_WITHIN_S", 0.1)

    async def main() -> None:
        async with serving(Limits.none()) as served:
            client = await served.connect("deaf")
            await served.subscribe(client, "t")
            client.transport.underlying_transport.pause_reading()
            for _ in range(400):
                served.broker.publish(Message("t", bytes(50_000), 0))
                await asyncio.sleep(0)
            await until(lambda: not served.broker.connection_count)
            await until(lambda: not served.gateway._services.connections)
            client.drop()

    run(main())


def test_throughput_beyond_the_quota_is_delayed_not_lost() -> None:
    async def main() -> None:
        async with serving(Limits(bytes_per_connection=100_000)) as served:
            client = await served.connect("c")
            await served.subscribe(client, "t")
            loop = asyncio.get_running_loop()
            began = loop.time()
            for _ in range(4):
                served.broker.publish(Message("t", bytes(50_000), 0))
                await asyncio.sleep(0.01)
            for _ in range(4):
                await client.packet()
            assert loop.time() - began > 0.4
            for _ in range(3):
                client.send(publish("elsewhere", bytes(50_000), packet_id=1))
            for _ in range(3):
                await client.packet()
            await client.quiet()

    run(main())
