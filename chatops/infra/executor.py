"""Carries a plan out, one event a step. Nothing is remembered that cannot be found again by tag and name."""

import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import assert_never

from chatops import environment as environments
from chatops.aws import cognito, iam
from chatops.aws.session import Aws
from chatops.environment import Environment
from chatops.errors import (
    AlreadyExistsError,
    AwsError,
    ChatopsError,
    ConfigurationError,
    NotFoundError,
    PartlyDoneError,
)
from chatops.infra.page import ContentMaker
from chatops.infra.page_executor import PageExecutor
from chatops.infra.planner import environment_of, find_pools, present_file, removed_path
from chatops.infra.resources import TAG_ENVIRONMENT, TAG_POLICY, Kind
from chatops.infra.steps import Action, Plan, Step

_ROUNDS = 8
_SETTLING_S = 0.5
GUEST_ROLE_DESCRIPTION = "What anonymous guests of a chatops chat may do"


class Phase(Enum):
    """Where a step is."""

    STARTED = "started"
    WAITING = "waiting"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Event:
    """A step starts, waits or is done; `name` is the resource's, or its new id; what is waited for while it waits."""

    phase: Phase
    step: Step
    name: str


class _Executor:
    """One run of a plan. The ids of what it makes live here until the plan ends."""

    def __init__(
        self, aws: Aws, plan: Plan, directory: Path, content: ContentMaker | None, waiting: Callable[[str], None]
    ) -> None:
        self._aws = aws
        self._plan = plan
        self._desired = plan.desired
        self._directory = directory
        self._pool_id = plan.pool_id
        self._role_arn: str | None = None
        self._page = PageExecutor(
            aws, plan.desired, plan.placement, present_file(directory, plan.desired.name), content, waiting
        )

    def carry_out(self, step: Step) -> str:
        """Do what a step says; returns the resource's name."""
        match step.kind:
            case Kind.IDENTITY_POOL:
                return self._pool(step)
            case Kind.GUEST_ROLE:
                return self._role(step)
            case Kind.GUEST_POLICY:
                return self._policy(step)
            case Kind.POOL_ROLE:
                return self._attachment(step)
            case (
                Kind.BUCKET
                | Kind.ORIGIN_ACCESS
                | Kind.HEADERS_POLICY
                | Kind.DISTRIBUTION
                | Kind.BUCKET_POLICY
                | Kind.PAGE_FILES
            ):
                return self._page.carry_out(step, self._environment)
            case Kind.ENV_FILE:
                return self._file(step)
            case _:
                assert_never(step.kind)

    def _pool(self, step: Step) -> str:
        match step.action:
            case Action.CREATE:
                self._pool_id = self._created_pool()
            case Action.CHANGE:
                cognito.change_pool(self._aws, step.name, step.after or {})
            case Action.DELETE:
                with suppress(NotFoundError):
                    cognito.delete_pool(self._aws, step.name)
            case Action.KEEP:
                pass
            case _:
                assert_never(step.action)
        return self._pool_id or step.name

    def _created_pool(self) -> str:
        """Make the pool, once also when two setups run at the same time.

        Cognito takes any number of pools of one name, so that whoever sees another's after making its own takes its
        own back. When both do, both look again after a while of random length.
        """
        for _ in range(_ROUNDS):
            others = find_pools(self._aws, self._desired, None)
            if others:
                time.sleep(_SETTLING_S)  # its maker may be about to take it back
                if find_pools(self._aws, self._desired, None) == others[:1]:
                    return others[0].pool_id
                continue
            mine = cognito.create_pool(self._aws, self._desired.pool()).pool_id
            others = tuple(p for p in find_pools(self._aws, self._desired, mine) if p.pool_id != mine)
            if not others:
                return mine
            cognito.delete_pool(self._aws, mine)
            time.sleep(random.uniform(0.1, 1.5))  # noqa: S311  (jitter, not a secret)
        raise AwsError(
            f"Somebody else keeps setting {self._desired.name} up at the same time", "wait until they are done"
        )

    def _role(self, step: Step) -> str:
        match step.action:
            case Action.CREATE:
                self._role_arn = self._created_role()
            case Action.CHANGE:
                iam.set_trust(self._aws, step.name, self._desired.trust_policy(self._known_pool()))
            case Action.DELETE:
                with suppress(NotFoundError):
                    iam.delete_role(self._aws, step.name)
            case Action.KEEP:
                pass
            case _:
                assert_never(step.action)
        return step.name

    def _created_role(self) -> str:
        """Make the role; one that a lost answer left behind is taken as made."""
        desired = self._desired
        trust = desired.trust_policy(self._known_pool())
        try:
            return iam.create_role(self._aws, desired.role_name, trust, GUEST_ROLE_DESCRIPTION, desired.tags)
        except AlreadyExistsError:
            found = iam.find_role(self._aws, desired.role_name)
            if found is None or found.tags.get(TAG_ENVIRONMENT) != desired.name:
                raise
            if found.trust != trust:
                iam.set_trust(self._aws, desired.role_name, trust)
            return found.arn

    def _policy(self, step: Step) -> str:
        role = self._desired.role_name
        match step.action:
            case Action.CREATE | Action.CHANGE:
                iam.put_inline_policy(self._aws, role, step.name, self._desired.guest_policy())
                self._mark_policy(role)
            case Action.DELETE:
                with suppress(NotFoundError):
                    if step.name.startswith("arn:"):
                        iam.detach_policy(self._aws, role, step.name)
                    else:
                        iam.delete_inline_policy(self._aws, role, step.name)
            case Action.KEEP:
                pass
            case _:
                assert_never(step.action)
        return step.name

    def _mark_policy(self, role: str) -> None:
        """Remember on the role whether its policy is the operator's own, so that later plans keep it."""
        tag = self._desired.policy_tag
        present = iam.find_role(self._aws, role)
        if tag is not None:
            iam.tag_role(self._aws, role, {TAG_POLICY: tag})
        elif present is not None and TAG_POLICY in present.tags:
            iam.untag_role(self._aws, role, [TAG_POLICY])

    def _attachment(self, step: Step) -> str:
        if step.action is not Action.KEEP:
            cognito.set_guest_role(self._aws, self._known_pool(), self._known_role())
        return step.name

    def _file(self, step: Step) -> str:
        desired = self._desired
        if step.action is Action.DELETE:
            path = environments.path_of(self._directory, desired.name)
            try:
                path.replace(removed_path(path))
            except OSError as error:
                raise ConfigurationError(
                    f"{path} cannot be renamed: {error.strerror}", "check the folder's permissions"
                ) from None
            return str(removed_path(path))
        if step.action is Action.KEEP:
            return step.name
        wanted = self._environment()
        if self._plan.placement is not None:
            wanted = replace(wanted, site=self._page.finish())
        return str(environments.save(self._directory, wanted))

    def _environment(self) -> Environment:
        """The environment as its file should say it; a publication changes nothing but where the page is."""
        present = present_file(self._directory, self._desired.name)
        if self._plan.is_publication and present is not None:
            return present
        return environment_of(self._desired, self._known_pool(), self._known_role(), present)

    def _known_pool(self) -> str:
        if self._pool_id is None:
            raise RuntimeError("the pool's step comes first in every plan that makes something")
        return self._pool_id

    def _known_role(self) -> str:
        if self._role_arn is None:
            desired = self._desired
            self._role_arn = f"arn:{desired.partition}:iam::{desired.account}:role/{desired.role_name}"
        return self._role_arn


def execute(
    aws: Aws,
    plan: Plan,
    directory: Path,
    on_event: Callable[[Event], None],
    content: ContentMaker | None = None,
) -> None:
    """Carry `plan` out, in order.

    Args:
        content: makes the page, where the plan has one.

    Raises:
        PartlyDoneError: a step failed after others had changed something; the message names what is left.
        ChatopsError: the first change failed.
    """
    current = plan.steps[0] if plan.steps else None

    def waiting(words: str) -> None:
        if current is not None:
            on_event(Event(Phase.WAITING, current, words))

    executor = _Executor(aws, plan, directory, content, waiting)
    changed = 0
    for index, step in enumerate(plan.steps):
        current = step
        if step.action is not Action.KEEP:
            on_event(Event(Phase.STARTED, step, step.name))
        try:
            name = executor.carry_out(step)
        except ChatopsError as error:
            if not changed:
                raise
            left = ", ".join(f"{s.kind.value} {s.name}" for s in plan.steps[index:] if s.action is not Action.KEEP)
            raise PartlyDoneError(
                f"{error.problem} (still to do: {left})", f"{error.remedy}; then run the same command again"
            ) from error
        if step.action is not Action.KEEP:
            changed += 1
            on_event(Event(Phase.DONE, step, name))
