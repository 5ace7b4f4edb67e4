"""Identity pools: the verbs that the lifecycle and the load test need."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chatops.aws.session import Aws
from chatops.errors import ChatopsError

_DELETE_AT_ONCE = 60  # Cognito's limit for DeleteIdentities


@dataclass(frozen=True, slots=True)
class IdentityPool:
    """An identity pool as AWS describes it."""

    pool_id: str
    name: str
    guests_allowed: bool
    classic_flow: bool
    tags: Mapping[str, str]


def list_pools(aws: Aws) -> Iterator[tuple[str, str]]:
    """Yield (id, name) of every pool in the Region."""
    request: dict[str, Any] = {"MaxResults": 60}
    while True:
        page = aws.call("cognito-identity", "list_identity_pools", **request)
        for pool in page.get("IdentityPools", []):
            yield pool["IdentityPoolId"], pool.get("IdentityPoolName", "")
        if not page.get("NextToken"):
            return
        request["NextToken"] = page["NextToken"]


def describe_pool(aws: Aws, pool_id: str) -> IdentityPool:
    """Describe a pool; raises NotFoundError when it does not exist."""
    return _pool(aws.call("cognito-identity", "describe_identity_pool", IdentityPoolId=pool_id))


def create_pool(aws: Aws, name: str, tags: Mapping[str, str]) -> IdentityPool:
    """Make a pool that lets guests in, without the classic flow."""
    return _pool(
        aws.call(
            "cognito-identity",
            "create_identity_pool",
            IdentityPoolName=name,
            AllowUnauthenticatedIdentities=True,
            AllowClassicFlow=False,
            IdentityPoolTags=dict(tags),
        )
    )


def mend_pool(aws: Aws, pool: IdentityPool) -> None:
    """Let guests in and turn the classic flow off; every other property stays as it is."""
    current = aws.call("cognito-identity", "describe_identity_pool", IdentityPoolId=pool.pool_id)
    current.pop("ResponseMetadata", None)
    aws.call(
        "cognito-identity",
        "update_identity_pool",
        **{**current, "AllowUnauthenticatedIdentities": True, "AllowClassicFlow": False},
    )


def guest_role_of(aws: Aws, pool_id: str) -> str | None:
    """The ARN of the pool's role for unauthenticated identities, None when it has none."""
    roles = aws.call("cognito-identity", "get_identity_pool_roles", IdentityPoolId=pool_id).get("Roles", {})
    role = roles.get("unauthenticated")
    return str(role) if role else None


def set_guest_role(aws: Aws, pool_id: str, role_arn: str) -> None:
    """Attach the role for unauthenticated identities; a role for authenticated ones stays."""
    current = aws.call("cognito-identity", "get_identity_pool_roles", IdentityPoolId=pool_id)
    request: dict[str, Any] = {
        "IdentityPoolId": pool_id,
        "Roles": {**current.get("Roles", {}), "unauthenticated": role_arn},
    }
    if current.get("RoleMappings"):
        request["RoleMappings"] = current["RoleMappings"]
    aws.call("cognito-identity", "set_identity_pool_roles", **request)


def delete_identities(aws: Aws, identity_ids: Sequence[str]) -> int:
    """Delete identities, 60 a call; returns how many AWS did delete. Raises when not even one call succeeds."""
    deleted = 0
    failure: ChatopsError | None = None
    for start in range(0, len(identity_ids), _DELETE_AT_ONCE):
        group = list(identity_ids[start : start + _DELETE_AT_ONCE])
        try:
            answer = aws.call("cognito-identity", "delete_identities", IdentityIdsToDelete=group)
        except ChatopsError as error:
            failure = error
            continue
        deleted += len(group) - len(answer.get("UnprocessedIdentityIds", []))
    if failure is not None and not deleted:
        raise failure
    return deleted


def _pool(answer: Mapping[str, Any]) -> IdentityPool:
    return IdentityPool(
        pool_id=answer["IdentityPoolId"],
        name=answer.get("IdentityPoolName", ""),
        guests_allowed=bool(answer.get("AllowUnauthenticatedIdentities")),
        classic_flow=bool(answer.get("AllowClassicFlow")),
        tags=answer.get("IdentityPoolTags", {}),
    )
