"""People who leave and come back: churn, the storm when many connections drop at once, and expired credentials.

Who leaves, and for how long, follows from the seed. Everything here runs on the event loop's thread.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from chatops.load.distribution import Distribution
from chatops.load.pacing import uniform
from chatops.load.scenario import LEAST_AWAY_S, Scenario

_CHURN, _WHO, _AWAY, _STORM, _BACK, _EXPIRED = (1 << 42, 1 << 43, 1 << 44, 1 << 45, 1 << 46, 1 << 47)
MOST_BACK = 0.99
"""A storm is over when this part of those it dropped is back."""


Renew = Callable[[int], Awaitable[bool]]


class Crowd(Protocol):
    """Whom this drives; `chatops.load.swarm.Swarm` is one."""

    def present(self, client: int) -> bool:
        """Tell whether a client is there and may leave."""

    def send_away(self, client: int, *, abrupt: bool) -> None:
        """Have a client leave, or lose its connection."""

    def bring_back(self, client: int, done: Callable[[], None]) -> None:
        """Connect it again; `done` is called when it is subscribed."""


@dataclass(slots=True)
class Reconnects:
    """How those fared who left and came back.

    Attributes:
        took: from the attempt to come back until the subscription.
        storm_took: from the storm until somebody whom it had dropped was back.
        expired: clients whose credentials expired; `renewed` of them got new ones.
        expiry_took: from the expiry until somebody was back with new credentials.
    """

    left: int = 0
    returned: int = 0
    took: Distribution = field(default_factory=Distribution)
    storm_dropped: int = 0
    storm_took: Distribution = field(default_factory=Distribution)
    expired: int = 0
    renewed: int = 0
    expiry_took: Distribution = field(default_factory=Distribution)

    @property
    def storm_returned(self) -> int:
        """How many of those that the storm dropped came back."""
        return self.storm_took.count

    @property
    def storm_back_s(self) -> float | None:
        """Seconds until 99 % of those that the storm dropped were back; None when they were not."""
        took_us = self.storm_took.ranked_us(math.ceil(MOST_BACK * self.storm_dropped))
        return None if took_us is None else took_us / 1e6

    @property
    def expiry_back_s(self) -> float | None:
        """Seconds from the expiry of the credentials until 99 % were back; None when they were not."""
        took_us = self.expiry_took.ranked_us(math.ceil(MOST_BACK * self.expired))
        return None if took_us is None else took_us / 1e6

    def merge(self, other: "Reconnects") -> None:
        """Add what another process counted."""
        self.left += other.left
        self.returned += other.returned
        self.took.merge(other.took)
        self.storm_dropped += other.storm_dropped
        self.storm_took.merge(other.storm_took)
        self.expired += other.expired
        self.renewed += other.renewed
        self.expiry_took.merge(other.expiry_took)

    def copy(self) -> "Reconnects":
        """The same counts, counted on apart."""
        return replace(
            self, took=self.took.copy(), storm_took=self.storm_took.copy(), expiry_took=self.expiry_took.copy()
        )

    def since(self, earlier: "Reconnects") -> "Reconnects":
        """What was counted after `earlier`, an older copy of this."""
        return Reconnects(
            self.left - earlier.left,
            self.returned - earlier.returned,
            self.took.since(earlier.took),
            self.storm_dropped - earlier.storm_dropped,
            self.storm_took.since(earlier.storm_took),
            self.expired - earlier.expired,
            self.renewed - earlier.renewed,
            self.expiry_took.since(earlier.expiry_took),
        )

    def document(self) -> dict[str, Any]:
        """The part `reconnects` of a run's document."""
        found = self.took.percentiles().document()
        return {
            "left": self.left,
            "returned": self.returned,
            "took_ms": {name: None if value is None else round(value, 3) for name, value in found.items()},
            "storm": {
                "dropped": self.storm_dropped,
                "returned": self.storm_returned,
                "seconds_until_99_percent_back": None if self.storm_back_s is None else round(self.storm_back_s, 3),
            },
            "expiry": {
                "expired": self.expired,
                "renewed": self.renewed,
                "returned": self.expiry_took.count,
                "seconds_until_99_percent_back": None if self.expiry_back_s is None else round(self.expiry_back_s, 3),
            },
        }


