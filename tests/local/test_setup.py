import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from chatops import environment
from chatops.aws import cognito, iam
from chatops.aws.session import Aws
from chatops.chat.policy import guest_policy, trust_policy
from chatops.errors import AwsError, ChatopsError, ConfigurationError, PartlyDoneError
from chatops.infra.executor import Event, Phase, execute
from chatops.infra.planner import make_plan
from chatops.infra.resources import Desired, Kind
from chatops.infra.steps import Action, Plan
from tests.local.cli import chatops, variables
from tests.local.harness import RunningStack


def desired(stack: RunningStack, name: str, **more: str) -> Desired:
    return Desired(
        name=name, region="us-east-1", account="123456789012", gateway=f"127.0.0.1:{stack.stack.ports.gateway}", **more
    )


def plan(stack: RunningStack, directory: Path, name: str, **more: str) -> Plan:
    return make_plan(stack.aws(), desired(stack, name, **more), directory)


def carry_out(stack: RunningStack, directory: Path, name: str, **more: str) -> list[Event]:
    events: list[Event] = []
    execute(stack.aws(), plan(stack, directory, name, **more), directory, events.append)
    return events


def test_fresh_makes_everything_in_dependency_order_and_again_changes_nothing(
    stack: RunningStack, tmp_path: Path
) -> None:
    events = carry_out(stack, tmp_path, "fresh")
    assert [event.step.kind for event in events if event.phase is Phase.DONE] == [
        Kind.IDENTITY_POOL,
        Kind.GUEST_ROLE,
        Kind.GUEST_POLICY,
        Kind.POOL_ROLE,
        Kind.ENV_FILE,
    ]
    first = environment.load(tmp_path, "fresh")
    again = plan(stack, tmp_path, "fresh")
    assert again.changes == ()
    assert {step.action for step in again.steps} == {Action.KEEP}
    assert carry_out(stack, tmp_path, "fresh") == []
    assert environment.load(tmp_path, "fresh") == first


def test_what_was_made_is_least_privilege(stack: RunningStack, tmp_path: Path) -> None:
    carry_out(stack, tmp_path, "least")
    found = environment.load(tmp_path, "least")
    pool = cognito.describe_pool(stack.aws(), found.identity_pool_id)
    assert pool.guests_allowed
    assert not pool.classic_flow
    assert pool.tags == {"chatops:environment": "least", "chatops:managed": "true"}
    role = iam.find_role(stack.aws(), found.managed["role"])
    assert role is not None
    condition = role.trust["Statement"][0]["Condition"]
    assert condition["StringEquals"] == {"cognito-identity.amazonaws.com:aud": found.identity_pool_id}
    assert role.tags["chatops:environment"] == "least"


def test_a_deleted_environment_file_is_restored_without_a_second_pool(stack: RunningStack, tmp_path: Path) -> None:
    carry_out(stack, tmp_path, "lost")
    first = environment.load(tmp_path, "lost")
    (tmp_path / "lost.json").unlink()
    assert [step.kind for step in plan(stack, tmp_path, "lost").changes] == [Kind.ENV_FILE]
    carry_out(stack, tmp_path, "lost")
    assert environment.load(tmp_path, "lost") == first


def drift_pool(aws: Aws, found: environment.Environment) -> None:
    aws.call(
        "cognito-identity",
        "update_identity_pool",
        IdentityPoolId=found.identity_pool_id,
        IdentityPoolName="chatops-drift",
        AllowUnauthenticatedIdentities=False,
        IdentityPoolTags={"chatops:environment": "drift", "chatops:managed": "true"},
    )


def drift_trust(aws: Aws, found: environment.Environment) -> None:
    iam.set_trust(aws, found.managed["role"], trust_policy("us-east-1:00000000-0000-4000-8000-000000000000"))


def drift_policy(aws: Aws, found: environment.Environment) -> None:
    wider = guest_policy(region=found.region, account="123456789012", prefix="/")
    iam.put_inline_policy(aws, found.managed["role"], found.managed["policy"], wider)


def drift_attachment(aws: Aws, found: environment.Environment) -> None:
    cognito.set_guest_role(aws, found.identity_pool_id, "arn:aws:iam::123456789012:role/other")


@pytest.mark.parametrize(
    ("drift", "kind"),
    [
        (drift_pool, Kind.IDENTITY_POOL),
        (drift_trust, Kind.GUEST_ROLE),
        (drift_policy, Kind.GUEST_POLICY),
        (drift_attachment, Kind.POOL_ROLE),
    ],
)
def test_what_drifted_is_found_and_mended(stack: RunningStack, tmp_path: Path, drift: object, kind: Kind) -> None:
    carry_out(stack, tmp_path, "drift")
    assert callable(drift)
    drift(stack.aws(), environment.load(tmp_path, "drift"))
    changes = plan(stack, tmp_path, "drift").changes
    assert [(step.action, step.kind) for step in changes] == [(Action.CHANGE, kind)]
    carry_out(stack, tmp_path, "drift")
    assert plan(stack, tmp_path, "drift").changes == ()


def test_a_hand_written_title_and_rooms_are_kept(stack: RunningStack, tmp_path: Path) -> None:
    carry_out(stack, tmp_path, "kept")
    document = json.loads((tmp_path / "kept.json").read_text())
    (tmp_path / "kept.json").write_text(json.dumps({**document, "title": "Ours", "rooms": ["lobby"]}))
    assert plan(stack, tmp_path, "kept").changes == ()


