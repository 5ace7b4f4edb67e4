"""The guest role: the verbs that the lifecycle needs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chatops.aws.session import Aws
from chatops.errors import NotFoundError


@dataclass(frozen=True, slots=True)
class GuestRole:
    """A role as AWS describes it, its documents decoded."""

    arn: str
    name: str
    trust: Mapping[str, Any]
    tags: Mapping[str, str]


def find_role(aws: Aws, name: str) -> GuestRole | None:
    """Look a role up by its name."""
    try:
        role = aws.call("iam", "get_role", RoleName=name)["Role"]
    except NotFoundError:
        return None
    return GuestRole(
        arn=role["Arn"],
        name=role["RoleName"],
        trust=_document(role.get("AssumeRolePolicyDocument")),
        tags={tag["Key"]: tag["Value"] for tag in role.get("Tags", [])},
    )


def create_role(aws: Aws, name: str, trust: Mapping[str, Any], description: str, tags: Mapping[str, str]) -> str:
    """Make a role and return its ARN."""
    answer = aws.call(
        "iam",
        "create_role",
        RoleName=name,
        AssumeRolePolicyDocument=json.dumps(trust),
        Description=description,
        Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
    )
    return str(answer["Role"]["Arn"])


def tag_role(aws: Aws, name: str, tags: Mapping[str, str]) -> None:
    """Add tags to a role, or change them."""
    aws.call("iam", "tag_role", RoleName=name, Tags=[{"Key": key, "Value": value} for key, value in tags.items()])


def untag_role(aws: Aws, name: str, keys: Sequence[str]) -> None:
    """Take tags from a role."""
    aws.call("iam", "untag_role", RoleName=name, TagKeys=list(keys))


def set_trust(aws: Aws, name: str, trust: Mapping[str, Any]) -> None:
    """Replace who may take the role."""
    aws.call("iam", "update_assume_role_policy", RoleName=name, PolicyDocument=json.dumps(trust))


def find_inline_policy(aws: Aws, role: str, policy: str) -> Mapping[str, Any] | None:
    """The document of a role's inline policy, None when there is none of that name."""
    try:
        answer = aws.call("iam", "get_role_policy", RoleName=role, PolicyName=policy)
    except NotFoundError:
        return None
    return _document(answer["PolicyDocument"])


def put_inline_policy(aws: Aws, role: str, policy: str, document: Mapping[str, Any]) -> None:
    """Write a role's inline policy."""
    aws.call("iam", "put_role_policy", RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(document))


def delete_inline_policy(aws: Aws, role: str, policy: str) -> None:
    """Remove a role's inline policy."""
    aws.call("iam", "delete_role_policy", RoleName=role, PolicyName=policy)


def inline_policies(aws: Aws, role: str) -> list[str]:
    """The names of a role's inline policies."""
    return [str(name) for page in _pages(aws, "list_role_policies", role) for name in page.get("PolicyNames", [])]


def attached_policies(aws: Aws, role: str) -> list[str]:
    """The ARNs of the managed policies attached to a role."""
    pages = _pages(aws, "list_attached_role_policies", role)
    return [str(policy["PolicyArn"]) for page in pages for policy in page.get("AttachedPolicies", [])]


def detach_policy(aws: Aws, role: str, policy_arn: str) -> None:
    """Take a managed policy from a role."""
    aws.call("iam", "detach_role_policy", RoleName=role, PolicyArn=policy_arn)


def delete_role(aws: Aws, name: str) -> None:
    """Delete a role that has no policies any more."""
    aws.call("iam", "delete_role", RoleName=name)


def _pages(aws: Aws, operation: str, role: str) -> Iterator[dict[str, Any]]:
    request: dict[str, Any] = {"RoleName": role}
    while True:
        page = aws.call("iam", operation, **request)
        yield page
        if not page.get("IsTruncated"):
            return
        request["Marker"] = page["Marker"]


def _document(value: Any) -> Mapping[str, Any]:
    """boto3 decodes policy documents; some endpoints hand them over as text."""
    if isinstance(value, str):
        value = json.loads(value)
    return value if isinstance(value, Mapping) else {}
