"""MQTT 5 on the wire, the server's side: strict decoding of our own, encoding by the `mqtt5` package."""

from collections.abc import Iterable, Sequence
from typing import Any

import mqtt5

from chatops.local.packets import (
    PROTOCOL_5,
    Connack,
    Connect,
    Cursor,
    Disconnect,
    Encoded,
    Message,
    PacketError,
    Publish,
    Reason,
    Subscribe,
    SubscriptionRequest,
    Unsubscribe,
    Will,
    encode_length,
    encode_string,
)
from chatops.local.packets311 import (
    CLEAN_SESSION,
    PASSWORD,
    QOS_RESERVED,
    USER_NAME,
    WILL,
    WILL_RETAIN,
    connect_flags,
    encode_publish,
    publish_fields,
)

PAYLOAD_FORMAT = 0x01
MESSAGE_EXPIRY = 0x02
CONTENT_TYPE = 0x03
RESPONSE_TOPIC = 0x08
CORRELATION_DATA = 0x09
SUBSCRIPTION_ID = 0x0B
SESSION_EXPIRY = 0x11
AUTHENTICATION_METHOD = 0x15
AUTHENTICATION_DATA = 0x16
REQUEST_PROBLEM_INFORMATION = 0x17
WILL_DELAY = 0x18
REQUEST_RESPONSE_INFORMATION = 0x19
REASON_STRING = 0x1F
RECEIVE_MAXIMUM = 0x21
TOPIC_ALIAS_MAXIMUM = 0x22
TOPIC_ALIAS = 0x23
USER_PROPERTY = 0x26
MAXIMUM_PACKET_SIZE = 0x27

_SIZES = {
    PAYLOAD_FORMAT: 1,
    MESSAGE_EXPIRY: 4,
    SESSION_EXPIRY: 4,
    REQUEST_PROBLEM_INFORMATION: 1,
    WILL_DELAY: 4,
    REQUEST_RESPONSE_INFORMATION: 1,
    RECEIVE_MAXIMUM: 2,
    TOPIC_ALIAS_MAXIMUM: 2,
    TOPIC_ALIAS: 2,
    MAXIMUM_PACKET_SIZE: 4,
}
_TEXTS = frozenset({CONTENT_TYPE, RESPONSE_TOPIC, AUTHENTICATION_METHOD, REASON_STRING})
_BINARIES = frozenset({CORRELATION_DATA, AUTHENTICATION_DATA})
_FLAGS = frozenset({PAYLOAD_FORMAT, REQUEST_PROBLEM_INFORMATION, REQUEST_RESPONSE_INFORMATION})
_NOT_ZERO = frozenset({RECEIVE_MAXIMUM, MAXIMUM_PACKET_SIZE})

_OF_CONNECT = frozenset(
    {
        SESSION_EXPIRY,
        AUTHENTICATION_METHOD,
        AUTHENTICATION_DATA,
        REQUEST_PROBLEM_INFORMATION,
        REQUEST_RESPONSE_INFORMATION,
        RECEIVE_MAXIMUM,
        TOPIC_ALIAS_MAXIMUM,
        USER_PROPERTY,
        MAXIMUM_PACKET_SIZE,
    }
)
_OF_MESSAGE = frozenset(
    {
        PAYLOAD_FORMAT,
        MESSAGE_EXPIRY,
        CONTENT_TYPE,
        RESPONSE_TOPIC,
        CORRELATION_DATA,
        USER_PROPERTY,
    }
)
_OF_WILL = _OF_MESSAGE | {WILL_DELAY}
_OF_PUBLISH = _OF_MESSAGE | {TOPIC_ALIAS}
_OF_ANSWER = frozenset({REASON_STRING, USER_PROPERTY})
_OF_SUBSCRIBE = frozenset({SUBSCRIPTION_ID, USER_PROPERTY})
_OF_UNSUBSCRIBE = frozenset({USER_PROPERTY})
_OF_DISCONNECT = frozenset({SESSION_EXPIRY, REASON_STRING, USER_PROPERTY})
_DISCONNECT_REASONS = frozenset({0x00, 0x04, *range(0x80, 0x84), *range(0x90, 0x9A)})
_PUBACK_REASONS = frozenset({0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99})

