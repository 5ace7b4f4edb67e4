"""sts GetCallerIdentity, for callers that moto does not know: the stack's operator and guests.

It needs no permission in AWS, so guests get an answer too.
"""

import hashlib
from html import escape

from chatops.local.credentials import Credential, PrincipalKind

_XMLNS = "https://sts.amazonaws.com/doc/2011-06-15/"


def caller_identity(credential: Credential, request_id: str) -> bytes:
    """Write the answer to GetCallerIdentity in the query protocol's XML."""
    principal = credential.principal
    account = principal.account
    if principal.kind is PrincipalKind.OPERATOR:
        arn = f"arn:aws:iam::{account}:user/operator"
        user_id = _made_up_id("AIDA", arn)
    else:
        role = principal.role_arn or ""
        arn = f"arn:aws:sts::{account}:assumed-role/{role.rpartition('/')[2]}/CognitoIdentityCredentials"
        user_id = f"{_made_up_id('AROA', role)}:CognitoIdentityCredentials"
    return (
        f'<GetCallerIdentityResponse xmlns="{_XMLNS}"><GetCallerIdentityResult><Arn>{escape(arn)}</Arn>'
        f"<UserId>{user_id}</UserId><Account>{account}</Account></GetCallerIdentityResult>"
        f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
    ).encode()


def _made_up_id(prefix: str, name: str) -> str:
    return prefix + hashlib.sha256(name.encode()).hexdigest()[:17].upper()
