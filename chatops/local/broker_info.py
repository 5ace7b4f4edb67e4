"""What the broker tells of itself."""

from dataclasses import dataclass

from chatops.local.credentials import Principal
from chatops.local.sessions import Session


@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """What is known of a client's connection; times in seconds since the epoch."""

    client_id: str
    connected: bool
    clean_session: bool
    keep_alive_s: int
    session_expiry_s: int
    source_ip: str
    source_port: int
    target_ip: str
    target_port: int
    principal: Principal
    protocol_version: int
    connected_since: float
    disconnected_since: float | None = None
    disconnect_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counts since the broker was made, except for the first four, which are of now.

    Attributes:
        discarded: publishes beyond a rate, in or out.
        dropped: deliveries that found no room, or were too large for their receiver.
        denied: operations and deliveries that the policy refused.
    """

    connections: int
    sessions: int
    subscriptions: int
    retained: int
    connects: int
    connects_failed: int
    messages_in: int
    messages_out: int
    bytes_in: int
    discarded: int
    dropped: int
    denied: int


def describe(
    session: Session, *, connected: bool, disconnected_since: float | None = None, reason: str | None = None
) -> ConnectionInfo:
    """Describe a session's connection, the present or the last one."""
    return ConnectionInfo(
        client_id=session.client_id,
        connected=connected,
        clean_session=session.clean,
        keep_alive_s=session.keep_alive_s,
        session_expiry_s=session.expiry_s,
        source_ip=session.peer.ip,
        source_port=session.peer.port,
        target_ip=session.peer.server_ip,
        target_port=session.peer.server_port,
        principal=session.principal,
        protocol_version=session.codec.version,
        connected_since=session.connected_at,
        disconnected_since=disconnected_since,
        disconnect_reason=reason,
    )
