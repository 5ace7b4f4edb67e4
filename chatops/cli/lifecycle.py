"""Setting an environment up: the steps that `setup` and the embedded stack share."""

from collections.abc import Mapping
from pathlib import Path

from chatops import environment as environments
from chatops.aws.iot import account_of, describe_endpoint
from chatops.aws.session import AccessKeys, Aws, AwsTarget
from chatops.chat.rooms import DEFAULT_PREFIX
from chatops.environment import LOCAL, Environment
from chatops.infra.executor import Event, Phase, execute
from chatops.infra.planner import Plan, make_plan
from chatops.infra.resources import Desired
from chatops.local.record import StackRecord
from chatops.render.output import Output

LOCAL_ROOMS = ("/chat/lobby", "/chat/games", "/chat/help")


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


def set_up_local(out: Output, record: StackRecord, directory: Path) -> Environment:
    """Set the chat up in the local stack, through the same plan as on AWS."""
    aws = Aws(local_target(record))
    desired = Desired(
        name=LOCAL,
        region=record.region,
        account=account_of(aws),
        gateway=describe_endpoint(aws),
        title="Local chat",
        rooms=LOCAL_ROOMS,
        endpoints={"aws": record.control_url, "gateway": record.gateway_url},
    )
    plan = make_plan(aws, desired, directory)
    environment = execute(aws, plan, directory, lambda event: _detail(out, event))
    out.note(f"set the chat up in it: {len(plan.changes)} resources, rooms {', '.join(LOCAL_ROOMS)}")
    return environment


def plan_for(
    aws: Aws,
    directory: Path,
    *,
    name: str,
    prefix: str | None,
    title: str | None,
    rooms: tuple[str, ...] | None,
    endpoints: Mapping[str, str],
) -> Plan:
    """Look the account and the gateway up and plan an environment; what is not given is kept from its file."""
    region = environments.check_region(aws.region)
    present = None
    if environments.path_of(directory, name).exists():
        present = environments.load(directory, name)
    desired = Desired(
        name=name,
        region=region,
        account=account_of(aws),
        gateway=describe_endpoint(aws),
        prefix=prefix or (present.topic_prefix if present else DEFAULT_PREFIX),
        title=title,
        rooms=rooms,
        endpoints={**(present.endpoints if present else {}), **endpoints} or None,
    )
    return make_plan(aws, desired, directory)


def _detail(out: Output, event: Event) -> None:
    if event.phase is Phase.DONE:
        out.detail(f"  {event.step.action.value} {event.step.kind.value} {event.name}")
