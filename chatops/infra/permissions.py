"""The IAM permissions that an operator needs, as a policy document.

The list is what the commands call; `tests/local/test_permissions.py` records their calls and fails when one is missing
here or none needs it any more.
"""

from typing import Any

# Actions without a resource to name: lists, look-ups, and the creation of what does not exist yet.
_ANYWHERE = (
    "cognito-identity:CreateIdentityPool",
    "cognito-identity:DeleteIdentities",
    "cognito-identity:ListIdentityPools",
    "iot:DescribeEndpoint",
)
_POOL = (
    "cognito-identity:DescribeIdentityPool",
    "cognito-identity:GetIdentityPoolRoles",
    "cognito-identity:SetIdentityPoolRoles",
    "cognito-identity:TagResource",
    "cognito-identity:UpdateIdentityPool",
)
_ROLE = (
    "iam:CreateRole",
    "iam:GetRole",
    "iam:GetRolePolicy",
    "iam:PassRole",
    "iam:PutRolePolicy",
    "iam:TagRole",
    "iam:UpdateAssumeRolePolicy",
)
_TOPICS = ("iot:Publish",)

IMPLIED = frozenset({"cognito-identity:TagResource", "iam:PassRole", "iam:TagRole"})
"""Needed by a call of another name: tags given at creation, and handing the role to the pool."""

ALWAYS_ALLOWED = frozenset({"sts:GetCallerIdentity"})
"""AWS refuses this call to nobody, whatever policies say."""


def operator_policy(*, account: str, prefix: str = "/chat/") -> dict[str, Any]:
    """The least that an operator needs for all commands.

    Args:
        account: the account's id.
        prefix: where rooms lie.
    """
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": list(_ANYWHERE), "Resource": "*"},
            {
                "Effect": "Allow",
                "Action": list(_POOL),
                "Resource": f"arn:aws:cognito-identity:*:{account}:identitypool/*",
            },
            {"Effect": "Allow", "Action": list(_ROLE), "Resource": f"arn:aws:iam::{account}:role/chatops-*"},
            {"Effect": "Allow", "Action": list(_TOPICS), "Resource": f"arn:aws:iot:*:{account}:topic/{prefix}*"},
        ],
    }


def operator_actions() -> frozenset[str]:
    """Every action in `operator_policy`."""
    return frozenset((*_ANYWHERE, *_POOL, *_ROLE, *_TOPICS))
