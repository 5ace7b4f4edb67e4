"""What goes on in rooms, counted as it comes, in bounded memory: messages, rates, people, last words."""

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

WINDOW_S = 10
MOST_ROOMS = 500
MOST_SENDERS = 20_000
MOST_IN_ROOM = 1_000


class Rate:
    """Events a second over the last `WINDOW_S` seconds."""

    def __init__(self) -> None:
        self._seconds: deque[tuple[int, int]] = deque(maxlen=WINDOW_S + 1)

    def add(self, at: float, count: int = 1) -> None:
        """Count events at a time, in seconds; times do not go back by much."""
        second = int(at)
        if self._seconds and self._seconds[-1][0] >= second:
            last, so_far = self._seconds.pop()
            self._seconds.append((last, so_far + count))
        else:
            self._seconds.append((second, count))

    def per_s(self, at: float, since: float) -> float:
        """The rate at a time, in events a second, when counting began at `since`."""
        first = int(at) - WINDOW_S
        counted = sum(count for second, count in self._seconds if second > first)
        return counted / max(1.0, min(float(WINDOW_S), at - since))


@dataclass(slots=True)
class RoomTraffic:
    """One room; times in seconds since the epoch."""

    messages: int
    rate: Rate
    senders: OrderedDict[str, None]
    last_at: float


class Traffic:
    """Counts of all rooms and each. Beyond the bounds the quietest rooms and senders are forgotten.

    Args:
        since: when counting began, in seconds since the epoch.
    """

    def __init__(self, since: float) -> None:
        self.since = since
        self.messages = 0
        self.missed = 0
        self.rate = Rate()
        self.rooms: OrderedDict[str, RoomTraffic] = OrderedDict()
        self.senders: OrderedDict[str, None] = OrderedDict()

    def add(self, record: Mapping[str, Any], at: float) -> None:
        """Count a message, given as in `tail`'s JSON lines."""
        self.messages += 1
        self.rate.add(at)
        topic = record["room"]
        room = self.rooms.get(topic)
        if room is None:
            room = self.rooms[topic] = RoomTraffic(0, Rate(), OrderedDict(), at)
        room.messages += 1
        room.rate.add(at)
        room.last_at = at
        self.rooms.move_to_end(topic)
        if len(self.rooms) > MOST_ROOMS:
            self.rooms.popitem(last=False)
        if sender := record["from"]:
            _note(self.senders, sender, MOST_SENDERS)
            _note(room.senders, sender, MOST_IN_ROOM)

    def busiest(self, at: float, count: int) -> list[tuple[str, float]]:
        """The rooms with the highest rates now, with messages a second."""
        rates = [(topic, room.rate.per_s(at, self.since)) for topic, room in self.rooms.items()]
        return sorted(((t, r) for t, r in rates if r > 0), key=lambda each: (-each[1], each[0]))[:count]


def _note(senders: "OrderedDict[str, None]", sender: str, most: int) -> None:
    senders[sender] = None
    senders.move_to_end(sender)
    if len(senders) > most:
        senders.popitem(last=False)
