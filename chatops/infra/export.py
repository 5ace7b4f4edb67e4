"""The desired resources as templates of other tools: CloudFormation, and Terraform in its JSON syntax.

The environment file is not part of them: `chatops setup` writes it, taking the stack's outputs by tag.
"""

import json
from collections.abc import Mapping
from typing import Any

from chatops.infra.resources import Desired

_POOL, _ROLE, _ATTACHMENT = "IdentityPool", "GuestRole", "IdentityPoolRoles"
_NAME = "chat"


def cloudformation(desired: Desired) -> dict[str, Any]:
    """A CloudFormation template, as JSON."""
    tags = [{"Key": key, "Value": value} for key, value in desired.tags.items()]
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"chatops environment {desired.name}: anonymous guests of a chat on AWS IoT Core",
        "Resources": {
            _POOL: {
                "Type": "AWS::Cognito::IdentityPool",
                "Properties": {
                    "IdentityPoolName": desired.pool_name,
                    "AllowUnauthenticatedIdentities": True,
                    "AllowClassicFlow": False,
                    "IdentityPoolTags": tags,
                },
            },
            _ROLE: {
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "RoleName": desired.role_name,
                    "AssumeRolePolicyDocument": _with_pool(desired, {"Ref": _POOL}),
                    "Policies": [{"PolicyName": desired.policy_name, "PolicyDocument": desired.guest_policy()}],
                    "Tags": tags,
                },
            },
            _ATTACHMENT: {
                "Type": "AWS::Cognito::IdentityPoolRoleAttachment",
                "Properties": {
                    "IdentityPoolId": {"Ref": _POOL},
                    "Roles": {"unauthenticated": {"Fn::GetAtt": [_ROLE, "Arn"]}},
                },
            },
        },
        "Outputs": {"CognitoIdentityPoolId": {"Value": {"Ref": _POOL}}},
    }


def terraform(desired: Desired) -> dict[str, Any]:
    """A Terraform configuration in JSON syntax, for a file such as `chat.tf.json`."""
    pool = f"${{aws_cognito_identity_pool.{_NAME}.id}}"
    # jsonencode would need the documents as expressions; as text, their own ${…} must be written $${…}.
    trust = _escaped(_with_pool(desired, "@pool@")).replace("@pool@", pool)
    return {
        "terraform": {"required_providers": {"aws": {"source": "hashicorp/aws", "version": ">= 5.0"}}},
        "provider": {"aws": {"region": desired.region, "allowed_account_ids": [desired.account]}},
        "resource": {
            "aws_cognito_identity_pool": {
                _NAME: {
                    "identity_pool_name": desired.pool_name,
                    "allow_unauthenticated_identities": True,
                    "allow_classic_flow": False,
                    "tags": desired.tags,
                }
            },
            "aws_iam_role": {_NAME: {"name": desired.role_name, "assume_role_policy": trust, "tags": desired.tags}},
            "aws_iam_role_policy": {
                _NAME: {
                    "name": desired.policy_name,
                    "role": f"${{aws_iam_role.{_NAME}.id}}",
                    "policy": _escaped(desired.guest_policy()),
                }
            },
            "aws_cognito_identity_pool_roles_attachment": {
                _NAME: {
                    "identity_pool_id": pool,
                    "roles": {"unauthenticated": f"${{aws_iam_role.{_NAME}.arn}}"},
                }
            },
        },
        "output": {"cognito_identity_pool_id": {"value": pool}},
    }


def _with_pool(desired: Desired, pool: Any) -> dict[str, Any]:
    """The trust policy with a reference in place of the pool's id."""
    document = desired.trust_policy("")
    document["Statement"][0]["Condition"]["StringEquals"]["cognito-identity.amazonaws.com:aud"] = pool
    return document


def _escaped(document: Mapping[str, Any]) -> str:
    return json.dumps(document).replace("${", "$${").replace("%{", "%%{")
