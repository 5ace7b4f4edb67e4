"""From what is wanted and what is there to a plan: a tuple of frozen steps. Only read calls are made here.

`setup` carries out the very tuple that `plan` shows; `status` reads it as a report; `teardown` is the plan towards
nothing, in reverse.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chatops import environment as environments
from chatops.aws import cognito, iam
from chatops.aws.session import Aws
from chatops.environment import Environment
from chatops.errors import ConfigurationError, NotFoundError
from chatops.infra.page import TAG_PAGE, ContentMaker, Host, Placement, placement_of
from chatops.infra.page_planner import (
    FoundPage,
    file_with_site,
    is_ours,
    is_published_in,
    look_for_page,
    page_steps,
    teardown_steps,
)
from chatops.infra.resources import TAG_ENVIRONMENT, TAG_POLICY, Desired, Kind, fingerprint
from chatops.infra.steps import Action, Plan, Step

_SETTLING_S = (0.3, 0.7, 1.5, 2.0)  # as long as another setup may take to see that it was not the only one


@dataclass(frozen=True, slots=True)
class _Found:
    """What is there. `pools` are all that carry the environment's tags; more than one only before a teardown."""

    pool: cognito.IdentityPool | None
    pools: tuple[cognito.IdentityPool, ...]
    role: iam.GuestRole | None
    attached_role: str | None
    inline: tuple[str, ...]
    managed: tuple[str, ...]
    policy: Mapping[str, Any] | None
    file: Environment | None


def make_plan(aws: Aws, desired: Desired, directory: Path, content: ContentMaker | None = None) -> Plan:
    """Compare what is there with `desired`; of a page only when one is published.

    Args:
        content: makes the page, so that its files can be compared.

    Raises:
        ConfigurationError: something of that name exists but is not this environment's, or exists twice.
        ChatopsError: AWS refused to tell.
    """
    found = _look_until_single(aws, desired, directory)
    _check_single(desired, found)
    role_name = found.role.name if found.role else None
    placement = placement_of(_role_tags(found.role), found.file)
    page: FoundPage | None = None
    steps_of_page: tuple[Step, ...] = ()
    if placement is not None:
        page = look_for_page(aws, desired, _role_tags(found.role), placement, found.file)
        wanted = _wanted(desired, found)
        made = content(wanted) if content is not None and wanted is not None else None
        steps_of_page = tuple(page_steps(aws, desired, placement, page, made, is_outdated=wanted is None))
    steps = (
        _pool_step(desired, found),
        _role_step(desired, found),
        _policy_step(desired, found),
        *_foreign_policy_steps(desired, found, f"only {desired.policy_name} belongs to {role_name}"),
        _attachment_step(desired, found),
        *steps_of_page,
        _file_step(desired, found, directory, placement, page),
    )
    return Plan(desired, found.pool.pool_id if found.pool else None, steps, placement)


