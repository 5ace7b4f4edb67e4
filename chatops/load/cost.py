"""What a load test costs on AWS IoT Core: what is metered, and at which prices.

Connectivity is billed by the started minute, messages by the 5 KB step of payload and topic: each CONNECT, SUBSCRIBE,
PUBLISH in, PUBLISH out and PUBACK that a client sends. Identity pools are free.
"""

import math
from dataclasses import dataclass, replace
from datetime import date
from typing import Self

METERING_STEP_BYTES = 5 * 1024


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices in US dollars, as the project's AWS facts have them; replace them by your own contract's.

    Attributes:
        read_on: when they were last looked at; AWS publishes no validity.
        tiers: (up to how many million messages a month, dollars per million), the last without an end.
    """

    read_on: date = date(2026, 11, 22)
    region: str = "us-east-1"
    connectivity_per_million_minutes: float = 0.08
    tiers: tuple[tuple[float, float], ...] = ((1_000.0, 1.00), (5_000.0, 0.80), (math.inf, 0.70))


@dataclass(frozen=True, slots=True)
class Usage:
    """What AWS meters. `minutes` are connection minutes, each session's rounded up; `messages` are 5 KB steps."""

    minutes: int = 0
    messages: int = 0

    def __add__(self, other: Self) -> Self:
        return replace(self, minutes=self.minutes + other.minutes, messages=self.messages + other.messages)

    def dollars(self, prices: Prices) -> float:
        """The cost at `prices`, as if nothing else ran in the account that month."""
        cost = self.minutes / 1e6 * prices.connectivity_per_million_minutes
        left, start = self.messages / 1e6, 0.0
        for end, price in prices.tiers:
            step = min(left, end - start)
            cost += step * price
            left -= step
            start = end
            if left <= 0:
                break
        return cost


def metered_steps(payload_bytes: int, topic_bytes: int) -> int:
    """How many messages one publish is billed as."""
    return max(1, math.ceil((payload_bytes + topic_bytes) / METERING_STEP_BYTES))


def session_minutes(seconds: float) -> int:
    """How many minutes a connection of `seconds` is billed as."""
    return max(1, math.ceil(seconds / 60))


def usage(
    *,
    connects: int,
    subscribes: int,
    posts: int,
    deliveries: int,
    steps: int,
    receive_qos: int,
    minutes: int,
) -> Usage:
    """Add up what AWS meters for these counts; receivers at QoS 1 send a metered PUBACK for each delivery."""
    acknowledgements = deliveries if receive_qos else 0
    return Usage(minutes, connects + subscribes + steps * (posts + deliveries) + acknowledgements)
