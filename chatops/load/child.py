"""A process that carries one of several engines of a run, whoever started it and whatever is at the pipe's other end.

`python -m chatops.load.child FD` is that process where it cannot be a child of `multiprocessing`: Dask's workers are
daemons, which may have none. The first thing that it reads from the pipe is its assignment.
"""

import asyncio
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from chatops.load.pipes import Mailbox
from chatops.load.protocol import Assignment, Finished, FromProcess, Piece, ToProcess
from chatops.load.recording import EVENTS
from chatops.load.worker import Worker

PIECE_BYTES = 256 * 1024


async def serve(connection: "Connection[Any, Any]", assignment: Assignment, *, silent_s: float | None = None) -> None:
    """Carry an engine until it has left.

    Args:
        silent_s: the front is gone when it has said nothing for so long; None when only its pipe tells.
    """
    away = assignment.events if assignment.events_home is not None else None
    last: list[FromProcess] = []

    def received(message: ToProcess | None) -> None:
        if message is None:
            worker.abandoned()  # the front is gone
        else:
            patience.renew()
            worker.received(message)

    def send(message: FromProcess) -> None:
        if away is not None and isinstance(message, Finished):
            last.append(message)  # what was recorded goes first
        else:
            mailbox.send(message)

    worker = Worker(assignment, send)
    patience = _Patience(silent_s, worker.abandoned)
    mailbox = Mailbox(connection, received)
    try:
        await worker.run()
        if away is not None:
            _bring_home(away, mailbox.send)
    except Exception as error:
        words = f"{type(error).__name__}: {error}"
        mailbox.send(Finished(None, "ChatopsError", (words, "this is a bug in chatops; please report it")))
        raise
    finally:
        patience.end()
        for message in last:
            mailbox.send(message)
        await asyncio.to_thread(mailbox.close)


class _Patience:
    """Calls `over` when it is not renewed in time; never when `seconds` is None."""

    def __init__(self, seconds: float | None, over: Callable[[], None]) -> None:
        self._seconds, self._over = seconds, over
        self._waiting: asyncio.TimerHandle | None = None
        self.renew()

    def renew(self) -> None:
        self.end()
        if self._seconds is not None:
            self._waiting = asyncio.get_running_loop().call_later(self._seconds, self._over)

    def end(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()


def _bring_home(file: Path, send: Callable[[Piece], None]) -> None:
    """Send a file that the recorder has kept small enough."""
    with file.open("rb") as content:
        while piece := content.read(PIECE_BYTES):
            send(Piece(piece))


def how_it_ended(code: int | None) -> str:
    """How a process ended, for people."""
    if code is None:
        return "its pipe broke"
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"it ended with exit code {code}"


def main() -> None:
    """Take the pipe whose number is the argument, and an assignment from it; then be that engine.

    Ctrl-C reaches this process too where the worker was started in a terminal, but what to do then is the front's
    to say.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection: Connection[Any, Any] = Connection(int(sys.argv[1]))
    assignment, silent_s = connection.recv()
    with tempfile.TemporaryDirectory(prefix="chatops-") as folder:
        if assignment.events_home is not None:
            assignment = replace(assignment, events=Path(folder) / f"{EVENTS}-{assignment.share.index}")
        asyncio.run(serve(connection, assignment, silent_s=silent_s))


if __name__ == "__main__":
    main()