def make_publication(
    aws: Aws, desired: Desired, directory: Path, host: Host | None, bucket: str | None, content: ContentMaker
) -> Plan:
    """What is to be done so that the page of an environment is published.

    Args:
        host, bucket: None keeps what serves it; else CloudFront, from a bucket with the deterministic name.

    Raises:
        ConfigurationError: the environment is not set up, or its page is in another bucket.
    """
    file = present_file(directory, desired.name)
    _check_account(desired, file)
    role = _role(aws, desired) if file is not None else None
    if file is None or role is None:
        raise ConfigurationError(
            f"{desired.name} is not set up: {'its guest role is missing' if file else 'it has no file'}",
            f"run `chatops setup --env {desired.name}` first",
        )
    present = placement_of(role.tags, file)
    moves = present is not None and bucket not in {None, present.bucket}
    if moves and present is not None and is_published_in(aws, desired, present.bucket):
        raise ConfigurationError(
            f"The page of {desired.name} is published in the bucket {present.bucket}",
            "leave --bucket out, or tear the environment down first",
        )
    default = present or Placement(Host.CLOUDFRONT, desired.page_name)
    placement = Placement(host or default.host, bucket or default.bucket)
    page = look_for_page(aws, desired, role.tags, placement, file)
    steps = list(page_steps(aws, desired, placement, page, content(file)))
    path = str(environments.path_of(directory, desired.name))
    wanted = file_with_site(file, desired, placement, page)
    if any(step.action is Action.CREATE and step.kind in {Kind.BUCKET, Kind.DISTRIBUTION} for step in steps):
        steps.append(Step(Action.CHANGE, Kind.ENV_FILE, path, "it names the page"))
    elif wanted != file:
        reason = "it names the page"
        steps.append(Step(Action.CHANGE, Kind.ENV_FILE, path, reason, before=file.document(), after=wanted.document()))
    elif role.tags.get(TAG_PAGE) != placement.tag:
        steps.append(Step(Action.CHANGE, Kind.ENV_FILE, path, "the guest role remembers another place"))
    else:
        steps.append(Step(Action.KEEP, Kind.ENV_FILE, path, "as wanted"))
    return Plan(desired, file.identity_pool_id, tuple(steps), placement, is_publication=True)


def make_teardown(aws: Aws, desired: Desired, directory: Path) -> Plan:
    """The plan towards nothing: what carries the environment's tags, in reverse order. Nothing else is touched.

    Raises:
        ConfigurationError: as for `make_plan`.
    """
    found = _look(aws, desired, directory)
    page = look_for_page(aws, desired, _role_tags(found.role), None, found.file)
    steps = list(teardown_steps(aws, page))
    if found.role is not None:
        if found.policy is not None:
            steps.append(_delete(Kind.GUEST_POLICY, desired.policy_name, before=found.policy))
        steps += _foreign_policy_steps(desired, found, "the role cannot go with it")
        steps.append(_delete(Kind.GUEST_ROLE, found.role.name, before=found.role.trust))
    for pool in found.pools:
        reason = "with it go all its identities and their attachment to a role"
        steps.append(Step(Action.DELETE, Kind.IDENTITY_POOL, pool.pool_id, reason, destructive=True))
    if found.file is not None:
        path = environments.path_of(directory, desired.name)
        steps.append(Step(Action.DELETE, Kind.ENV_FILE, str(path), f"kept as {removed_path(path).name}"))
    return Plan(desired, found.pool.pool_id if found.pool else None, tuple(steps))


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


def removed_path(path: Path) -> Path:
    """Where `teardown` leaves an environment's file."""
    return path.with_suffix(".removed.json")


def _delete(kind: Kind, name: str, before: Mapping[str, Any] | None = None) -> Step:
    return Step(Action.DELETE, kind, name, "it carries this environment's tags", before=before, destructive=True)


def _look(aws: Aws, desired: Desired, directory: Path) -> _Found:
    file = present_file(directory, desired.name)
    _check_account(desired, file)
    pools = find_pools(aws, desired, file.identity_pool_id if file else None)
    pool = pools[0] if pools else None
    if desired.adopt is not None:
        pool = _adopted(aws, desired, pool)
    role = _role(aws, desired)
    inline = tuple(iam.inline_policies(aws, desired.role_name)) if role else ()
    has_policy = desired.policy_name in inline
    return _Found(
        pool=pool,
        pools=pools,
        role=role,
        attached_role=cognito.guest_role_of(aws, pool.pool_id) if pool else None,
        inline=inline,
        managed=tuple(iam.attached_policies(aws, desired.role_name)) if role else (),
        policy=iam.find_inline_policy(aws, desired.role_name, desired.policy_name) if has_policy else None,
        file=file,
    )


def _role(aws: Aws, desired: Desired) -> iam.GuestRole | None:
    """The guest role.

    Raises:
        ConfigurationError: one of that name is not this environment's.
    """
    role = iam.find_role(aws, desired.role_name)
    if role is not None and not is_ours(role.tags, desired):
        raise ConfigurationError(
            f"A role {desired.role_name} exists but does not carry this environment's tags",
            "rename or delete it, or choose another name for the environment",
        )
    return role


