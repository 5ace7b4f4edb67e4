"""The connection to a Dask scheduler: the only thing that the front of a run and its engines can both reach.

All that they say goes through queues that live on the scheduler, so that neither has to accept a connection. A `get`
waits at the scheduler until there is something; nothing is asked twice (`docs/decisions/013`).
"""

import asyncio
import contextlib
import linecache
import logging
import os
import time
import warnings
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import dask
from distributed import Client, Queue
from distributed.security import Security

from chatops.errors import ConfigurationError, ConnectionFailedError, UsageError
from chatops.load.clocks import BOOT_ID, TIME_NAMESPACE, Reading, clock_name, read

CONNECT_S = 10.0
_REFUSING_S = 3.0
PUT_S = 20.0
"""Whoever reads a full queue, and makes no room for so long, is gone."""

_PORT = 8786
_SCHEMES = ("tcp", "tls")
_ROUNDS = 60
_CAUSE = 200
_COMPARING_S = 3.0
_TLS = "distributed.comm.tls"

BROKEN = (OSError, KeyError, RuntimeError, ValueError)
"""What a call to a scheduler raises that is gone (OSError), was restarted (KeyError: it has no such queue), or whose
client gave up (the others)."""


def scheduler_address(text: str) -> str:
    """A scheduler's address, with Dask's port where none is given.

    Raises:
        UsageError: it is none.
    """
    remedy = "name the scheduler as tcp://HOST:8786, or tls://HOST:8786"
    try:
        parts = urlsplit(text)
        port = parts.port or _PORT
    except ValueError as error:
        raise UsageError(f"The scheduler's address is none: {error}", remedy) from None
    if parts.scheme not in _SCHEMES:
        named = f"{parts.scheme}://" if "://" in text else "no scheme"
        raise UsageError(f"A cluster's scheduler is not reached by {named}", remedy)
    if not parts.hostname or "@" in parts.netloc or parts.path.strip("/") or parts.query or parts.fragment:
        raise UsageError("The scheduler's address names more or less than a host and a port", remedy)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port}"


class Letters:
    """What comes in by a queue.

    A `get` that gives up after a time makes the scheduler log a traceback, so one waits at the scheduler until there
    is something, whoever has given up waiting for it here.
    """

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._getting: asyncio.Task[Any] | None = None

    @property
    def name(self) -> str:
        """The queue's name."""
        return str(self._queue.name)

    async def take(self, most_s: float | None = None) -> Mapping[str, Any] | None:
        """The next letter; None when there is none within `most_s`."""
        if self._getting is None:
            self._getting = asyncio.create_task(self._queue.get())
        done, _ = await asyncio.wait({self._getting}, timeout=most_s)
        if not done:
            return None
        found, self._getting = self._getting.result(), None
        return dict(found)

    async def take_all(self, most_s: float | None = None) -> list[Mapping[str, Any]]:
        """All that has arrived, at least one; nothing when nothing comes within `most_s`."""
        first = await self.take(most_s)
        return [] if first is None else [first, *await self._queue.get(batch=True)]

    async def put(self, letter: Mapping[str, Any], *, within_s: float = PUT_S) -> None:
        """Add a letter, when there is room."""
        await self._queue.put(dict(letter), timeout=within_s)

    async def end(self) -> None:
        """Let go of what waits at the scheduler."""
        if self._getting is not None:
            await self._queue.put({"kind": "end"}, timeout=PUT_S)
            await asyncio.wait({self._getting}, timeout=PUT_S)


