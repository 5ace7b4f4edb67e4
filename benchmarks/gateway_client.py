"""The client of `gateway.py`: many MQTT clients over WebSockets in one lean process; prints its figures as JSON.

Every client sits in one room and hears itself. *Paced*: posts are due at absolute times, whatever the server does;
latency counts from when a post left, and how late it left is reported beside it. *Saturated*: one client of each
room keeps a number of posts on their way, and sends the next when it hears one of its own, so that neither server
can hide messages in its queues.
"""

import argparse
import asyncio
import gc
import json
import os
import sys
import threading
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import uvloop
from gateway_signing import Guest, signed_path
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

PAYLOAD_BYTES = 200
_STAMP = 8
_CONNECTING_AT_ONCE = 25


@dataclass(slots=True)
class Run:
    """What is counted, shared by all clients of the process."""

    measuring: bool = False
    deliveries: int = 0
    posts: int = 0
    acknowledged: int = 0
    latencies: array = field(default_factory=lambda: array("q"))
    lags: array = field(default_factory=lambda: array("q"))


class Client(WSListener):
    """One MQTT client."""

    def __init__(self, run: Run, name: str, room: str, *, version: int, qos_out: int) -> None:
        super().__init__()
        self.run = run
        self.name = name
        self.topic = f"/chat/{room}".encode()
        self.version = version
        self.qos_out = qos_out
        self.ready = asyncio.Event()
        self.on_own: Callable[[], None] | None = None
        self._rest = b""
        self._acks: list[bytes] = []
        self._packet_id = 0
        self._properties = b"\x00" if version == 5 else b""
        body = len(self.topic).to_bytes(2, "big") + self.topic
        self._length = len(body) + 2 + len(self._properties) + PAYLOAD_BYTES
        self._head = b"\x32" + _varint(self._length) + body
        self._filling = name.encode()[: PAYLOAD_BYTES - _STAMP].ljust(PAYLOAD_BYTES - _STAMP, b".")
        self.mine = name.encode()[: PAYLOAD_BYTES - _STAMP]

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Send the CONNECT."""
        self.transport = transport
        name = self.name.encode()
        flags = b"\x02\x00\x3c" + self._properties
        body = b"\x00\x04MQTT" + bytes((self.version,)) + flags + len(name).to_bytes(2, "big") + name
        transport.send(WSMsgType.BINARY, b"\x10" + _varint(len(body)) + body)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Count, time and acknowledge what is in a frame."""
        now = time.perf_counter_ns()
        data = self._rest + frame.get_payload_as_bytes() if self._rest else frame.get_payload_as_bytes()
        position, end = 0, len(data)
        while end - position >= 2:
            length, start = data[position + 1], position + 2
            if length > 127:
                if end - position < 3:
                    break
                length, start = (length & 127) | data[position + 2] << 7, position + 3
            stop = start + length
            if stop > end:
                break
            self._packet(data, data[position], start, stop, now)
            position = stop
        self._rest = data[position:] if position < end else b""
        if self._acks:
            transport.send(WSMsgType.BINARY, b"".join(self._acks))
            self._acks.clear()

    def _packet(self, data: bytes, first: int, start: int, stop: int, now: int) -> None:
        kind = first & 0xF0
        if kind == 0x30:
            payload = stop - PAYLOAD_BYTES
            run = self.run
            if run.measuring:
                run.deliveries += 1
                run.latencies.append(now - int.from_bytes(data[payload : payload + _STAMP], "big"))
            if first & 6:
                at = start + 2 + (data[start] << 8 | data[start + 1])
                self._acks.append(b"\x40\x02" + data[at : at + 2])
            if self.on_own is not None and data.startswith(self.mine, payload + _STAMP):
                self.on_own()
        elif kind == 0x40:
            self.run.acknowledged += 1
        elif kind == 0x20:
            if data[start + 1]:
                sys.exit(f"{self.name} was refused: {data[start + 1]}")
            body = b"\x00\x01" + self._properties + len(self.topic).to_bytes(2, "big") + self.topic
            body += bytes((self.qos_out,))
            self.transport.send(WSMsgType.BINARY, b"\x82" + _varint(len(body)) + body)
        elif kind == 0x90:
            self.ready.set()

    def post(self, due: int = 0) -> None:
        """Publish at QoS 1, stamped with when it left; how long after it was due is kept as the generator's lag."""
        now = time.perf_counter_ns()
        if due and self.run.measuring:
            self.run.lags.append(now - due)
        self._packet_id = self._packet_id % 65535 + 1
        self.run.posts += 1
        self.transport.send(
            WSMsgType.BINARY,
            b"".join(
                (
                    self._head,
                    self._packet_id.to_bytes(2, "big"),
                    self._properties,
                    now.to_bytes(_STAMP, "big"),
                    self._filling,
                )
            ),
        )


