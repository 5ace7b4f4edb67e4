"""Verification of AWS Signature Version 4, for query-signed WebSocket upgrades and header-signed API requests.

Everything in a request is hostile here: whatever is malformed ends in `Refused`, whose message says which check failed
and what to do. It never holds a secret, nor the signature that would have been right.

Two liberties are taken because clients differ. awscrt 0.36.1 signs and sends `Host` without a custom port, botocore
signs it with the port, browsers send the port whatever was signed: both spellings of the very host named in the header
are accepted. And the
session token of a query may have been part of what was signed (botocore) or appended afterwards (awscrt, as AWS IoT
wants it): in either case it is compared with the credential's own.
"""

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from chatops.local.credentials import Credential, CredentialStore
from chatops.local.sigv4_refusals import Refusals, Refused, is_s3, quoted
from chatops.local.sigv4_request import ALGORITHM, Claim, Request, header_claim, query_claim

__all__ = ["MAX_EXPIRES_S", "SKEW_S", "Refused", "SigningKeys", "Verified", "verify_headers", "verify_query"]

SKEW_S = 300
"""How far the signer's clock may be off, in seconds (aws-facts section 1)."""

MAX_EXPIRES_S = 86_400
"""The longest X-Amz-Expires in seconds (aws-facts section 1)."""

S3_MAX_EXPIRES_S = 604_800
"""The longest X-Amz-Expires of a presigned URL of S3, in seconds (S3 API reference)."""

_EMPTY_SHA256 = hashlib.sha256().hexdigest()
_UNSIGNED = "UNSIGNED-PAYLOAD"
_STREAMING = "STREAMING-"


@dataclass(frozen=True, slots=True)
class Verified:
    """A request whose signature is right, and the scope that it was made for."""

    credential: Credential
    service: str
    region: str


class SigningKeys:
    """Derives signing keys and remembers the latest: a guest that reconnects signs with the same one all day.

    Args:
        capacity: how many keys to remember.
    """

    def __init__(self, capacity: int = 4096) -> None:
        self._derive = lru_cache(maxsize=capacity)(_derive_key)

    def key(self, secret: str, date: str, region: str, service: str) -> bytes:
        """Return the signing key of a scope."""
        return self._derive(secret, date, region, service)


def _derive_key(secret: str, date: str, region: str, service: str) -> bytes:
    key = b"AWS4" + secret.encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode("utf-8", "surrogatepass"), hashlib.sha256)
    return key


def verify_headers(
    *,
    method: str,
    target: str,
    headers: Sequence[tuple[str, str]],
    body_sha256: str,
    credentials: CredentialStore,
    now: float,
    keys: SigningKeys | None = None,
) -> Verified:
    """Verify a request that is signed in its `Authorization` header, for any service.

    The signatures of the chunks of a `STREAMING-…` body are not looked at.

    Args:
        method: the HTTP method.
        target: raw path and query as received, not decoded.
        headers: all headers as received.
        body_sha256: hexadecimal SHA-256 of the body as received.
        credentials: who may sign.
        now: seconds since the epoch.
        keys: where signing keys are remembered between calls.

    Raises:
        Refused: with the code that AWS would give, and which check failed.
    """
    request = Request.read(method, target, headers)
    claim = header_claim(request)
    refusals = Refusals(claim.service)
    credential = _find(claim, credentials, now, refusals)
    _check_time(claim, now, refusals)
    payload = _payload(request, claim, body_sha256.lower(), refusals)
    _check_signed(request, claim, refusals)
    _check_signature(request, claim, credential, (request.query(),), payload, (), keys, refusals)
    return Verified(credential, claim.service, claim.region)


def verify_query(
    *,
    method: str,
    target: str,
    headers: Sequence[tuple[str, str]],
    credentials: CredentialStore,
    now: float,
    service: str | None = None,
    ports: Sequence[int] = (),
    keys: SigningKeys | None = None,
) -> Verified:
    """Verify a request that is signed in its query: a WebSocket upgrade or a presigned URL.

    Args:
        method: the HTTP method.
        target: raw path and query as received, not decoded.
        headers: all headers as received.
        credentials: who may sign.
        now: seconds since the epoch.
        service: the only service that the scope may name; None for any.
        ports: those this server listens on, for clients that sign the port but do not send it.
        keys: where signing keys are remembered between calls.

    Raises:
        Refused: with the code that AWS would give, and which check failed.
    """
    request = Request.read(method, target, headers)
    claim = query_claim(request, Refusals(service or ""))
    refusals = Refusals(claim.service)
    if service is not None and claim.service != service:
        refusals = Refusals(service)
        raise refusals.mismatch(
            f"the credential scope names the service {quoted(claim.service)}", f"this endpoint is {service}"
        )
    credential = _find(claim, credentials, now, refusals)
    _check_time(claim, now, refusals)
    payload = _UNSIGNED if is_s3(claim.service) else _EMPTY_SHA256
    _check_signature(request, claim, credential, _query_spellings(request, claim), payload, ports, keys, refusals)
    return Verified(credential, claim.service, claim.region)