_NO_PROPERTIES = b"\x00"


def _properties(cursor: Cursor, allowed: frozenset[int]) -> dict[int, Any]:
    """Read properties (section 2.2.2) into a mapping; user properties become a tuple of pairs."""
    length = cursor.length()
    if not length:
        return {}
    end = cursor.position + length
    if end > cursor.end:
        raise PacketError("the properties end after their packet")
    inner = Cursor(cursor.data, cursor.position, end)
    cursor.position = end
    found: dict[int, Any] = {}
    pairs: list[tuple[str, str]] = []
    while not inner.exhausted:
        key = inner.length()
        if key not in allowed:
            raise PacketError(f"property {key} does not belong in this packet")
        if key == USER_PROPERTY:
            pairs.append((inner.text(), inner.text()))
            continue
        if key in found:
            raise PacketError(f"property {key} is there twice", Reason.PROTOCOL_ERROR)
        found[key] = _property(inner, key)
    if pairs:
        found[USER_PROPERTY] = tuple(pairs)
    return found


def _property(cursor: Cursor, key: int) -> Any:
    if key in _TEXTS:
        return cursor.text()
    if key in _BINARIES:
        return cursor.binary()
    value = cursor.length() if key == SUBSCRIPTION_ID else cursor.number(_SIZES[key])
    if key in _FLAGS and value > 1:
        raise PacketError(f"property {key} is neither 0 nor 1", Reason.PROTOCOL_ERROR)
    if not value and (key in _NOT_ZERO or key == SUBSCRIPTION_ID):
        raise PacketError(f"property {key} is 0", Reason.PROTOCOL_ERROR)
    return value


def _message(topic: str, payload: bytes, first: int, found: dict[int, Any], now: float | None) -> Message:
    """Build a message from its properties; `first` has QoS and retain where a PUBLISH has them."""
    response_topic = found.get(RESPONSE_TOPIC)
    if response_topic is not None and ("+" in response_topic or "#" in response_topic or not response_topic):
        raise PacketError("the response topic is empty or contains a wildcard", Reason.TOPIC_NAME_INVALID)
    expiry = found.get(MESSAGE_EXPIRY)
    return Message(
        topic,
        payload,
        first >> 1 & 3,
        bool(first & 1),
        found.get(PAYLOAD_FORMAT, 0),
        found.get(CONTENT_TYPE),
        response_topic,
        found.get(CORRELATION_DATA),
        found.get(USER_PROPERTY, ()),
        None if expiry is None or now is None else now + expiry,
    )


