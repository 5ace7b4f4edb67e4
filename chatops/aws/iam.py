"""The guest role: the verbs that the lifecycle needs."""

import json
from collections.abc import Mapping
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


def _document(value: Any) -> Mapping[str, Any]:
    """boto3 decodes policy documents; some endpoints hand them over as text."""
    if isinstance(value, str):
        value = json.loads(value)
    return value if isinstance(value, Mapping) else {}