def _role_tags(role: iam.GuestRole | None) -> Mapping[str, str]:
    return role.tags if role is not None else {}


def _check_account(desired: Desired, file: Environment | None) -> None:
    """An environment stays in the account and Region that it was made in."""
    if file is None:
        return
    account = file.managed.get("account")
    if account is not None and account != desired.account:
        raise ConfigurationError(
            f"{desired.name} was set up in account {account}, and these credentials belong to {desired.account}",
            "use the credentials of that account (--profile), or another name for the environment",
        )
    if file.region != desired.region:
        raise ConfigurationError(
            f"{desired.name} is in {file.region}, not in {desired.region}",
            f"leave --region out, or say --region {file.region}",
        )


def _look_until_single(aws: Aws, desired: Desired, directory: Path) -> _Found:
    """See what there is; where there are two pools, another setup may be about to take its own back."""
    found = _look(aws, desired, directory)
    for wait_s in _SETTLING_S:
        if len(found.pools) < 2:
            break
        time.sleep(wait_s)
        found = _look(aws, desired, directory)
    return found


def find_pools(aws: Aws, desired: Desired, hint: str | None) -> tuple[cognito.IdentityPool, ...]:
    """Every pool that carries the environment's tags: by name; or, renamed by somebody, by the file's `hint`."""
    named = [pool_id for pool_id, name in cognito.list_pools(aws) if name == desired.pool_name]
    found = []
    for pool_id in dict.fromkeys([*([hint] if hint else []), *named]):
        try:
            pool = cognito.describe_pool(aws, pool_id)
        except NotFoundError:
            continue
        if is_ours(pool.tags, desired):
            found.append(pool)
    return tuple(found)


def _check_single(desired: Desired, found: _Found) -> None:
    if len(found.pools) > 1:
        raise ConfigurationError(
            f"{len(found.pools)} identity pools carry the tags of {desired.name!r}: "
            f"{', '.join(sorted(pool.pool_id for pool in found.pools))}",
            "remove the tags from the one that is not this environment's, or tear both down",
        )


def _adopted(aws: Aws, desired: Desired, mine: cognito.IdentityPool | None) -> cognito.IdentityPool:
    """The pool to take over.

    Raises:
        ConfigurationError: the environment has a pool already, or that pool is another environment's.
    """
    if mine is not None and mine.pool_id != desired.adopt:
        raise ConfigurationError(
            f"{desired.name} has the identity pool {mine.pool_id} already",
            f"`chatops teardown --env {desired.name}` first, or adopt under another name",
        )
    pool = mine or cognito.describe_pool(aws, str(desired.adopt))
    owner = pool.tags.get(TAG_ENVIRONMENT)
    if owner not in {None, desired.name}:
        raise ConfigurationError(
            f"The identity pool {pool.pool_id} belongs to the environment {owner!r}", "adopt another one"
        )
    return pool


def _pool_step(desired: Desired, found: _Found) -> Step:
    pool = found.pool
    if pool is None:
        return Step(
            Action.CREATE, Kind.IDENTITY_POOL, desired.pool_name, "guests get their identities from it",
            after=desired.pool(),
        )  # fmt: skip
    before, after = pool.properties(), desired.pool(pool.tags)
    if before == after:
        return Step(Action.KEEP, Kind.IDENTITY_POOL, pool.pool_id, "as wanted")
    return Step(
        Action.CHANGE, Kind.IDENTITY_POOL, pool.pool_id, _pool_reason(desired, pool), before=before, after=after
    )


def _pool_reason(desired: Desired, pool: cognito.IdentityPool) -> str:
    if not is_ours(pool.tags, desired):
        return "it is taken over"
    if not pool.guests_allowed:
        return "it lets no guests in"
    if pool.classic_flow:
        return "the classic flow is on, which nothing needs"
    return "its properties differ"


