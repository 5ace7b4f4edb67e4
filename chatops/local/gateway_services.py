"""What all connections of a gateway share: broker, policy, quotas of the account."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from chatops.local.authorizer import Authorizer
from chatops.local.broker import Broker
from chatops.local.broker_events import PREFIX as EVENTS_PREFIX
from chatops.local.broker_values import DisconnectCause
from chatops.local.credentials import Principal
from chatops.local.limits import KeyedLimiter, Limits, RateLimiter
from chatops.local.packets import Reason
from chatops.local.topics import topic_problem


class Closable(Protocol):
    """A connection, as the gateway stops it."""

    def close(self, reason: Reason, cause: DisconnectCause, text: str | None = None) -> None:
        """Say why and hang up."""
        ...

    def abort(self) -> None:
        """Reset the socket."""
        ...


class RefusedError(Exception):
    """The client gets `reason` and is disconnected."""

    def __init__(self, text: str, reason: Reason, cause: DisconnectCause = DisconnectCause.CLIENT_ERROR) -> None:
        super().__init__(text)
        self.reason = reason
        self.cause = cause


@dataclass(slots=True)
class Services:
    """What all connections of a gateway share."""

    broker: Broker
    authorizer: Authorizer
    limits: Limits
    clock: Callable[[], float]
    connections: set[Closable] = field(default_factory=set)
    connects: RateLimiter | None = None
    connects_by_client: KeyedLimiter | None = None
    publishes: RateLimiter | None = None
    subscriptions: RateLimiter | None = None
    _empty: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        limits = self.limits
        if limits.connects_per_client is not None:
            self.connects_by_client = KeyedLimiter(limits.connects_per_client, 1, self.clock)
        for quota in ("connects", "publishes-in", "subscriptions"):
            self.throttle(quota, None)

    def throttle(self, quota: str, rate: float | None) -> None:
        """Enforce a rate per second: `connects`, `publishes-in` or `subscriptions`; None is the quota in `limits`."""
        match quota:
            case "connects":
                self.connects = self._limiter(self.limits.connects if rate is None else rate)
            case "publishes-in":
                self.publishes = self._limiter(self.limits.publishes_in if rate is None else rate)
            case _:
                self.subscriptions = self._limiter(self.limits.subscriptions if rate is None else rate)

    def _limiter(self, rate: float | None) -> RateLimiter | None:
        return None if rate is None else RateLimiter(rate, clock=self.clock)

    def leave(self, connection: Closable) -> None:
        """Take note that a connection's socket is gone."""
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()

    async def wait_empty(self, seconds: float) -> None:
        """Wait until no connection is left, or `seconds` have passed."""
        if self.connections:
            self._empty.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), seconds)

    def topic_problem(self, topic: str) -> str | None:
        """Say why `topic` cannot be published to, or None."""
        return topic_problem(topic, max_bytes=self.limits.topic, max_slashes=self.limits.topic_slashes)

    def may_publish(self, principal: Principal, topic: str, *, retain: bool) -> bool:
        """Ask the policy; nobody may forge lifecycle events."""
        return not topic.startswith(EVENTS_PREFIX) and self.authorizer.may_publish(principal, topic, retain=retain)
