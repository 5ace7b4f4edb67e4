"""The codecs on bytes from strangers: every one ends in a packet or a `PacketError`, and nothing is let through."""

from collections.abc import Callable

import mqtt5
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chatops.local.packets import Cursor, Message, PacketError, Reason, body_bounds, decode_text, protocol_version
from chatops.local.packets5 import Codec5
from chatops.local.packets311 import Codec311

NOW = 0.0
LIMIT = 149_504


def decode(data: bytes, codec: Codec5 | Codec311) -> object:
    bounds = body_bounds(data, 0, LIMIT)
    if bounds is None or bounds[1] > len(data):
        return None
    start, end = bounds
    match data[0] >> 4:
        case 1:
            protocol_version(data, start, end)
            return codec.connect(data, start, end)
        case 3:
            return codec.publish(data[0], data, start, end, NOW)
        case 4:
            return codec.puback(data, start, end)
        case 8:
            return codec.subscribe(data, start, end)
        case 10:
            return codec.unsubscribe(data, start, end)
        case 14:
            return codec.disconnect(data, start, end)
    return None


def refusal(data: bytes, codec: Codec5 | Codec311) -> PacketError | None:
    """What decoding ends in; any other exception is the test's failure."""
    try:
        decode(data, codec)
    except PacketError as error:
        return error
    return None


codecs = st.sampled_from([Codec5(), Codec311()])


@given(st.binary(max_size=200), codecs)
@example(b"\x30\x80", Codec5())
@example(b"\x10\x00", Codec5())
@example(b"\x30\x00", Codec311())
def test_arbitrary_bytes_never_do_worse_than_a_packet_error(data: bytes, codec: Codec5 | Codec311) -> None:
    error = refusal(data, codec)
    assert error is None or error.reason >= Reason.UNSPECIFIED_ERROR


@given(st.sampled_from([1, 3, 4, 8, 10, 14]), st.integers(0, 15), st.binary(max_size=100), codecs)
def test_well_framed_rubbish(kind: int, flags: int, body: bytes, codec: Codec5 | Codec311) -> None:
    error = refusal(bytes((kind << 4 | flags, len(body))) + body, codec)
    assert error is None or str(error)


SAMPLES = [
    mqtt5.ConnectPacket(
        "client", username="u", password=b"p", will=mqtt5.Will("gone", payload=b"x", will_delay_interval=1)
    ).write(),
    mqtt5.PublishPacket("a/b", b"payload" * 40, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=1, content_type="c").write(),
    mqtt5.SubscribePacket(1, [mqtt5.TopicFilter("a/#")], subscription_id=5).write(),
    mqtt5.UnsubscribePacket(1, ["a/#", "b"]).write(),
    mqtt5.PubAckPacket(1, reason_str="r").write(),
    mqtt5.DisconnectPacket(session_expiry_interval=4).write(),
]


@pytest.mark.parametrize("packet", SAMPLES, ids=["connect", "publish", "subscribe", "unsubscribe", "puback", "bye"])
def test_a_truncated_packet_waits_for_the_rest(packet: bytes) -> None:
    for size in range(len(packet)):
        bounds = body_bounds(packet[:size], 0, LIMIT)
        assert bounds is None or bounds[1] == len(packet) > size
    assert decode(packet, Codec5()) is not None


@pytest.mark.parametrize("packet", SAMPLES, ids=["connect", "publish", "subscribe", "unsubscribe", "puback", "bye"])
def test_a_packet_cut_short_with_its_length_mended_is_never_misread_beyond_its_end(packet: bytes) -> None:
    start = 3 if packet[1] > 127 else 2
    for size in range(len(packet) - start):
        body = packet[start : start + size]
        length = bytes((size,)) if size < 128 else bytes((size & 127 | 128, size >> 7))
        altered = refusal(packet[:1] + length + body, Codec5())
        assert altered is None or str(altered)


@pytest.mark.parametrize("packet", SAMPLES, ids=["connect", "publish", "subscribe", "unsubscribe", "puback", "bye"])
@given(position=st.integers(2, 400), value=st.integers(0, 255))
def test_one_altered_byte(packet: bytes, position: int, value: int) -> None:
    altered = bytearray(packet)
    altered[2 + position % (len(packet) - 2)] = value
    error = refusal(bytes(altered), Codec5())
    assert error is None or error.reason >= Reason.UNSPECIFIED_ERROR


