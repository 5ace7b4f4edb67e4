"""Another machine, made of Linux namespaces: a network that reaches nothing, a monotonic clock that is far ahead.

What lies beyond is reached through Unix sockets, which network namespaces do not divide, by forwarders that may be
slow. `python -m tests.local.away PORT=SOCKET=SECONDS… -- COMMAND…` is the inside: it listens on those ports of its own
loopback and runs the command.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def unshare(*, network: bool, monotonic_s: int) -> list[str]:
    """The command that starts another one in namespaces of its own."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    net = ["--net"] if network else []
    return ["unshare", *user, *net, "--time", "--monotonic", str(monotonic_s), "--fork", "--kill-child"]


def why_not(*, network: bool) -> str | None:
    """Why this machine does not permit it; None when it does."""
    try:
        done = subprocess.run(
            [*unshare(network=network, monotonic_s=1), "true"], capture_output=True, text=True, check=False
        )
    except OSError as error:
        return str(error)
    return None if done.returncode == 0 else done.stderr.strip() or f"unshare ended with {done.returncode}"


def inside(doors: Mapping[int, Path], delays: Mapping[int, float]) -> list[str]:
    """The command, after that of `unshare`, that opens the doors from within before it runs another one."""
    named = [f"{port}={door}={delays.get(port, 0)}" for port, door in doors.items()]
    return [sys.executable, "-m", "tests.local.away", *named, "--"]


@contextmanager
def outside(doors: Mapping[int, Path]) -> Generator[None]:
    """Let whoever knocks at a Unix socket in to the port of this machine's loopback that is behind it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def open_all() -> list[asyncio.Server]:
        return [
            await asyncio.start_unix_server(_forwarder(_tcp(port), 0.0), path=str(door)) for port, door in doors.items()
        ]

    async def close_all() -> None:
        for server in servers:
            server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    servers = asyncio.run_coroutine_threadsafe(open_all(), loop).result(30)
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(close_all(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _tcp(port: int) -> Callable[[], Awaitable[_Streams]]:
    return lambda: asyncio.open_connection("127.0.0.1", port)


def _unix(path: str) -> Callable[[], Awaitable[_Streams]]:
    return lambda: asyncio.open_unix_connection(path)


def _forwarder(
    connect: Callable[[], Awaitable[_Streams]], delay_s: float
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there_writer = await connect()
        except OSError:
            writer.close()
            return
        await asyncio.gather(_copy(reader, there_writer, delay_s), _copy(there_reader, writer, delay_s))

    return forward


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
    """Copy a stream, each part so much later; a slow link is not a narrow one."""
    loop = asyncio.get_running_loop()
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def read() -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                under_way.put_nowait((loop.time() + delay_s, data))
        under_way.put_nowait((loop.time() + delay_s, b""))

    reading = asyncio.create_task(read())
    try:
        while True:
            due, data = await under_way.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not data:
                break
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        reading.cancel()
        writer.close()


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        name = struct.pack("16sh14x", b"lo", 0)
        _, flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, name))
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


async def _main(doors: Sequence[str], command: Sequence[str]) -> int:
    _loopback_up()
    for door in doors:
        port, path, delay = door.split("=")
        await asyncio.start_server(_forwarder(_unix(path), float(delay)), "127.0.0.1", int(port))
    process = await asyncio.create_subprocess_exec(*command)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, process.terminate)
    return await process.wait()


if __name__ == "__main__":
    at = sys.argv.index("--")
    sys.exit(asyncio.run(_main(sys.argv[1:at], sys.argv[at + 1 :])))
