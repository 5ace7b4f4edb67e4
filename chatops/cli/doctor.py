"""`chatops doctor`."""

from typing import TYPE_CHECKING, Annotated

import typer

from chatops.cli import options
from chatops.cli.context import Selection, open_environment, require_local, select
from chatops.environment import Environment
from chatops.errors import ChatopsError, ExitCode
from chatops.render.output import Output

if TYPE_CHECKING:
    from chatops.infra.doctor import Finding


def doctor(
    env: options.EnvOption = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Judge the policy document alone; connects to nothing.")
    ] = False,
    policy: options.PolicyOption = None,
    clients: Annotated[
        int | None, typer.Option("--clients", metavar="N", min=1, help="How many people the chat should hold.")
    ] = None,
    profile: options.ProfileOption = None,
    env_dir: options.EnvDirOption = None,
    json_mode: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Prove what guests can and cannot do.

    Connects as a real guest and tries what must work and what must be refused; then checks the clock, the resources,
    quotas and the page. Exit code 8 when an expectation does not hold.
    wrong: something differs; failed: it could not be found out; skipped: it was not asked.

    \b
    Examples:
      chatops doctor --env production
      chatops doctor --env production --clients 5000 --json
      chatops doctor --offline --env production --policy guest-policy.json
    """
    import asyncio

    out = Output(json_mode=json_mode, quiet=quiet, verbose=verbose)
    selection = select(out, env, env_dir)
    environment = open_environment(out, selection)
    from chatops.infra.policy_file import read_policy
    from chatops.render.findings import findings_document, findings_lines

    document = read_policy(policy) if policy is not None else None
    if offline or document is not None:
        findings = _offline(environment, document)
    else:
        findings = asyncio.run(_online(out, selection, environment, clients, profile))
    if out.json_mode:
        out.document(findings_document(findings))
    else:
        out.lines(findings_lines(out, findings))
    from chatops.infra.doctor import State

    if any(finding.state in {State.WRONG, State.FAILED} for finding in findings):
        raise typer.Exit(int(ExitCode.DIFFERENCES))


def _offline(environment: Environment, document: "dict[str, object] | None") -> "list[Finding]":
    from chatops.infra.doctor import gateway_finding, policy_findings
    from chatops.infra.resources import Desired

    desired = Desired(
        name=environment.name,
        region=environment.region,
        account=environment.managed.get("account", "123456789012"),
        gateway=environment.gateway,
        prefix=environment.topic_prefix,
        policy=document,
    )
    return [*policy_findings(desired), gateway_finding(environment)]


async def _online(
    out: Output, selection: Selection, environment: Environment, clients: int | None, profile: str | None
) -> "list[Finding]":
    import asyncio
    import datetime as dt

    from chatops.infra import doctor as checks
    from chatops.mqtt.login import Login, cognito_url, log_in

    findings: list[Finding] = []

    async def login() -> Login:
        return await log_in(environment, selection.variables, selection.runtime)

    out.note("trying what guests can and cannot do …")
    try:
        findings.extend([finding async for finding in checks.guest_findings(environment, login)])
    except ChatopsError as error:
        findings.append(
            checks.Finding(
                "log in as a guest", checks.State.WRONG, "allowed", error.problem, "nobody could chat", error.remedy
            )
        )
    findings.append(checks.gateway_finding(environment))
    findings.append(
        await checks.clock_finding(cognito_url(environment, selection.variables), lambda: dt.datetime.now(dt.UTC))
    )
    findings.append(await checks.page_finding(environment))
    out.note("looking at the account …")
    findings.extend(await asyncio.to_thread(_account_findings, out, selection, environment, clients, profile))
    return findings


def _account_findings(
    out: Output, selection: Selection, environment: Environment, clients: int | None, profile: str | None
) -> "list[Finding]":
    """What only an operator can see; without credentials it is left out, which is said."""
    from chatops.aws.session import Aws
    from chatops.cli.lifecycle import desired_environment, open_account, operator_target
    from chatops.errors import NotAuthorisedError
    from chatops.infra import doctor as checks

    record = require_local(selection) if selection.is_local else None
    try:
        aws = Aws(operator_target(environment, record, profile))
        aws.keys()
        account = open_account(out, selection, None, profile)
        desired = desired_environment(account, selection.name)
        return [
            *checks.resource_findings(account.aws, desired, account.directory),
            *checks.quota_findings(aws, environment, clients),
        ]
    except NotAuthorisedError as error:
        return [checks.Finding("account", checks.State.SKIPPED, "as wanted", error.problem)]
    except ChatopsError as error:
        return [checks.Finding("account", checks.State.FAILED, "as wanted", error.problem, "", error.remedy)]
