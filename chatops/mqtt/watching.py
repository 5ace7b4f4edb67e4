"""Watching rooms for as long as it takes: connect, subscribe, and connect again whenever the connection is lost.

Nothing is lost in silence: each loss and each return is an event of its own. Every attempt logs in afresh, so that
credentials never go stale and a changed environment (the local stack started anew, say) is found again.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from chatops.errors import ChatopsError, NotAuthorisedError
from chatops.mqtt.connection import Delivery, connect
from chatops.mqtt.login import Login

_FIRST_DELAY_S = 0.25
_LONGEST_DELAY_S = 3.0
_REFUSALS_IN_A_ROW = 3


@dataclass(frozen=True, slots=True)
class Connected:
    """The connection is up and the filters are subscribed."""

    client_id: str


@dataclass(frozen=True, slots=True)
class Arrived:
    """Messages, in the order of arrival; `dropped` counts those lost so far because the reader lagged."""

    deliveries: Sequence[Delivery]
    dropped: int


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection was lost; whatever is posted from now on is missed until `Connected` comes again."""

    reason: str


Event = Connected | Arrived | Lost


async def watch(
    log_in: Callable[[], Awaitable[Login]], filters: Sequence[str], *, qos: int = 0
) -> AsyncGenerator[Event]:
    """Yield what happens in the rooms of `filters`, without end.

    Args:
        log_in: called before each connection.

    Raises:
        NotAuthorisedError: refused at the first connection, or three times in a row later (policy or pool changed).
        ChatopsError: the first connection failed otherwise.
    """
    connected_once = False
    refusals = 0
    failures = 0
    while True:
        try:
            login = await log_in()
            async with connect(login.address, login.region, login.keys, login.client_id) as chat:
                await chat.subscribe(filters, qos)
                connected_once, refusals, failures = True, 0, 0
                yield Connected(login.client_id)
                async for batch in chat.deliveries():
                    yield Arrived(batch, chat.dropped)
        except NotAuthorisedError as error:
            refusals += 1
            if not connected_once or refusals >= _REFUSALS_IN_A_ROW:
                raise
            if not failures:
                yield Lost(error.problem)
        except ChatopsError as error:
            if not connected_once:
                raise
            if not failures:
                yield Lost(getattr(error, "reason", error.problem))
        failures += 1
        delay = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2 ** min(failures, 10))
        await asyncio.sleep(random.uniform(0, delay))  # noqa: S311  (jitter, not a secret)
