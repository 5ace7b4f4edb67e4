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

    def properties(self) -> dict[str, Any]:
        """The properties that an environment cares for, named as Cognito names them."""
        return {
            "IdentityPoolName": self.name,
            "AllowUnauthenticatedIdentities": self.guests_allowed,
            "AllowClassicFlow": self.classic_flow,
            "IdentityPoolTags": dict(self.tags),
        }


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


def create_pool(aws: Aws, properties: Mapping[str, Any]) -> IdentityPool:
    """Make a pool.

    It is asked for once only: Cognito takes any number of pools of one name, so that a request whose answer was lost
    must be looked for before it is made again.
    """
    return _pool(aws.call_once("cognito-identity", "create_identity_pool", **properties))


def change_pool(aws: Aws, pool_id: str, properties: Mapping[str, Any]) -> None:
    """Change properties of a pool; every other one stays as it is."""
    current = aws.call("cognito-identity", "describe_identity_pool", IdentityPoolId=pool_id)
    current.pop("ResponseMetadata", None)
    aws.call("cognito-identity", "update_identity_pool", **{**current, **properties})


def delete_pool(aws: Aws, pool_id: str) -> None:
    """Delete a pool, and with it its identities and its roles' attachment."""
    aws.call("cognito-identity", "delete_identity_pool", IdentityPoolId=pool_id)


def count_identities(aws: Aws, pool_id: str, at_most: int = 600) -> int:
    """How many identities a pool has, counted up to `at_most`."""
    request: dict[str, Any] = {"IdentityPoolId": pool_id, "MaxResults": 60}
    count = 0
    while count < at_most:
        page = aws.call("cognito-identity", "list_identities", **request)
        count += len(page.get("Identities", []))
        if not page.get("NextToken"):
            break
        request["NextToken"] = page["NextToken"]
    return count


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
