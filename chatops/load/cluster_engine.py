"""One engine on a Dask worker: a process beside the worker, and the task that carries its messages.

The task says who it is and waits for its assignment, which the front hands out once: a task that Dask runs a second
time is sent away. The engine itself is a process of its own, so that Dask's work in the worker does not disturb what is
measured, and a worker may carry as many engines as it has threads.
"""

import asyncio
import contextlib
import os
import pickle
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from distributed import get_worker

from chatops.load.child import how_it_ended
from chatops.load.cluster_link import BROKEN, Letters, connected
from chatops.load.pipes import Mailbox
from chatops.load.roll_call import Presence

SILENT_S = 20.0
"""An engine leaves when the front has said nothing for so long."""

ASSIGNED_WITHIN_S = 75.0
_ENDING_S = 30.0


def carry(run: str, engine: int) -> None:
    """Carry an engine to its end; what Dask runs as a task.

    Args:
        run: the eight digits of the run, part of the names of its queues.
    """
    worker = get_worker()
    address, security = worker.scheduler.address, worker.security
    asyncio.run(_carry(run, engine, worker.address, address, security))


async def _carry(run: str, engine: int, worker: str, scheduler: str, security: Any) -> None:
    async with connected(scheduler, security) as link:
        box = await link.letters(f"chatops-{run}-{engine}-{secrets.token_hex(4)}")
        voice = _Voice(await link.letters(up_name(run)), engine, box.name)
        try:
            presence = Presence.here(worker, await link.compare_clocks())
            await voice.say("here", presence=presence.plain())
            letter = await box.take(ASSIGNED_WITHIN_S)
            if letter is not None and letter["kind"] == "assignment":
                how = await _Engine(box, voice).run(letter["data"])
                reading = await link.compare_clocks()
                await voice.say("left", how=how, ahead_ns=reading.ahead_ns, bound_ns=reading.bound_ns)
            await box.end()
        except BROKEN:
            link.drop_queues(for_others=True)  # the front is gone, or the scheduler; the engine has learned it
        finally:
            link.drop_queues()


def up_name(run: str) -> str:
    """The queue in which all engines of a run speak to its front."""
    return f"chatops-{run}-up"


class _Voice:
    """What one task says to the front. `box` is where it is answered, and tells it from any other run of the task."""

    def __init__(self, up: Letters, engine: int, box: str) -> None:
        self._up, self._engine, self._box = up, engine, box

    async def say(self, kind: str, **more: Any) -> None:
        await self._up.put({"kind": kind, "engine": self._engine, "box": self._box, **more})


class _Engine:
    """The process of an engine, and what passes between it and the front."""

    def __init__(self, box: Letters, voice: _Voice) -> None:
        self._box = box
        self._voice = voice
        self._out: asyncio.Queue[Any | None] = asyncio.Queue()

    async def run(self, assignment: bytes) -> str:
        """Start it, and carry messages until it has ended; returns how it ended, in words."""
        here, there = socket.socketpair()
        with there:  # only the engine keeps its end, so that it shows when it is gone
            process = await asyncio.to_thread(_start, there.fileno())
        connection: Connection[Any, Any] = Connection(os.dup(here.fileno()))
        mailbox = Mailbox(connection, self._out.put_nowait)
        folder = Path(tempfile.mkdtemp(prefix="chatops-"))
        mailbox.send((_read(assignment), SILENT_S, folder))
        listening = asyncio.create_task(self._listen(mailbox))
        try:
            while (message := await self._out.get()) is not None:
                await self._voice.say("said", data=pickle.dumps(message))
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            await asyncio.to_thread(_end, mailbox, here, process)
            shutil.rmtree(folder, ignore_errors=True)  # an engine that was killed has left it
        return how_it_ended(process.returncode)

    async def _listen(self, mailbox: Mailbox) -> None:
        """Pass on what the front says, until the scheduler is gone: then the engine has to be told."""
        try:
            while (letter := await self._box.take()) is not None:
                for message in _read(letter["data"]):
                    mailbox.send(message)
        finally:
            self._out.put_nowait(None)


def _read(data: bytes) -> Any:
    return pickle.loads(data)  # noqa: S301  (of the front; whoever else reaches the scheduler may run anything anyway)


def _start(pipe: int) -> "subprocess.Popen[bytes]":
    """Start an engine's process, which finds the same chatops as this one does, wherever the worker was started."""
    command = [sys.executable, "-P", "-m", "chatops.load.child", str(pipe)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}
    return subprocess.Popen(command, env=env, pass_fds=[pipe], stdin=subprocess.DEVNULL)  # noqa: S603  (of ours)


def _end(mailbox: Mailbox, pipe: socket.socket, process: "subprocess.Popen[bytes]") -> None:
    """Close the pipe, from which the engine learns that nobody listens any more, and wait until it has left."""
    mailbox.close()
    with contextlib.suppress(OSError):
        pipe.shutdown(socket.SHUT_RDWR)  # closing alone would not wake the thread that reads
    pipe.close()
    try:
        process.wait(_ENDING_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
