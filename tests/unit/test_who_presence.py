"""Who is in a room, from messages and events that come twice, out of order, or from strangers."""

import io
import itertools
import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatops.chat.clients import MOST_CLIENTS, Clients
from chatops.chat.messages import guest_sender
from chatops.chat.presence import MOST_PEOPLE, Change, Person, Presence, sender_of
from chatops.chat.traffic import Traffic
from chatops.render.messages import json_line
from chatops.render.output import Output
from chatops.render.presence import change_line, change_record, people_lines, person_record, rooms_lines, rooms_record

ROOM = "/chat/lobby"
ADA = "us-east-1:4f2a9c11-0000-4000-8000-000000000001"
PLAIN = Output(stdout=io.StringIO(), stderr=io.StringIO(), variables={})


def said(
    sender: str = ADA, text: str = "hello", kind: str = "chat", name: str = "Ada", room: str = ROOM
) -> dict[str, Any]:
    return {"room": room, "from": sender, "name": name, "kind": kind, "text": text, "encoding": "envelope"}


def event(family: str, what: str, client: str, at: float = 100.0, **details: Any) -> tuple[str, bytes]:
    document = {"clientId": client, "timestamp": int(at * 1000), "eventType": what, **details}
    return f"$aws/events/{family}/{what}/{client}", json.dumps(document).encode()


def connected(client: str, version: int, at: float = 100.0) -> tuple[str, bytes]:
    return event("presence", "connected", client, at, versionNumber=version)


def disconnected(client: str, version: int) -> tuple[str, bytes]:
    return event("presence", "disconnected", client, versionNumber=version)


def subscribed(client: str, *topics: str) -> tuple[str, bytes]:
    return event("subscriptions", "subscribed", client, topics=list(topics))


def test_a_guest_knows_who_speaks_joins_and_leaves() -> None:
    presence = Presence(ROOM)
    found = presence.heard(said(), 10.0)
    assert found is not None
    assert found[1] is Change.SPOKE
    assert presence.heard(said(text="again"), 12.0) is None
    (person,) = presence.people()
    assert (person.name, person.since, person.last_at, person.last_words) == ("Ada", 10.0, 12.0, "again")
    assert not person.certain
    assert presence.heard(said(room="/chat/other", sender="x"), 12.0) is None
    left = presence.heard(said(kind="leave"), 13.0)
    assert left is not None
    assert left[1] is Change.LEFT
    assert presence.people() == []
    joined = presence.heard(said(kind="join"), 14.0)
    assert joined is not None
    assert joined[1] is Change.JOINED


def test_the_operator_sees_who_connects_subscribes_and_goes() -> None:
    presence = Presence(ROOM, own_client="operator-1")
    client = f"{ADA}-tab1"
    assert presence.event(*connected(client, 0, at=90.0)) is None
    found = presence.event(*subscribed(client, "/chat/#"))
    assert found is not None
    assert found[1] is Change.SUBSCRIBED
    (person,) = presence.people()
    assert (person.id, person.since, person.certain) == (guest_sender(ADA), 90.0, True)
    assert presence.event(*subscribed("operator-1", ROOM)) is None
    assert presence.event(*subscribed("elsewhere", "/chat/games")) is None
    gone = presence.event(*disconnected(client, 0))
    assert gone is not None
    assert gone[1] is Change.DISCONNECTED
    assert presence.people() == []


def test_who_speaks_and_who_is_connected_is_one_person() -> None:
    presence = Presence(ROOM)
    presence.heard(said(sender=guest_sender(ADA)), 50.0)
    assert presence.event(*subscribed(f"{ADA}-tab", ROOM)) is None
    (person,) = presence.people()
    assert (person.name, person.since, person.certain) == ("Ada", 50.0, True)
    assert ADA not in json_line(person_record(person))


def test_whoever_has_another_tab_stays() -> None:
    presence = Presence(ROOM)
    for tab in ("a", "b"):
        presence.event(*connected(f"{ADA}-{tab}", 0))
        presence.event(*subscribed(f"{ADA}-{tab}", ROOM))
    assert presence.event(*disconnected(f"{ADA}-a", 0)) is None
    assert len(presence.people()) == 1
    last = presence.event(*event("subscriptions", "unsubscribed", f"{ADA}-b", topics=[ROOM]))
    assert last is not None
    assert last[1] is Change.UNSUBSCRIBED


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_presence_events_may_come_twice_and_in_any_order(order: tuple[int, ...]) -> None:
    """After two connections, of which the second lives, the client is connected, whatever the order."""
    clients = Clients()
    events = [connected("c", 1), disconnected("c", 1), connected("c", 2, at=200.0), connected("c", 2, at=200.0)]
    for index in order:
        clients.event(*events[index])
    (client,) = clients
    assert client.connected
    assert client.since == 200.0


def test_watchers_are_counted_for_each_room() -> None:
    clients = Clients()
    for number in range(3):
        clients.event(*subscribed(f"client-{number}", "/chat/#"))
    clients.event(*subscribed("client-3", "/chat/games/chess", "$aws/events/#"))
    assert clients.counts([ROOM], "/chat/") == {ROOM: 3, "/chat/games/chess": 4}


def test_memory_is_bounded() -> None:
    presence = Presence(ROOM)
    for number in range(MOST_PEOPLE + 50):
        presence.heard(said(sender=f"guest-{number}"), float(number))
    assert len(presence.people()) == MOST_PEOPLE
    clients = Clients()
    for number in range(MOST_CLIENTS + 50):
        clients.event(*subscribed(f"c{number}", *[f"/chat/{n}" for n in range(3)]))
    assert len(list(clients)) == MOST_CLIENTS
    clients.event(*subscribed("greedy", *[f"/chat/{n}" for n in range(500)]))
    assert len(next(c for c in clients if c.id == "greedy").filters) == 50


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
EVENTS = ("presence/connected/x", "presence/disconnected/x", "subscriptions/subscribed/x", "subscriptions/x", "", "/")


@given(
    st.sampled_from(EVENTS),
    st.binary(max_size=50)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries(
        {"clientId": JSON, "timestamp": JSON | st.just(5), "versionNumber": JSON, "topics": JSON}
    ).map(lambda value: json.dumps(value).encode()),
)
def test_no_event_does_harm(kind: str, payload: bytes) -> None:
    presence = Presence(ROOM)
    presence.event(f"$aws/events/{kind}", payload)
    presence.people()
    presence.clients.counts([ROOM], "/chat/")


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60), st.text(min_size=1, max_size=30))
def test_no_control_character_gets_through(name: str, words: str, sender: str, room: str) -> None:
    person = Person(sender, name, True, 5.0, 6.0, words)
    traffic = Traffic(0.0)
    traffic.add(said(sender=sender or "x", room=room), 5.0)
    shown = [
        *people_lines([person]),
        change_line(PLAIN, person, Change.SPOKE, 5.0),
        *rooms_lines(traffic, [room], 6.0, {room: 3}),
        json_line(person_record(person)),
        json_line(change_record(person, Change.LEFT, room, 5.0)),
        json_line(rooms_record(traffic, [room], 6.0, None)),
    ]
    assert not [c for line in shown for c in line if unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"}]


def test_the_sender_of_a_client() -> None:
    assert sender_of(ADA) == sender_of(f"{ADA}-x") == guest_sender(ADA)
    assert sender_of("operator-1") == "operator-1"
    assert sender_of(f"{ADA}x") == f"{ADA}x"
