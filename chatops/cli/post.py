"""`chatops post`."""

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from chatops.chat.rooms import MAX_PAYLOAD_BYTES, Room, parse_room
from chatops.cli import options
from chatops.cli.context import Selection, open_environment, require_local, select
from chatops.environment import Environment
from chatops.errors import UsageError
from chatops.render.output import Output

if TYPE_CHECKING:
    from chatops.chat.messages import Envelope, Kind


def post(
    room: Annotated[str, typer.Argument(metavar="ROOM", help="/chat/lobby, or lobby for short.")],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to say; - reads standard input.")],
    env: options.EnvOption = None,
    who: Annotated[str, typer.Option("--as", metavar="WHO", help="operator (HTTPS) or guest (MQTT).")] = "operator",
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="The display name.")] = "operator",
    kind: Annotated[str, typer.Option("--kind", metavar="KIND", help="chat or system.")] = "chat",
    profile: options.ProfileOption = None,
    env_dir: options.EnvDirOption = None,
    json_mode: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Post one message to a room.

    Prints its id once AWS has acknowledged it.

    \b
    Examples:
      chatops post /chat/lobby "maintenance soon"
      uptime | chatops post lobby - --kind system
      chatops post lobby "hello" --as guest --name Ada --json
    """
    out = Output(json_mode=json_mode, quiet=quiet, verbose=verbose)
    if who not in {"operator", "guest"}:
        raise UsageError(f"Nobody can post as {who!r}", "choose --as operator or --as guest")
    if kind not in {"chat", "system"}:
        raise UsageError(f"There is no kind of message {kind!r}", "choose --kind chat or --kind system")
    from chatops.chat.messages import Kind, format_time
    from chatops.cli.compose import compose

    said = _text(text)
    selection = select(out, env, env_dir)
    environment = open_environment(out, selection)
    target = parse_room(room, environment.topic_prefix)
    if who == "guest":
        message = _post_as_guest(selection, environment, target, said, name, Kind(kind))
    else:
        message, payload = compose("operator", name, said, Kind(kind))
        from chatops.aws.iot import publish
        from chatops.aws.session import Aws
        from chatops.cli.lifecycle import operator_target

        record = require_local(selection) if selection.is_local else None
        publish(Aws(operator_target(environment, record, profile)), target.topic, payload)
    if out.json_mode:
        out.document(
            {"room": target.topic, "id": message.id, "sent": format_time(message.sent), "from": message.sender}
        )
    else:
        out.data(message.id)
    out.note(f"posted to {target.topic}")


def _post_as_guest(
    selection: Selection, environment: Environment, room: Room, text: str, name: str, kind: "Kind"
) -> "Envelope":
    import asyncio

    from chatops.cli.compose import compose
    from chatops.mqtt.connection import connect
    from chatops.mqtt.login import log_in

    async def run() -> "Envelope":
        login = await log_in(environment, os.environ, selection.runtime)
        message, payload = compose(login.identity, name, text, kind)
        async with connect(login.address, login.region, login.keys, login.client_id) as chat:
            await chat.publish(room.topic, payload)
        return message

    return asyncio.run(run())


def _text(argument: str) -> str:
    text = argument
    if argument == "-":
        text = sys.stdin.buffer.read(4 * MAX_PAYLOAD_BYTES).decode("utf-8", "replace").rstrip("\n")
    if not text.strip():
        raise UsageError("The text is empty", "say something, or give - to read standard input")
    return text
