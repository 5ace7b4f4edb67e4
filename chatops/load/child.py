"""A process that carries one of several engines of a run, whoever started it and whatever is at the pipe's other end.

`python -m chatops.load.child FD` is that process where it cannot be a child of `multiprocessing`: Dask's workers are
daemons, which may have none. The first thing that it reads from the pipe is its assignment, for how long it may hear
nothing, and a folder for its files, which it deletes.
"""

import asyncio
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from chatops.load.pipes import Mailbox
from chatops.load.protocol import Assignment, Finished, FromProcess, Piece, ToProcess
from chatops.load.recording import EVENTS
from chatops.load.worker import Worker

PIECE_BYTES = 32 * 1024
HOME_BYTES_PER_S = 8e6
"""How fast all engines together bring their files home at most; slower where the way is, as they wait for it."""

_CLOSING_S = 1.0


async def serve(connection: "Connection[Any, Any]", assignment: Assignment, *, silent_s: float | None = None) -> None:
    """Carry an engine until it has left.

    Args:
        silent_s: the front is gone when it has said nothing for so long; None when only its pipe tells.
    """
    away = assignment.events if assignment.events_home is not None else None
    last: list[FromProcess] = []

    def received(message: ToProcess | None) -> None:
        if message is None:
            patience.lose()  # the front is gone
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
            await _bring_home(away, mailbox.send, PIECE_BYTES * assignment.share.count / HOME_BYTES_PER_S)
    except Exception as error:
        words = f"{type(error).__name__}: {error}"
        mailbox.send(Finished(None, "ChatopsError", (words, "this is a bug in chatops; please report it")))
        raise
    finally:
        for message in last:
            mailbox.send(message)
        while not await asyncio.to_thread(mailbox.close, _CLOSING_S) and not patience.over:
            pass  # the way home may be long
        patience.end()


class _Patience:
    """Calls `gone` when it is not renewed in time; never when `seconds` is None."""

    def __init__(self, seconds: float | None, gone: Callable[[], None]) -> None:
        self.over = False
        self._seconds, self._gone = seconds, gone
        self._waiting: asyncio.TimerHandle | None = None
        self.renew()

    def renew(self) -> None:
        self.end()
        if self._seconds is not None:
            self._waiting = asyncio.get_running_loop().call_later(self._seconds, self.lose)

    def lose(self) -> None:
        """It is over at once."""
        self.end()
        self.over = True
        self._gone()

    def end(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()


async def _bring_home(file: Path, send: Callable[[Piece], None], pause_s: float) -> None:
    """Send a file that the recorder has kept small enough."""
    with file.open("rb") as content:
        while piece := content.read(PIECE_BYTES):
            send(Piece(piece))
            await asyncio.sleep(pause_s)


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
    assignment, silent_s, folder = connection.recv()
    try:
        if assignment.events_home is not None:
            assignment = replace(assignment, events=folder / f"{EVENTS}-{assignment.share.index}")
        asyncio.run(serve(connection, assignment, silent_s=silent_s))
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # whoever made it may be gone


if __name__ == "__main__":
    main()