class Restlessness:
    """Makes people leave and come back during the steady window.

    Args:
        crowd: the clients of this process; of others it says that they are not present.
        renew: gets new credentials for a client; needed where credentials expire.
        clients: all clients of the run. Whom chance picks does not depend on how they are shared out.
    """

    def __init__(self, crowd: Crowd, scenario: Scenario, clients: Sequence[int], renew: Renew | None = None) -> None:
        self._renew = renew
        self.reconnects = Reconnects()
        self._crowd = crowd
        self._scenario = scenario
        self._clients = clients
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, start: float) -> None:
        """Keep at it until cancelled; `start` is when the load begins, on the monotonic clock."""
        try:
            async with asyncio.TaskGroup() as group:
                if self._scenario.churn_per_minute and self._clients:
                    group.create_task(self._churn(start + self._scenario.warm_up_s))
                if self._scenario.storm_share and self._clients:
                    group.create_task(self._storm(start + self._scenario.storm_s))
                if self._scenario.expiry_at_s is not None and self._renew is not None:
                    at = start + self._scenario.warm_up_s + self._scenario.expiry_at_s
                    group.create_task(self._expiry(at, self._renew))
            await self.settled()
        finally:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def settled(self) -> None:
        """Wait until everybody who is away has been brought back."""
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    async def _churn(self, at: float) -> None:
        scenario = self._scenario
        per_s = len(self._clients) * scenario.churn_per_minute / 60
        index = 0
        end = at + scenario.duration_s
        while True:
            index += 1
            at -= math.log(uniform(scenario.seed, _CHURN, index)) / per_s
            if at >= end:
                return
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            client = self._clients[int(uniform(scenario.seed, _WHO, index) * len(self._clients)) - 1]
            if self._crowd.present(client):
                gap = -math.log(uniform(scenario.seed, _AWAY, index)) * scenario.away_s
                self._away(client, max(LEAST_AWAY_S, gap), abrupt=False)

    async def _storm(self, at: float) -> None:
        scenario, found = self._scenario, self.reconnects
        await asyncio.sleep(max(0.0, at - time.monotonic()))
        order = sorted(self._clients, key=lambda client: uniform(scenario.seed, _STORM, client))
        chosen = order[: max(1, round(len(self._clients) * scenario.storm_share))]
        dropped = [client for client in chosen if self._crowd.present(client)]
        found.storm_dropped = len(dropped)
        begun = time.monotonic()

        def back() -> None:
            found.storm_took.record(round((time.monotonic() - begun) * 1e6))

        for client in dropped:
            wait = LEAST_AWAY_S + (scenario.storm_back_s - LEAST_AWAY_S) * uniform(scenario.seed, _BACK, client)
            self._away(client, wait, abrupt=True, back=back)

    async def _expiry(self, at: float, renew: Renew) -> None:
        """Let everybody's connection end, as one without valid credentials would, and come back with new ones."""
        scenario, found = self._scenario, self.reconnects
        await asyncio.sleep(max(0.0, at - time.monotonic()))
        begun = time.monotonic()

        def back() -> None:
            found.expiry_took.record(round((time.monotonic() - begun) * 1e6))

        async def renewed(client: int) -> bool:
            got = await renew(client)
            found.renewed += got
            return got

        for client in self._clients:
            if self._crowd.present(client):
                found.expired += 1
                wait = LEAST_AWAY_S + (scenario.expiry_back_s - LEAST_AWAY_S) * uniform(scenario.seed, _EXPIRED, client)
                self._away(client, wait, abrupt=False, back=back, first=renewed)

    def _away(
        self,
        client: int,
        seconds: float,
        *,
        abrupt: bool,
        back: Callable[[], None] | None = None,
        first: Renew | None = None,
    ) -> None:
        self.reconnects.left += 1
        self._crowd.send_away(client, abrupt=abrupt)
        task = asyncio.get_running_loop().create_task(self._return(client, seconds, back, first))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _return(self, client: int, seconds: float, back: Callable[[], None] | None, first: Renew | None) -> None:
        await asyncio.sleep(seconds)
        if first is not None and not await first(client):
            return
        begun = time.monotonic()
        there = asyncio.Event()
        self._crowd.bring_back(client, there.set)
        await there.wait()
        self.reconnects.returned += 1
        self.reconnects.took.record(round((time.monotonic() - begun) * 1e6))
        if back is not None:
            back()
