"""The IAM permissions that an operator needs, by command, as a policy document.

The table is what the commands call; `tests/local/test_lifecycle.py` records their calls and fails when one is missing
here, or none needs it any more.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

_POOL = "arn:aws:cognito-identity:*:{account}:identitypool/*"
_ROLE = "arn:aws:iam::{account}:role/chatops-*"
_TOPIC = "arn:aws:iot:*:{account}:topic/{prefix}*"
_BUCKET = "arn:aws:s3:::chatops-*"
_OBJECT = "arn:aws:s3:::chatops-*/*"
_DISTRIBUTION = "arn:aws:cloudfront::{account}:distribution/*"
_ORIGIN_ACCESS = "arn:aws:cloudfront::{account}:origin-access-control/*"
_HEADERS_POLICY = "arn:aws:cloudfront::{account}:response-headers-policy/*"
_ANYTHING = "*"

# What each action is asked for. `*` stands where AWS has no narrower resource, or where it does not exist yet.
_RESOURCES: Mapping[str, str] = {
    "cloudfront:CreateDistribution": _ANYTHING,
    "cloudfront:CreateInvalidation": _DISTRIBUTION,
    "cloudfront:CreateOriginAccessControl": _ANYTHING,
    "cloudfront:CreateResponseHeadersPolicy": _ANYTHING,
    "cloudfront:DeleteDistribution": _DISTRIBUTION,
    "cloudfront:DeleteOriginAccessControl": _ORIGIN_ACCESS,
    "cloudfront:DeleteResponseHeadersPolicy": _HEADERS_POLICY,
    "cloudfront:GetDistribution": _DISTRIBUTION,
    "cloudfront:GetOriginAccessControl": _ORIGIN_ACCESS,
    "cloudfront:GetResponseHeadersPolicy": _HEADERS_POLICY,
    "cloudfront:ListDistributions": _ANYTHING,
    "cloudfront:ListOriginAccessControls": _ANYTHING,
    "cloudfront:ListResponseHeadersPolicies": _ANYTHING,
    "cloudfront:ListTagsForResource": _DISTRIBUTION,
    "cloudfront:TagResource": _DISTRIBUTION,
    "cloudfront:UpdateDistribution": _DISTRIBUTION,
    "cloudfront:UpdateOriginAccessControl": _ORIGIN_ACCESS,
    "cloudfront:UpdateResponseHeadersPolicy": _HEADERS_POLICY,
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
    "s3:CreateBucket": _BUCKET,
    "s3:DeleteBucket": _BUCKET,
    "s3:DeleteBucketWebsite": _BUCKET,
    "s3:DeleteObject": _OBJECT,
    "s3:DeleteObjectVersion": _OBJECT,
    "s3:GetBucketPolicy": _BUCKET,
    "s3:GetBucketPublicAccessBlock": _BUCKET,
    "s3:GetBucketTagging": _BUCKET,
    "s3:GetBucketWebsite": _BUCKET,
    "s3:GetObject": _OBJECT,
    "s3:ListAllMyBuckets": _ANYTHING,
    "s3:ListBucket": _BUCKET,
    "s3:ListBucketVersions": _BUCKET,
    "s3:PutBucketPolicy": _BUCKET,
    "s3:PutBucketPublicAccessBlock": _BUCKET,
    "s3:PutBucketTagging": _BUCKET,
    "s3:PutBucketWebsite": _BUCKET,
    "s3:PutObject": _OBJECT,
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

_READ_PAGE = (
    "cloudfront:GetDistribution",
    "cloudfront:ListDistributions",
    "cloudfront:ListOriginAccessControls",
    "cloudfront:ListResponseHeadersPolicies",
    "cloudfront:ListTagsForResource",
    "s3:GetBucketPolicy",
    "s3:GetBucketPublicAccessBlock",
    "s3:GetBucketTagging",
    "s3:GetBucketWebsite",
    "s3:ListBucket",
)

_DELETE_CLOUDFRONT = (
    "cloudfront:DeleteDistribution",
    "cloudfront:DeleteOriginAccessControl",
    "cloudfront:DeleteResponseHeadersPolicy",
    "cloudfront:GetOriginAccessControl",
    "cloudfront:GetResponseHeadersPolicy",
    "cloudfront:UpdateDistribution",
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
    "publish": (
        *_READ_PAGE,
        *_DELETE_CLOUDFRONT,
        "cloudfront:CreateDistribution",
        "cloudfront:CreateInvalidation",
        "cloudfront:CreateOriginAccessControl",
        "cloudfront:CreateResponseHeadersPolicy",
        "cloudfront:TagResource",
        "cloudfront:UpdateOriginAccessControl",
        "cloudfront:UpdateResponseHeadersPolicy",
        "iam:GetRole",
        "iam:TagRole",
        "s3:CreateBucket",
        "s3:DeleteBucketWebsite",
        "s3:DeleteObject",
        "s3:GetObject",
        "s3:ListAllMyBuckets",
        "s3:PutBucketPolicy",
        "s3:PutBucketPublicAccessBlock",
        "s3:PutBucketTagging",
        "s3:PutBucketWebsite",
        "s3:PutObject",
    ),
    "teardown": (
        *_READ,
        *_READ_PAGE,
        *_DELETE_CLOUDFRONT,
        "s3:DeleteBucket",
        "s3:DeleteObject",
        "s3:DeleteObjectVersion",
        "s3:ListAllMyBuckets",
        "s3:ListBucketVersions",
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
"""What each command calls. `tail` is a guest; `doctor` and `loadtest` also run, and say so, without theirs.

`publish` is `site publish`. Once a page is published, `setup` needs its permissions too, and `plan`, `status` and
`doctor` those of them that only read.
"""

IMPLIED = frozenset({"cloudfront:TagResource", "cognito-identity:TagResource", "iam:PassRole", "s3:DeleteObject"})
"""Needed by a call of another name: tags given at creation, handing the role to the pool, deleting versions."""

RARE: Mapping[str, frozenset[str]] = {
    "setup": frozenset({"cognito-identity:DeleteIdentityPool"}),
    "publish": frozenset({"s3:ListAllMyBuckets"}),
    "teardown": frozenset({"s3:ListAllMyBuckets"}),
}
"""Called only when two run at the same time (one takes its pool back), or to tell whose a bucket is."""

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
