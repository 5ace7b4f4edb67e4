"""The operator's policy of the README, against the calls that the commands really make."""

import datetime as dt
from pathlib import Path

from chatops.aws import cognito, iam
from chatops.aws.iot import account_of, describe_endpoint, publish
from chatops.aws.session import Aws, action_name
from chatops.environment import load
from chatops.infra.executor import execute
from chatops.infra.permissions import ALWAYS_ALLOWED, IMPLIED, operator_actions
from chatops.infra.planner import make_plan
from chatops.infra.resources import Desired
from tests.local.harness import RunningStack


class Recording(Aws):
    """The stack, and what was called."""

    def __init__(self, stack: RunningStack) -> None:
        super().__init__(stack.aws()._target)
        self.actions: set[str] = set()

    def call(self, service: str, operation: str, **request: object) -> dict[str, object]:
        self.actions.add(action_name(service, operation))
        return super().call(service, operation, **request)


def test_the_policy_has_what_the_commands_call_and_nothing_more(stack: RunningStack, tmp_path: Path) -> None:
    aws = Recording(stack)
    wanted = Desired(name="calls", region="us-east-1", account=account_of(aws), gateway=describe_endpoint(aws))
    execute(aws, make_plan(aws, wanted, tmp_path), tmp_path, lambda _event: None)
    made = load(tmp_path, "calls")
    aws.call(
        "cognito-identity",
        "update_identity_pool",
        IdentityPoolId=made.identity_pool_id,
        IdentityPoolName=wanted.pool_name,
        AllowUnauthenticatedIdentities=False,
        IdentityPoolTags=wanted.tags,
    )
    iam.set_trust(aws, wanted.role_name, wanted.trust_policy("us-east-1:00000000-0000-4000-8000-000000000000"))
    execute(aws, make_plan(aws, wanted, tmp_path), tmp_path, lambda _event: None)
    publish(aws, "/chat/lobby", str(dt.date(2026, 1, 1)).encode())
    guest = stack.aws().call("cognito-identity", "get_id", IdentityPoolId=made.identity_pool_id)["IdentityId"]
    assert cognito.delete_identities(aws, [guest]) == 1
    needed = aws.actions - ALWAYS_ALLOWED
    assert needed <= operator_actions()
    assert operator_actions() - IMPLIED <= needed
