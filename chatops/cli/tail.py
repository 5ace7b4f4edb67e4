"""`chatops tail`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chatops.chat.rooms import parse_filter
from chatops.cli import options
from chatops.cli.context import open_environment, select
from chatops.cli.tail_options import Ends, TailOptions, read_ends, read_selection, read_share, read_size
from chatops.errors import ExitCode, UsageError
from chatops.render.output import Output

if TYPE_CHECKING:
    from chatops.cli.tail_view import End


def tail(
    rooms: Annotated[
        list[str] | None,
        typer.Argument(metavar="ROOM...", help="Rooms; games/ is that room and all below; + and # match."),
    ] = None,
    env: options.EnvOption = None,
    every: Annotated[bool, typer.Option("--all", help="All rooms.")] = False,
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", metavar="ROOM", help="Rooms not to show, written like ROOM.")
    ] = None,
    grep: Annotated[
        str | None, typer.Option("--grep", metavar="PATTERN", help="Only messages whose text matches.")
    ] = None,
    senders: Annotated[
        list[str] | None, typer.Option("--from", metavar="WHO", help="Only of this sender: id, its beginning, or name.")
    ] = None,
    kinds: Annotated[
        list[str] | None,
        typer.Option("--kind", metavar="KIND", help="Only chat, system, join, leave, text or binary; commas between."),
    ] = None,
    sample: Annotated[
        str | None, typer.Option("--sample", metavar="SHARE", help="Only so many of all, by chance, such as 1%.")
    ] = None,
    line_format: Annotated[
        str | None,
        typer.Option("--format", metavar="FORMAT", help="Lines of your own, such as '{time:%H:%M} {name}: {text}'."),
    ] = None,
    count: Annotated[
        int | None, typer.Option("-n", "--count", metavar="N", min=1, help="End after N messages.")
    ] = None,
    for_: Annotated[str | None, typer.Option("--for", metavar="TIME", help="End after so long, such as 30s.")] = None,
    idle: Annotated[
        str | None, typer.Option("--idle", metavar="TIME", help="End when nothing has come for so long.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="PATTERN", help="End after a message whose text matches.")
    ] = None,
    record: Annotated[
        Path | None, typer.Option("--record", metavar="FILE", help="Write what is shown, to be replayed later.")
    ] = None,
    record_size: Annotated[
        str, typer.Option("--record-size", metavar="SIZE", help="Begin the next file at this size.")
    ] = "64M",
    stats: Annotated[bool, typer.Option("--stats", help="Rates, senders, busiest rooms: live, and at the end.")] = (
        False
    ),
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

    Until Ctrl-C, or what -n, --until, --for or --idle say. Exit code 0 when -n or --until was fulfilled or not asked
    for; else 9 when --for ran out first, 8 when --idle did.

    It connects again whenever the connection is lost, and shows the gap as a line of its own. Piped, it prints JSON
    lines: received, room, id, from, name, kind, text, sent, bytes, encoding (envelope, text or base64) and latency_ms;
    a gap is a line with kind gap, from, to, reason and missed.

    Fields of --format: time, sent, room, name, from, id, kind, text, bytes, encoding, latency_ms.

    \b
    Examples:
      chatops tail /chat/lobby
      chatops tail lobby games/ --exclude games/test --env production
      chatops tail --all --grep '(?i)help' \\
          --format '{time:%H:%M} {room} {name}: {text}'
      chatops tail lobby -n 1 --for 30s --json | jq .text
      chatops tail --all --stats --record chat.jsonl
    """
    out = Output(json_mode=json_mode, quiet=quiet, verbose=verbose)
    if who not in {"guest", "operator"}:
        raise UsageError(f"Nobody can watch as {who!r}", "choose --as guest or --as operator")
    if bool(rooms) == every:
        raise UsageError(
            "Name rooms, or say --all" if not rooms else "--all watches all rooms: name none beside it",
            "such as `chatops tail lobby`, or `chatops tail --all`",
        )
    if line_format is not None and json_mode:
        raise UsageError("--format and --json are two forms of the same lines", "leave one of them out")
    from chatops.chat.line_format import parse_line_format

    wanted = read_selection(grep, senders or (), kinds or ())
    ends = read_ends(count, for_, idle, until)
    form = parse_line_format(line_format) if line_format is not None else None
    share = read_share(sample)
    record_bytes = read_size("--record-size", record_size)
    selection = select(out, env, env_dir)
    environment = open_environment(out, selection)
    prefix = environment.topic_prefix
    asked = TailOptions(
        filters=tuple(dict.fromkeys(parse_filter(room, prefix) for room in rooms or [prefix])),
        exclude=tuple(parse_filter(room, prefix) for room in exclude or ()),
        wanted=wanted,
        share=share,
        line_format=form,
        ends=ends,
        record=record,
        record_bytes=record_bytes,
        stats=stats,
    )
    from chatops.cli.tail_run import logins, run_tail

    end = run_tail(out, asked, logins(selection, who, profile))
    if code := _exit_code(end, ends):
        out.note(f"ended: {end.value}")
        raise typer.Exit(int(code))


def _exit_code(end: "End", ends: Ends) -> ExitCode:
    """Tell a script what ended the tail: what it waited for, or the time."""
    if end.name in {"COUNT", "UNTIL"} or not ends.awaits:
        return ExitCode.DONE
    return ExitCode.THRESHOLD if end.name == "TIME" else ExitCode.DIFFERENCES
