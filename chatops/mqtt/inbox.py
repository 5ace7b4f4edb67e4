"""What has arrived and not been taken: filled by awscrt's thread, emptied by the event loop's, and bounded."""

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

INBOX_LIMIT = 20_000
"""Deliveries held for a reader that lags: a second of what one connection can receive."""

INBOX_BYTES = 16 * 1024 * 1024
"""And the payload and properties held for it. Whatever comes beyond either is dropped and counted."""


class Delivery(NamedTuple):
    """One message as it arrived. A tuple, because tens of thousands are made a second.

    Attributes:
        at: when it arrived, in seconds since the epoch; 0 when nobody looked.
    """

    topic: str
    payload: bytes
    retain: bool
    user_properties: tuple[tuple[str, str], ...] = ()
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Missed:
    """Deliveries that found the inbox full; times in seconds since the epoch."""

    count: int
    since: float
    until: float


class Inbox:
    """A bounded queue between two threads.

    Each counter is written by one thread only, so that no lock is needed.
    """

    def __init__(self, limit: int = INBOX_LIMIT, limit_bytes: int = INBOX_BYTES) -> None:
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._queue: deque[Delivery] = deque()
        self._bytes_in = 0
        self._bytes_out = 0
        self._dropped = 0
        self._dropped_first = 0.0
        self._dropped_last = 0.0
        self._told = 0

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def dropped(self) -> int:
        """How many have been dropped so far."""
        return self._dropped

    def put(self, delivery: Delivery) -> None:
        """Add a delivery, or count it as dropped. For awscrt's thread."""
        size = _size(delivery)
        if len(self._queue) >= self._limit or self._bytes_in - self._bytes_out + size > self._limit_bytes:
            if self._dropped == self._told:
                self._dropped_first = delivery.at
            self._dropped_last = delivery.at
            self._dropped += 1
            return
        self._bytes_in += size
        self._queue.append(delivery)

    def take(self) -> list[Delivery]:
        """Take all there is. For the event loop's thread."""
        queue = self._queue
        batch = [queue.popleft() for _ in range(len(queue))]
        self._bytes_out += sum(map(_size, batch))
        return batch

    def take_missed(self) -> Missed | None:
        """What has been dropped since the last call, None when nothing was. For the event loop's thread."""
        dropped = self._dropped
        if dropped == self._told:
            return None
        missed = Missed(dropped - self._told, self._dropped_first, self._dropped_last)
        self._told = dropped
        return missed


def _size(delivery: Delivery) -> int:
    size = len(delivery.payload)
    if delivery.user_properties:
        size += sum(len(name) + len(value) for name, value in delivery.user_properties)
    return size
