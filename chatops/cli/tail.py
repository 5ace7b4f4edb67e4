"""`chatops tail`."""

import datetime as dt
from typing import TYPE_CHECKING, Annotated

import typer

from chatops.chat.rooms import parse_filter
from chatops.cli import options
from chatops.cli.context import Selection, open_environment, reload, require_local, select
from chatops.environment import Environment
from chatops.errors import UsageError
from chatops.render.output import Output

if TYPE_CHECKING:
    from chatops.mqtt.signing import Keys
    from chatops.mqtt.watching import Arrived, Event


def tail(
    rooms: Annotated[
        list[str], typer.Argument(metavar="ROOM...", help="Rooms; games/ is that room and all below; + and # match.")
    ],
    env: options.EnvOption = None,
    count: Annotated[
        int | None, typer.Option("-n", "--count", metavar="N", min=1, help="End after N messages.")
    ] = None,
    who: Annotated[str, typer.Option("--as", metavar="WHO", help="guest (needs no AWS credentials) or operator.")] = (
        "guest"
    ),
    profile: options.ProfileOption = None,
    env_dir: options.EnvDirOption = None,
    json_mode: Annotated[bool, typer.Option("--json", help="Print JSON lines (the default when piped).")] = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Show the messages of rooms as they arrive.

    Until Ctrl-C, or until -n messages have come.

    It connects again whenever the connection is lost, and says what was missed. Piped, it prints JSON lines with
    received, room, id, from, name, kind, text, sent, bytes and encoding (envelope, text or base64).

    \b
    Examples:
      chatops tail /chat/lobby
      chatops tail lobby games/ --env production
      chatops tail lobby -n 1 --json | jq .text
    """
    import asyncio

    out = Output(json_mode=json_mode, quiet=quiet, verbose=verbose)
    if who not in {"guest", "operator"}:
        raise UsageError(f"Nobody can watch as {who!r}", "choose --as guest or --as operator")
    selection = select(out, env, env_dir)
    environment = open_environment(out, selection)
    filters = list(dict.fromkeys(parse_filter(room, environment.topic_prefix) for room in rooms))
    asyncio.run(_watch(out, selection, filters, count, who, profile))


async def _watch(
    out: Output, selection: Selection, filters: list[str], count: int | None, who: str, profile: str | None
) -> None:
    import secrets

    from chatops.mqtt.login import Login, address_of, log_in
    from chatops.mqtt.watching import watch

    async def login() -> Login:
        environment = reload(selection)
        if who == "guest":
            return await log_in(environment, selection.variables, selection.runtime)
        keys = _operator_keys(selection, environment, profile)
        client_id = f"operator-{secrets.token_hex(4)}"
        return Login(address_of(environment), environment.region, keys, client_id, "operator")

    view = _View(out, filters, count)
    async for event in watch(login, filters):
        if view.show(event):
            return


class _View:
    """What a tail has shown so far, and how it shows what comes next."""

    def __init__(self, out: Output, filters: list[str], count: int | None) -> None:
        self._out = out
        self._filters = filters
        self._left = count
        self._dropped = 0
        self._lost_at: dt.datetime | None = None
        self._as_lines = out.json_mode or not out.on_terminal
        self._several = len(filters) > 1 or any(mark in filters[0] for mark in "+#")

    def show(self, event: "Event") -> bool:
        """Show one event; returns whether that was all that was asked for."""
        from chatops.mqtt.watching import Arrived, Connected, Lost

        now = dt.datetime.now(dt.UTC)
        match event:
            case Connected():
                self._connected(now, event.client_id)
            case Lost():
                self._lost_at = now
                self._out.note(f"-- {_clock(now)} lost the connection: {event.reason}; connecting again --")
            case Arrived():
                self._arrived(now, event)
        return self._left == 0

    def _connected(self, now: dt.datetime, client_id: str) -> None:
        if self._lost_at is None:
            self._out.note(f"watching {', '.join(self._filters)} as {client_id}")
            return
        away = (now - self._lost_at).total_seconds()
        self._lost_at = None
        self._out.note(f"-- {_clock(now)} connected again after {away:.1f} s; what was posted meanwhile is missed --")

    def _arrived(self, now: dt.datetime, event: "Arrived") -> None:
        from chatops.render.messages import json_line, message_record, terminal_line

        records = [message_record(delivery, now) for delivery in event.deliveries[: self._left]]
        if self._left is not None:
            self._left -= len(records)
        self._out.lines(
            json_line(record) if self._as_lines else terminal_line(self._out, record, several_rooms=self._several)
            for record in records
        )
        if event.dropped > self._dropped:
            missed = event.dropped - self._dropped
            self._dropped = event.dropped
            self._out.note(f"-- {_clock(now)} {missed} messages came too fast to be shown --")


def _operator_keys(selection: Selection, environment: Environment, profile: str | None) -> "Keys":
    from chatops.aws.session import Aws
    from chatops.cli.lifecycle import operator_target

    record = require_local(selection) if selection.is_local else None
    return Aws(operator_target(environment, record, profile)).keys()


def _clock(moment: dt.datetime) -> str:
    return moment.astimezone().strftime("%H:%M:%S")
