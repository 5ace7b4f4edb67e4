"""Which deliveries of a new connection an old one has brought already.

While one connection replaces another, both are subscribed. What the old one brings is noted from just before the new
one subscribes; what the new one brings is shown unless it was noted.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Self

from chatops.mqtt.inbox import Delivery


class Overlap:
    """Notes first, filters after `end`."""

    def __init__(self) -> None:
        self._seen: Counter[int] = Counter()
        self._until: float | None = None

    @classmethod
    def retained(cls, until: float) -> Self:
        """One that holds back nothing but what is retained in the rooms, until then (seconds since the epoch)."""
        overlap = cls()
        overlap.end(until)
        return overlap

    def end(self, until: float) -> None:
        """The old connection is no longer read; what the new one brings after `until` is new for certain."""
        self._until = until

    def is_over(self, at: float) -> bool:
        """Whether whatever arrives from `at` on is new."""
        return self._until is not None and at > self._until

    def new(self, batch: Iterable[Delivery]) -> list[Delivery]:
        """Those of a batch that are to be shown."""
        until = self._until
        if until is None:
            noted = list(batch)
            self._seen.update(hash((delivery.topic, delivery.payload)) for delivery in noted)
            return noted
        return [delivery for delivery in batch if delivery.at > until or self._is_new(delivery)]

    def _is_new(self, delivery: Delivery) -> bool:
        if delivery.retain:
            return False
        key = hash((delivery.topic, delivery.payload))
        if self._seen[key] > 0:
            self._seen[key] -= 1
            return False
        del self._seen[key]
        return True
