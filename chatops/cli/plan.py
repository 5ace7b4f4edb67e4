"""`chatops plan`."""

from typing import Annotated

import typer

from chatops.cli import options
from chatops.cli.context import select
from chatops.errors import ExitCode, UsageError
from chatops.render.output import Output

_FORMATS = ("cloudformation", "terraform")


def plan(
    env: options.EnvOption = None,
    region: options.RegionOption = None,
    profile: options.ProfileOption = None,
    prefix: options.PrefixOption = None,
    title: options.TitleOption = None,
    rooms: options.RoomsOption = None,
    adopt: options.AdoptOption = None,
    policy: options.PolicyOption = None,
    least_privilege: options.LeastPrivilegeOption = False,
    export: Annotated[
        str | None,
        typer.Option("--export", metavar="FORMAT", help="Print the resources as cloudformation or terraform instead."),
    ] = None,
    env_dir: options.EnvDirOption = None,
    json_mode: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Show what setup would do, and do nothing.

    Only read calls are made. Exit code 8 when there are differences. --export prints the same resources as a
    template (terraform: JSON, to be saved as chat.tf.json).

    \b
    Examples:
      chatops plan --env production --region eu-west-1
      chatops plan --env production --json
      chatops plan --env production --export cloudformation > chat.json
    """
    out = Output(json_mode=json_mode, quiet=quiet, verbose=verbose)
    if export is not None and export not in _FORMATS:
        raise UsageError(f"There is no export to {export!r}", f"choose {' or '.join(_FORMATS)}")
    from chatops.cli.lifecycle import desired_environment, open_account
    from chatops.cli.page import content_maker
    from chatops.infra import export as exports
    from chatops.infra.planner import make_plan
    from chatops.render.plan import plan_document, plan_lines

    wishes = options.wishes(
        prefix=prefix, title=title, rooms=rooms, policy=policy, adopt=adopt, least_privilege=least_privilege
    )
    selection = select(out, env, env_dir, may_create=True)
    account = open_account(out, selection, region, profile)
    desired = desired_environment(account, selection.name, wishes)
    if export is not None:
        out.document(exports.cloudformation(desired) if export == "cloudformation" else exports.terraform(desired))
        return
    made = make_plan(account.aws, desired, account.directory, content_maker(out, may_build=False))
    if out.json_mode:
        out.document({**plan_document(made), "changes": len(made.changes)})
    else:
        out.lines(plan_lines(out, made))
    if made.changes:
        out.note(f"{len(made.changes)} resources differ; `chatops setup --env {selection.name}` makes or mends them")
        raise typer.Exit(int(ExitCode.DIFFERENCES))
