"""MQTT 3.1.1 on the wire, the server's side."""

from collections.abc import Sequence

from chatops.local.packets import (
    PROTOCOL_311,
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
    decode_text,
    encode_length,
    encode_string,
)

_RETURN_CODES = {
    Reason.SUCCESS: 0,
    Reason.UNSUPPORTED_PROTOCOL_VERSION: 1,
    Reason.CLIENT_ID_NOT_VALID: 2,
    Reason.NOT_AUTHORIZED: 5,
}
_SERVER_UNAVAILABLE = 3
_SUBSCRIPTION_FAILED = 0x80

CLEAN_SESSION = 0x02
WILL = 0x04
WILL_RETAIN = 0x20
PASSWORD = 0x40
USER_NAME = 0x80
QOS_RESERVED = 3


def connect_flags(cursor: Cursor) -> int:
    """Read past a CONNECT's protocol name and level to its flags, and check what both versions ask of them.

    Raises:
        PacketError: the flags contradict one another.
    """
    cursor.binary()
    cursor.number(1)
    flags = cursor.number(1)
    if flags & 1:
        raise PacketError("the reserved CONNECT flag is set")
    if flags >> 3 & 3 == QOS_RESERVED or (not flags & WILL and flags & 0x38):
        raise PacketError("the will flags contradict one another")
    return flags


def publish_fields(first: int, data: bytes, start: int, end: int) -> tuple[str, int, int]:
    """Read a PUBLISH's topic and packet id; they are the same in both versions.

    Returns:
        The topic, the packet id (0 at QoS 0) and where the rest of the body begins.

    Raises:
        PacketError: malformed, a wildcard in the topic, or packet id 0.
    """
    qos = first >> 1 & 3
    if qos == QOS_RESERVED:
        raise PacketError("a PUBLISH has QoS 3")
    position = start + 2
    if position <= end:
        position += data[start] << 8 | data[start + 1]
    rest = position + 2 if qos else position
    if rest > end or position < start + 2:
        raise PacketError("a PUBLISH ends before its topic or packet id does")
    topic = decode_text(data[start + 2 : position])
    if "+" in topic or "#" in topic:
        raise PacketError("the topic of a PUBLISH contains a wildcard", Reason.TOPIC_NAME_INVALID)
    if not qos:
        if first & 8:
            raise PacketError("a PUBLISH at QoS 0 is marked as a duplicate")
        return topic, 0, rest
    packet_id = data[position] << 8 | data[position + 1]
    if not packet_id:
        raise PacketError("packet id 0 is not allowed", Reason.PROTOCOL_ERROR)
    return topic, packet_id, rest


