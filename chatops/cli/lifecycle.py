"""From a command's options to an AWS account and to what is wanted in it: what the lifecycle commands share."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from chatops import environment as environments
from chatops.aws.iot import account_of, describe_endpoint
from chatops.aws.session import AccessKeys, Aws, AwsTarget
from chatops.chat.rooms import DEFAULT_PREFIX
from chatops.cli.context import Selection, ensure_local
from chatops.cli.options import Wishes
from chatops.environment import LOCAL, Environment
from chatops.infra.executor import Event, Phase, execute
from chatops.infra.planner import make_plan, present_file
from chatops.infra.resources import Desired
from chatops.local import daemon
from chatops.local.record import StackRecord, environment_directory
from chatops.render.output import Output

LOCAL_ROOMS = ("/chat/lobby", "/chat/games", "/chat/help")


@dataclass(frozen=True, slots=True)
class Account:
    """The account that an environment is, or will be, in.

    Attributes:
        directory: where the environment's file is.
        endpoints: URL overrides to record in it.
    """

    aws: Aws
    directory: Path
    endpoints: Mapping[str, str]


def local_target(record: StackRecord) -> AwsTarget:
    """The local stack as an AWS account."""
    return AwsTarget(
        region=record.region,
        endpoints={"aws": record.control_url},
        keys=AccessKeys(record.access_key_id, record.secret_access_key),
    )


def account_target(region: str | None, profile: str | None, variables: Mapping[str, str]) -> AwsTarget:
    """The account that AWS's own settings name. boto3 reads AWS_DEFAULT_REGION by itself, AWS_REGION it does not."""
    return AwsTarget(region=region or variables.get("AWS_REGION") or None, profile=profile)


def operator_target(environment: Environment, record: StackRecord | None, profile: str | None) -> AwsTarget:
    """Where an operator's calls for an environment go, and with which credentials."""
    if record is not None:
        return local_target(record)
    endpoints = {name: url for name, url in environment.endpoints.items() if not name.startswith("gateway")}
    if "aws" not in endpoints and "iot-data" not in endpoints:
        endpoints["iot-data"] = f"https://{environment.gateway}"
    return AwsTarget(region=environment.region, profile=profile, endpoints=endpoints)


def open_account(out: Output, selection: Selection, region: str | None, profile: str | None) -> Account:
    """The account for the lifecycle of an environment; the local stack is started when it is not there.

    The Region is the one given, else that of the environment's file, else AWS's own setting.

    Raises:
        ConfigurationError: the file is wrong, or no Region is set, or AWS has none of that name.
    """
    if selection.is_local:
        record = ensure_local(out, selection, daemon.StartOptions())
        return local_account(record, environment_directory(selection.runtime))
    file = present_file(selection.directory, selection.name)
    overrides = dict(file.endpoints) if file else {}
    target = account_target(region or (file.region if file else None), profile, selection.variables)
    services = {name: url for name, url in overrides.items() if not name.startswith("gateway")}
    aws = Aws(AwsTarget(target.region, target.profile, services))
    environments.check_region(aws.region)
    if not services and not selection.endpoints_in_force():
        aws.check_region()
    return Account(aws, selection.directory, {**overrides, **selection.endpoints_in_force()})


def desired_environment(
    account: Account, name: str, wishes: Wishes | None = None, *, look_up_gateway: bool = True
) -> Desired:
    """What is wanted; what is not wished for is kept from the environment's file.

    Args:
        look_up_gateway: False where nothing will be made (teardown), to ask for one permission less.
    """
    wished = wishes or Wishes()
    file = present_file(account.directory, name)
    return Desired(
        name=name,
        region=account.aws.region,
        account=account_of(account.aws),
        gateway=describe_endpoint(account.aws) if look_up_gateway else "",
        prefix=wished.prefix or (file.topic_prefix if file else DEFAULT_PREFIX),
        title=wished.title,
        rooms=wished.rooms,
        endpoints=account.endpoints or None,
        policy=wished.policy,
        adopt=wished.adopt,
        least_privilege=wished.least_privilege,
    )


def local_account(record: StackRecord, directory: Path) -> Account:
    """The local stack as the account of an environment in `directory`."""
    return Account(Aws(local_target(record)), directory, {"aws": record.control_url, "gateway": record.gateway_url})


def set_up_local(out: Output, record: StackRecord, directory: Path) -> None:
    """Set the chat up in the local stack, through the same plan as on AWS."""
    account = local_account(record, directory)
    desired = desired_environment(account, LOCAL, Wishes(title="Local chat", rooms=LOCAL_ROOMS))
    plan = make_plan(account.aws, desired, directory)
    execute(account.aws, plan, directory, lambda event: _detail(out, event))
    out.note(f"set the chat up in it: {len(plan.changes)} resources, rooms {', '.join(LOCAL_ROOMS)}")


def _detail(out: Output, event: Event) -> None:
    if event.phase is Phase.DONE:
        out.detail(f"  {event.step.action.value} {event.step.kind.value} {event.name}")
