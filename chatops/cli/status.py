"""`chatops status`."""

import typer

from chatops.cli import options
from chatops.cli.context import select
from chatops.errors import ExitCode
from chatops.render.output import Output


def status(
    env: options.EnvOption = None,
    region: options.RegionOption = None,
    profile: options.ProfileOption = None,
    env_dir: options.EnvDirOption = None,
    json_mode: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Show what exists of an environment.

    Each resource is there, drifted (what, and how) or missing. Exit code 8 when one is not as wanted.

    \b
    Examples:
      chatops status --env production
      chatops status --env production --json
    """
    out = Output(json_mode=json_mode, quiet=quiet, verbose=verbose)
    selection = select(out, env, env_dir)
    from chatops.aws.cognito import count_identities
    from chatops.cli.lifecycle import desired_environment, open_account
    from chatops.cli.page import content_maker
    from chatops.errors import ChatopsError
    from chatops.infra.planner import make_plan, present_file
    from chatops.render.plan import status_document, status_lines

    account = open_account(out, selection, region, profile)
    desired = desired_environment(account, selection.name)
    made = make_plan(account.aws, desired, account.directory, content_maker(out, may_build=False))
    file = present_file(account.directory, selection.name)
    page = file.site.get("url") if file else None
    identities: int | None = None
    if made.pool_id is not None:
        try:
            identities = count_identities(account.aws, made.pool_id)
        except ChatopsError as error:
            out.note(f"identities cannot be counted: {error.problem}")
    if out.json_mode:
        out.document({**status_document(made, identities), "page": page})
    else:
        out.lines([*status_lines(out, made, identities), f"  page: {page or 'none is published'}"])
    if made.changes:
        raise typer.Exit(int(ExitCode.DIFFERENCES))
