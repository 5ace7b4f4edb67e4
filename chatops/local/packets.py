"""MQTT packets as values, whichever protocol version they travel in, and what both versions share on the wire.

Decoding is ours for both versions. The `mqtt5` package reads faster, but a string that is not UTF-8 makes it panic
(an exception outside `Exception`, and a Rust backtrace on standard error, at a stranger's command), and it lets
NUL characters, packet id 0, reserved flags and wildcards in topics through. It writes what the gateway answers,
and the tests use it as an independent peer. Section numbers refer to the OASIS specifications.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

PROTOCOL_311 = 4
PROTOCOL_5 = 5

CONNECT = 1
CLIENT_PACKETS = frozenset({1, 3, 4, 8, 10, 12, 14})
"""Packet types that a client may send at QoS 0 and 1: CONNECT, PUBLISH, PUBACK, (UN)SUBSCRIBE, PINGREQ, DISCONNECT."""

PINGRESP_BYTES = b"\xd0\x00"

_MAX_LENGTH_SHIFT = 21


class Reason(IntEnum):
    """MQTT 5 reason codes (section 2.4); MQTT 3.1.1 answers are derived from them."""

    SUCCESS = 0x00
    GRANTED_QOS_1 = 0x01
    DISCONNECT_WITH_WILL = 0x04
    NO_SUBSCRIPTION_EXISTED = 0x11
    UNSPECIFIED_ERROR = 0x80
    MALFORMED_PACKET = 0x81
    PROTOCOL_ERROR = 0x82
    IMPLEMENTATION_SPECIFIC_ERROR = 0x83
    UNSUPPORTED_PROTOCOL_VERSION = 0x84
    CLIENT_ID_NOT_VALID = 0x85
    NOT_AUTHORIZED = 0x87
    SERVER_BUSY = 0x89
    SERVER_SHUTTING_DOWN = 0x8B
    BAD_AUTHENTICATION_METHOD = 0x8C
    KEEP_ALIVE_TIMEOUT = 0x8D
    SESSION_TAKEN_OVER = 0x8E
    TOPIC_FILTER_INVALID = 0x8F
    TOPIC_NAME_INVALID = 0x90
    RECEIVE_MAXIMUM_EXCEEDED = 0x93
    TOPIC_ALIAS_INVALID = 0x94
    PACKET_TOO_LARGE = 0x95
    MESSAGE_RATE_TOO_HIGH = 0x96
    QUOTA_EXCEEDED = 0x97
    ADMINISTRATIVE_ACTION = 0x98
    PAYLOAD_FORMAT_INVALID = 0x99
    QOS_NOT_SUPPORTED = 0x9B
    CONNECTION_RATE_EXCEEDED = 0x9F
    MAXIMUM_CONNECT_TIME = 0xA0
    SUBSCRIPTION_IDS_NOT_SUPPORTED = 0xA1


class PacketError(Exception):
    """Bytes that are no acceptable MQTT packet.

    Args:
        text: which rule was broken; shown to the client.
        reason: the reason code to answer with.
    """

    def __init__(self, text: str, reason: Reason = Reason.MALFORMED_PACKET) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Message:
    """An application message, as published.

    Attributes:
        expires_at: seconds of the broker's monotonic clock after which it is not delivered any more.
    """

    topic: str
    payload: bytes
    qos: int
    retain: bool = False
    payload_format_indicator: int = 0
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    user_properties: tuple[tuple[str, str], ...] = ()
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class Will:
    """A last will. `expiry_s` counts from its publication, `delay_s` from the loss of the connection."""

    message: Message
    delay_s: int = 0
    expiry_s: int | None = None


@dataclass(frozen=True, slots=True)
class Connect:
    """A CONNECT. `session_expiry_s` is None where MQTT 3.1.1 leaves the time to the server."""

    version: int
    client_id: str
    clean_start: bool
    keep_alive_s: int
    session_expiry_s: int | None = 0
    will: Will | None = None
    user_name: str | None = None
    password: bytes | None = field(default=None, repr=False)
    receive_maximum: int = 65535
    topic_alias_maximum: int = 0
    maximum_packet_bytes: int | None = None
    request_problem_information: bool = True
    authentication_method: str | None = None


@dataclass(frozen=True, slots=True)
class Publish:
    """A PUBLISH from a client. `packet_id` is 0 at QoS 0, `topic_alias` 0 where there is none."""

    message: Message
    packet_id: int = 0
    duplicate: bool = False
    topic_alias: int = 0


@dataclass(frozen=True, slots=True)
class SubscriptionRequest:
    """One filter of a SUBSCRIBE with its options."""

    topic_filter: str
    qos: int
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0


@dataclass(frozen=True, slots=True)
class Subscribe:
    """A SUBSCRIBE. `subscription_id` is 0 where there is none."""

    packet_id: int
    requests: tuple[SubscriptionRequest, ...]
    subscription_id: int = 0


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """An UNSUBSCRIBE."""

    packet_id: int
    topic_filters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Disconnect:
    """A DISCONNECT from a client. `session_expiry_s` is None when it leaves the expiry as it was."""

    reason: int = 0
    session_expiry_s: int | None = None


@dataclass(frozen=True, slots=True)
class Connack:
    """What a CONNACK says; MQTT 3.1.1 carries the first two only."""

    reason: Reason = Reason.SUCCESS
    session_present: bool = False
    session_expiry_s: int | None = None
    assigned_client_id: str | None = None
    server_keep_alive_s: int | None = None
    receive_maximum: int = 65535
    topic_alias_maximum: int = 0
    maximum_packet_bytes: int | None = None
    subscription_ids_available: bool = True
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Encoded:
    """A PUBLISH on the wire, shared by all who get the same bytes.

    At QoS 1 the two bytes of the packet id go between `head` and `tail`; at QoS 0 `head` is the whole packet.
    """

    head: bytes
    tail: bytes = b""
    qos: int = 0

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        return len(self.head) + len(self.tail) + 2 * self.qos


class Codec(Protocol):
    """One protocol version on the wire, the server's side. `data[start:end]` is the body of a whole packet."""

    version: int

    def connect(self, data: bytes, start: int, end: int) -> Connect:
        """Decode a CONNECT whose version is this one."""
        ...

    def publish(self, first: int, data: bytes, start: int, end: int, now: float) -> Publish:
        """Decode a PUBLISH; `now` is when its expiry starts to count."""
        ...

    def puback(self, data: bytes, start: int, end: int) -> int:
        """Decode a PUBACK to the packet id."""
        ...

    def subscribe(self, data: bytes, start: int, end: int) -> Subscribe:
        """Decode a SUBSCRIBE."""
        ...

    def unsubscribe(self, data: bytes, start: int, end: int) -> Unsubscribe:
        """Decode an UNSUBSCRIBE."""
        ...

    def disconnect(self, data: bytes, start: int, end: int) -> Disconnect:
        """Decode a DISCONNECT."""
        ...

    def encode_connack(self, connack: Connack) -> bytes:
        """Encode a CONNACK."""
        ...

    def encode_puback(self, packet_id: int, reason: Reason, text: str | None) -> bytes:
        """Encode a PUBACK."""
        ...

    def encode_suback(self, packet_id: int, reasons: Sequence[Reason]) -> bytes:
        """Encode a SUBACK."""
        ...

    def encode_unsuback(self, packet_id: int, reasons: Sequence[Reason]) -> bytes:
        """Encode an UNSUBACK."""
        ...

    def encode_disconnect(self, reason: Reason, text: str | None) -> bytes:
        """Encode a DISCONNECT; empty where the version has none for a server."""
        ...

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
        """Encode a PUBLISH to a client; what is left of the expiry at `now` goes with it."""
        ...


