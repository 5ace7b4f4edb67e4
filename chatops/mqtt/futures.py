"""awscrt's futures, awaited."""

import asyncio
import contextlib
from concurrent.futures import Future
from typing import Any


async def outcome(future: "Future[Any]") -> Any:
    """Wait for one of awscrt's futures; raises what it holds.

    Unlike `asyncio.wrap_future`, being cancelled does not cancel it: awscrt settles each of its futures in the end,
    and complains on standard error about one that was cancelled.
    """
    loop = asyncio.get_running_loop()
    settled = loop.create_future()

    def settle() -> None:
        if settled.done():
            return
        if (error := future.exception()) is not None:
            settled.set_exception(error)
        else:
            settled.set_result(future.result())

    def done(_future: "Future[Any]") -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits any more
            loop.call_soon_threadsafe(settle)

    future.add_done_callback(done)
    return await settled
