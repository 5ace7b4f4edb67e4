"""AWS IoT Core's lifecycle events: who came, went, was refused, subscribed or unsubscribed.

Keys, values and the rule that a connection's two events carry the same version number are those of the developer
guide, "Lifecycle events". They are built only when someone is subscribed to a topic that begins with `$`.
"""

import json
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from chatops.local.broker_values import DisconnectCause
from chatops.local.credentials import Principal
from chatops.local.packets import Message
from chatops.local.sessions import Session

PREFIX = "$aws/events/"
_NO_SESSION = "00000000-0000-0000-0000-000000000000"
_REMEMBERED_VERSIONS = 10_000


def principal_identifier(principal: Principal) -> str:
    """Name a principal as the events do: an identity for a guest, the account for an operator."""
    return principal.identity_id or principal.account


class LifecycleEvents:
    """Publishes lifecycle events.

    Args:
        publish: delivers a message to its subscribers.
        wanted: whether anyone could be listening.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        publish: Callable[[Message], object],
        wanted: Callable[[], bool],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._publish = publish
        self._wanted = wanted
        self._clock = clock
        self._versions: OrderedDict[str, int] = OrderedDict()

    def connected(self, session: Session) -> None:
        """A client has connected; gives the connection its version number."""
        version = self._versions.pop(session.client_id, -1) + 1
        self._versions[session.client_id] = version
        if len(self._versions) > _REMEMBERED_VERSIONS:
            self._versions.popitem(last=False)
        session.version_number = version
        if self._wanted():
            self._emit(
                "presence",
                "connected",
                session.client_id,
                sessionIdentifier=session.identifier,
                principalIdentifier=principal_identifier(session.principal),
                ipAddress=session.peer.ip,
                versionNumber=version,
            )

    def disconnected(self, session: Session, cause: DisconnectCause) -> None:
        """A client's connection has ended."""
        if self._wanted():
            self._emit(
                "presence",
                "disconnected",
                session.client_id,
                sessionIdentifier=session.identifier,
                principalIdentifier=principal_identifier(session.principal),
                clientInitiatedDisconnect=cause is DisconnectCause.CLIENT_INITIATED_DISCONNECT,
                disconnectReason=cause.value,
                versionNumber=session.version_number,
            )

    def connect_failed(self, client_id: str, principal: Principal, ip: str) -> None:
        """A client was not authorised to connect, or to publish its will."""
        if self._wanted():
            self._emit(
                "presence",
                "connect_failed",
                client_id,
                connectFailureReason="AUTHORIZATION_FAILED",
                principalIdentifier=principal_identifier(principal),
                sessionIdentifier=_NO_SESSION,
                ipAddress=ip,
            )

    def subscribed(self, session: Session, filters: Sequence[str]) -> None:
        """A client has subscribed."""
        self._subscriptions("subscribed", session, filters)

    def unsubscribed(self, session: Session, filters: Sequence[str]) -> None:
        """A client has unsubscribed."""
        self._subscriptions("unsubscribed", session, filters)

    def _subscriptions(self, event: str, session: Session, filters: Sequence[str]) -> None:
        if filters and self._wanted():
            self._emit(
                "subscriptions",
                event,
                session.client_id,
                sessionIdentifier=session.identifier,
                principalIdentifier=principal_identifier(session.principal),
                topics=list(filters),
            )

    def _emit(self, family: str, event: str, client_id: str, **details: Any) -> None:
        if "+" in client_id or "#" in client_id:
            return
        document = {
            "clientId": client_id,
            "timestamp": int(self._clock() * 1000),
            "eventType": event,
            **details,
        }
        topic = f"{PREFIX}{family}/{event}/{client_id}"
        self._publish(Message(topic, json.dumps(document).encode(), 1))
