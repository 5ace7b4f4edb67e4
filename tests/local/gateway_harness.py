"""A gateway on loopback, and a raw MQTT-over-WebSocket client that sends whatever bytes a test wants."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import mqtt5
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from chatops.local.authorizer import Refused
from chatops.local.broker import Broker
from chatops.local.credentials import Principal, PrincipalKind
from chatops.local.gateway import Gateway
from chatops.local.limits import Limits

GUEST = Principal(PrincipalKind.GUEST, "123456789012", "us-east-1", "us-east-1:guest")
DEADLINE_S = 10.0
CONNECT_311 = b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02me"


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine on the event loop that the stack uses."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


@dataclass
class Policy:
    """An authorizer whose answers a test chooses."""

    refuse_with: Refused | None = None
    connect: Callable[[str], bool] = lambda _: True
    persistent: bool = True
    will: bool = True
    publish: Callable[[str], bool] = lambda _: True
    retain: bool = True
    subscribe: Callable[[str], bool] = lambda _: True
    receive: Callable[[str], bool] = lambda _: True
    generation: int = 0
    asked: list[str] = field(default_factory=list)
    principal: Principal = GUEST

    def authenticate(self, method: str, target: str, headers: Sequence[tuple[str, str]]) -> Principal:
        self.asked.append(target)
        if self.refuse_with is not None:
            raise self.refuse_with
        return self.principal

    def may_connect(self, principal: Principal, client_id: str, *, persistent: bool, will: bool) -> bool:
        return self.connect(client_id) and self.persistent >= persistent and self.will >= will

    def may_publish(self, principal: Principal, topic: str, *, retain: bool) -> bool:
        return self.publish(topic) and self.retain >= retain

    def may_subscribe(self, principal: Principal, topic_filter: str) -> bool:
        return self.subscribe(topic_filter)

    def may_receive(self, principal: Principal, topic: str) -> bool:
        self.asked.append(topic)
        return self.receive(topic)


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition, generously."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110  (conditions of any kind, in tests only)
            await asyncio.sleep(0.002)


class Raw(WSListener):
    """A WebSocket client. Received bytes become packets one by one: `mqtt5` packets, or bytes in MQTT 3.1.1."""

    def __init__(self, *, version: int) -> None:
        super().__init__()
        self.version = version
        self.transport: WSTransport
        self.closed = asyncio.Event()
        self.close_code: int | None = None
        self._buffer = b""
        self._packets: asyncio.Queue[Any] = asyncio.Queue()

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            self.close_code = int.from_bytes(frame.get_payload_as_bytes()[:2], "big")
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif frame.msg_type == WSMsgType.PONG:
            self._packets.put_nowait(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.BINARY:
            self._buffer += frame.get_payload_as_bytes()
            while (size := _size(self._buffer)) is not None:
                data, self._buffer = self._buffer[:size], self._buffer[size:]
                self._packets.put_nowait(mqtt5.read(memoryview(data))[0] if self.version == 5 else data)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.closed.set()

    def send(self, *packets: Any) -> None:
        """Send packets, or bytes, in one frame."""
        data = b"".join(packet if isinstance(packet, bytes) else packet.write() for packet in packets)
        self.transport.send(WSMsgType.BINARY, data)

    async def packet(self) -> Any:
        """The next packet."""
        async with asyncio.timeout(DEADLINE_S):
            return await self._packets.get()

    async def ask(self, *packets: Any) -> Any:
        """Send, and return the next packet."""
        self.send(*packets)
        return await self.packet()

    async def gone(self) -> None:
        """Wait until the connection has ended."""
        async with asyncio.timeout(DEADLINE_S):
            await self.closed.wait()

    @property
    def waiting(self) -> int:
        """Packets received and not taken."""
        return self._packets.qsize()

    async def quiet(self) -> None:
        """Make sure that nothing else was on its way: a ping's answer comes next."""
        answer = await self.ask(b"\xc0\x00")
        assert answer == b"\xd0\x00" or isinstance(answer, mqtt5.PingRespPacket), answer

    def drop(self) -> None:
        """Lose the connection without a word."""
        self.transport.disconnect(graceful=False)


