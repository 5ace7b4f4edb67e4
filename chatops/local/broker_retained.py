"""Retained messages, bounded in number and by their own expiry."""

from collections.abc import Callable
from dataclasses import dataclass

from chatops.local.packets import Message


@dataclass(frozen=True, slots=True)
class Retained:
    """A retained message; `modified_at` is in seconds since the epoch."""

    message: Message
    modified_at: float


class RetainedMessages:
    """One message a topic.

    Args:
        most: how many topics may have one.
        clock: seconds that never go back, as messages' expiry has them.
        wall_clock: seconds since the epoch.
    """

    def __init__(self, most: int, clock: Callable[[], float], wall_clock: Callable[[], float]) -> None:
        self._most = most
        self._clock = clock
        self._wall_clock = wall_clock
        self._by_topic: dict[str, Retained] = {}

    def __len__(self) -> int:
        return len(self._by_topic)

    def store(self, message: Message) -> bool:
        """Keep a message, or forget the topic's when it is empty; returns False when there is no room."""
        if not message.payload:
            self._by_topic.pop(message.topic, None)
            return True
        if message.topic not in self._by_topic and len(self._by_topic) >= self._most:
            self.sweep()
            if len(self._by_topic) >= self._most:
                return False
        self._by_topic[message.topic] = Retained(message, self._wall_clock())
        return True

    def find(self, topic: str) -> Retained | None:
        """The message of `topic`, unless there is none or it has expired."""
        retained = self._by_topic.get(topic)
        if retained is None or not self._expired(retained):
            return retained
        del self._by_topic[topic]
        return None

    def all(self) -> list[Retained]:
        """Every message that has not expired, by topic."""
        self.sweep()
        return [self._by_topic[topic] for topic in sorted(self._by_topic)]

    def sweep(self) -> None:
        """Forget what has expired."""
        for topic in [topic for topic, retained in self._by_topic.items() if self._expired(retained)]:
            del self._by_topic[topic]

    def _expired(self, retained: Retained) -> bool:
        expires_at = retained.message.expires_at
        return expires_at is not None and expires_at <= self._clock()