def _cpu_of(pid: int) -> float:
    """CPU seconds that a process has used, 0 for none."""
    if not pid:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _percentile(nanoseconds: array, share: float) -> float:
    """A percentile in milliseconds, 0 of nothing."""
    ordered = sorted(nanoseconds)
    return ordered[int(len(ordered) * share)] / 1e6 if ordered else 0.0


def _varint(length: int) -> bytes:
    return bytes((length,)) if length < 128 else bytes((length & 127 | 128, length >> 7))


async def connect_all(options: argparse.Namespace, run: Run, guests: list[Guest]) -> list[Client]:
    """Connect and subscribe every client, some at a time."""
    turns = asyncio.Semaphore(_CONNECTING_AT_ONCE)

    async def connect(index: int) -> Client:
        room = f"room-{index % options.rooms:02}"
        guest = guests[index] if guests else None
        name = guest.identity if guest else f"client-{index:04}"
        path = signed_path(guest, f"127.0.0.1:{options.port}") if guest else "/mqtt"
        client = Client(run, name, room, version=options.mqtt, qos_out=options.qos_out)
        async with turns:
            await ws_connect(
                lambda: client,
                f"ws://127.0.0.1:{options.port}{path}",
                extra_headers={"Sec-WebSocket-Protocol": "mqtt"},
                read_buffer_init_size=4096,
                websocket_handshake_timeout=30,
            )
            await asyncio.wait_for(client.ready.wait(), 30)
        return client

    return list(await asyncio.gather(*(connect(index) for index in range(options.clients))))


async def paced(clients: list[Client], rate: float, seconds: float) -> None:
    """Post `rate` times a second, client after client.

    The event loop's timers count milliseconds, which would make posts leave in clumps: a thread keeps the time.
    """
    total = int(rate * seconds)
    step = 1e9 / rate
    sent = 0
    start = time.perf_counter_ns()
    done = asyncio.Event()
    ticks = os.eventfd(0, os.EFD_NONBLOCK)

    def keep_time() -> None:
        for number in range(total):
            left = start + number * step - time.perf_counter_ns()
            if left > 0:
                time.sleep(left / 1e9)
            os.eventfd_write(ticks, 1)

    def post_due() -> None:
        nonlocal sent
        for _ in range(os.eventfd_read(ticks)):
            clients[sent % len(clients)].post(start + int(sent * step))
            sent += 1
        if sent == total:
            done.set()

    loop = asyncio.get_running_loop()
    loop.add_reader(ticks, post_due)
    keeper = threading.Thread(target=keep_time)
    keeper.start()
    await done.wait()
    keeper.join()
    loop.remove_reader(ticks)
    os.close(ticks)


async def saturated(clients: list[Client], rooms: int, window: int, seconds: float) -> None:
    """Keep `window` posts of each room's first client on their way."""
    for client in clients[:rooms]:
        client.on_own = client.post
        for _ in range(window):
            client.post()
    await asyncio.sleep(seconds)
    for client in clients[:rooms]:
        client.on_own = None


async def measure(options: argparse.Namespace, guests: list[Guest]) -> dict[str, float]:
    """Connect, warm up, measure, drain."""
    run = Run()
    began = time.perf_counter()
    clients = await connect_all(options, run, guests)
    joined = time.perf_counter() - began
    rate = options.rate / (options.clients / options.rooms)

    async def load(seconds: float) -> None:
        if options.rate:
            await paced(clients, rate, seconds)
        else:
            await saturated(clients, options.rooms, options.window, seconds)

    gc.collect()
    gc.freeze()
    await load(1.0)
    await asyncio.sleep(0.2)
    run.measuring = True
    run.posts = 0
    cpu, wall = time.process_time(), time.perf_counter()
    server_cpu = _cpu_of(options.server)
    await load(options.seconds)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    server_cpu = _cpu_of(options.server) - server_cpu
    in_time = run.deliveries
    await asyncio.sleep(0.5)
    for client in clients:
        client.transport.disconnect(graceful=False)
    return {
        "joined_s": joined,
        "deliveries_s": in_time / wall,
        "expected": run.posts * options.clients / options.rooms,
        "received": run.deliveries,
        "p50_ms": _percentile(run.latencies, 0.5),
        "p99_ms": _percentile(run.latencies, 0.99),
        "lag_p99_ms": _percentile(run.lags, 0.99),
        "client_cpu": cpu / wall,
        "server_cpu": server_cpu / wall,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--server", type=int, default=0, help="process id, to report its CPU")
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--rooms", type=int, default=50)
    parser.add_argument("--rate", type=float, default=0, help="deliveries a second; 0 saturates")
    parser.add_argument("--window", type=int, default=8, help="posts on their way in each room")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--qos-out", type=int, default=0)
    parser.add_argument("--mqtt", type=int, default=5, choices=(4, 5))
    parser.add_argument("--guests", help="file with guests' credentials, to sign with")
    options = parser.parse_args()
    guests = Guest.load(options.guests) if options.guests else []
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(measure(options, guests))))


if __name__ == "__main__":
    main()