def _size(data: bytes) -> int | None:
    """The size of the first packet, None while it is not whole."""
    for index in range(1, min(len(data), 5)):
        if data[index] < 128:
            length = sum((byte & 127) << 7 * shift for shift, byte in enumerate(data[1 : index + 1]))
            size = 1 + index + length
            return size if size <= len(data) else None
    return None


@dataclass
class Served:
    """A gateway that runs, with all that it is made of."""

    gateway: Gateway
    broker: Broker
    policy: Policy
    clients: list[Raw] = field(default_factory=list)

    async def raw(self, *, version: int = 5, path: str = "/mqtt", url: str | None = None, **options: Any) -> Raw:
        """Open a WebSocket and send nothing."""
        client = Raw(version=version)
        self.clients.append(client)
        await ws_connect(
            lambda: client,
            url or f"ws://127.0.0.1:{self.gateway.port}{path}",
            extra_headers={"Sec-WebSocket-Protocol": "mqtt"},
            enable_auto_pong=False,
            **options,
        )
        return client

    async def connect(self, client_id: str, **options: Any) -> Raw:
        """Connect with MQTT 5; the CONNACK says yes."""
        client, connack = await self.connect_and_answer(client_id, **options)
        assert connack.reason_code == 0, connack.reason_code
        return client

    async def connect_and_answer(self, client_id: str, **options: Any) -> tuple[Raw, mqtt5.ConnAckPacket]:
        """Send a CONNECT of MQTT 5 and wait for the answer."""
        client = await self.raw()
        options.setdefault("clean_start", True)
        answer = await client.ask(mqtt5.ConnectPacket(client_id, **options))
        assert isinstance(answer, mqtt5.ConnAckPacket)
        return client, answer

    async def connect_311(self, client_id: str, *, clean: bool = True) -> Raw:
        """Connect with MQTT 3.1.1; the CONNACK says yes."""
        client = await self.raw(version=4)
        name = client_id.encode()
        body = b"\x00\x04MQTT\x04" + (b"\x02" if clean else b"\x00") + b"\x00\x3c"
        body += len(name).to_bytes(2, "big") + name
        answer = await client.ask(b"\x10" + bytes((len(body),)) + body)
        assert answer[:2] == b"\x20\x02"
        assert answer[3] == 0
        return client

    async def subscribe(self, client: Raw, *filters: str, qos: int = 0, **options: Any) -> list[int]:
        """Subscribe with MQTT 5; returns the reason codes."""
        answer = await client.ask(
            mqtt5.SubscribePacket(1, [mqtt5.TopicFilter(text, max_qos=mqtt5.QoS(qos), **options) for text in filters])
        )
        assert isinstance(answer, mqtt5.SubAckPacket)
        return [int(code) for code in answer.reason_codes]


def publish(topic: str, payload: bytes = b"hello", **options: Any) -> mqtt5.PublishPacket:
    """A PUBLISH, at QoS 1 when it is given a packet id."""
    if "packet_id" in options:
        options.setdefault("qos", mqtt5.QoS.AT_LEAST_ONCE)
    return mqtt5.PublishPacket(topic, payload, **options)


@asynccontextmanager
async def serving(limits: Limits | None = None, policy: Policy | None = None, **options: Any) -> AsyncGenerator[Served]:
    """Run a gateway; leaves no socket open."""
    limits = Limits.none() if limits is None else limits
    policy = Policy() if policy is None else policy
    broker = Broker(policy, limits)
    gateway = Gateway(broker, policy, limits)
    await gateway.start(**options)
    served = Served(gateway, broker, policy)
    try:
        yield served
    finally:
        await gateway.stop()
        for client in served.clients:
            if hasattr(client, "transport"):
                client.drop()
                await client.gone()
        assert broker.connection_count == 0


async def http(port: int, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes to the port and read the HTTP answer until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    async with asyncio.timeout(DEADLINE_S):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    return int(lines[0].split()[1]), headers, body


def upgrade(path: str = "/mqtt", **headers: str) -> bytes:
    """An upgrade request; an empty value leaves a header out."""
    fields = {
        "Host": "127.0.0.1",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol": "mqtt",
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
    return f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode()


def document(packet: mqtt5.PublishPacket) -> dict[str, Any]:
    """A PUBLISH's JSON payload."""
    parsed: dict[str, Any] = json.loads(packet.payload)
    return parsed
