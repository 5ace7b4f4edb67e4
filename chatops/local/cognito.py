"""Amazon Cognito identity pools: the whole service, on the event loop.

GetId and GetCredentialsForIdentity are what every guest calls first, without a signature; credentials that come out
are different for everybody, expire after an hour and sign requests that the gateway verifies. Sign-in with a provider
(Logins) is not part of the local stack and is refused as AWS refuses a login it cannot verify.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from chatops.chat.iam import Decision, RequestPrincipal, evaluate
from chatops.local.aws_errors import ApiError, Protocol, not_in_the_local_stack
from chatops.local.cognito_pools import MAX_POOLS, Identity, Pool, Pools
from chatops.local.credentials import CredentialStore, Principal, PrincipalKind
from chatops.local.limits import Limits, RateLimiter
from chatops.local.roles import Role, RoleCatalogue
from chatops.local.shapes import ServiceShapes, load_model

TARGET_PREFIX = "AWSCognitoIdentityService"
PUBLIC_OPERATIONS = frozenset({"GetId", "GetCredentialsForIdentity", "GetOpenIdToken", "UnlinkIdentity"})
"""Operations that carry no signature (`authtype: none` in the service model)."""

MAX_TAGS = 50
MAX_LIVE_CREDENTIALS = 500_000
"""Not AWS's: the vending needs no signature, so something must bound the memory it takes."""

_FEDERATION = RequestPrincipal("Federated", "cognito-identity.amazonaws.com")
_TOKEN_LIFETIME_S = 600
_ISSUER = "https://cognito-identity.amazonaws.com"
_REGION = re.compile(r"[a-z]{2,4}(-[a-z0-9]+){1,3}")
_ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+", re.ASCII)
_POOL_SETTINGS = (
    "AllowClassicFlow",
    "AllowUnauthenticatedIdentities",
    "CognitoIdentityProviders",
    "DeveloperProviderName",
    "IdentityPoolName",
    "OpenIdConnectProviderARNs",
    "SamlProviderARNs",
    "SupportedLoginProviders",
)

Members = dict[str, Any]


