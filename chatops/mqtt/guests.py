"""Anonymous guests: identities and credentials from a Cognito identity pool.

`GetId` and `GetCredentialsForIdentity` are unsigned JSON posts, so that a lean HTTP client does; boto3 costs about a
millisecond of CPU a call, which thousands of guests would feel.
"""

import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import aiohttp

from chatops import __version__
from chatops.errors import (
    AwsError,
    ChatopsError,
    ConnectionFailedError,
    NotAuthorisedError,
    NotFoundError,
    ThrottledError,
)

REFRESH_MARGIN_S = 300.0
"""Credentials are replaced this long before they expire, the margin that AWS's own SDKs use."""

_ATTEMPTS = 6
_TIMEOUT_S = 15.0
_TARGET = "AWSCognitoIdentityService"


@dataclass(frozen=True, slots=True)
class GuestCredentials:
    """A guest's temporary credentials. `expires_at` is in seconds since the epoch."""

    identity_id: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expires_at: float


class Guests:
    """A client of one identity pool; use it as an asynchronous context manager.

    Args:
        endpoint_url: Cognito's endpoint for the pool's region, or the local stack's.
        pool_id: the identity pool.
        connections: how many HTTP connections to hold at most.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        endpoint_url: str,
        pool_id: str,
        *,
        connections: int = 16,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._url = endpoint_url.rstrip("/") + "/"
        self._pool_id = pool_id
        self._connections = connections
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._cache: dict[str, GuestCredentials] = {}

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections),
            timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S),
            headers={"Content-Type": "application/x-amz-json-1.1", "User-Agent": f"chatops/{__version__}"},
            skip_auto_headers=("Accept",),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def new_identity(self) -> str:
        """Make a new anonymous identity and return its id.

        Raises:
            NotFoundError: the pool does not exist.
            NotAuthorisedError: the pool lets no guests in.
            ThrottledError: AWS's rate (25/s by default) stayed exceeded after several tries.
            ConnectionFailedError: Cognito cannot be reached.
            AwsError: any other refusal.
        """
        answer = await self._call("GetId", {"IdentityPoolId": self._pool_id})
        identity_id = answer.get("IdentityId")
        if not isinstance(identity_id, str):
            raise AwsError("Cognito's answer to GetId holds no identity", "check the endpoint URLs of the environment")
        return identity_id

    async def credentials(self, identity_id: str) -> GuestCredentials:
        """Get credentials for an identity; cached ones are returned until five minutes before they expire.

        Raises:
            NotFoundError: the identity or its pool does not exist (any more).
            NotAuthorisedError: the pool lets no guests in.
            ThrottledError, ConnectionFailedError, AwsError: as for `new_identity`.
        """
        cached = self._cache.get(identity_id)
        if cached is not None and cached.expires_at - self._clock() > REFRESH_MARGIN_S:
            return cached
        answer = await self._call("GetCredentialsForIdentity", {"IdentityId": identity_id})
        try:
            given = answer["Credentials"]
            credentials = GuestCredentials(
                identity_id=str(answer["IdentityId"]),
                access_key_id=str(given["AccessKeyId"]),
                secret_access_key=str(given["SecretKey"]),
                session_token=str(given["SessionToken"]),
                expires_at=float(given["Expiration"]),
            )
        except (KeyError, TypeError, ValueError):
            raise AwsError(
                "Cognito's answer to GetCredentialsForIdentity holds no credentials",
                "check the endpoint URLs of the environment",
            ) from None
        self._cache[identity_id] = credentials
        return credentials

    def forget(self, identity_id: str) -> None:
        """Drop cached credentials, so that the next call gets new ones."""
        self._cache.pop(identity_id, None)

    async def _call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Post one operation; throttling and 5xx are tried again with full jitter."""
        failure: ChatopsError | None = None
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(random.uniform(0, min(8.0, 0.2 * 2**attempt)))  # noqa: S311  (jitter, not a secret)
            status, body = await self._post(operation, request)
            if status == 200:
                return body
            failure = _failure(operation, self._pool_id, status, body)
            if not isinstance(failure, ThrottledError) and status < 500:
                break
        assert failure is not None  # noqa: S101  (the loop ran at least once)
        raise failure

    async def _post(self, operation: str, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self._session is None:
            raise RuntimeError("Guests is used outside its context")
        try:
            async with self._session.post(
                self._url,
                data=json.dumps(request).encode(),
                headers={"X-Amz-Target": f"{_TARGET}.{operation}"},
                allow_redirects=False,
            ) as response:
                raw = await response.read()
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            detail = str(error) or type(error).__name__
            raise ConnectionFailedError(
                f"Cognito cannot be reached at {self._url} ({detail})",
                "check the network and the environment's endpoints; for the local stack, `chatops local status`",
            ) from None
        try:
            body = json.loads(raw)
        except (ValueError, RecursionError):
            body = {}
        return status, body if isinstance(body, dict) else {}


def _failure(operation: str, pool_id: str, status: int, body: dict[str, Any]) -> ChatopsError:
    code = str(body.get("__type", "")).rpartition("#")[2].split(":")[0]
    said = str(body.get("message") or body.get("Message") or f"HTTP {status}")
    match code:
        case "ResourceNotFoundException":
            return NotFoundError(
                f"The identity pool {pool_id}, or the identity in it, does not exist: {said}",
                "run `chatops setup` for this environment to make it anew",
            )
        case "NotAuthorizedException":
            return NotAuthorisedError(
                f"The identity pool {pool_id} lets no guests in: {said}",
                "run `chatops setup` for this environment; it allows unauthenticated identities",
            )
        case "InvalidIdentityPoolConfigurationException":
            return AwsError(
                f"The identity pool {pool_id} has no usable guest role: {said}",
                "run `chatops setup` for this environment to mend it",
            )
        case "TooManyRequestsException" | "ThrottlingException" | "LimitExceededException":
            return ThrottledError(
                f"Cognito takes no more {operation} requests for now: {said}",
                "wait a moment, or ask for a higher quota (GetId: 25/s by default)",
            )
        case _:
            return AwsError(f"Cognito refused {operation}: {code or 'error'}: {said}", "see the message above")


def cognito_endpoint(region: str) -> str:
    """The public endpoint of Cognito identity pools in a region."""
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://cognito-identity.{region}.{suffix}"