def publish5(topic: bytes, properties: bytes = b"\x00", *, first: int = 0x32, packet_id: int = 5) -> bytes:
    body = len(topic).to_bytes(2, "big") + topic
    body += (packet_id.to_bytes(2, "big") if first & 6 else b"") + properties + b"x"
    return bytes((first, len(body))) + body


def subscribe5(topic_filter: bytes, options: int = 0, properties: bytes = b"\x00", packet_id: int = 1) -> bytes:
    body = packet_id.to_bytes(2, "big") + properties + len(topic_filter).to_bytes(2, "big") + topic_filter
    body += bytes((options,))
    return bytes((0x82, len(body))) + body


REFUSED = {
    "plus in a topic": (publish5(b"a/+"), Reason.TOPIC_NAME_INVALID),
    "hash in a topic": (publish5(b"#"), Reason.TOPIC_NAME_INVALID),
    "not UTF-8": (publish5(b"\xff\xfe"), Reason.MALFORMED_PACKET),
    "a surrogate": (publish5(b"\xed\xa0\x80"), Reason.MALFORMED_PACKET),
    "NUL": (publish5(b"a\0b"), Reason.MALFORMED_PACKET),
    "packet id 0": (publish5(b"a", packet_id=0), Reason.PROTOCOL_ERROR),
    "QoS 3": (publish5(b"a", first=0x36), Reason.MALFORMED_PACKET),
    "a duplicate at QoS 0": (publish5(b"a", first=0x38), Reason.MALFORMED_PACKET),
    "neither topic nor alias": (publish5(b""), Reason.PROTOCOL_ERROR),
    "topic alias 0": (publish5(b"a", b"\x03\x23\x00\x00"), Reason.TOPIC_ALIAS_INVALID),
    "two topic aliases": (publish5(b"a", b"\x06\x23\x00\x01\x23\x00\x01"), Reason.PROTOCOL_ERROR),
    "payload format 2": (publish5(b"a", b"\x02\x01\x02"), Reason.PROTOCOL_ERROR),
    "a wildcard in the response topic": (publish5(b"a", b"\x04\x08\x00\x01#"), Reason.TOPIC_NAME_INVALID),
    "a subscription id from a client": (publish5(b"a", b"\x02\x0b\x01"), Reason.MALFORMED_PACKET),
    "an unknown property": (publish5(b"a", b"\x02\x7f\x00"), Reason.MALFORMED_PACKET),
    "properties beyond the packet": (publish5(b"a", b"\x7f"), Reason.MALFORMED_PACKET),
    "a topic beyond the packet": (b"\x30\x04\xff\xff\x00\x00", Reason.MALFORMED_PACKET),
    "an empty PUBLISH": (b"\x32\x00", Reason.MALFORMED_PACKET),
    "no properties": (b"\x30\x03\x00\x01a", Reason.MALFORMED_PACKET),
    "a filter that is not UTF-8": (subscribe5(b"\xff"), Reason.MALFORMED_PACKET),
    "packet id 0 of a SUBSCRIBE": (subscribe5(b"a", packet_id=0), Reason.PROTOCOL_ERROR),
    "reserved options": (subscribe5(b"a", 0xC0), Reason.PROTOCOL_ERROR),
    "subscription at QoS 3": (subscribe5(b"a", 3), Reason.PROTOCOL_ERROR),
    "retain handling 3": (subscribe5(b"a", 0x30), Reason.PROTOCOL_ERROR),
    "no local on a shared subscription": (subscribe5(b"$share/g/a", 4), Reason.PROTOCOL_ERROR),
    "subscription id 0": (subscribe5(b"a", 0, b"\x02\x0b\x00"), Reason.PROTOCOL_ERROR),
    "a SUBSCRIBE without filters": (b"\x82\x03\x00\x01\x00", Reason.PROTOCOL_ERROR),
    "an UNSUBSCRIBE without filters": (b"\xa2\x03\x00\x01\x00", Reason.PROTOCOL_ERROR),
    "an UNSUBSCRIBE with packet id 0": (b"\xa2\x06\x00\x00\x00\x00\x01a", Reason.PROTOCOL_ERROR),
    "a DISCONNECT only servers send": (b"\xe0\x01\x8e", Reason.MALFORMED_PACKET),
    "a PUBACK with packet id 0": (b"\x40\x02\x00\x00", Reason.PROTOCOL_ERROR),
    "a PUBACK with another packet's reason": (b"\x40\x03\x00\x01\x05", Reason.MALFORMED_PACKET),
    "the reserved CONNECT flag": (b"\x10\x10\x00\x04MQTT\x05\x03\x00\x1e\x00\x00\x03abc", Reason.MALFORMED_PACKET),
    "will QoS without will": (b"\x10\x10\x00\x04MQTT\x05\x0a\x00\x1e\x00\x00\x03abc", Reason.MALFORMED_PACKET),
    "receive maximum 0": (b"\x10\x13\x00\x04MQTT\x05\x02\x00\x1e\x03\x21\x00\x00\x00\x03abc", Reason.PROTOCOL_ERROR),
    "bytes after a CONNECT": (b"\x10\x11\x00\x04MQTT\x05\x02\x00\x1e\x00\x00\x03abc!", Reason.MALFORMED_PACKET),
    "MQTT 3.1": (b"\x10\x11\x00\x06MQIsdp\x03\x02\x00\x1e\x00\x03abc", Reason.UNSUPPORTED_PROTOCOL_VERSION),
    "MQTT 6": (b"\x10\x10\x00\x04MQTT\x06\x02\x00\x1e\x00\x00\x03abc", Reason.UNSUPPORTED_PROTOCOL_VERSION),
    "HTTP": (b"\x10\x0eET / HTTP/1.1\r\n"[:16], Reason.UNSUPPORTED_PROTOCOL_VERSION),
    "an empty CONNECT": (b"\x10\x00", Reason.UNSUPPORTED_PROTOCOL_VERSION),
}


