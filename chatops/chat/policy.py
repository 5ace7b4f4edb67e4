"""The guest policy: what an anonymous guest may do, as an IAM policy document.

Least privilege, as decided in the security model: a guest connects only as itself (or itself with a suffix, for
several tabs), and publishes, receives and subscribes only under the prefix. `LastWill` is the only connect
attribute granted, so that leaving can be announced and no session outlives its connection; nothing may be retained.
"""

from typing import Any

SUBJECT = "${cognito-identity.amazonaws.com:sub}"


def guest_policy(*, region: str, account: str, prefix: str, partition: str = "aws") -> dict[str, Any]:
    """Build the policy document of the guest role.

    A topic's ARN is `topic/` followed by the whole topic, so that a prefix with a leading slash shows as `topic//…`.
    """
    arn = f"arn:{partition}:iot:{region}:{account}"
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "ConnectAsItself",
                "Effect": "Allow",
                "Action": "iot:Connect",
                "Resource": [f"{arn}:client/{SUBJECT}", f"{arn}:client/{SUBJECT}-*"],
                "Condition": {"ForAllValues:StringEquals": {"iot:ConnectAttributes": ["LastWill"]}},
            },
            {
                "Sid": "SpeakAndHearInRooms",
                "Effect": "Allow",
                "Action": ["iot:Publish", "iot:Receive"],
                "Resource": f"{arn}:topic/{prefix}*",
            },
            {
                "Sid": "JoinRooms",
                "Effect": "Allow",
                "Action": "iot:Subscribe",
                "Resource": f"{arn}:topicfilter/{prefix}*",
            },
        ],
    }


def trust_policy(pool_id: str) -> dict[str, Any]:
    """Build the trust policy that lets only unauthenticated identities of `pool_id` take the guest role."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Federated": "cognito-identity.amazonaws.com"},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {
                    "StringEquals": {"cognito-identity.amazonaws.com:aud": pool_id},
                    "ForAnyValue:StringLike": {"cognito-identity.amazonaws.com:amr": "unauthenticated"},
                },
            }
        ],
    }
