"""`chatops teardown`."""

import typer

from chatops.cli import options
from chatops.cli.context import select
from chatops.errors import PartlyDoneError, UsageError
from chatops.render.output import Output


def teardown(
    env: options.EnvOption = None,
    region: options.RegionOption = None,
    profile: options.ProfileOption = None,
    env_dir: options.EnvDirOption = None,
    yes: options.YesOption = False,
    json_mode: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Remove an environment, and prove that it is gone.

    Shows what will be removed and asks for the environment's name. Only what carries its tags is touched. The
    environment file stays as NAME.removed.json.

    \b
    Examples:
      chatops teardown --env staging
      chatops teardown --env staging --yes --json
    """
    out = Output(json_mode=json_mode, quiet=quiet, verbose=verbose)
    selection = select(out, env, env_dir)
    from chatops.cli.lifecycle import desired_environment, open_account
    from chatops.cli.page import show_progress
    from chatops.infra.executor import execute
    from chatops.infra.planner import make_teardown
    from chatops.render.plan import plan_document, plan_lines

    account = open_account(out, selection, region, profile)
    desired = desired_environment(account, selection.name, look_up_gateway=False)
    plan = make_teardown(account.aws, desired, account.directory)
    for line in plan_lines(out, plan):
        out.note(line)
    if plan.changes and not yes:
        _confirm(out, selection.name)
    execute(account.aws, plan, account.directory, lambda event: show_progress(out, event))
    left = make_teardown(account.aws, desired, account.directory).changes
    if left:
        raise PartlyDoneError(
            f"Still there: {', '.join(f'{step.kind.value} {step.name}' for step in left)}",
            "run the same command again in a minute",
        )
    if out.json_mode:
        out.document({**plan_document(plan), "removed": len(plan.changes), "left": 0})
    elif plan.changes:
        out.note(f"{selection.name} is gone: nothing that carries its tags is left.")
    else:
        out.note(f"There is nothing of {selection.name} to remove.")


def _confirm(out: Output, name: str) -> None:
    if not out.can_ask:
        raise UsageError("This removes things for good, and nobody is there to be asked", "say --yes to go ahead")
    typed = typer.prompt(f"Type the environment's name ({name}) to remove it", err=True)
    if typed != name:
        raise UsageError(f"{typed!r} is not {name!r}; nothing was removed", "type the name as it is shown")
