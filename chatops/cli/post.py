"""`chatops post`."""

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chatops.chat.rooms import parse_room
from chatops.cli import options
from chatops.cli.context import open_environment, select
from chatops.cli.post_options import PostOptions, read_expiry, read_moment, read_properties, read_text
from chatops.errors import UsageError
from chatops.render.output import Output

if TYPE_CHECKING:
    from chatops.cli.post_run import Outcome


def post(
    room: Annotated[str, typer.Argument(metavar="ROOM", help="/chat/lobby, or lobby for short.")],
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="What to say; - reads standard input.", show_default=False)
    ] = None,
    env: options.EnvOption = None,
    who: Annotated[str, typer.Option("--as", metavar="WHO", help="operator (HTTPS) or guest (MQTT).")] = "operator",
    more: Annotated[
        list[str] | None, typer.Option("--room", metavar="ROOM", help="Another room to post to; may be repeated.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="The display name (operator, or guest).")
    ] = None,
    kind: Annotated[str, typer.Option("--kind", metavar="KIND", help="chat or system.")] = "chat",
    file: Annotated[Path | None, typer.Option("--file", metavar="FILE", help="Post what is in a file.")] = None,
    lines: Annotated[bool, typer.Option("--lines", help="One message a line, of --file or standard input.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Post the bytes as they are, without an envelope.")] = False,
    properties: Annotated[
        list[str] | None, typer.Option("--property", metavar="NAME=VALUE", help="An MQTT 5 user property.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="TIME", help="Drop it when undelivered for so long, such as 10m.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", metavar="N", help="At most so many messages a second (guests: 50).")
    ] = None,
    repeat: Annotated[int, typer.Option("--repeat", metavar="N", min=1, help="Post it so many times.")] = 1,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="Wait until then: 22:00, or a date and time.")
    ] = None,
    wait_echo: Annotated[bool, typer.Option("--wait-echo", help="Wait until it has been seen to arrive.")] = False,
    profile: options.ProfileOption = None,
    env_dir: options.EnvDirOption = None,
    json_mode: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Post to one or more rooms.

    Prints the id of each message once AWS has acknowledged it, or with --json the receipt: room, id, from, sent,
    bytes, acknowledged_ms and, with --wait-echo, echo_ms. For several rooms or messages the document has `posted`
    (how many messages), `receipts` and `failed` instead.

    Exit code 7 when some rooms or lines did not get through, which it lists; 8 when --wait-echo waited in vain.

    \b
    Examples:
      chatops post /chat/lobby "maintenance soon"
      chatops post lobby "closing now" --room games --room help \\
          --at 22:00 --kind system
      uptime | chatops post lobby -
      chatops post lobby --lines --rate 5 < jokes.txt
      chatops post lobby "hello" --as guest --name Ada --wait-echo --json
    """
    out = Output(json_mode=json_mode, quiet=quiet, verbose=verbose)
    if who not in {"operator", "guest"}:
        raise UsageError(f"Nobody can post as {who!r}", "choose --as operator or --as guest")
    if kind not in {"chat", "system"}:
        raise UsageError(f"There is no kind of message {kind!r}", "choose --kind chat or --kind system")
    if rate is not None and not 0 < rate <= 100_000:
        raise UsageError(f"--rate {rate:g} is no rate", "write messages a second, such as 5")
    if lines and repeat > 1:
        raise UsageError("--lines and --repeat cannot go together", "leave one of them out")
    asked = PostOptions(
        rooms=tuple(dict.fromkeys([room, *(more or ())])),
        text=read_text(text, file=file is not None, lines=lines),
        file=file,
        lines=lines,
        raw=raw,
        kind=kind,
        name=name,
        properties=read_properties(properties or ()),
        expiry_s=read_expiry(expires),
        rate=rate,
        repeat=repeat,
        at=read_moment(at, dt.datetime.now().astimezone()),
        wait_echo=wait_echo,
    )
    selection = select(out, env, env_dir)
    environment = open_environment(out, selection)
    targets = list(dict.fromkeys(parse_room(each, environment.topic_prefix) for each in asked.rooms))
    from chatops.cli.post_run import run_post

    outcome = run_post(out, selection, environment, targets, asked, who, profile)
    _show(out, outcome, many=lines or repeat > 1, several=len(targets) > 1)
    outcome.raise_failure(lines=lines or repeat > 1)


def _show(out: Output, outcome: "Outcome", *, many: bool, several: bool) -> None:
    receipts = outcome.receipts
    if out.json_mode:
        if receipts and not many and not several:
            out.document(receipts[0])
        else:
            failed = [{"room": room, "problem": error.problem} for room, error in outcome.failed]
            out.document({"posted": outcome.messages, "receipts": receipts, "failed": failed})
        return
    if many:
        return
    for receipt in receipts:
        if receipt["id"] is not None:
            out.data(receipt["id"])
        echo = f", seen there after {receipt['echo_ms']} ms" if "echo_ms" in receipt else ""
        out.note(f"posted to {receipt['room']}{echo}")
