"""Waiting until what was posted has been seen to arrive."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from chatops.errors import DifferencesError
from chatops.mqtt.connection import ChatConnection, connect
from chatops.mqtt.login import Login

_WAIT_S = 10.0


class Echo:
    """Hears rooms on a connection of its own."""

    def __init__(self, chat: ChatConnection) -> None:
        self._chat = chat
        self._heard: dict[tuple[str, bytes], float] = {}

    async def wait(self, topic: str, payload: bytes, begun: float) -> int:
        """Wait for a message; returns the milliseconds since `begun`, on the clock of the epoch.

        Raises:
            DifferencesError: it has not come within ten seconds.
        """
        deadline = time.monotonic() + _WAIT_S
        while (at := self._heard.pop((topic, payload), None)) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise DifferencesError(
                    f"The message was accepted for {topic}, but did not arrive within {_WAIT_S:.0f} s",
                    "check the policy (iot:Receive), and whether the room is busier than 100 messages a second",
                )
            for delivery in await self._chat.next_batch(left):
                self._heard[delivery.topic, delivery.payload] = delivery.at
        self._heard.clear()
        return max(0, round((at - begun) * 1000))


@asynccontextmanager
async def listening(login: Login, topics: Sequence[str]) -> AsyncGenerator[Echo]:
    """Listen to rooms from now on."""
    async with connect(login.address, login.region, login.keys, login.client_id) as chat:
        await chat.subscribe(topics)
        await asyncio.sleep(0)
        yield Echo(chat)
