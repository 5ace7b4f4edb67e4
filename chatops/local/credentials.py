"""Credentials of the local stack: who may sign what, and until when.

The control plane issues them, the authorizer looks them up by access key id. They live in memory only.
"""

import base64
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

GUEST_LIFETIME_S = 3600.0
"""Cognito's enhanced flow gives one hour, and does not let anyone change it."""


class PrincipalKind(Enum):
    """Guests are judged by their role's policy; operators may do everything."""

    GUEST = "guest"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who signed a request.

    Attributes:
        region: the only region a guest's credentials are good for at the gateway; empty for an operator (any).
        identity_id: Cognito's identity id, `None` for an operator.
        pool_id: the identity pool, `None` for an operator.
        role_arn: the role whose policies decide, `None` for an operator.
    """

    kind: PrincipalKind
    account: str
    region: str = ""
    identity_id: str | None = None
    pool_id: str | None = None
    role_arn: str | None = None


@dataclass(frozen=True, slots=True)
class Credential:
    """One key pair. `expires_at` is in seconds since the epoch, `None` for never."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(repr=False)
    expires_at: float | None
    principal: Principal


class CredentialStore:
    """Issues and finds credentials. Expired ones are kept for a while so that a refusal can say «expired».

    Args:
        clock: seconds since the epoch; tests pass their own.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._by_key: dict[str, Credential] = {}
        self._next_sweep = 0.0

    def __len__(self) -> int:
        return len(self._by_key)

    def issue_guest(self, principal: Principal, lifetime_s: float = GUEST_LIFETIME_S) -> Credential:
        """Make temporary credentials for a guest, different at every call."""
        now = self._clock()
        self._sweep(now)
        credential = Credential(
            access_key_id="ASIA" + base64.b32encode(secrets.token_bytes(10)).decode(),
            secret_access_key=secrets.token_urlsafe(30),
            session_token=secrets.token_urlsafe(192),
            expires_at=now + lifetime_s,
            principal=principal,
        )
        self._by_key[credential.access_key_id] = credential
        return credential

    def add(self, credential: Credential) -> None:
        """Make `credential` known, in place of any other with its access key id."""
        self._by_key[credential.access_key_id] = credential

    def find(self, access_key_id: str) -> Credential | None:
        """Look a credential up; it may have expired."""
        return self._by_key.get(access_key_id)

    def discard(self, access_key_id: str) -> None:
        """Forget a credential, as if it had never been."""
        self._by_key.pop(access_key_id, None)

    def expire_guests(self) -> int:
        """Let every guest's credentials expire now; returns how many did."""
        now = self._clock()
        expired = [c for c in self._by_key.values() if c.expires_at is not None and c.expires_at > now]
        for c in expired:
            self._by_key[c.access_key_id] = Credential(
                c.access_key_id, c.secret_access_key, c.session_token, now, c.principal
            )
        return len(expired)

    def _sweep(self, now: float) -> None:
        if now < self._next_sweep:
            return
        self._next_sweep = now + 60
        forgotten = [k for k, c in self._by_key.items() if c.expires_at is not None and c.expires_at + 3600 < now]
        for key in forgotten:
            del self._by_key[key]
