"""Listening to rooms for a while, or until Ctrl-C: what `who` and `rooms` share."""

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from chatops.cli.quantities import seconds
from chatops.errors import UsageError

if TYPE_CHECKING:
    from chatops.mqtt.inbox import Delivery
    from chatops.mqtt.login import Login
    from chatops.mqtt.watching import Event
    from chatops.render.output import Output


def check_who(who: str) -> None:
    """Refuse whom nobody can listen as.

    Raises:
        UsageError: it is neither guest nor operator.
    """
    if who not in {"guest", "operator"}:
        raise UsageError(f"Nobody can listen as {who!r}", "choose --as guest or --as operator")


def listening_time(text: str) -> float:
    """Read how long to listen, in seconds.

    Raises:
        UsageError: it is no time, or none at all.
    """
    value = seconds("--for", text)
    if value <= 0:
        raise UsageError(f"--for {text!r} is no time at all", "write 5s or 1m")
    return value


async def listen(
    out: "Output",
    login: "Callable[[], Awaitable[Login]]",
    filters: Sequence[str],
    *,
    for_s: float | None,
    connected: Callable[[str], None],
    arrived: "Callable[[Delivery], None]",
    tick: Callable[[], None] = lambda: None,
    tick_s: float = 1.0,
) -> None:
    """Hand over what arrives, for so long from the first connection on, or without end.

    Args:
        connected: told the client id of each connection.
        tick: called again and again.
    """
    import asyncio

    from chatops.mqtt.watching import Connected, watch

    async def keep_ticking() -> None:
        while True:
            await asyncio.sleep(tick_s)
            tick()

    ticking: asyncio.Task[None] | None = None
    try:
        async with contextlib.aclosing(watch(login, filters)) as events, asyncio.timeout(None) as limit:
            async for event in events:
                _hand_over(out, event, connected, arrived)
                if isinstance(event, Connected) and ticking is None:
                    ticking = asyncio.create_task(keep_ticking())
                    if for_s is not None:
                        limit.reschedule(asyncio.get_running_loop().time() + for_s)
    except TimeoutError:
        if not limit.expired():
            raise
    finally:
        if ticking is not None:
            ticking.cancel()


def _hand_over(
    out: "Output", event: "Event", connected: Callable[[str], None], arrived: "Callable[[Delivery], None]"
) -> None:
    from chatops.chat.text import safe_text
    from chatops.mqtt.watching import Arrived, Connected, Lost, Overrun
    from chatops.render.messages import gap_words

    match event:
        case Arrived():
            for delivery in event.deliveries:
                arrived(delivery)
        case Connected():
            connected(event.client_id)
            if event.gap is not None:
                out.note(gap_words(event.gap))
        case Lost():
            out.note(f"lost the connection: {safe_text(event.reason)}; connecting again")
        case Overrun():
            out.note(gap_words(event.gap))