def body_bounds(data: bytes | bytearray, start: int, limit: int) -> tuple[int, int] | None:
    """Find the body of the packet that begins at `start`.

    Args:
        data: what has arrived so far.
        start: where the fixed header begins.
        limit: the largest packet accepted, in bytes, header included.

    Returns:
        Where the body begins and ends, the end possibly beyond `data`; None when the header is not complete yet.

    Raises:
        PacketError: the length is not encoded as the specification wants it, or over the limit.
    """
    position = start + 1
    length = 0
    available = len(data)
    for shift in range(0, _MAX_LENGTH_SHIFT + 1, 7):
        if position >= available:
            return None
        byte = data[position]
        position += 1
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            if shift and not byte:
                raise PacketError("the remaining length has more bytes than it needs")
            if position + length - start > limit:
                raise PacketError(f"a packet is larger than {limit} bytes", Reason.PACKET_TOO_LARGE)
            return position, position + length
    raise PacketError("the remaining length has more than four bytes")


def protocol_version(data: bytes, start: int, end: int) -> int:
    """Read the version out of a CONNECT's body, 4 or 5.

    Raises:
        PacketError: it is no CONNECT of MQTT, or of a version that AWS IoT Core does not speak.
    """
    name_end = start + 2 + int.from_bytes(data[start : start + 2], "big")
    name = data[start + 2 : name_end]
    if end - start < 3 or name_end >= end or name not in {b"MQTT", b"MQIsdp"}:
        raise PacketError("this is not MQTT: the protocol name is missing", Reason.UNSUPPORTED_PROTOCOL_VERSION)
    level = data[name_end]
    if name != b"MQTT" or level not in {PROTOCOL_311, PROTOCOL_5}:
        raise PacketError(
            f"protocol level {level} is not spoken here; use MQTT 3.1.1 (4) or 5",
            Reason.UNSUPPORTED_PROTOCOL_VERSION,
        )
    return level


