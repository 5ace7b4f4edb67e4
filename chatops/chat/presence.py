"""Who is in a room, as far as anybody can know: from what is said in it, and from AWS IoT's lifecycle events.

Messages tell who speaks, by the sender's own words; events tell, beyond doubt, which client comes and goes.
"""

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from chatops.chat.clients import Clients, Happened, News
from chatops.chat.messages import guest_sender

MOST_PEOPLE = 5_000

_IDENTITY = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d+:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_WORDS = 200


class Change(StrEnum):
    """What has become known of somebody."""

    SPOKE = "spoke"
    JOINED = "joined"
    LEFT = "left"
    SUBSCRIBED = "subscribed"
    UNSUBSCRIBED = "unsubscribed"
    DISCONNECTED = "disconnected"


@dataclass(slots=True)
class Person:
    """Somebody; times in seconds since the epoch.

    Attributes:
        id: as messages say it in `from`: a guest's `guest_sender`; of clients that are no guests', the client id.
        name: the display name that they gave, None before they spoke.
        here: whether they are in the room, as far as is known.
        since: since when they have been known to be here.
        last_at: when they spoke last; `last_words` is what they said.
        certain: whether AWS's events say so, and not only their own words.
    """

    id: str
    name: str | None = None
    here: bool = False
    since: float | None = None
    last_at: float | None = None
    last_words: str | None = None
    certain: bool = False


class Presence:
    """What is known of one room. Bounded: whoever has been quiet the longest is forgotten first.

    Args:
        topic: the room.
        own_client: a client that is not counted: the one that listens.
    """

    def __init__(self, topic: str, own_client: str = "") -> None:
        self.topic = topic
        self.clients = Clients(own_client)
        self._people: OrderedDict[str, Person] = OrderedDict()

    def people(self) -> list[Person]:
        """Those who are here, the longest first."""
        return sorted((p for p in self._people.values() if p.here), key=lambda p: (p.since or 0.0, p.id))

    def heard(self, record: Mapping[str, Any], at: float) -> tuple[Person, Change] | None:
        """Take in a message's record (as in `tail`'s JSON lines); returns what it changes about who is here."""
        if record["room"] != self.topic or not record["from"]:
            return None
        person = self._person(str(record["from"]))
        was_here = person.here
        person.name = record["name"] or person.name
        if record["kind"] == "leave":
            person.here = False
            return (person, Change.LEFT) if was_here else None
        if record["kind"] != "join":
            person.last_at, person.last_words = at, (record["text"] or "")[:_WORDS]
        if not was_here:
            person.here, person.since = True, at
        return None if was_here else (person, Change.JOINED if record["kind"] == "join" else Change.SPOKE)

    def event(self, topic: str, payload: bytes) -> tuple[Person, Change] | None:
        """Take in one of AWS's events; returns what it changes about who is here."""
        news = self.clients.event(topic, payload)
        if news is None:
            return None
        match news.what:
            case Happened.CONNECTED:
                return None
            case Happened.DISCONNECTED:
                return self._gone(news, Change.DISCONNECTED)
            case Happened.UNSUBSCRIBED:
                return self._gone(news, Change.UNSUBSCRIBED) if news.covered(self.topic) else None
            case Happened.SUBSCRIBED:
                return self._subscribed(news)

    def _subscribed(self, news: News) -> tuple[Person, Change] | None:
        if not news.client.covers(self.topic):
            return None
        person = self._person(sender_of(news.client.id))
        was_here, person.here, person.certain = person.here, True, True
        since = news.client.since if news.client.since is not None else news.at
        person.since = since if person.since is None or not was_here else min(person.since, since)
        return None if was_here else (person, Change.SUBSCRIBED)

    def _gone(self, news: News, change: Change) -> tuple[Person, Change] | None:
        person_id = sender_of(news.client.id)
        person = self._people.get(person_id)
        if person is None or not person.here:
            return None
        if any(sender_of(client.id) == person_id and client.covers(self.topic) for client in self.clients):
            return None  # another tab of theirs is here still
        person.here = False
        return person, change

    def _person(self, person_id: str) -> Person:
        person = self._people.get(person_id)
        if person is None:
            person = self._people[person_id] = Person(person_id)
            if len(self._people) > MOST_PEOPLE:
                self._people.popitem(last=False)
        self._people.move_to_end(person_id)
        return person


def sender_of(client_id: str) -> str:
    """What the messages of a client say in `from`; a client id that is no guest's stands for itself.

    A guest's client id is its identity id, alone or with `-` and a suffix. It is never shown: whoever knows the
    identity id can be that guest.
    """
    found = _IDENTITY.match(client_id)
    if found is None or client_id[found.end() : found.end() + 1] not in {"", "-"}:
        return client_id
    return guest_sender(found.group())