class Codec5:
    """MQTT 5 (OASIS, 2019)."""

    version = PROTOCOL_5

    def connect(self, data: bytes, start: int, end: int) -> Connect:
        """Decode a CONNECT (section 3.1)."""
        cursor = Cursor(data, start, end)
        flags = connect_flags(cursor)
        keep_alive = cursor.number(2)
        found = _properties(cursor, _OF_CONNECT)
        if AUTHENTICATION_DATA in found and AUTHENTICATION_METHOD not in found:
            raise PacketError("authentication data come without a method", Reason.PROTOCOL_ERROR)
        client_id = cursor.text()
        will = None
        if flags & WILL:
            will_found = _properties(cursor, _OF_WILL)
            topic = cursor.text()
            payload = cursor.binary()
            first = flags >> 2 & 6 | bool(flags & WILL_RETAIN)
            will = Will(
                _message(topic, payload, first, will_found, None),
                will_found.get(WILL_DELAY, 0),
                will_found.get(MESSAGE_EXPIRY),
            )
        user_name = cursor.text() if flags & USER_NAME else None
        password = cursor.binary() if flags & PASSWORD else None
        cursor.finish()
        return Connect(
            version=PROTOCOL_5,
            client_id=client_id,
            clean_start=bool(flags & CLEAN_SESSION),
            keep_alive_s=keep_alive,
            session_expiry_s=found.get(SESSION_EXPIRY, 0),
            will=will,
            user_name=user_name,
            password=password,
            receive_maximum=found.get(RECEIVE_MAXIMUM, 65535),
            topic_alias_maximum=found.get(TOPIC_ALIAS_MAXIMUM, 0),
            maximum_packet_bytes=found.get(MAXIMUM_PACKET_SIZE),
            request_problem_information=bool(found.get(REQUEST_PROBLEM_INFORMATION, 1)),
            authentication_method=found.get(AUTHENTICATION_METHOD),
        )

    def publish(self, first: int, data: bytes, start: int, end: int, now: float) -> Publish:
        """Decode a PUBLISH (section 3.3); an empty topic comes with an alias."""
        topic, packet_id, rest = publish_fields(first, data, start, end)
        if rest < end and not data[rest]:
            if not topic:
                raise PacketError("a PUBLISH has neither topic nor alias", Reason.PROTOCOL_ERROR)
            message = Message(topic, data[rest + 1 : end], first >> 1 & 3, bool(first & 1))
            return Publish(message, packet_id, bool(first & 8))
        cursor = Cursor(data, rest, end)
        found = _properties(cursor, _OF_PUBLISH)
        alias = found.get(TOPIC_ALIAS)
        if alias == 0:
            raise PacketError("topic alias 0 is not allowed", Reason.TOPIC_ALIAS_INVALID)
        if alias is None and not topic:
            raise PacketError("a PUBLISH has neither topic nor alias", Reason.PROTOCOL_ERROR)
        message = _message(topic, data[cursor.position : end], first, found, now)
        return Publish(message, packet_id, bool(first & 8), alias or 0)

    def puback(self, data: bytes, start: int, end: int) -> int:
        """Decode a PUBACK to the packet id (section 3.4); a client's reason changes nothing for a server."""
        cursor = Cursor(data, start, end)
        packet_id = cursor.packet_id()
        if not cursor.exhausted and cursor.number(1) not in _PUBACK_REASONS:
            raise PacketError("a PUBACK has an unknown reason code")
        if not cursor.exhausted:
            _properties(cursor, _OF_ANSWER)
        cursor.finish()
        return packet_id

    def subscribe(self, data: bytes, start: int, end: int) -> Subscribe:
        """Decode a SUBSCRIBE (section 3.8)."""
        cursor = Cursor(data, start, end)
        packet_id = cursor.packet_id()
        found = _properties(cursor, _OF_SUBSCRIBE)
        requests = []
        while not cursor.exhausted:
            topic_filter = cursor.text()
            options = cursor.number(1)
            qos, retain_handling = options & 3, options >> 4 & 3
            if options & 0xC0 or QOS_RESERVED in {qos, retain_handling}:
                raise PacketError("a SUBSCRIBE sets reserved bits", Reason.PROTOCOL_ERROR)
            no_local = bool(options & 4)
            if no_local and topic_filter.startswith("$share/"):
                raise PacketError("No Local does not go with a shared subscription", Reason.PROTOCOL_ERROR)
            requests.append(SubscriptionRequest(topic_filter, qos, no_local, bool(options & 8), retain_handling))
        if not requests:
            raise PacketError("a SUBSCRIBE has no filter", Reason.PROTOCOL_ERROR)
        return Subscribe(packet_id, tuple(requests), found.get(SUBSCRIPTION_ID, 0))

    def unsubscribe(self, data: bytes, start: int, end: int) -> Unsubscribe:
        """Decode an UNSUBSCRIBE (section 3.10)."""
        cursor = Cursor(data, start, end)
        packet_id = cursor.packet_id()
        _properties(cursor, _OF_UNSUBSCRIBE)
        filters = []
        while not cursor.exhausted:
            filters.append(cursor.text())
        if not filters:
            raise PacketError("an UNSUBSCRIBE has no filter", Reason.PROTOCOL_ERROR)
        return Unsubscribe(packet_id, tuple(filters))

    def disconnect(self, data: bytes, start: int, end: int) -> Disconnect:
        """Decode a DISCONNECT (section 3.14)."""
        cursor = Cursor(data, start, end)
        if cursor.exhausted:
            return Disconnect()
        reason = cursor.number(1)
        if reason not in _DISCONNECT_REASONS:
            raise PacketError("a DISCONNECT has a reason code that is not a client's")
        found = {} if cursor.exhausted else _properties(cursor, _OF_DISCONNECT)
        cursor.finish()
        return Disconnect(reason, found.get(SESSION_EXPIRY))

    def encode_connack(self, connack: Connack) -> bytes:
        """Encode a CONNACK (section 3.2)."""
        if connack.reason != Reason.SUCCESS:
            refusal = mqtt5.ConnAckPacket(reason_code=mqtt5.ConnAckReasonCode(connack.reason), reason_str=connack.text)
            return refusal.write()
        return mqtt5.ConnAckPacket(
            session_present=connack.session_present,
            session_expiry_interval=connack.session_expiry_s,
            assigned_client_id=connack.assigned_client_id,
            server_keep_alive=connack.server_keep_alive_s,
            receive_max=connack.receive_maximum,
            topic_alias_max=connack.topic_alias_maximum,
            max_qos=mqtt5.QoS.AT_LEAST_ONCE,
            max_packet_size=connack.maximum_packet_bytes,
            subscription_id_available=connack.subscription_ids_available,
        ).write()

    def encode_puback(self, packet_id: int, reason: Reason, text: str | None) -> bytes:
        """Encode a PUBACK (section 3.4)."""
        if reason == Reason.SUCCESS:
            return bytes((0x40, 2, packet_id >> 8, packet_id & 0xFF))
        code = mqtt5.PubAckReasonCode(reason)
        return mqtt5.PubAckPacket(packet_id, reason_code=code, reason_str=text).write()

    def encode_suback(self, packet_id: int, reasons: Sequence[Reason]) -> bytes:
        """Encode a SUBACK (section 3.9)."""
        return mqtt5.SubAckPacket(packet_id, [mqtt5.SubAckReasonCode(reason) for reason in reasons]).write()

    def encode_unsuback(self, packet_id: int, reasons: Sequence[Reason]) -> bytes:
        """Encode an UNSUBACK (section 3.11)."""
        codes = [mqtt5.UnsubAckReasonCode(reason) for reason in reasons]
        return mqtt5.UnsubAckPacket(packet_id, codes).write()

    def encode_disconnect(self, reason: Reason, text: str | None) -> bytes:
        """Encode a DISCONNECT (section 3.14)."""
        code = mqtt5.DisconnectReasonCode(reason)
        return mqtt5.DisconnectPacket(reason_code=code, reason_str=text).write()

    def encode_publish(
        self,
        message: Message,
        *,
        qos: int,
        retain: bool,
        now: float,
        duplicate: bool = False,
        subscription_ids: tuple[int, ...] = (),
    ) -> Encoded:
        """Encode a PUBLISH to a client (section 3.3)."""
        return encode_publish(
            message.topic,
            message.payload,
            qos=qos,
            retain=retain,
            duplicate=duplicate,
            properties=_encode_properties(message, now, subscription_ids),
        )


def _encode_properties(message: Message, now: float, subscription_ids: Iterable[int]) -> bytes:
    parts: list[bytes] = []
    if message.payload_format_indicator:
        parts.append(bytes((PAYLOAD_FORMAT, message.payload_format_indicator)))
    if message.expires_at is not None:
        left = min(max(round(message.expires_at - now), 0), 0xFFFFFFFF)
        parts.append(b"%c%b" % (MESSAGE_EXPIRY, left.to_bytes(4, "big")))
    for key, text in ((CONTENT_TYPE, message.content_type), (RESPONSE_TOPIC, message.response_topic)):
        if text is not None:
            parts.append(b"%c%b" % (key, encode_string(text)))
    if message.correlation_data is not None:
        data = message.correlation_data
        parts.append(b"%c%b%b" % (CORRELATION_DATA, len(data).to_bytes(2, "big"), data))
    parts.extend(b"%c%b" % (SUBSCRIPTION_ID, encode_length(number)) for number in subscription_ids)
    for name, value in message.user_properties:
        parts.append(b"%c%b%b" % (USER_PROPERTY, encode_string(name), encode_string(value)))
    if not parts:
        return _NO_PROPERTIES
    joined = b"".join(parts)
    return encode_length(len(joined)) + joined
