"""Judging a CONNECT: client id, rates, will, policy, keep-alive; and the CONNACK that says yes."""

import uuid
from dataclasses import dataclass

from chatops.local.broker_values import DisconnectCause, Link, Peer
from chatops.local.credentials import Principal
from chatops.local.gateway_services import RefusedError, Services
from chatops.local.limits import Limits
from chatops.local.packets import Codec, Connack, Connect, Reason, Will
from chatops.local.sessions import Session
from chatops.local.throttles import Throttled

_LARGEST_RECEIVE_MAXIMUM = 65535


@dataclass(frozen=True, slots=True)
class Client:
    """Who connects, and how."""

    principal: Principal
    peer: Peer
    link: Link
    codec: Codec


def open_session(services: Services, connect: Connect, client: Client) -> tuple[Session, Connack]:
    """Judge a CONNECT and begin the session's connection.

    Raises:
        RefusedError: the CONNACK is to say no.
    """
    limits = services.limits
    client_id = _client_id(limits, connect)
    _check_rates(services)
    if connect.will is not None:
        _check_will(services, connect.will)
    if connect.authentication_method is not None:
        raise RefusedError("enhanced authentication is not supported", Reason.BAD_AUTHENTICATION_METHOD)
    expiry = limits.session_expiry_311 if connect.session_expiry_s is None else connect.session_expiry_s
    _authorise(services, connect, client_id, client, persistent=expiry > 0)
    _check_client_rate(services, client_id)
    keep_alive = _clamped_keep_alive(limits, connect.keep_alive_s)
    session, present = services.broker.open(
        connect,
        client_id,
        link=client.link,
        codec=client.codec,
        principal=client.principal,
        peer=client.peer,
        expiry_s=min(expiry, limits.session_expiry),
        keep_alive_s=keep_alive,
    )
    return session, Connack(
        session_present=present,
        session_expiry_s=limits.session_expiry if expiry > limits.session_expiry else None,
        assigned_client_id=None if connect.client_id else client_id,
        # AWS IoT Core always says it.
        server_keep_alive_s=None if limits.keep_alive_maximum is None else keep_alive,
        receive_maximum=limits.unacknowledged_in or _LARGEST_RECEIVE_MAXIMUM,
        topic_alias_maximum=limits.topic_aliases,
        maximum_packet_bytes=limits.packet,
        subscription_ids_available=limits.subscription_ids,
    )


def _client_id(limits: Limits, connect: Connect) -> str:
    client_id = connect.client_id
    if not client_id:
        if connect.session_expiry_s is None:
            raise RefusedError("a persistent session needs a client id", Reason.CLIENT_ID_NOT_VALID)
        return uuid.uuid4().hex
    limit = limits.client_id
    if limit is not None and (client_id.startswith("$") or len(client_id.encode()) > limit):
        raise RefusedError(
            f"a client id has at most {limit} bytes and does not begin with $", Reason.CLIENT_ID_NOT_VALID
        )
    return client_id


def _check_client_rate(services: Services, client_id: str) -> None:
    """Judged after authorisation: whoever may not use a client id must not use up its rate either."""
    if services.connects_by_client is not None and not services.connects_by_client.allow(client_id):
        services.broker.counters.throttles.count(Throttled.CONNECT)
        raise RefusedError(
            "one CONNECT a second for each client id", Reason.CONNECTION_RATE_EXCEEDED, DisconnectCause.THROTTLED
        )


def _check_rates(services: Services) -> None:
    if services.connects is not None and not services.connects.allow():
        services.broker.counters.throttles.count(Throttled.CONNECT)
        raise RefusedError(
            f"the account's {services.limits.connects} CONNECTs a second are used up",
            Reason.CONNECTION_RATE_EXCEEDED,
            DisconnectCause.THROTTLED,
        )
    most = services.limits.connections
    if most is not None and services.broker.connection_count >= most:
        raise RefusedError(f"the account's {most} connections are used up", Reason.QUOTA_EXCEEDED)


def _check_will(services: Services, will: Will) -> None:
    message = will.message
    if message.qos > 1:
        raise RefusedError("a will at QoS 2 is not supported", Reason.QOS_NOT_SUPPORTED)
    if (problem := services.topic_problem(message.topic)) is not None:
        raise RefusedError(f"the will's topic is not valid: {problem}", Reason.TOPIC_NAME_INVALID)
    if services.limits.payload is not None and len(message.payload) > services.limits.payload:
        raise RefusedError("the will's payload is too large", Reason.PACKET_TOO_LARGE)


def _authorise(services: Services, connect: Connect, client_id: str, client: Client, *, persistent: bool) -> None:
    authorizer, principal, will = services.authorizer, client.principal, connect.will
    allowed = authorizer.may_connect(principal, client_id, persistent=persistent, will=will is not None)
    if allowed and will is not None:
        allowed = services.may_publish(principal, will.message.topic, retain=will.message.retain)
    if not allowed:
        services.broker.counters.denied += 1
        services.broker.events.connect_failed(client_id, principal, client.peer.ip)
        raise RefusedError("not authorized to connect so", Reason.NOT_AUTHORIZED, DisconnectCause.AUTH_ERROR)


def _clamped_keep_alive(limits: Limits, asked: int) -> int:
    """AWS IoT Core takes 30 to 1,200 s; 0, which would switch it off, becomes the maximum."""
    if limits.keep_alive_maximum is None or limits.keep_alive_minimum is None:
        return asked
    return min(max(asked or limits.keep_alive_maximum, limits.keep_alive_minimum), limits.keep_alive_maximum)
