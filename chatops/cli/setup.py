"""`chatops setup`."""

from pathlib import Path
from typing import Annotated

import typer

from chatops import environment as environments
from chatops.chat.rooms import DEFAULT_PREFIX, check_prefix, parse_room
from chatops.cli import options
from chatops.cli.context import Selection, select
from chatops.errors import UsageError
from chatops.render.output import Output


def setup(
    env: options.EnvOption = None,
    region: options.RegionOption = None,
    profile: options.ProfileOption = None,
    prefix: options.PrefixOption = None,
    title: Annotated[str | None, typer.Option("--title", metavar="TEXT", help="The chat's title.")] = None,
    rooms: Annotated[
        str | None, typer.Option("--rooms", metavar="A,B", help="The rooms that the page offers, comma-separated.")
    ] = None,
    policy: options.PolicyOption = None,
    least_privilege: options.LeastPrivilegeOption = False,
    adopt: Annotated[
        str | None, typer.Option("--adopt", metavar="POOL_ID", help="Take over an identity pool made by hand.")
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
      chatops setup --env old --adopt eu-west-1:7b0cb1f2-1111-4222-8333-444455556666
    """
    out = Output(json_mode=json_mode, quiet=quiet, verbose=verbose)
    options.check_policy_choice(policy, least_privilege=least_privilege)
    checked_prefix = check_prefix(prefix) if prefix is not None else None
    wanted_rooms = _rooms(rooms, checked_prefix or DEFAULT_PREFIX)
    from chatops.cli.lifecycle import desired_environment, open_account
    from chatops.infra.executor import Event, Phase, execute
    from chatops.infra.planner import make_plan
    from chatops.infra.policy_file import read_policy
    from chatops.render.plan import plan_document, plan_lines, warning_lines

    document = read_policy(policy) if policy is not None else None
    selection = select(out, env, env_dir)
    account = open_account(out, selection, region, profile)
    desired = desired_environment(
        account,
        selection.name,
        prefix=checked_prefix,
        title=title,
        rooms=wanted_rooms,
        policy=document,
        adopt=adopt,
        least_privilege=least_privilege,
    )
    plan = make_plan(account.aws, desired, account.directory)
    for line in (*warning_lines(out, desired), *plan_lines(out, plan)):
        out.note(line)
    if plan.changes and not yes and not selection.is_local:
        options.ask(out, f"Make or change {len(plan.changes)} resources?")

    def show(event: Event) -> None:
        if event.phase is Phase.DONE:
            out.note(f"  done: {event.step.kind.value} {event.name}")

    execute(account.aws, plan, account.directory, show)
    if plan.changes:
        _wait_for_guests(out, selection, account.directory)
    if out.json_mode:
        file = str(environments.path_of(account.directory, selection.name))
        out.document({**plan_document(plan), "changed": len(plan.changes), "file": file})
    elif plan.changes:
        out.note(f"{selection.name} is ready. Next: chatops tail lobby --env {selection.name}")
    else:
        out.note(f"{selection.name} is as wanted; nothing was changed.")


def _wait_for_guests(out: Output, selection: Selection, directory: Path) -> None:
    """IAM takes a while until a new role can be taken: ask as a guest until it can, and say so meanwhile."""
    import asyncio

    from chatops.infra.propagation import wait_for_guests
    from chatops.mqtt.login import cognito_url

    environment = environments.load(directory, selection.name)

    def waiting(seconds: float, problem: str) -> None:
        out.note(f"  waiting for IAM, {seconds:.0f} s so far: {problem}")

    asyncio.run(
        wait_for_guests(
            cognito_url(environment, selection.variables), environment.identity_pool_id, selection.runtime, waiting
        )
    )


def _rooms(text: str | None, prefix: str) -> tuple[str, ...] | None:
    if text is None:
        return None
    rooms = tuple(parse_room(room.strip(), prefix).topic for room in text.split(",") if room.strip())
    if not rooms:
        raise UsageError("--rooms names no room", "write them like --rooms lobby,games/chess")
    return rooms
