"""People and rooms, for a terminal and as JSON. Names and words are strangers'."""

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from chatops.chat.messages import format_time, safe_text
from chatops.chat.presence import Change, Person
from chatops.chat.traffic import MOST_IN_ROOM, Traffic
from chatops.render.messages import short_id
from chatops.render.output import Output
from chatops.render.wrapping import cells, cut

_WORDS = 40
_NAME = 24
_ROOM = 48


def person_record(person: Person) -> dict[str, Any]:
    """A person as JSON: id, name, since, last, words, certain."""
    return {
        "id": person.id,
        "name": person.name,
        "since": _time(person.since),
        "last": _time(person.last_at),
        "words": person.last_words,
        "certain": person.certain,
    }


def change_record(person: Person, change: Change, room: str, at: float) -> dict[str, Any]:
    """A change as JSON: at, room, change, and the person."""
    return {"at": _time(at), "room": room, "change": change.value, **person_record(person)}


def change_line(out: Output, person: Person, change: Change, at: float) -> str:
    """A change for a person."""
    sign = "-" if change in {Change.LEFT, Change.UNSUBSCRIBED, Change.DISCONNECTED} else "+"
    return f"{out.styled(_clock(at), '2')} {sign} {_who(person)} {change.value}"


def people_lines(people: Sequence[Person]) -> Iterator[str]:
    """People as a table."""
    rows = [("WHO", "HERE SINCE", "SPOKE", "LAST WORDS")]
    rows += [
        (
            _who(person),
            _clock(person.since) + ("" if person.certain else " ?"),
            _clock(person.last_at),
            cut(safe_text(person.last_words or ""), _WORDS),
        )
        for person in people
    ]
    return _table(rows)


def rooms_record(traffic: Traffic, rooms: Sequence[str], at: float, watchers: dict[str, int] | None) -> dict[str, Any]:
    """Rooms as JSON: for each its room, messages, per_s, people, last and watchers (null as a guest)."""
    return {
        "seconds": round(at - traffic.since, 1),
        "rooms": [_room(traffic, topic, at, watchers) for topic in _order(traffic, rooms, watchers)],
    }


def rooms_lines(traffic: Traffic, rooms: Sequence[str], at: float, watchers: dict[str, int] | None) -> Iterator[str]:
    """Rooms as a table."""
    rows = [("ROOM", "MESSAGES", "PER SECOND", "PEOPLE", "LAST", *(("WATCHERS",) if watchers is not None else ()))]
    for topic in _order(traffic, rooms, watchers):
        found = _room(traffic, topic, at, watchers)
        last = traffic.rooms[topic].last_at if topic in traffic.rooms else None
        people = f"{found['people']:,}" + ("+" if found["people"] >= MOST_IN_ROOM else "")
        row = (cut(safe_text(topic), _ROOM), f"{found['messages']:,}", f"{found['per_s']:,.1f}", people, _clock(last))
        rows.append((*row, *((f"{found['watchers']:,}",) if watchers is not None else ())))
    return _table(rows)


def _room(traffic: Traffic, topic: str, at: float, watchers: dict[str, int] | None) -> dict[str, Any]:
    room = traffic.rooms.get(topic)
    return {
        "room": topic,
        "messages": room.messages if room is not None else 0,
        "per_s": round(room.rate.per_s(at, traffic.since), 2) if room is not None else 0.0,
        "people": len(room.senders) if room is not None else 0,
        "last": _time(room.last_at if room is not None else None),
        "watchers": watchers.get(topic, 0) if watchers is not None else None,
    }


def _order(traffic: Traffic, rooms: Sequence[str], watchers: dict[str, int] | None) -> list[str]:
    """The busiest first, then those that are known by name."""
    known = dict.fromkeys([*traffic.rooms, *(watchers or {}), *rooms])
    return sorted(known, key=lambda topic: (-(traffic.rooms[topic].messages if topic in traffic.rooms else 0), topic))


def _who(person: Person) -> str:
    name, short = cut(safe_text(person.name or ""), _NAME), short_id(person.id)
    return f"{name} ({short})" if name else cut(safe_text(person.id), _NAME)


def _table(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    listed = list(rows)
    widths = [max(cells(row[column]) for row in listed) for column in range(len(listed[0]))]
    for row in listed:
        columns = (text + " " * (width - cells(text)) for text, width in zip(row, widths, strict=True))
        yield "  ".join(columns).rstrip()


def _time(at: float | None) -> str | None:
    return None if at is None else format_time(dt.datetime.fromtimestamp(at, dt.UTC))


def _clock(at: float | None) -> str:
    return "-" if at is None else dt.datetime.fromtimestamp(at, dt.UTC).astimezone().strftime("%H:%M:%S")