class CognitoIdentity:
    """The service.

    Args:
        credentials: where guests' credentials are issued.
        roles: the roles that guests can take.
        limits: with rates for GetId and GetCredentialsForIdentity, or None for no limit.
        account: the account that owns the pools.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        *,
        credentials: CredentialStore,
        roles: RoleCatalogue,
        limits: Limits,
        account: str,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._credentials = credentials
        self._roles = roles
        self._account = account
        self._clock = clock
        self._pools = Pools(clock)
        self._shapes = ServiceShapes(load_model("cognito-identity"))
        self._token_key = secrets.token_bytes(32)
        self._monotonic = monotonic
        self._quotas = {
            "GetId": limits.identities,
            "GetCredentialsForIdentity": limits.identity_credentials,
            "GetOpenIdToken": limits.identity_credentials,
        }
        self._rates: dict[str, RateLimiter] = {}
        for operation in self._quotas:
            self.throttle(operation, None)
        self._operations: Mapping[str, Callable[[Members, str], Members]] = {
            "CreateIdentityPool": self._create_pool,
            "DeleteIdentities": self._delete_identities,
            "DeleteIdentityPool": self._delete_pool,
            "DescribeIdentity": self._describe_identity,
            "DescribeIdentityPool": self._describe_pool,
            "GetCredentialsForIdentity": self._get_credentials,
            "GetId": self._get_id,
            "GetIdentityPoolRoles": self._get_roles,
            "GetOpenIdToken": self._get_token,
            "ListIdentities": self._list_identities,
            "ListIdentityPools": self._list_pools,
            "ListTagsForResource": self._list_tags,
            "SetIdentityPoolRoles": self._set_roles,
            "TagResource": self._tag,
            "UnlinkIdentity": self._unlink,
            "UntagResource": self._untag,
            "UpdateIdentityPool": self._update_pool,
        }

    def throttle(self, operation: str, rate: float | None) -> None:
        """Enforce a rate per second of a public operation; None is the quota that `limits` has, if any."""
        enforced = self._quotas[operation] if rate is None else rate
        if enforced is None:
            self._rates.pop(operation, None)
        else:
            self._rates[operation] = RateLimiter(enforced, max(1.0, enforced), self._monotonic)

    def call(self, operation: str, members: Mapping[str, Any], region: str) -> Members:
        """Carry an operation out.

        Args:
            operation: its name, such as `GetId`.
            members: the request's JSON object, unchecked.
            region: the region of the credential scope; not looked at by public operations, whose region is the pool's.

        Raises:
            ApiError: as the service would refuse.
        """
        handler = self._operations.get(operation)
        if handler is None:
            if operation in self._shapes.operations:
                raise not_in_the_local_stack(f"cognito-identity {operation}", Protocol.JSON)
            raise ApiError("UnknownOperationException", f"cognito-identity has no operation {operation[:64]!r}")
        limiter = self._rates.get(operation)
        if limiter is not None and not limiter.allow():
            raise ApiError("TooManyRequestsException", "Rate exceeded")
        return handler(self._shapes.check(operation, members), region)

    # --- guests

    def _get_id(self, members: Members, _: str) -> Members:
        pool = self._pool_of_any_region(members["IdentityPoolId"])
        if members.get("AccountId", self._account) != self._account:
            raise _no_such_pool(pool.pool_id)
        _refuse_logins(members)
        if not pool.allows_guests:
            raise ApiError("NotAuthorizedException", "Unauthenticated access is not supported for this identity pool.")
        if self._pools.is_full:
            raise ApiError("LimitExceededException", "The local stack holds as many identities as it can")
        return {"IdentityId": self._pools.new_identity(pool).identity_id}

    def _get_credentials(self, members: Members, _: str) -> Members:
        identity = self._guest(members)
        if "CustomRoleArn" in members:
            raise ApiError("InvalidParameterException", "CustomRoleArn needs an authenticated identity.")
        role = self._guest_role(identity)
        if len(self._credentials) >= MAX_LIVE_CREDENTIALS:
            raise ApiError("TooManyRequestsException", "The local stack holds as many credentials as it can")
        credential = self._credentials.issue_guest(
            Principal(
                kind=PrincipalKind.GUEST,
                account=self._account,
                region=identity.pool.region,
                identity_id=identity.identity_id,
                pool_id=identity.pool.pool_id,
                role_arn=role.arn,
            )
        )
        return {
            "IdentityId": identity.identity_id,
            "Credentials": {
                "AccessKeyId": credential.access_key_id,
                "SecretKey": credential.secret_access_key,
                "SessionToken": credential.session_token,
                "Expiration": credential.expires_at,
            },
        }

    def _get_token(self, members: Members, _: str) -> Members:
        identity = self._guest(members)
        now = int(self._clock())
        claims = {
            "sub": identity.identity_id,
            "aud": identity.pool.pool_id,
            "amr": ["unauthenticated"],
            "iss": _ISSUER,
            "iat": now,
            "exp": now + _TOKEN_LIFETIME_S,
        }
        return {"IdentityId": identity.identity_id, "Token": self._signed_token(claims)}

    def _unlink(self, members: Members, _: str) -> Members:
        self._identity_of_any_region(members["IdentityId"])
        _refuse_logins({"Logins": members["Logins"] or {"": ""}})
        return {}

    def _guest(self, members: Members) -> Identity:
        identity = self._identity_of_any_region(members["IdentityId"])
        _refuse_logins(members)
        if not identity.pool.allows_guests:
            raise ApiError("NotAuthorizedException", "Unauthenticated access is not supported for this identity pool.")
        return identity

    def _guest_role(self, identity: Identity) -> Role:
        """Find the role that the identity may take, by the role's own trust policy."""
        pool = identity.pool
        arn = pool.roles.get("unauthenticated")
        if arn is None:
            raise _bad_configuration("the pool has no role for unauthenticated identities")
        role = self._roles.find(arn)
        if role is None:
            raise _bad_configuration(f"the role {arn} does not exist")
        if role.trust is None:
            raise _bad_configuration(f"the trust policy of {arn} cannot be read")
        decision = evaluate(
            (role.trust,),
            action="sts:AssumeRoleWithWebIdentity",
            resource=arn,
            context={
                "cognito-identity.amazonaws.com:aud": pool.pool_id,
                "cognito-identity.amazonaws.com:amr": ("unauthenticated",),
                "cognito-identity.amazonaws.com:sub": identity.identity_id,
            },
            principal=_FEDERATION,
        )
        if decision is not Decision.ALLOW:
            raise _bad_configuration(
                f"the trust policy of {arn} does not let unauthenticated identities of {pool.pool_id} take the role"
            )
        return role

    def _signed_token(self, claims: Mapping[str, Any]) -> str:
        header = {"alg": "HS256", "kid": "chatops-local", "typ": "JWT"}
        signed = ".".join(_base64url(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
        signature = hmac.new(self._token_key, signed.encode(), hashlib.sha256).digest()
        return f"{signed}.{_base64url(signature)}"

    # --- pools

    def _create_pool(self, members: Members, region: str) -> Members:
        if not _REGION.fullmatch(region):
            raise ApiError("InvalidParameterException", f"{region[:32]!r} is no AWS region")
        if self._pools.count(region) >= MAX_POOLS:
            raise ApiError("LimitExceededException", f"An account has at most {MAX_POOLS} identity pools")
        tags = _checked_tags({}, members.get("IdentityPoolTags", {}))
        return self._description(self._pools.create(region, _settings(members), tags))

    def _update_pool(self, members: Members, region: str) -> Members:
        pool = self._pool(members["IdentityPoolId"], region)
        if "IdentityPoolTags" in members:
            pool.tags = _checked_tags({}, members["IdentityPoolTags"])
        pool.settings = _settings(members)
        return self._description(pool)

    def _describe_pool(self, members: Members, region: str) -> Members:
        return self._description(self._pool(members["IdentityPoolId"], region))

    def _delete_pool(self, members: Members, region: str) -> Members:
        self._pools.delete(self._pool(members["IdentityPoolId"], region))
        return {}

    def _list_pools(self, members: Members, region: str) -> Members:
        limit = members["MaxResults"]
        page: list[Pool] = []
        for pool in self._pools.of_region(region, _position("pools", members.get("NextToken"))):
            if len(page) == limit:
                return {"IdentityPools": _short(page), "NextToken": _token("pools", page[-1].serial)}
            page.append(pool)
        return {"IdentityPools": _short(page)}

    def _get_roles(self, members: Members, region: str) -> Members:
        pool = self._pool(members["IdentityPoolId"], region)
        answer: Members = {"IdentityPoolId": pool.pool_id}
        if pool.roles:
            answer["Roles"] = pool.roles
        if pool.role_mappings:
            answer["RoleMappings"] = pool.role_mappings
        return answer

    def _set_roles(self, members: Members, region: str) -> Members:
        pool = self._pool(members["IdentityPoolId"], region)
        for arn in members["Roles"].values():
            if not _ROLE_ARN.fullmatch(arn):
                raise ApiError("InvalidParameterException", f"{arn[:200]!r} is not the ARN of a role")
        pool.roles = members["Roles"]
        pool.role_mappings = members.get("RoleMappings", {})
        return {}

    # --- tags

    def _tag(self, members: Members, region: str) -> Members:
        pool = self._tagged(members["ResourceArn"], region)
        pool.tags = _checked_tags(pool.tags, members["Tags"])
        return {}

    def _untag(self, members: Members, region: str) -> Members:
        pool = self._tagged(members["ResourceArn"], region)
        pool.tags = {key: value for key, value in pool.tags.items() if key not in members["TagKeys"]}
        return {}

    def _list_tags(self, members: Members, region: str) -> Members:
        return {"Tags": self._tagged(members["ResourceArn"], region).tags}

    # --- identities

    def _describe_identity(self, members: Members, region: str) -> Members:
        identity = self._identity_of_any_region(members["IdentityId"])
        if identity.pool.region != region:
            raise _no_such_identity(identity.identity_id)
        return _identity_description(identity)

    def _list_identities(self, members: Members, region: str) -> Members:
        pool = self._pool(members["IdentityPoolId"], region)
        after = _position("identities", members.get("NextToken"))
        answer: Members = {"IdentityPoolId": pool.pool_id, "Identities": []}
        last = 0
        for identity in pool.identities.values():
            if identity.serial <= after:
                continue
            if len(answer["Identities"]) == members["MaxResults"]:
                answer["NextToken"] = _token("identities", last)
                break
            answer["Identities"].append(_identity_description(identity))
            last = identity.serial
        return answer

    def _delete_identities(self, members: Members, region: str) -> Members:
        unprocessed = []
        for identity_id in members["IdentityIdsToDelete"]:
            identity = self._pools.identity(identity_id)
            if identity is not None and identity.pool.region == region:
                self._pools.delete_identity(identity)
            elif not identity_id.startswith(f"{region}:"):
                unprocessed.append({"IdentityId": identity_id, "ErrorCode": "AccessDenied"})
        return {"UnprocessedIdentityIds": unprocessed}

    # --- finding

    def _pool_of_any_region(self, pool_id: str) -> Pool:
        pool = self._pools.find(pool_id)
        if pool is None:
            raise _no_such_pool(pool_id)
        return pool

    def _pool(self, pool_id: str, region: str) -> Pool:
        pool = self._pool_of_any_region(pool_id)
        if pool.region != region:
            raise _no_such_pool(pool_id)
        return pool

    def _tagged(self, arn: str, region: str) -> Pool:
        prefix = f":cognito-identity:{region}:{self._account}:identitypool/"
        partition, found, pool_id = arn.partition(prefix)
        if not found or not partition.startswith("arn:aws"):
            raise ApiError("InvalidParameterException", f"{arn[:200]!r} is not the ARN of an identity pool")
        return self._pool(pool_id, region)

    def _identity_of_any_region(self, identity_id: str) -> Identity:
        identity = self._pools.identity(identity_id)
        if identity is None:
            raise _no_such_identity(identity_id)
        return identity

    @staticmethod
    def _description(pool: Pool) -> Members:
        return {"IdentityPoolId": pool.pool_id, **pool.settings, "IdentityPoolTags": pool.tags}


def _settings(members: Members) -> Members:
    return {name: members[name] for name in _POOL_SETTINGS if name in members}


def _short(pools: list[Pool]) -> list[dict[str, str]]:
    return [{"IdentityPoolId": pool.pool_id, "IdentityPoolName": pool.settings["IdentityPoolName"]} for pool in pools]


def _identity_description(identity: Identity) -> Members:
    return {
        "IdentityId": identity.identity_id,
        "Logins": [],
        "CreationDate": identity.created,
        "LastModifiedDate": identity.modified,
    }


def _checked_tags(present: Mapping[str, str], added: Mapping[str, str]) -> dict[str, str]:
    reserved = [key for key in added if key.lower().startswith("aws:")]
    if reserved:
        raise ApiError("InvalidParameterException", "Tag keys that start with aws: are reserved for AWS")
    tags = {**present, **added}
    if len(tags) > MAX_TAGS:
        raise ApiError("InvalidParameterException", f"A resource has at most {MAX_TAGS} tags")
    return tags


def _refuse_logins(members: Mapping[str, Any]) -> None:
    if members.get("Logins"):
        raise ApiError(
            "NotAuthorizedException",
            "Invalid login token. The local stack knows no login providers, only unauthenticated identities.",
        )


def _no_such_pool(pool_id: str) -> ApiError:
    return ApiError("ResourceNotFoundException", f"IdentityPool '{pool_id}' not found.")


def _no_such_identity(identity_id: str) -> ApiError:
    return ApiError("ResourceNotFoundException", f"Identity '{identity_id}' not found.")


def _bad_configuration(reason: str) -> ApiError:
    return ApiError(
        "InvalidIdentityPoolConfigurationException",
        f"Invalid identity pool configuration. Check assigned IAM roles for this pool. ({reason})",
    )


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _token(kind: str, serial: int) -> str:
    return _base64url(f"{kind}:{serial}".encode())


def _position(kind: str, token: str | None) -> int:
    """Read a pagination token: the serial after which to go on."""
    if token is None:
        return 0
    try:
        data = base64.urlsafe_b64decode(token[:64].encode("ascii") + b"==").decode("ascii")
    except (binascii.Error, UnicodeError, ValueError):
        data = ""
    found, _, serial = data.partition(":")
    if found != kind or not serial.isdecimal() or len(serial) > 20:
        raise ApiError("InvalidParameterException", "The given pagination token is invalid.")
    return int(serial)
