"""Who may come in through the gateway, and what they may do there: signatures and the guest role's IAM policies."""

import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Protocol

from chatops.chat.guest_session import GuestSession
from chatops.chat.iam import Decision, Policy
from chatops.local.credentials import CredentialStore, Principal, PrincipalKind
from chatops.local.roles import RoleCatalogue
from chatops.local.sigv4 import SigningKeys, verify_query
from chatops.local.sigv4_refusals import Refusals, Refused, quoted

__all__ = ["Authorizer", "OpenAuthorizer", "Refused", "SigV4Authorizer"]

SERVICE = "iotdevicegateway"
"""What requests to the gateway are signed for."""

_SESSIONS = 16_384
"""Guests whose condition keys are remembered, about 1 KiB each."""


class Authorizer(Protocol):
    """What the gateway asks before it lets anything happen."""

    @property
    def generation(self) -> int:
        """Grows when answers may have changed; remembered ones are valid while it stays the same."""
        ...

    def authenticate(self, method: str, target: str, headers: Sequence[tuple[str, str]]) -> Principal:
        """Say who asks for an upgrade. `target` is the raw path and query. Raises Refused."""
        ...

    def may_connect(self, principal: Principal, client_id: str, *, persistent: bool, will: bool) -> bool:
        """Say whether a connection may have this client id, a session that outlives it, and a will."""
        ...

    def may_publish(self, principal: Principal, topic: str, *, retain: bool) -> bool:
        """Say whether a message may be sent to this topic, and be retained there."""
        ...

    def may_subscribe(self, principal: Principal, topic_filter: str) -> bool:
        """Say whether this filter may be subscribed to."""
        ...

    def may_receive(self, principal: Principal, topic: str) -> bool:
        """Say whether a message of this topic may be delivered."""
        ...


class SigV4Authorizer:
    """Verifies SigV4 query signatures, and judges guests by the policies of their role. Operators may do everything.

    Args:
        credentials: who may sign.
        roles: the policies that decide.
        clock: seconds since the epoch.
        ports: those that the gateway listens on, for clients that sign the port but leave it out of `Host`.
    """

    def __init__(
        self,
        credentials: CredentialStore,
        roles: RoleCatalogue,
        clock: Callable[[], float] = time.time,
        *,
        ports: Callable[[], Sequence[int]] = tuple,
    ) -> None:
        self._credentials = credentials
        self._roles = roles
        self._clock = clock
        self._ports = ports
        self._keys = SigningKeys()
        self._session = lru_cache(maxsize=_SESSIONS)(_session_of)

    @property
    def generation(self) -> int:
        """Changes with the roles: nothing else that is remembered here can change an answer."""
        return self._roles.generation

    def authenticate(self, method: str, target: str, headers: Sequence[tuple[str, str]]) -> Principal:
        """Verify the signature of an upgrade request.

        Raises:
            Refused: the signature is not good, or is good for another region.
        """
        if method != "GET":
            raise Refused(403, "AccessDeniedException", f"The method {quoted(method)} opens no WebSocket: use GET.")
        verified = verify_query(
            method=method,
            target=target,
            headers=headers,
            credentials=self._credentials,
            now=self._clock(),
            service=SERVICE,
            ports=self._ports(),
            keys=self._keys,
        )
        principal = verified.credential.principal
        if principal.kind is PrincipalKind.GUEST and verified.region != principal.region:
            raise Refusals(SERVICE).mismatch(
                f"the credential scope names the region {quoted(verified.region)}",
                f"the credentials are good for {principal.region or 'no region'}",
            )
        return principal

    def may_connect(self, principal: Principal, client_id: str, *, persistent: bool, will: bool) -> bool:
        """Judge iot:Connect, with the attributes that it asks for."""
        policies = self._policies(principal)
        if policies is None:
            return True
        session = self._session(principal)
        return session.connect(policies, client_id, persistent=persistent, will=will) is Decision.ALLOW

    def may_publish(self, principal: Principal, topic: str, *, retain: bool) -> bool:
        """Judge iot:Publish and, for a retained message, iot:RetainPublish as well."""
        policies = self._policies(principal)
        if policies is None:
            return True
        return self._session(principal).publish(policies, topic, retain=retain) is Decision.ALLOW

    def may_subscribe(self, principal: Principal, topic_filter: str) -> bool:
        """Judge iot:Subscribe on the filter as it was sent, `$share/…` included."""
        policies = self._policies(principal)
        return policies is None or self._session(principal).subscribe(policies, topic_filter) is Decision.ALLOW

    def may_receive(self, principal: Principal, topic: str) -> bool:
        """Judge iot:Receive on the topic that a message was published to."""
        policies = self._policies(principal)
        return policies is None or self._session(principal).receive(policies, topic) is Decision.ALLOW

    def _policies(self, principal: Principal) -> Sequence[Policy] | None:
        """Return the policies that decide; none at all when the role is gone. None: no policy decides."""
        if principal.kind is PrincipalKind.OPERATOR:
            return None
        role = self._roles.find(principal.role_arn) if principal.role_arn is not None else None
        return () if role is None else role.policies


def _session_of(principal: Principal) -> GuestSession:
    return GuestSession(
        region=principal.region,
        account=principal.account,
        identity_id=principal.identity_id,
        pool_id=principal.pool_id,
    )


class OpenAuthorizer:
    """Lets everybody in as operator, for benchmarks and tests of the broker.

    Args:
        account: the account that everybody belongs to.
    """

    def __init__(self, account: str) -> None:
        self._principal = Principal(PrincipalKind.OPERATOR, account)

    @property
    def generation(self) -> int:
        """Never changes."""
        return 0

    def authenticate(self, method: str, target: str, headers: Sequence[tuple[str, str]]) -> Principal:  # noqa: ARG002
        """Let everybody in."""
        return self._principal

    def may_connect(self, principal: Principal, client_id: str, *, persistent: bool, will: bool) -> bool:  # noqa: ARG002
        """Allow it."""
        return True

    def may_publish(self, principal: Principal, topic: str, *, retain: bool) -> bool:  # noqa: ARG002
        """Allow it."""
        return True

    def may_subscribe(self, principal: Principal, topic_filter: str) -> bool:  # noqa: ARG002
        """Allow it."""
        return True

    def may_receive(self, principal: Principal, topic: str) -> bool:  # noqa: ARG002
        """Allow it."""
        return True