class Link:
    """A connection to a scheduler."""

    def __init__(self, address: str, client: Client) -> None:
        self.address = address
        self._client = client
        self._made: list[Queue] = []

    async def letters(self, name: str, *, most: int = 0) -> Letters:
        """A queue on the scheduler, made when there is none of that name; holds `most` items, or any number."""
        queue = Queue(name, client=self._client, maxsize=most)
        await queue
        self._made.append(queue)
        return Letters(queue)

    def drop_queues(self, *, for_others: bool = False) -> None:
        """Have the scheduler forget the queues that were made here.

        Args:
            for_others: also on behalf of whoever else had them and is gone.
        """
        for queue in self._made:
            # A queue lives until it was closed as often as it was made, and each side makes it twice, by its
            # constructor and by waiting for it.
            for _ in range(4 if for_others else 2):
                queue.close()
        self._made.clear()

    async def compare_clocks(self) -> Reading:
        """Read how far the scheduler's monotonic clock is ahead of this one."""
        rounds: list[tuple[int, int, int]] = []
        end = time.monotonic() + _COMPARING_S
        while len(rounds) < _ROUNDS and (not rounds or time.monotonic() < end):
            asked = time.monotonic_ns()
            answer = await self._client.run_on_scheduler(time.monotonic_ns)
            rounds.append((asked, int(answer), time.monotonic_ns()))
        return read(rounds)

    async def clock(self) -> str:
        """Which clock the scheduler reads; with the standard library's means only, as it may have no chatops.

        An empty text when it cannot tell.
        """
        try:
            boot_id = str(await self._client.run_on_scheduler(linecache.getline, BOOT_ID, 1))
            namespace = str(await self._client.run_on_scheduler(os.readlink, TIME_NAMESPACE)) if boot_id else ""
        except Exception:  # noqa: BLE001  (whatever another system's scheduler says to that: its clock is unknown)
            return ""
        return clock_name(boot_id, namespace) if boot_id else ""

    async def allowed_failures(self) -> int | None:
        """How often the scheduler runs a task again whose worker was lost; None when it does not say."""
        name = "distributed.scheduler.allowed-failures"
        found = await self._client.run_on_scheduler(dask.config.get, name, None)
        return found if isinstance(found, int) else None

    async def threads(self) -> Mapping[str, int]:
        """The threads of each worker, by its address."""
        found = await self._client.nthreads()
        return {str(worker): int(count) for worker, count in found.items()}

    def submit(self, expression: str, *, key: str, worker: str) -> Any:
        """Have a worker evaluate an expression, there and nowhere else.

        As text, since the scheduler unpickles tasks before it passes them on, and may have no chatops.
        """
        return self._client.submit(
            eval, expression, key=key, workers=[worker], allow_other_workers=False, retries=0, pure=False
        )


@asynccontextmanager
async def connected(address: str, security: Security | None = None) -> AsyncGenerator[Link]:
    """Connect to a scheduler, and release all that was asked of it in the end.

    Args:
        security: None takes what Dask's own configuration says.

    Raises:
        ConfigurationError: certificates are missing or not accepted.
        ConnectionFailedError: nobody answers there, or something else does.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of versions: those that matter are compared by us
        client = await _connect(address, security)
    try:
        yield Link(address, client)
    finally:
        await _close(client)


async def _close(client: Client) -> None:
    with contextlib.suppress(*BROKEN):
        async with asyncio.timeout(CONNECT_S):
            await client.close()


async def _connect(address: str, security: Security | None) -> Client:
    if address.startswith("tls:") and security is None and not dask.config.get(f"{_TLS}.ca-file", None):
        names = ", ".join(f"DASK_DISTRIBUTED__COMM__TLS__{part}" for part in ("CA_FILE", "CLIENT__CERT", "CLIENT__KEY"))
        raise ConfigurationError(f"{address} needs certificates, and Dask's configuration names none", f"set {names}")
    client = Client(
        address, asynchronous=True, set_as_default=False, security=security, timeout=CONNECT_S, name="chatops"
    )
    try:
        async with asyncio.timeout(CONNECT_S + _REFUSING_S):  # Dask's own does not cover the first words
            return await client
    except Exception as error:  # noqa: BLE001  (another protocol's bytes provoke anything, even MemoryError)
        await _close(client)
        if isinstance(error, ImportError):
            raise ConfigurationError(
                f"The scheduler at {address} does not take this client: {_cause(error)}",
                "install the same version of Dask on both sides",
            ) from None
        raise ConnectionFailedError(
            f"No Dask scheduler answers at {address}: {_cause(error)}",
            "start one with `dask scheduler`, or check address, firewall and, for tls://, the certificates",
        ) from None


def _cause(error: BaseException) -> str:
    """The last cause of an error, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    match error:
        case MemoryError():  # from taking another protocol's first bytes for a length
            return "something else does"
        case TimeoutError():
            return "nothing came in time"
        case _:
            return (" ".join(str(error).split()) or type(error).__name__)[:_CAUSE]


def quiet() -> None:
    """For the front: Dask logs each lost connection with a traceback, and what that means is said in our own words."""
    for name in ("distributed", "distributed.client", "distributed.core", "distributed.comm", "tornado", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
