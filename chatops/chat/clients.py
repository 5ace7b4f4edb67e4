"""Who is connected and what they subscribe to, as far as AWS IoT's lifecycle events tell.

They cannot be forged, but are sent only to those who listen. They may come twice and out of order: a connection's two
carry the same version number, and a later connection a higher one.
"""

import json
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from chatops.chat.topic_filters import topic_matcher

PRESENCE_EVENTS = "$aws/events/presence/#"
SUBSCRIPTION_EVENTS = "$aws/events/subscriptions/#"
MOST_CLIENTS = 10_000
MOST_FILTERS = 50
"""Subscriptions of one connection that AWS IoT allows."""


class Happened(StrEnum):
    """What an event tells."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    SUBSCRIBED = "subscribed"
    UNSUBSCRIBED = "unsubscribed"


@dataclass(slots=True)
class Client:
    """A client; times in seconds since the epoch.

    Attributes:
        filters: what it was seen to subscribe to.
        since: when it connected, None when that was before anybody listened.
    """

    id: str
    connected: bool = True
    filters: dict[str, None] = field(default_factory=dict)
    since: float | None = None
    order: int = -1

    def covers(self, topic: str) -> bool:
        """Whether it gets what is posted to a topic."""
        return self.connected and bool(self.filters) and topic_matcher(list(self.filters))(topic)


@dataclass(frozen=True, slots=True)
class News:
    """An event that was new: what it was about, when, and what the client was subscribed to before."""

    client: Client
    what: Happened
    at: float
    before: tuple[str, ...]

    def covered(self, topic: str) -> bool:
        """Whether the client got what was posted to a topic before this."""
        return bool(self.before) and topic_matcher(self.before)(topic)


class Clients:
    """The clients that were noticed; those that were quiet the longest are forgotten first.

    Args:
        own: the client id that listens, which is not counted.
    """

    def __init__(self, own: str = "") -> None:
        self.own = own
        self._clients: OrderedDict[str, Client] = OrderedDict()

    def __iter__(self) -> Iterator[Client]:
        return iter(self._clients.values())

    def event(self, topic: str, payload: bytes) -> News | None:
        """Take an event in; None when it tells nothing new, or is none."""
        family, _, what = topic.removeprefix("$aws/events/").partition("/")
        what = what.partition("/")[0]
        try:
            document = json.loads(payload)
        except (ValueError, RecursionError):
            return None
        if not isinstance(document, dict):
            return None
        client_id, moment = document.get("clientId"), document.get("timestamp")
        if not isinstance(client_id, str) or client_id in {"", self.own}:
            return None
        if type(moment) is not int or not 0 <= moment < 10**14:
            return None
        client = self._clients.get(client_id) or Client(client_id)
        before = tuple(client.filters)
        match family, what:
            case "presence", Happened.CONNECTED | Happened.DISCONNECTED:
                new = _connection(client, what, document.get("versionNumber"), moment / 1000)
            case "subscriptions", Happened.SUBSCRIBED | Happened.UNSUBSCRIBED:
                new = _subscription(client, what, document.get("topics"))
            case _:
                new = False
        if not new:
            return None
        self._clients[client_id] = client
        self._clients.move_to_end(client_id)
        if len(self._clients) > MOST_CLIENTS:
            self._clients.popitem(last=False)
        return News(client, Happened(what), moment / 1000, before)

    def counts(self, topics: Iterable[str], prefix: str) -> dict[str, int]:
        """How many are subscribed to each topic, and to each that somebody subscribes to by name under a prefix."""
        named = [f for client in self._clients.values() for f in client.filters if f.startswith(prefix)]
        rooms = dict.fromkeys([*topics, *(f for f in named if not {"+", "#"} & set(f))])
        return {topic: sum(client.covers(topic) for client in self._clients.values()) for topic in rooms}


def _connection(client: Client, what: str, version: object, at: float) -> bool:
    if type(version) is not int:
        return False
    # Of one connection the end comes after the beginning, in whatever order they arrive.
    order = 2 * version + (what == Happened.DISCONNECTED)
    if order <= client.order:
        return False
    client.order = order
    client.connected = what == Happened.CONNECTED
    client.since = at if client.connected else None
    if not client.connected:
        client.filters.clear()
    return True


def _subscription(client: Client, what: str, topics: object) -> bool:
    if not isinstance(topics, list):
        return False
    for topic in topics[:MOST_FILTERS]:
        if not isinstance(topic, str):
            continue
        if what == Happened.UNSUBSCRIBED:
            client.filters.pop(topic, None)
        elif len(client.filters) < MOST_FILTERS:
            client.filters[topic] = None
    return True