def test_another_prefix_changes_policy_and_file(stack: RunningStack, tmp_path: Path) -> None:
    carry_out(stack, tmp_path, "moved")
    changes = plan(stack, tmp_path, "moved", prefix="/talk/").changes
    assert [step.kind for step in changes] == [Kind.GUEST_POLICY, Kind.ENV_FILE]
    assert changes[0].before is not None


def test_a_role_of_somebody_else_is_not_touched(stack: RunningStack, tmp_path: Path) -> None:
    wanted = desired(stack, "foreign")
    iam.create_role(stack.aws(), wanted.role_name, wanted.trust_policy("x"), "not ours", {})
    with pytest.raises(ConfigurationError, match="does not carry"):
        plan(stack, tmp_path, "foreign")


def test_two_pools_with_the_same_tags_are_refused(stack: RunningStack, tmp_path: Path) -> None:
    wanted = desired(stack, "twice")
    for _ in range(2):
        cognito.create_pool(stack.aws(), wanted.pool())
    with pytest.raises(ConfigurationError, match="2 identity pools"):
        plan(stack, tmp_path, "twice")


def test_a_pool_of_the_same_name_without_tags_is_left_alone(stack: RunningStack, tmp_path: Path) -> None:
    other = cognito.create_pool(stack.aws(), {**desired(stack, "named").pool(), "IdentityPoolTags": {}})
    carry_out(stack, tmp_path, "named")
    assert environment.load(tmp_path, "named").identity_pool_id != other.pool_id


class FailingAws(Aws):
    """The stack, but one operation fails."""

    def __init__(self, stack: RunningStack, operation: str) -> None:
        super().__init__(stack.aws()._target)
        self._failing = operation

    def _call(self, service: str, operation: str, request: Mapping[str, Any], attempts: int) -> dict[str, Any]:
        if operation == self._failing:
            raise AwsError("it failed", "try again")
        return super()._call(service, operation, request, attempts)


@pytest.mark.parametrize("operation", ["create_role", "put_role_policy", "set_identity_pool_roles"])
def test_a_failure_midway_says_what_is_left_and_the_next_run_finishes(
    stack: RunningStack, tmp_path: Path, operation: str
) -> None:
    name = f"half-{operation.replace('_', '-')}"
    with pytest.raises(PartlyDoneError) as caught:
        execute(FailingAws(stack, operation), plan(stack, tmp_path, name), tmp_path, lambda _event: None)
    assert "environment file" in caught.value.problem
    carry_out(stack, tmp_path, name)
    assert plan(stack, tmp_path, name).changes == ()
    pools = [pool_id for pool_id, pool in cognito.list_pools(stack.aws()) if pool == f"chatops-{name}"]
    assert len(pools) == 1


def test_a_failure_before_any_change_is_its_own_error(stack: RunningStack, tmp_path: Path) -> None:
    with pytest.raises(AwsError, match="it failed"):
        execute(FailingAws(stack, "create_identity_pool"), plan(stack, tmp_path, "none"), tmp_path, lambda _event: None)


def test_planning_writes_nothing(stack: RunningStack, tmp_path: Path) -> None:
    calls: list[str] = []

    class Recording(Aws):
        def _call(self, service: str, operation: str, request: Mapping[str, Any], attempts: int) -> dict[str, Any]:
            calls.append(operation)
            return super()._call(service, operation, request, attempts)

    make_plan(Recording(stack.aws()._target), desired(stack, "read-only"), tmp_path)
    assert calls
    assert all(call.startswith(("get_", "list_", "describe_")) for call in calls)
    assert list(tmp_path.iterdir()) == []


def test_the_command_as_on_an_account(stack: RunningStack, tmp_path: Path) -> None:
    env = variables(
        tmp_path,
        AWS_ENDPOINT_URL=stack.aws_url,
        AWS_ACCESS_KEY_ID=stack.keys().access_key_id,
        AWS_SECRET_ACCESS_KEY=stack.keys().secret_access_key,
        AWS_REGION="us-east-1",
    )
    first = chatops("setup", "--env", "account", "--rooms", "lobby,games", "--yes", "--json", env=env, cwd=tmp_path)
    assert first.code == 0, first.stderr
    assert json.loads(first.stdout)["changed"] == 5
    again = chatops("setup", "--env", "account", "--json", env=env, cwd=tmp_path)
    assert again.code == 0, again.stderr
    assert json.loads(again.stdout)["changed"] == 0
    endpoint = chatops("describe-endpoint", env=env, cwd=tmp_path)
    assert endpoint.stdout == f"127.0.0.1:{stack.stack.ports.gateway}\n"
    text = (tmp_path / "env" / "account.json").read_text()
    assert stack.keys().secret_access_key not in text
    posted = chatops("post", "lobby", "hello", env=env, cwd=tmp_path)
    assert posted.code == 0, posted.stderr


def test_errors_of_aws_are_of_this_projects_tree(stack: RunningStack) -> None:
    with pytest.raises(ChatopsError, match=r"(?i)not found|nobody"):
        stack.aws().call("iam", "get_role", RoleName="nobody")
