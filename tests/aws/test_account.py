"""Against a real AWS account: `pytest -m aws tests/aws`, with credentials and a Region set.

Only what reads is called here, so that nothing has to be cleaned up.
"""

import uuid
from pathlib import Path

import pytest

from chatops.aws.iot import account_of, describe_endpoint
from chatops.aws.session import Aws, AwsTarget
from chatops.infra.planner import make_plan, make_teardown
from chatops.infra.resources import Desired, Kind
from chatops.infra.steps import Action

pytestmark = pytest.mark.aws


def test_a_plan_for_a_new_environment_reads_and_would_make_everything(tmp_path: Path) -> None:
    aws = Aws(AwsTarget())
    gateway = describe_endpoint(aws)
    assert "-ats.iot." in gateway
    desired = Desired(name=f"test-{uuid.uuid4().hex[:8]}", region=aws.region, account=account_of(aws), gateway=gateway)
    steps = make_plan(aws, desired, tmp_path).steps
    kinds = [Kind.IDENTITY_POOL, Kind.GUEST_ROLE, Kind.GUEST_POLICY, Kind.POOL_ROLE, Kind.ENV_FILE]
    assert [(step.kind, step.action) for step in steps] == [(kind, Action.CREATE) for kind in kinds]


def test_nothing_of_a_new_environment_is_there_to_be_torn_down(tmp_path: Path) -> None:
    aws = Aws(AwsTarget())
    desired = Desired(name=f"test-{uuid.uuid4().hex[:8]}", region=aws.region, account=account_of(aws), gateway="")
    assert make_teardown(aws, desired, tmp_path).steps == ()  # neither pool, role, bucket nor distribution