def _role_step(desired: Desired, found: _Found) -> Step:
    wanted = desired.trust_policy(found.pool.pool_id if found.pool else "the new pool")
    if found.role is None:
        reason = "only guests of this pool may take it"
        return Step(Action.CREATE, Kind.GUEST_ROLE, desired.role_name, reason, after=wanted)
    if found.role.trust != wanted:
        reason = "its trust policy differs"
        return Step(Action.CHANGE, Kind.GUEST_ROLE, found.role.name, reason, before=found.role.trust, after=wanted)
    return Step(Action.KEEP, Kind.GUEST_ROLE, found.role.name, "as wanted")


def _policy_step(desired: Desired, found: _Found) -> Step:
    wanted, tag = desired.guest_policy(), found.role.tags.get(TAG_POLICY) if found.role else None
    if found.policy is None:
        reason = f"a guest may connect as itself and speak and hear under {desired.prefix}"
        if desired.policy is not None:
            reason = "the operator's own document"
        return Step(Action.CREATE, Kind.GUEST_POLICY, desired.policy_name, reason, after=wanted)
    if desired.policy is None and tag is not None and not desired.least_privilege:
        if fingerprint(found.policy) == tag:
            return Step(Action.KEEP, Kind.GUEST_POLICY, desired.policy_name, "the operator's own document")
        reason = "it is not the operator's own document any more: back to least privilege, or give --policy again"
        return Step(Action.CHANGE, Kind.GUEST_POLICY, desired.policy_name, reason, before=found.policy, after=wanted)
    if found.policy != wanted or tag != desired.policy_tag:
        reason = "the document differs"
        return Step(Action.CHANGE, Kind.GUEST_POLICY, desired.policy_name, reason, before=found.policy, after=wanted)
    return Step(Action.KEEP, Kind.GUEST_POLICY, desired.policy_name, "as wanted")


def _foreign_policy_steps(desired: Desired, found: _Found, reason: str) -> Iterator[Step]:
    """Whatever else the role grants would be granted to every stranger."""
    for name in (*found.inline, *found.managed):
        if name != desired.policy_name:
            yield Step(Action.DELETE, Kind.GUEST_POLICY, name, reason, destructive=name in found.inline)


def _attachment_step(desired: Desired, found: _Found) -> Step:
    role_arn = found.role.arn if found.role else None
    if found.attached_role is None:
        return Step(Action.CREATE, Kind.POOL_ROLE, desired.role_name, "the pool gives its guests this role")
    if found.attached_role != role_arn:
        reason = f"the pool gives its guests {found.attached_role}"
        return Step(Action.CHANGE, Kind.POOL_ROLE, desired.role_name, reason)
    return Step(Action.KEEP, Kind.POOL_ROLE, desired.role_name, "as wanted")


def _wanted(desired: Desired, found: _Found) -> Environment | None:
    """The environment as its file should say it; None while the pool or the role is missing."""
    if found.pool is None or found.role is None:
        return None
    return environment_of(desired, found.pool.pool_id, found.role.arn, found.file)


def _file_step(
    desired: Desired, found: _Found, directory: Path, placement: Placement | None, page: FoundPage | None
) -> Step:
    path = str(environments.path_of(directory, desired.name))
    if found.file is None:
        return Step(Action.CREATE, Kind.ENV_FILE, path, "commands read it")
    wanted = _wanted(desired, found)
    is_new = page is not None and placement is not None and placement.host is Host.CLOUDFRONT and not page.distribution
    if wanted is None or is_new:
        return Step(Action.CHANGE, Kind.ENV_FILE, path, "it names what is made anew")
    if page is not None and placement is not None:
        wanted = file_with_site(wanted, desired, placement, page)
    if wanted != found.file:
        reason = "it differs from what is there"
        return Step(Action.CHANGE, Kind.ENV_FILE, path, reason, before=found.file.document(), after=wanted.document())
    return Step(Action.KEEP, Kind.ENV_FILE, path, "as wanted")
