"""`chatops setup`."""

from pathlib import Path
from typing import Annotated

import typer

from chatops import environment as environments
from chatops.chat.rooms import DEFAULT_PREFIX, check_prefix, parse_room
from chatops.cli import options
from chatops.cli.context import ensure_local, select
from chatops.errors import UsageError
from chatops.local import daemon
from chatops.render.output import Output


def setup(
    env: options.EnvOption = None,
    region: options.RegionOption = None,
    profile: options.ProfileOption = None,
    prefix: Annotated[
        str | None, typer.Option("--prefix", metavar="PREFIX", help=f"Where rooms lie (default {DEFAULT_PREFIX}).")
    ] = None,
    title: Annotated[str | None, typer.Option("--title", metavar="TEXT", help="The chat's title.")] = None,
    rooms: Annotated[
        str | None, typer.Option("--rooms", metavar="A,B", help="The rooms that the page offers, comma-separated.")
    ] = None,
    env_dir: options.EnvDirOption = None,
    yes: options.YesOption = False,
    json_mode: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Make or mend an environment, after showing how.

    That is an identity pool, a guest role with its policy, and env/NAME.json. Running it again changes nothing.

    \b
    Examples:
      chatops setup --env production --region eu-west-1
      chatops setup --env dev --rooms lobby,games/chess --title "Our chat" --yes
    """
    out = Output(json_mode=json_mode, quiet=quiet, verbose=verbose)
    selection = select(out, env, env_dir)
    checked_prefix = check_prefix(prefix) if prefix is not None else None
    wanted = _rooms(rooms, checked_prefix or DEFAULT_PREFIX)
    from chatops.aws.session import Aws
    from chatops.cli.lifecycle import account_target, local_target, plan_for
    from chatops.infra.executor import Event, Phase, execute
    from chatops.local.record import environment_directory
    from chatops.render.plan import plan_document, plan_lines

    directory = selection.directory
    endpoints = selection.endpoints_in_force()
    if selection.is_local:
        record = ensure_local(out, selection, daemon.StartOptions())
        target, directory = local_target(record), environment_directory(selection.runtime)
        endpoints = {"aws": record.control_url, "gateway": record.gateway_url}
    else:
        known = region or _region_of_file(selection.directory, selection.name)
        target = account_target(known, profile, selection.variables)
    aws = Aws(target)
    plan = plan_for(
        aws, directory, name=selection.name, prefix=checked_prefix, title=title, rooms=wanted, endpoints=endpoints
    )
    for line in plan_lines(out, plan):
        out.note(line)
    if plan.changes and not yes and not selection.is_local:
        _ask(out, len(plan.changes))

    def show(event: Event) -> None:
        if event.phase is Phase.DONE:
            out.note(f"  done: {event.step.kind.value} {event.name}")

    environment = execute(aws, plan, directory, show)
    if out.json_mode:
        out.document(
            {**plan_document(plan), "changed": len(plan.changes), "file": str(directory / f"{environment.name}.json")}
        )
    elif plan.changes:
        out.note(f"{environment.name} is ready. Next: chatops tail lobby --env {environment.name}")
    else:
        out.note(f"{environment.name} is as wanted; nothing was changed.")


def _rooms(text: str | None, prefix: str) -> tuple[str, ...] | None:
    if text is None:
        return None
    return tuple(parse_room(room.strip(), prefix).topic for room in text.split(",") if room.strip())


def _region_of_file(directory: Path, name: str) -> str | None:
    if not environments.path_of(directory, name).exists():
        return None
    return environments.load(directory, name).region


def _ask(out: Output, changes: int) -> None:
    if not out.can_ask:
        raise UsageError(
            f"{changes} resources would be made or changed, and nobody is there to be asked", "say --yes to go ahead"
        )
    if not typer.confirm(f"Make or change {changes} resources?", err=True):
        raise typer.Abort
