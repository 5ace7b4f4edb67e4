"""Carries a plan out, one event a step. Nothing is remembered that cannot be found again by tag and name."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import assert_never

from chatops import environment as environments
from chatops.aws import cognito, iam
from chatops.aws.session import Aws
from chatops.environment import Environment
from chatops.errors import ChatopsError, PartlyDoneError
from chatops.infra.planner import Action, Plan, Step, environment_of, present_file
from chatops.infra.resources import Kind

GUEST_ROLE_DESCRIPTION = "What anonymous guests of a chatops chat may do"


class Phase(Enum):
    """Where a step is."""

    STARTED = "started"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Event:
    """A step starts or is done; `name` is the resource's, or its new id."""

    phase: Phase
    step: Step
    name: str


class _Executor:
    """One run of a plan. The ids of what it makes live here until the plan ends."""

    def __init__(self, aws: Aws, plan: Plan, directory: Path) -> None:
        self._aws = aws
        self._plan = plan
        self._directory = directory
        self._pool_id = plan.pool_id
        self._role_arn: str | None = None
        self.environment: Environment | None = None

    def carry_out(self, step: Step) -> str:
        match step.kind:
            case Kind.IDENTITY_POOL:
                return self._pool(step)
            case Kind.GUEST_ROLE:
                return self._role(step)
            case Kind.GUEST_POLICY:
                return self._policy(step)
            case Kind.POOL_ROLE:
                return self._attachment(step)
            case Kind.ENV_FILE:
                return self._file(step)
            case _:
                assert_never(step.kind)

    def _pool(self, step: Step) -> str:
        desired = self._plan.desired
        match step.action:
            case Action.CREATE:
                self._pool_id = cognito.create_pool(self._aws, desired.pool_name, desired.tags).pool_id
            case Action.CHANGE:
                cognito.mend_pool(self._aws, cognito.describe_pool(self._aws, step.name))
            case Action.KEEP:
                pass
            case _:
                assert_never(step.action)
        return self._known_pool()

    def _role(self, step: Step) -> str:
        desired = self._plan.desired
        trust = desired.trust_policy(self._known_pool())
        match step.action:
            case Action.CREATE:
                self._role_arn = iam.create_role(
                    self._aws, desired.role_name, trust, GUEST_ROLE_DESCRIPTION, desired.tags
                )
            case Action.CHANGE:
                iam.set_trust(self._aws, desired.role_name, trust)
            case Action.KEEP:
                pass
            case _:
                assert_never(step.action)
        return desired.role_name

    def _policy(self, step: Step) -> str:
        desired = self._plan.desired
        if step.action is not Action.KEEP:
            iam.put_inline_policy(self._aws, desired.role_name, desired.policy_name, desired.guest_policy())
        return desired.policy_name

    def _attachment(self, step: Step) -> str:
        if step.action is not Action.KEEP:
            cognito.set_guest_role(self._aws, self._known_pool(), self._known_role())
        return self._plan.desired.role_name

    def _file(self, step: Step) -> str:
        desired = self._plan.desired
        present = present_file(self._directory, desired.name)
        self.environment = environment_of(desired, self._known_pool(), self._known_role(), present)
        if step.action is not Action.KEEP:
            return str(environments.save(self._directory, self.environment))
        return step.name

    def _known_pool(self) -> str:
        if self._pool_id is None:
            raise RuntimeError("the pool's step comes first in every plan")
        return self._pool_id

    def _known_role(self) -> str:
        if self._role_arn is None:
            desired = self._plan.desired
            self._role_arn = f"arn:{desired.partition}:iam::{desired.account}:role/{desired.role_name}"
        return self._role_arn


def execute(aws: Aws, plan: Plan, directory: Path, on_event: Callable[[Event], None]) -> Environment:
    """Carry `plan` out, in order, and return the environment that it leaves.

    Raises:
        PartlyDoneError: a step failed after others had changed something; the message names what is left.
        ChatopsError: the first change failed.
    """
    executor = _Executor(aws, plan, directory)
    changed = 0
    for index, step in enumerate(plan.steps):
        if step.action is not Action.KEEP:
            on_event(Event(Phase.STARTED, step, step.name))
        try:
            name = executor.carry_out(step)
        except ChatopsError as error:
            if not changed:
                raise
            left = ", ".join(s.kind.value for s in plan.steps[index:] if s.action is not Action.KEEP)
            raise PartlyDoneError(
                f"{error.problem} (still to do: {left})", f"{error.remedy}; then run the same command again"
            ) from error
        if step.action is not Action.KEEP:
            changed += 1
            on_event(Event(Phase.DONE, step, name))
    if executor.environment is None:
        raise RuntimeError("the environment file's step comes last in every plan")
    return executor.environment
