"""A connection taken apart: TCP and TLS, the upgrade to WebSocket, CONNECT to CONNACK, each timed by itself.

awscrt connects in one step and reports only its end. To show where that time goes, a load test makes a few connections
by hand beside those of its guests; each has a client id of its own and leaves at once.
"""

import asyncio
import ssl
import struct
from dataclasses import dataclass

import aiohttp
from yarl import URL

from chatops.mqtt.diagnosis import presign
from chatops.mqtt.endpoint import GatewayAddress
from chatops.mqtt.signing import Keys

_TIMEOUT_S = 10.0
_MOST_BYTES = 16_384
_KEEP_ALIVE_S = 30
_CONNACK, _DISCONNECT = 0x20, b"\xe0\x00"


@dataclass(frozen=True, slots=True)
class HandshakeTimes:
    """Seconds: TCP and, on `wss`, TLS; the HTTP upgrade to WebSocket; MQTT CONNECT to CONNACK."""

    transport_s: float
    upgrade_s: float
    connack_s: float


class HandshakeProbe:
    """Makes connections by hand.

    Args:
        address: the gateway.
        region: the region to sign for.
    """

    def __init__(self, address: GatewayAddress, region: str) -> None:
        self._address = address
        self._region = region
        self._trust: ssl.SSLContext | None = None

    async def __call__(self, client_id: str, keys: Keys) -> HandshakeTimes | None:
        """Connect once and leave; None when the gateway did not let it in, which the guests' own figures show."""
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                return await self._measure(client_id, keys)
        except (aiohttp.ClientError, OSError, ValueError):  # TimeoutError is an OSError
            return None

    async def _measure(self, client_id: str, keys: Keys) -> HandshakeTimes | None:
        address, now = self._address, asyncio.get_running_loop().time
        if address.tls and self._trust is None:
            self._trust = await asyncio.to_thread(_trust, address.ca_file)  # reads the system's certificates
        path = await presign(address, self._region, keys)
        base = address.url.replace("ws", "http", 1)
        url = URL(base[: len(base) - len(address.path)] + path, encoded=True)
        marks: list[float] = []

        async def mark(*_: object) -> None:
            marks.append(now())

        trace = aiohttp.TraceConfig()
        trace.on_connection_create_start.append(mark)
        trace.on_connection_create_end.append(mark)
        connector = aiohttp.TCPConnector(ssl=self._trust or True)
        async with (
            aiohttp.ClientSession(connector=connector, trace_configs=[trace]) as session,
            session.ws_connect(
                url, protocols=("mqtt",), headers={"Host": address.host}, max_msg_size=_MOST_BYTES
            ) as socket,
        ):
            upgraded = now()
            await socket.send_bytes(connect_packet(client_id))
            answer = await socket.receive()
            answered = now()
            if answer.type is not aiohttp.WSMsgType.BINARY or not accepted(answer.data):
                return None
            await socket.send_bytes(_DISCONNECT)
        begun, connected = marks
        return HandshakeTimes(connected - begun, upgraded - connected, answered - upgraded)


def connect_packet(client_id: str) -> bytes:
    """An MQTT 5 CONNECT with a clean start and nothing else (MQTT 5.0, 3.1)."""
    name = client_id.encode()
    body = b"\x00\x04MQTT\x05\x02" + struct.pack("!HBH", _KEEP_ALIVE_S, 0, len(name)) + name
    length, left = bytearray(), len(body)
    while True:
        left, digit = left >> 7, left & 0x7F
        length.append(digit | (0x80 if left else 0))
        if not left:
            return b"\x10" + bytes(length) + body


def accepted(packet: bytes) -> bool:
    """Tell whether this is a CONNACK with reason code 0 (MQTT 5.0, 3.2)."""
    if not packet or packet[0] != _CONNACK:
        return False
    position = 1
    while position < min(5, len(packet)) and packet[position] & 0x80:
        position += 1
    return len(packet) > position + 2 and packet[position + 2] == 0


def _trust(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context
