"""The IAM permissions that an operator needs, by command, as a policy document.

The table is what the commands call; `tests/local/test_lifecycle.py` records their calls and fails when one is missing
here, or none needs it any more.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

_POOL = "arn:aws:cognito-identity:*:{account}:identitypool/*"
_ROLE = "arn:aws:iam::{account}:role/chatops-*"
_TOPIC = "arn:aws:iot:*:{account}:topic/{prefix}*"
_ANYTHING = "*"

# What each action is asked for. `*` stands where AWS has no narrower resource, or where it does not exist yet.
_RESOURCES: Mapping[str, str] = {
    "cloudwatch:GetMetricData": _ANYTHING,
    "cognito-identity:CreateIdentityPool": _ANYTHING,
    "cognito-identity:DeleteIdentities": _ANYTHING,
    "cognito-identity:DeleteIdentityPool": _POOL,
    "cognito-identity:DescribeIdentityPool": _POOL,
    "cognito-identity:GetIdentityPoolRoles": _POOL,
    "cognito-identity:ListIdentities": _POOL,
    "cognito-identity:ListIdentityPools": _ANYTHING,
    "cognito-identity:SetIdentityPoolRoles": _POOL,
    "cognito-identity:TagResource": _POOL,
    "cognito-identity:UpdateIdentityPool": _POOL,
    "iam:CreateRole": _ROLE,
    "iam:DeleteRole": _ROLE,
    "iam:DeleteRolePolicy": _ROLE,
    "iam:DetachRolePolicy": _ROLE,
    "iam:GetRole": _ROLE,
    "iam:GetRolePolicy": _ROLE,
    "iam:ListAttachedRolePolicies": _ROLE,
    "iam:ListRolePolicies": _ROLE,
    "iam:PassRole": _ROLE,
    "iam:PutRolePolicy": _ROLE,
    "iam:TagRole": _ROLE,
    "iam:UntagRole": _ROLE,
    "iam:UpdateAssumeRolePolicy": _ROLE,
    "iot:DescribeEndpoint": _ANYTHING,
    "iot:Publish": _TOPIC,
    "servicequotas:GetServiceQuota": _ANYTHING,
}

_READ = (
    "cognito-identity:DescribeIdentityPool",
    "cognito-identity:GetIdentityPoolRoles",
    "cognito-identity:ListIdentityPools",
    "iam:GetRole",
    "iam:GetRolePolicy",
    "iam:ListAttachedRolePolicies",
    "iam:ListRolePolicies",
)

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "setup": (
        *_READ,
        "iot:DescribeEndpoint",
        "cognito-identity:CreateIdentityPool",
        "cognito-identity:DeleteIdentityPool",
        "cognito-identity:SetIdentityPoolRoles",
        "cognito-identity:TagResource",
        "cognito-identity:UpdateIdentityPool",
        "iam:CreateRole",
        "iam:DeleteRolePolicy",
        "iam:DetachRolePolicy",
        "iam:PassRole",
        "iam:PutRolePolicy",
        "iam:TagRole",
        "iam:UntagRole",
        "iam:UpdateAssumeRolePolicy",
    ),
    "plan": (*_READ, "iot:DescribeEndpoint"),
    "status": (*_READ, "iot:DescribeEndpoint", "cognito-identity:ListIdentities"),
    "teardown": (
        *_READ,
        "cognito-identity:DeleteIdentityPool",
        "iam:DeleteRole",
        "iam:DeleteRolePolicy",
        "iam:DetachRolePolicy",
    ),
    "doctor": (*_READ, "iot:DescribeEndpoint", "servicequotas:GetServiceQuota"),
    "describe-endpoint": ("iot:DescribeEndpoint",),
    "post": ("iot:Publish",),
    "tail": (),
    "loadtest": ("cognito-identity:DeleteIdentities",),
    "report": ("cloudwatch:GetMetricData",),
}
"""What each command calls. `tail` is a guest; `doctor` and `loadtest` also run, and say so, without theirs."""

IMPLIED = frozenset({"cognito-identity:TagResource", "iam:PassRole"})
"""Needed by a call of another name: tags given at creation and handing the role to the pool."""

RARE = frozenset({"cognito-identity:DeleteIdentityPool"})
"""Called by `setup` only when two run at the same time: one takes its pool back."""

ALWAYS_ALLOWED = frozenset({"sts:GetCallerIdentity"})
"""AWS refuses this call to nobody, whatever policies say."""


def operator_actions(commands: Iterable[str] | None = None) -> frozenset[str]:
    """Every action that the commands need; of all commands when none are named."""
    return frozenset(action for command in (commands or COMMANDS) for action in COMMANDS[command])


def operator_policy(*, account: str, prefix: str = "/chat/", commands: Collection[str] | None = None) -> dict[str, Any]:
    """The least that an operator needs, as an IAM policy document.

    Args:
        account: the account's id.
        prefix: where rooms lie.
        commands: those to allow; all when None.
    """
    by_resource: dict[str, list[str]] = {}
    for action in sorted(operator_actions(commands)):
        by_resource.setdefault(_RESOURCES[action], []).append(action)
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": actions, "Resource": resource.format(account=account, prefix=prefix)}
            for resource, actions in sorted(by_resource.items())
        ],
    }
