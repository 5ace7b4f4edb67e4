"""`chatops who`."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from chatops.chat.rooms import parse_room
from chatops.cli import options
from chatops.cli.context import open_environment, select
from chatops.cli.listening import check_who, listen, listening_time
from chatops.render.output import Output

if TYPE_CHECKING:
    from chatops.chat.presence import Change, Person, Presence
    from chatops.mqtt.inbox import Delivery

_LIMITS = {
    "guest": "a guest hears who speaks, comes or goes while it listens; who keeps silent, it cannot know, and names "
    "and ids are the senders' own words",
    "operator": "AWS's events tell who comes, goes and subscribes while this listens; who was there before and keeps "
    "silent, nobody can list. A ? marks those who are known by their own words alone",
}


def who(
    room: Annotated[str, typer.Argument(metavar="ROOM", help="/chat/lobby, or lobby for short.")],
    env: options.EnvOption = None,
    for_: Annotated[str, typer.Option("--for", metavar="TIME", help="How long to listen.")] = "5s",
    watch: Annotated[bool, typer.Option("--watch", help="Show each change as it comes, until Ctrl-C.")] = False,
    as_: Annotated[str, typer.Option("--as", metavar="WHO", help="guest (needs no AWS credentials) or operator.")] = (
        "guest"
    ),
    profile: options.ProfileOption = None,
    env_dir: options.EnvDirOption = None,
    json_mode: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Show who is in a room.

    Listens for a while and tells who is there, since when, and their last words. As a guest from what is said; as the
    operator also from AWS's presence and subscription events, which cannot be forged. AWS has no list of who is
    connected: what neither tells is said on standard error.

    With --json: room, as, seconds and people (id, name, since, last, words, certain); with --watch, JSON lines when
    piped: at, room, change (joined, spoke, left, subscribed, unsubscribed, disconnected) and the person.

    \b
    Examples:
      chatops who lobby
      chatops who lobby --as operator --for 30s --json
      chatops who lobby --watch
    """
    import asyncio

    out = Output(json_mode=json_mode, quiet=quiet, verbose=verbose)
    check_who(as_)
    seconds = listening_time(for_)
    selection = select(out, env, env_dir)
    environment = open_environment(out, selection)
    topic = parse_room(room, environment.topic_prefix).topic
    from chatops.chat.clients import PRESENCE_EVENTS, SUBSCRIPTION_EVENTS
    from chatops.chat.presence import Presence
    from chatops.cli.tail_run import logins
    from chatops.render.messages import json_line
    from chatops.render.presence import change_line, change_record, people_lines, person_record

    presence = Presence(topic)
    as_lines = json_mode or not out.on_terminal

    def connected(client_id: str) -> None:
        presence.clients.own = client_id

    def arrived(delivery: "Delivery") -> None:
        found = _take(presence, delivery)
        if found is not None and watch:
            person, change = found
            line = (
                json_line(change_record(person, change, topic, delivery.at))
                if as_lines
                else change_line(out, person, change, delivery.at)
            )
            out.lines([line])

    events = [PRESENCE_EVENTS, SUBSCRIPTION_EVENTS] if as_ == "operator" else []
    out.note(f"listening to {topic} as {as_}" + ("" if watch else f" for {seconds:g} s"))
    out.note(_LIMITS[as_])
    asyncio.run(
        listen(
            out,
            logins(selection, as_, profile),
            [topic, *events],
            for_s=None if watch else seconds,
            connected=connected,
            arrived=arrived,
        )
    )
    people = presence.people()
    if out.json_mode:
        out.document(
            {"room": topic, "as": as_, "seconds": seconds, "people": [person_record(person) for person in people]}
        )
    elif people:
        out.lines(people_lines(people))
    else:
        out.note(f"nobody was noticed in {topic}")


def _take(presence: "Presence", delivery: "Delivery") -> "tuple[Person, Change] | None":
    from chatops.render.messages import message_record, received_at

    if delivery.topic.startswith("$aws/"):
        return presence.event(delivery.topic, delivery.payload)
    return presence.heard(message_record(delivery, received_at(delivery)), delivery.at or time.time())