class Codec311:
    """MQTT 3.1.1 (OASIS, 2014)."""

    version = PROTOCOL_311

    def connect(self, data: bytes, start: int, end: int) -> Connect:
        """Decode a CONNECT (section 3.1)."""
        cursor = Cursor(data, start, end)
        flags = connect_flags(cursor)
        if flags & PASSWORD and not flags & USER_NAME:
            raise PacketError("a password comes without a user name")
        keep_alive = cursor.number(2)
        client_id = cursor.text()
        will = None
        if flags & WILL:
            topic = cursor.text()
            payload = cursor.binary()
            will = Will(Message(topic, payload, flags >> 3 & 3, retain=bool(flags & WILL_RETAIN)))
        user_name = cursor.text() if flags & USER_NAME else None
        password = cursor.binary() if flags & PASSWORD else None
        cursor.finish()
        clean = bool(flags & CLEAN_SESSION)
        return Connect(
            version=PROTOCOL_311,
            client_id=client_id,
            clean_start=clean,
            keep_alive_s=keep_alive,
            session_expiry_s=0 if clean else None,
            will=will,
            user_name=user_name,
            password=password,
        )

    def publish(self, first: int, data: bytes, start: int, end: int, now: float) -> Publish:  # noqa: ARG002
        """Decode a PUBLISH (section 3.3)."""
        topic, packet_id, rest = publish_fields(first, data, start, end)
        if not topic:
            raise PacketError("the topic of a PUBLISH is empty", Reason.TOPIC_NAME_INVALID)
        message = Message(topic, data[rest:end], first >> 1 & 3, bool(first & 1))
        return Publish(message, packet_id, bool(first & 8))

    def puback(self, data: bytes, start: int, end: int) -> int:
        """Decode a PUBACK to the packet id (section 3.4)."""
        cursor = Cursor(data, start, end)
        packet_id = cursor.packet_id()
        cursor.finish()
        return packet_id

    def subscribe(self, data: bytes, start: int, end: int) -> Subscribe:
        """Decode a SUBSCRIBE (section 3.8)."""
        cursor = Cursor(data, start, end)
        packet_id = cursor.packet_id()
        requests = []
        while not cursor.exhausted:
            topic_filter = cursor.text()
            qos = cursor.number(1)
            if qos >= QOS_RESERVED:
                raise PacketError("a SUBSCRIBE sets reserved bits")
            requests.append(SubscriptionRequest(topic_filter, qos))
        if not requests:
            raise PacketError("a SUBSCRIBE has no filter", Reason.PROTOCOL_ERROR)
        return Subscribe(packet_id, tuple(requests))

    def unsubscribe(self, data: bytes, start: int, end: int) -> Unsubscribe:
        """Decode an UNSUBSCRIBE (section 3.10)."""
        cursor = Cursor(data, start, end)
        packet_id = cursor.packet_id()
        filters = []
        while not cursor.exhausted:
            filters.append(cursor.text())
        if not filters:
            raise PacketError("an UNSUBSCRIBE has no filter", Reason.PROTOCOL_ERROR)
        return Unsubscribe(packet_id, tuple(filters))

    def disconnect(self, data: bytes, start: int, end: int) -> Disconnect:
        """Decode a DISCONNECT (section 3.14), which is empty."""
        Cursor(data, start, end).finish()
        return Disconnect()

    def encode_connack(self, connack: Connack) -> bytes:
        """Encode a CONNACK (section 3.2)."""
        present = connack.session_present and connack.reason == Reason.SUCCESS
        return bytes((0x20, 2, present, _RETURN_CODES.get(connack.reason, _SERVER_UNAVAILABLE)))

    def encode_puback(self, packet_id: int, reason: Reason, text: str | None) -> bytes:  # noqa: ARG002
        """Encode a PUBACK, which cannot say more than that."""
        return bytes((0x40, 2, packet_id >> 8, packet_id & 0xFF))

    def encode_suback(self, packet_id: int, reasons: Sequence[Reason]) -> bytes:
        """Encode a SUBACK (section 3.9)."""
        codes = bytes(min(reason, _SUBSCRIPTION_FAILED) for reason in reasons)
        return b"\x90" + encode_length(2 + len(codes)) + packet_id.to_bytes(2, "big") + codes

    def encode_unsuback(self, packet_id: int, reasons: Sequence[Reason]) -> bytes:  # noqa: ARG002
        """Encode an UNSUBACK (section 3.11)."""
        return b"\xb0\x02" + packet_id.to_bytes(2, "big")

    def encode_disconnect(self, reason: Reason, text: str | None) -> bytes:  # noqa: ARG002
        """A server of MQTT 3.1.1 just closes."""
        return b""

    def encode_publish(
        self,
        message: Message,
        *,
        qos: int,
        retain: bool,
        now: float,  # noqa: ARG002
        duplicate: bool = False,
        subscription_ids: tuple[int, ...] = (),  # noqa: ARG002
    ) -> Encoded:
        """Encode a PUBLISH to a client (section 3.3)."""
        return encode_publish(message.topic, message.payload, qos=qos, retain=retain, duplicate=duplicate)


def encode_publish(
    topic: str, rest: bytes, *, qos: int, retain: bool, duplicate: bool = False, properties: bytes = b""
) -> Encoded:
    """Lay a PUBLISH out; `properties` is empty in MQTT 3.1.1 and has its length before it in MQTT 5."""
    first = 0x30 | duplicate << 3 | qos << 1 | retain
    name = encode_string(topic)
    length = len(name) + len(properties) + len(rest) + (2 if qos else 0)
    head = b"%c%b%b" % (first, encode_length(length), name)
    if qos:
        return Encoded(head, properties + rest, qos)
    return Encoded(b"".join((head, properties, rest)))
