"""`chatops rooms`."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from chatops.cli import options
from chatops.cli.context import open_environment, select
from chatops.cli.listening import check_who, listen, listening_time
from chatops.render.output import Output

if TYPE_CHECKING:
    from chatops.mqtt.inbox import Delivery

_EVERY_S = 2.0
_LIMITS = {
    "guest": "a guest hears only what is said while it listens: rooms where nobody speaks it cannot know",
    "operator": "watchers are clients that were seen to subscribe while this listened; those who did before, nobody "
    "can list",
}


def rooms(
    env: options.EnvOption = None,
    for_: Annotated[str, typer.Option("--for", metavar="TIME", help="How long to listen.")] = "5s",
    watch: Annotated[bool, typer.Option("--watch", help="Show it anew every two seconds, until Ctrl-C.")] = False,
    as_: Annotated[str, typer.Option("--as", metavar="WHO", help="guest (needs no AWS credentials) or operator.")] = (
        "guest"
    ),
    profile: options.ProfileOption = None,
    env_dir: options.EnvDirOption = None,
    json_mode: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Show which rooms are alive.

    Listens to all rooms for a while: messages, messages a second, how many people spoke, and when the last one did.
    The rooms that the environment names are shown in any case. As the operator also who was seen to subscribe.

    With --json: seconds and rooms (room, messages, per_s, people, last, watchers); with --watch, JSON lines of the
    same when piped.

    \b
    Examples:
      chatops rooms
      chatops rooms --for 30s --json
      chatops rooms --watch --as operator
    """
    import asyncio

    out = Output(json_mode=json_mode, quiet=quiet, verbose=verbose)
    check_who(as_)
    seconds = listening_time(for_)
    selection = select(out, env, env_dir)
    environment = open_environment(out, selection)
    from chatops.chat.clients import PRESENCE_EVENTS, SUBSCRIPTION_EVENTS, Clients
    from chatops.chat.traffic import Traffic
    from chatops.cli.tail_run import logins
    from chatops.render.messages import json_line, message_record, received_at
    from chatops.render.presence import rooms_lines, rooms_record

    traffic = Traffic(time.time())
    watchers = Clients() if as_ == "operator" else None
    as_lines = json_mode or not out.on_terminal

    def connected(client_id: str) -> None:
        if watchers is not None:
            watchers.own = client_id

    def arrived(delivery: "Delivery") -> None:
        if not delivery.topic.startswith("$aws/"):
            traffic.add(message_record(delivery, received_at(delivery)), delivery.at)
        elif watchers is not None:
            watchers.event(delivery.topic, delivery.payload)

    def counts() -> dict[str, int] | None:
        topics = [*traffic.rooms, *environment.rooms]
        return watchers.counts(topics, environment.topic_prefix) if watchers is not None else None

    def show() -> None:
        if as_lines:
            out.lines([json_line(rooms_record(traffic, environment.rooms, time.time(), counts()))])
        else:
            out.lines(["\x1b[H\x1b[2J", *rooms_lines(traffic, environment.rooms, time.time(), counts())])

    events = [PRESENCE_EVENTS, SUBSCRIPTION_EVENTS] if as_ == "operator" else []
    out.note(f"listening to {environment.topic_prefix}# as {as_}" + ("" if watch else f" for {seconds:g} s"))
    out.note(_LIMITS[as_])
    asyncio.run(
        listen(
            out,
            logins(selection, as_, profile),
            [f"{environment.topic_prefix}#", *events],
            for_s=None if watch else seconds,
            connected=connected,
            arrived=arrived,
            tick=show if watch else lambda: None,
            tick_s=_EVERY_S,
        )
    )
    now = time.time()
    if out.json_mode:
        out.document(rooms_record(traffic, environment.rooms, now, counts()))
    else:
        out.lines(rooms_lines(traffic, environment.rooms, now, counts()))