@pytest.mark.parametrize(("packet", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_with_its_reason(packet: bytes, reason: Reason) -> None:
    with pytest.raises(PacketError) as caught:
        decode(packet, Codec5())
    assert caught.value.reason == reason


REFUSED_311: dict[str, Callable[[], object]] = {
    "an empty topic": lambda: decode(b"\x30\x03\x00\x00x", Codec311()),
    "a wildcard": lambda: decode(b"\x30\x04\x00\x01#x", Codec311()),
    "reserved subscribe bits": lambda: decode(b"\x82\x06\x00\x01\x00\x01a\x04", Codec311()),
    "QoS 3": lambda: decode(b"\x82\x06\x00\x01\x00\x01a\x03", Codec311()),
    "no filter": lambda: decode(b"\x82\x02\x00\x01", Codec311()),
    "a DISCONNECT with a body": lambda: decode(b"\xe0\x01\x00", Codec311()),
    "a PUBACK with a reason": lambda: decode(b"\x40\x03\x00\x01\x00", Codec311()),
    "a password without a user": lambda: decode(b"\x10\x11\x00\x04MQTT\x04\x42\x00\x1e\x00\x01a\x00\x02pw", Codec311()),
}


@pytest.mark.parametrize("attempt", REFUSED_311.values(), ids=REFUSED_311.keys())
def test_refused_in_311(attempt: Callable[[], object]) -> None:
    with pytest.raises(PacketError):
        attempt()


@pytest.mark.parametrize("length", [b"\xff\xff\xff\xff", b"\x80\x80\x80\x80\x01", b"\x85\x00", b"\x80\x80\x00"])
def test_bad_lengths(length: bytes) -> None:
    with pytest.raises(PacketError):
        body_bounds(b"\x30" + length + b"x" * 10, 0, LIMIT)


def test_a_giant_length_is_refused_before_its_body_arrives() -> None:
    with pytest.raises(PacketError) as caught:
        body_bounds(b"\x30\xff\xff\xff\x7f", 0, LIMIT)
    assert caught.value.reason == Reason.PACKET_TOO_LARGE


@given(st.binary(max_size=8))
def test_lengths_inside_packets(data: bytes) -> None:
    cursor = Cursor(data, 0, len(data))
    try:
        value = cursor.length()
    except PacketError:
        return
    assert 0 <= value <= 268_435_455
    assert 1 <= cursor.position <= 4


def test_text_is_utf8_without_nul() -> None:
    assert decode_text("grüße 🙂".encode()) == "grüße 🙂"
    for raw in (b"\xc3\x28", b"\x00", b"\xf8\x88\x80\x80\x80"):
        with pytest.raises(PacketError):
            decode_text(raw)


def test_a_message_without_payload_is_a_message() -> None:
    publish = Codec5().publish(0x30, b"\x30\x04\x00\x01a\x00", 2, 6, NOW)
    assert publish.message == Message("a", b"", 0)