def encode_length(length: int) -> bytes:
    """Encode a variable byte integer (section 1.5.5), from 0 to 268,435,455."""
    if length < 0x80:
        return bytes((length,))
    encoded = bytearray()
    while True:
        length, byte = length >> 7, length & 0x7F
        encoded.append(byte | 0x80 if length else byte)
        if not length:
            return bytes(encoded)


def encode_string(text: str) -> bytes:
    """Encode a string with its length before it."""
    raw = text.encode()
    return len(raw).to_bytes(2, "big") + raw


def decode_text(raw: bytes) -> str:
    """Decode a UTF-8 string (section 1.5.4).

    Raises:
        PacketError: it is not UTF-8, or holds the NUL character.
    """
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise PacketError("a string is not UTF-8") from None
    if "\0" in text:
        raise PacketError("a string contains the NUL character")
    return text


class Cursor:
    """Reads fields off a packet's body, never beyond its end."""

    __slots__ = ("data", "end", "position")

    def __init__(self, data: bytes, position: int, end: int) -> None:
        self.data = data
        self.position = position
        self.end = end

    @property
    def exhausted(self) -> bool:
        """Whether everything has been read."""
        return self.position >= self.end

    def take(self, count: int) -> bytes:
        """Read `count` bytes.

        Raises:
            PacketError: there are not as many.
        """
        start = self.position
        stop = start + count
        if stop > self.end:
            raise PacketError("a packet ends before its fields do")
        self.position = stop
        return self.data[start:stop]

    def number(self, size: int) -> int:
        """Read an unsigned big-endian integer of `size` bytes."""
        return int.from_bytes(self.take(size), "big")

    def length(self) -> int:
        """Read a variable byte integer, which must be minimal."""
        value = 0
        for shift in range(0, _MAX_LENGTH_SHIFT + 1, 7):
            byte = self.number(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if shift and not byte:
                    raise PacketError("a variable byte integer has more bytes than it needs")
                return value
        raise PacketError("a variable byte integer has more than four bytes")

    def binary(self) -> bytes:
        """Read bytes with their length before them."""
        return self.take(self.number(2))

    def text(self) -> str:
        """Read a UTF-8 string with its length before it."""
        return decode_text(self.binary())

    def packet_id(self) -> int:
        """Read a packet id, which is not 0."""
        packet_id = self.number(2)
        if not packet_id:
            raise PacketError("packet id 0 is not allowed", Reason.PROTOCOL_ERROR)
        return packet_id

    def finish(self) -> None:
        """Make sure that nothing is left over.

        Raises:
            PacketError: the packet is longer than its fields.
        """
        if self.position != self.end:
            raise PacketError("a packet is longer than its fields")
