"""From what is wanted and what is there to a plan: a tuple of frozen steps. Only read calls are made here."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from chatops import environment as environments
from chatops.aws import cognito, iam
from chatops.aws.session import Aws
from chatops.environment import Environment
from chatops.errors import ConfigurationError, NotFoundError
from chatops.infra.resources import TAG_ENVIRONMENT, TAG_MANAGED, Desired, Kind


class Action(Enum):
    """What a step does to its resource."""

    CREATE = "create"
    CHANGE = "change"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do.

    Attributes:
        name: the resource's name, or its id once it exists.
        reason: why, in a few words.
        before, after: documents to show as a difference, where there are any.
    """

    action: Action
    kind: Kind
    name: str
    reason: str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Every resource of an environment with what happens to it, in dependency order."""

    desired: Desired
    pool_id: str | None
    steps: tuple[Step, ...]

    @property
    def changes(self) -> tuple[Step, ...]:
        """The steps that change something."""
        return tuple(step for step in self.steps if step.action is not Action.KEEP)


def make_plan(aws: Aws, desired: Desired, directory: Path) -> Plan:
    """Compare what is there with `desired`.

    Raises:
        ConfigurationError: something of that name exists but is not this environment's, or exists twice.
    """
    pool = _find_pool(aws, desired)
    role = iam.find_role(aws, desired.role_name)
    if role is not None and not _ours(role.tags, desired):
        raise ConfigurationError(
            f"A role {desired.role_name} exists but does not carry this environment's tags",
            "rename or delete it, or choose another name for the environment",
        )
    steps = [_pool_step(desired, pool)]
    steps.append(_role_step(desired, role, pool.pool_id if pool else None))
    policy = iam.find_inline_policy(aws, desired.role_name, desired.policy_name) if role else None
    steps.append(_policy_step(desired, policy))
    attached = cognito.guest_role_of(aws, pool.pool_id) if pool else None
    steps.append(_attachment_step(attached, role.arn if role else None, desired))
    steps.append(_file_step(desired, pool.pool_id if pool else None, role.arn if role else None, directory))
    return Plan(desired, pool.pool_id if pool else None, tuple(steps))


def environment_of(desired: Desired, pool_id: str, role_arn: str, present: Environment | None) -> Environment:
    """The environment as its file should say it; what the operator wrote by hand is kept."""
    return Environment(
        name=desired.name,
        gateway=desired.gateway,
        identity_pool_id=pool_id,
        region=desired.region,
        topic_prefix=desired.prefix,
        title=desired.title if desired.title is not None else (present.title if present else None),
        rooms=desired.rooms if desired.rooms is not None else (present.rooms if present else ()),
        endpoints=desired.endpoints if desired.endpoints is not None else (present.endpoints if present else {}),
        site=present.site if present else {},
        managed={"account": desired.account, "role": role_arn.rpartition("/")[2], "policy": desired.policy_name},
    )


def present_file(directory: Path, name: str) -> Environment | None:
    """The environment's file when there is a readable one."""
    if not environments.path_of(directory, name).exists():
        return None
    return environments.load(directory, name)


def _ours(tags: Mapping[str, str], desired: Desired) -> bool:
    return tags.get(TAG_ENVIRONMENT) == desired.name and TAG_MANAGED in tags


def _find_pool(aws: Aws, desired: Desired) -> cognito.IdentityPool | None:
    found = []
    for pool_id, name in cognito.list_pools(aws):
        if name != desired.pool_name:
            continue
        try:
            pool = cognito.describe_pool(aws, pool_id)
        except NotFoundError:
            continue
        if _ours(pool.tags, desired):
            found.append(pool)
    if len(found) > 1:
        raise ConfigurationError(
            f"{len(found)} identity pools carry the tags of {desired.name!r}: {', '.join(p.pool_id for p in found)}",
            "remove the tags from the one that is not this environment's",
        )
    return found[0] if found else None


def _pool_step(desired: Desired, pool: cognito.IdentityPool | None) -> Step:
    if pool is None:
        return Step(Action.CREATE, Kind.IDENTITY_POOL, desired.pool_name, "guests get their identities from it")
    if not pool.guests_allowed:
        return Step(Action.CHANGE, Kind.IDENTITY_POOL, pool.pool_id, "it lets no guests in")
    if pool.classic_flow:
        return Step(Action.CHANGE, Kind.IDENTITY_POOL, pool.pool_id, "the classic flow is on, which nothing needs")
    return Step(Action.KEEP, Kind.IDENTITY_POOL, pool.pool_id, "as wanted")


def _role_step(desired: Desired, role: iam.GuestRole | None, pool_id: str | None) -> Step:
    wanted = desired.trust_policy(pool_id or "the new pool")
    if role is None:
        return Step(
            Action.CREATE, Kind.GUEST_ROLE, desired.role_name, "only guests of this pool may take it", after=wanted
        )
    if role.trust != wanted:
        reason = "its trust policy differs"
        return Step(Action.CHANGE, Kind.GUEST_ROLE, role.name, reason, before=role.trust, after=wanted)
    return Step(Action.KEEP, Kind.GUEST_ROLE, role.name, "as wanted")


def _policy_step(desired: Desired, present: Mapping[str, Any] | None) -> Step:
    wanted = desired.guest_policy()
    if present is None:
        reason = f"a guest may connect as itself and speak and hear under {desired.prefix}"
        return Step(Action.CREATE, Kind.GUEST_POLICY, desired.policy_name, reason, after=wanted)
    if present != wanted:
        reason = "the document differs"
        return Step(Action.CHANGE, Kind.GUEST_POLICY, desired.policy_name, reason, before=present, after=wanted)
    return Step(Action.KEEP, Kind.GUEST_POLICY, desired.policy_name, "as wanted")


def _attachment_step(attached: str | None, role_arn: str | None, desired: Desired) -> Step:
    if attached is None:
        return Step(Action.CREATE, Kind.POOL_ROLE, desired.role_name, "the pool gives its guests this role")
    if attached != role_arn:
        return Step(Action.CHANGE, Kind.POOL_ROLE, desired.role_name, f"the pool gives its guests {attached}")
    return Step(Action.KEEP, Kind.POOL_ROLE, desired.role_name, "as wanted")


def _file_step(desired: Desired, pool_id: str | None, role_arn: str | None, directory: Path) -> Step:
    path = str(environments.path_of(directory, desired.name))
    present = present_file(directory, desired.name)
    if present is None:
        return Step(Action.CREATE, Kind.ENV_FILE, path, "commands read it")
    if pool_id is None or role_arn is None:
        return Step(Action.CHANGE, Kind.ENV_FILE, path, "it names what is made anew")
    wanted = environment_of(desired, pool_id, role_arn, present)
    if wanted != present:
        reason = "it differs from what is there"
        return Step(Action.CHANGE, Kind.ENV_FILE, path, reason, before=present.document(), after=wanted.document())
    return Step(Action.KEEP, Kind.ENV_FILE, path, "as wanted")
