"""`chatops setup`."""

from pathlib import Path

from chatops import environment as environments
from chatops.cli import options
from chatops.cli.context import Selection, select
from chatops.render.output import Output


def setup(
    env: options.EnvOption = None,
    region: options.RegionOption = None,
    profile: options.ProfileOption = None,
    prefix: options.PrefixOption = None,
    title: options.TitleOption = None,
    rooms: options.RoomsOption = None,
    policy: options.PolicyOption = None,
    least_privilege: options.LeastPrivilegeOption = False,
    adopt: options.AdoptOption = None,
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
      chatops setup --env old \\
          --adopt eu-west-1:7b0cb1f2-1111-4222-8333-444455556666
    """
    out = Output(json_mode=json_mode, quiet=quiet, verbose=verbose)
    from chatops.cli.lifecycle import desired_environment, open_account
    from chatops.cli.page import content_maker, show_progress
    from chatops.infra.executor import execute
    from chatops.infra.planner import make_plan
    from chatops.render.plan import plan_document, plan_lines, warning_lines, where

    wishes = options.wishes(
        prefix=prefix, title=title, rooms=rooms, policy=policy, adopt=adopt, least_privilege=least_privilege
    )
    selection = select(out, env, env_dir, may_create=True)
    account = open_account(out, selection, region, profile)
    desired = desired_environment(account, selection.name, wishes)
    content = content_maker(out, may_build=True)
    plan = make_plan(account.aws, desired, account.directory, content)
    for line in (*warning_lines(out, desired), *plan_lines(out, plan, new_documents=verbose)):
        out.note(line)
    if plan.changes and not yes and not selection.is_local:
        options.ask(out, f"Make or change {len(plan.changes)} resources of {selection.name} ({where(plan)})?")
    execute(account.aws, plan, account.directory, lambda event: show_progress(out, event), content)
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
