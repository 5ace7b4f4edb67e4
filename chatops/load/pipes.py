"""A pipe between two processes, read and written by threads, so that neither side's event loop ever waits for it."""

import asyncio
import queue
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

_CLOSING_S = 10.0


class Mailbox:
    """One end of a pipe.

    Args:
        received: gets each message, and None when the other end is gone, on the event loop's thread.
    """

    def __init__(self, connection: "Connection[Any, Any]", received: Callable[[Any | None], None]) -> None:
        self._connection = connection
        self._received = received
        self._loop = asyncio.get_running_loop()
        self._out: queue.SimpleQueue[Any | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="chatops-pipe-out", daemon=True)
        self._reader = threading.Thread(target=self._read, name="chatops-pipe-in", daemon=True)
        self._writer.start()
        self._reader.start()

    def send(self, message: object) -> None:
        """Send a message; it is dropped when the other end is gone."""
        self._out.put(message)

    def close(self, most_s: float = _CLOSING_S) -> bool:
        """Send what is under way, and end; blocks for so long at most, and tells whether all is sent."""
        self._out.put(None)
        self._writer.join(most_s)
        return not self._writer.is_alive()

    def _write(self) -> None:
        while (message := self._out.get()) is not None:
            try:
                self._connection.send(message)
            except OSError:
                return  # the reader learns it too, and says so

    def _read(self) -> None:
        while True:
            try:
                message = self._connection.recv()
            except (EOFError, OSError):
                message = None
            try:
                self._loop.call_soon_threadsafe(self._received, message)
            except RuntimeError:
                return  # the loop is closed: nobody is interested any more
            if message is None:
                return
