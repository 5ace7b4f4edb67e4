"""What there is to post: a text, a file, standard input, whole or line by line."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from chatops.chat.rooms import MAX_PAYLOAD_BYTES
from chatops.cli.post_options import PostOptions
from chatops.errors import ConfigurationError, UsageError

_LINES_AHEAD = 100


def whole(options: PostOptions) -> bytes:
    """The one message's text or bytes.

    Raises:
        UsageError: there is nothing.
        ConfigurationError: the file cannot be read.
    """
    if options.text is not None:
        return options.text.encode("utf-8", "surrogateescape")
    with _opened(options.file) as file:
        data = file.read(4 * MAX_PAYLOAD_BYTES)
    if not options.raw:
        data = data.rstrip(b"\r\n")
    if not data.strip() and not (options.raw and data):
        raise UsageError("The text is empty", "say something, or give - to read standard input")
    return data


async def lines(options: PostOptions) -> AsyncIterator[bytes]:
    """The lines of the file or of standard input, as they come, without their ends; empty ones are passed over.

    Read on a thread of its own that ends with the process: whoever types may be interrupted at any time.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue()
    slots = threading.Semaphore(_LINES_AHEAD)

    def read() -> None:
        def hand_over(item: bytes | BaseException | None) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(queue.put_nowait, item)

        try:
            with _opened(options.file) as file:
                while line := file.readline(MAX_PAYLOAD_BYTES + 3):
                    slots.acquire()
                    hand_over(line.rstrip(b"\r\n"))
            hand_over(None)
        except BaseException as error:  # noqa: BLE001  (told where the lines are read)
            hand_over(error)

    threading.Thread(target=read, daemon=True).start()
    while (item := await queue.get()) is not None:
        if isinstance(item, BaseException):
            raise item
        slots.release()
        if item.strip():
            yield item


def _opened(path: Path | None) -> BinaryIO:
    if path is None:
        # Not sys.stdin: a thread that waits on that one makes the interpreter abort at its end.
        return open(sys.stdin.fileno(), "rb", closefd=False)
    try:
        return path.open("rb")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}", "name another --file") from None