def _find(claim: Claim, credentials: CredentialStore, now: float, refusals: Refusals) -> Credential:
    """Find the credential, and check its session token and age."""
    credential = credentials.find(claim.access_key_id)
    if credential is None:
        raise refusals.unknown_key(
            f"no credential has the access key id {quoted(claim.access_key_id)}",
            "use credentials that this stack issued and, if it was restarted, get new ones",
        )
    if credential.session_token is None and claim.token is not None:
        raise refusals.bad_token(
            "the request carries a session token, but its access key has none", "leave X-Amz-Security-Token away"
        )
    if credential.session_token is not None:
        if claim.token is None:
            raise refusals.bad_token(
                "the session token is missing", "temporary credentials need it, as X-Amz-Security-Token"
            )
        if not _same(credential.session_token, claim.token):
            raise refusals.bad_token(
                "the session token is not the one of this access key",
                "use key, secret and token that were issued together",
            )
    if credential.expires_at is not None and now >= credential.expires_at:
        raise refusals.expired_token(
            f"the credentials expired {now - credential.expires_at:.0f} s ago", "get new ones and sign again"
        )
    return credential


def _check_time(claim: Claim, now: float, refusals: Refusals) -> None:
    age = now - claim.signed_at
    if age < -SKEW_S:
        raise refusals.expired_request(
            f"the signature is not yet current: it was made {-age:.0f} s in the future, {SKEW_S} s are tolerated",
            "set the clock that signs",
        )
    if claim.expires_s is None:
        if age > SKEW_S:
            raise refusals.expired_request(
                f"the signature expired: it was made {age:.0f} s ago, {SKEW_S} s are tolerated",
                "sign again, and set the clock that signs if this repeats",
            )
        return
    longest = S3_MAX_EXPIRES_S if is_s3(claim.service) else MAX_EXPIRES_S
    if not 1 <= claim.expires_s <= longest:
        raise refusals.incomplete(f"X-Amz-Expires is {claim.expires_s}", f"it lies between 1 and {longest} seconds")
    if age > claim.expires_s:
        raise refusals.expired_request(
            f"the signature expired: it was made {age:.0f} s ago for {claim.expires_s} s", "sign again"
        )


def _payload(request: Request, claim: Claim, body_sha256: str, refusals: Refusals) -> str:
    """Return the payload's line of the canonical request, once it is known to speak of this body."""
    declared = request.only("x-amz-content-sha256", refusals)
    s3 = is_s3(claim.service)
    if declared is None:
        if s3:
            raise Refused(400, "InvalidRequest", "The header x-amz-content-sha256 is missing: S3 requires it.")
        return body_sha256
    if s3 and (declared == _UNSIGNED or declared.startswith(_STREAMING)):
        return declared
    if not _same(declared.lower(), body_sha256):
        code = "XAmzContentSHA256Mismatch" if s3 else None
        message = "The header x-amz-content-sha256 is not the hash of the body: hash what is sent."
        if code is not None:
            raise Refused(400, code, message)
        raise refusals.mismatch("the header x-amz-content-sha256 is not the hash of the body", "hash what is sent")
    return declared


def _check_signed(request: Request, claim: Claim, refusals: Refusals) -> None:
    """A header that steers the operation must not be added by whoever comes between: `x-amz-*` has to be signed."""
    for name in request.headers:
        if name.startswith("x-amz-") and name not in claim.signed_headers and name != "x-amz-security-token":
            raise refusals.mismatch(
                f"the header {name[:64]!r} is not among the signed ones", "sign every header that begins with x-amz-"
            )


def _check_signature(
    request: Request,
    claim: Claim,
    credential: Credential,
    queries: Iterable[str],
    payload: str,
    ports: Sequence[int],
    keys: SigningKeys | None,
    refusals: Refusals,
) -> None:
    path = request.path if is_s3(claim.service) else request.double_encoded_path()
    key = (keys or SigningKeys(1)).key(credential.secret_access_key, claim.date, claim.region, claim.service)
    names = ";".join(claim.signed_headers)
    hosts = tuple(_host_spellings(request, ports, refusals))
    for query in queries:
        for host in hosts:
            lines = f"{request.canonical_headers(claim.signed_headers, host)}\n{names}\n{payload}"
            canonical = f"{request.method}\n{path}\n{query}\n{lines}".encode("utf-8", "surrogatepass")
            digest = hashlib.sha256(canonical).hexdigest()
            text = f"{ALGORITHM}\n{claim.timestamp}\n{claim.scope}\n{digest}"
            signature = hmac.digest(key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()
            if hmac.compare_digest(signature, claim.signature):
                return
    raise refusals.mismatch(
        "the signature does not match this request",
        "check the secret access key, and that method, path, query and signed headers arrive as they were signed",
    )


def _query_spellings(request: Request, claim: Claim) -> Iterator[str]:
    """Yield the canonical query of a query-signed request, with the session token appended or signed."""
    if claim.token is not None:
        yield request.query(without=("X-Amz-Signature", "X-Amz-Security-Token"))
    yield request.query(without=("X-Amz-Signature",))


def _host_spellings(request: Request, ports: Sequence[int], refusals: Refusals) -> Iterator[str]:
    """Yield the Host header as it is, then with its port left away, or with one that was left away put back."""
    host = request.only("host", refusals) or ""
    yield host
    name, colon, port = host.rpartition(":")
    if colon and port.isdecimal() and name and (name.endswith("]") or ":" not in name):
        yield name
    else:
        for number in ports:
            yield f"{host}:{number}"


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))
