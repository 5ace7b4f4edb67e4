"""The codecs on well-formed packets: both versions, against the independent `mqtt5` package where there is one."""

import mqtt5
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatops.local.packets import (
    PROTOCOL_5,
    PROTOCOL_311,
    Connack,
    Message,
    PacketError,
    Reason,
    body_bounds,
    encode_length,
    protocol_version,
)
from chatops.local.packets5 import Codec5
from chatops.local.packets311 import Codec311

NOW = 1000.0

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
topics = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0+#"), min_size=1, max_size=40)
pairs = st.lists(st.tuples(texts, texts), max_size=3)


def body(packet: bytes) -> tuple[int, bytes, int, int]:
    """First byte, data, start and end, as codecs take them."""
    bounds = body_bounds(packet, 0, 1 << 28)
    assert bounds is not None
    assert bounds[1] == len(packet)
    return packet[0], packet, *bounds


def body5(packet: bytes) -> tuple[bytes, int, int]:
    return body(packet)[1:]


@st.composite
def messages(draw: st.DrawFn) -> Message:
    return Message(
        topic=draw(topics),
        payload=draw(st.binary(max_size=300)),
        qos=draw(st.integers(0, 1)),
        retain=draw(st.booleans()),
        payload_format_indicator=draw(st.integers(0, 1)),
        content_type=draw(st.none() | texts),
        response_topic=draw(st.none() | topics),
        correlation_data=draw(st.none() | st.binary(max_size=20)),
        user_properties=tuple(draw(pairs)),
        expires_at=draw(st.none() | st.integers(0, 604_800).map(lambda seconds: NOW + seconds)),
    )


@given(messages())
def test_what_mqtt5_writes_is_read_the_same(message: Message) -> None:
    packet = mqtt5.PublishPacket(
        message.topic,
        message.payload,
        qos=mqtt5.QoS(message.qos),
        retain=message.retain,
        packet_id=77 if message.qos else None,
        payload_format_indicator=message.payload_format_indicator,
        message_expiry_interval=None if message.expires_at is None else int(message.expires_at - NOW),
        content_type=message.content_type,
        response_topic=message.response_topic,
        correlation_data=message.correlation_data,
        user_properties=list(message.user_properties),
    ).write()
    publish = Codec5().publish(*body(packet), NOW)
    assert publish.message == message
    assert publish.packet_id == (77 if message.qos else 0)


@given(
    message=messages(),
    retain=st.booleans(),
    duplicate=st.booleans(),
    ids=st.lists(st.integers(1, 268_435_455), max_size=3),
)
def test_what_is_written_mqtt5_reads_the_same(
    *, message: Message, retain: bool, duplicate: bool, ids: list[int]
) -> None:
    encoded = Codec5().encode_publish(
        message,
        qos=message.qos,
        retain=retain,
        now=NOW,
        duplicate=duplicate and message.qos > 0,
        subscription_ids=tuple(ids),
    )
    data = encoded.head if not message.qos else encoded.head + b"\x12\x34" + encoded.tail
    assert len(data) == encoded.size
    packet, size = mqtt5.read(memoryview(data))
    assert size == len(data)
    assert isinstance(packet, mqtt5.PublishPacket)
    assert (packet.topic, packet.payload, packet.qos, packet.retain) == (
        message.topic,
        message.payload,
        message.qos,
        retain,
    )
    assert packet.packet_id == (0x1234 if message.qos else None)
    assert packet.duplicate == (duplicate and message.qos > 0)
    assert packet.subscription_ids == ids
    assert tuple(packet.user_properties) == message.user_properties
    assert packet.content_type == message.content_type
    assert packet.correlation_data == message.correlation_data
    assert packet.response_topic == message.response_topic
    left = None if message.expires_at is None else message.expires_at - NOW
    assert packet.message_expiry_interval == left


@given(messages())
def test_311_reads_what_it_writes(message: Message) -> None:
    codec = Codec311()
    encoded = codec.encode_publish(message, qos=message.qos, retain=message.retain, now=NOW)
    data = encoded.head if not message.qos else encoded.head + b"\x00\x05" + encoded.tail
    publish = codec.publish(*body(data), NOW)
    assert publish.message == Message(message.topic, message.payload, message.qos, message.retain)
    assert publish.packet_id == (5 if message.qos else 0)


def test_a_publish_at_qos_1_without_payload_keeps_room_for_its_packet_id() -> None:
    encoded = Codec311().encode_publish(Message("a", b"", 1), qos=1, retain=False, now=NOW)
    assert encoded.head + b"\x00\x09" + encoded.tail == b"\x32\x05\x00\x01a\x00\x09"
    assert encoded.size == 7


@given(
    client_id=texts,
    clean=st.booleans(),
    keep_alive=st.integers(0, 65535),
    expiry=st.integers(0, 0xFFFFFFFF),
    window=st.integers(1, 65535),
    maximum=st.none() | st.integers(1, 0xFFFFFFFF),
    will=st.none() | messages(),
)
def test_connect_of_mqtt5(
    *, client_id: str, clean: bool, keep_alive: int, expiry: int, window: int, maximum: int | None, will: Message | None
) -> None:
    packet = mqtt5.ConnectPacket(
        client_id,
        username="someone",
        password=b"\xff\x00",
        clean_start=clean,
        keep_alive=keep_alive,
        session_expiry_interval=expiry,
        receive_max=window,
        max_packet_size=maximum,
        request_problem_info=False,
        will=None
        if will is None
        else mqtt5.Will(
            will.topic,
            payload=will.payload,
            qos=mqtt5.QoS(will.qos),
            retain=will.retain,
            will_delay_interval=7,
            message_expiry_interval=60,
            user_properties=list(will.user_properties),
        ),
    ).write()
    data, start, end = body5(packet)
    assert protocol_version(data, start, end) == PROTOCOL_5
    connect = Codec5().connect(data, start, end)
    assert (connect.client_id, connect.clean_start, connect.keep_alive_s) == (client_id, clean, keep_alive)
    assert (connect.session_expiry_s, connect.receive_maximum) == (expiry, window)
    assert connect.maximum_packet_bytes == maximum
    assert (connect.user_name, connect.password) == ("someone", b"\xff\x00")
    assert not connect.request_problem_information
    if will is None:
        assert connect.will is None
    else:
        assert connect.will is not None
        assert (connect.will.delay_s, connect.will.expiry_s) == (7, 60)
        assert connect.will.message == Message(
            will.topic, will.payload, will.qos, will.retain, user_properties=will.user_properties
        )


def test_connect_of_311() -> None:
    packet = bytes.fromhex(
        "1028 0004 4d515454 04 ee 003c 0002 6964 0004 77696c6c 0005 6c6561 7665 0004 75736572 0002 7077"
    )
    packet = packet[:1] + bytes((len(packet) - 2,)) + packet[2:]
    data, start, end = body5(packet)
    assert protocol_version(data, start, end) == PROTOCOL_311
    connect = Codec311().connect(data, start, end)
    assert connect.client_id == "id"
    assert connect.clean_start
    assert connect.session_expiry_s == 0
    assert connect.will is not None
    assert connect.will.message == Message("will", b"leave", 1, retain=True)
    assert (connect.user_name, connect.password) == ("user", b"pw")


def test_a_persistent_session_of_311_leaves_its_life_to_the_server() -> None:
    packet = b"\x10\x0d\x00\x04MQTT\x04\x00\x00\x3c\x00\x01x"
    assert Codec311().connect(*body5(packet)).session_expiry_s is None


def test_subscribe_and_unsubscribe_of_mqtt5() -> None:
    packet = mqtt5.SubscribePacket(
        9,
        [
            mqtt5.TopicFilter(
                "a/+",
                max_qos=mqtt5.QoS.AT_LEAST_ONCE,
                no_local=True,
                retain_as_published=True,
                retain_handling=mqtt5.RetainHandling.SEND_NEVER,
            ),
            mqtt5.TopicFilter("#", max_qos=mqtt5.QoS.AT_MOST_ONCE, retain_as_published=False),
        ],
        subscription_id=300,
    ).write()
    subscribe = Codec5().subscribe(*body5(packet))
    assert subscribe.packet_id == 9
    assert subscribe.subscription_id == 300
    first, second = subscribe.requests
    assert (first.topic_filter, first.qos, first.no_local, first.retain_as_published) == ("a/+", 1, True, True)
    assert first.retain_handling == 2
    assert (second.topic_filter, second.qos, second.no_local, second.retain_as_published) == ("#", 0, False, False)
    unsubscribe = Codec5().unsubscribe(*body5(mqtt5.UnsubscribePacket(3, ["a/+", "#"]).write()))
    assert (unsubscribe.packet_id, unsubscribe.topic_filters) == (3, ("a/+", "#"))


def test_subscribe_and_unsubscribe_of_311() -> None:
    subscribe = Codec311().subscribe(*body5(b"\x82\x0a\x00\x09\x00\x01a\x01\x00\x01#\x00"))
    assert subscribe.packet_id == 9
    assert [(request.topic_filter, request.qos) for request in subscribe.requests] == [("a", 1), ("#", 0)]
    unsubscribe = Codec311().unsubscribe(*body5(b"\xa2\x05\x00\x02\x00\x01a"))
    assert (unsubscribe.packet_id, unsubscribe.topic_filters) == (2, ("a",))


def test_disconnect_and_puback() -> None:
    codec = Codec5()
    assert codec.disconnect(*body5(b"\xe0\x00")).reason == 0
    with_will = mqtt5.DisconnectPacket(
        reason_code=mqtt5.DisconnectReasonCode.DISCONNECT_WITH_WILL_MESSAGE, session_expiry_interval=5
    )
    disconnect = codec.disconnect(*body5(with_will.write()))
    assert (disconnect.reason, disconnect.session_expiry_s) == (4, 5)
    assert codec.puback(*body5(b"\x40\x02\x01\x02")) == 0x102
    assert codec.puback(*body5(b"\x40\x03\x01\x02\x10")) == 0x102
    assert codec.puback(*body5(mqtt5.PubAckPacket(7, reason_str="fine").write())) == 7
    assert Codec311().puback(*body5(b"\x40\x02\x00\x07")) == 7


@pytest.mark.parametrize("codec", [Codec5(), Codec311()], ids=["5", "3.1.1"])
def test_an_alias_or_an_empty_topic(codec: Codec5 | Codec311) -> None:
    with pytest.raises(PacketError):
        codec.publish(*body(b"\x30\x03\x00\x00\x00"), NOW)


def test_topic_aliases_are_read() -> None:
    packet = mqtt5.PublishPacket("a", b"x", topic_alias=3).write()
    assert Codec5().publish(*body(packet), NOW).topic_alias == 3
    again = mqtt5.PublishPacket("", b"x", topic_alias=3).write()
    assert Codec5().publish(*body(again), NOW).message.topic == ""


def test_answers_of_mqtt5_are_readable() -> None:
    codec = Codec5()
    connack, _ = mqtt5.read(
        memoryview(
            codec.encode_connack(
                Connack(
                    session_present=True,
                    assigned_client_id="made-up",
                    server_keep_alive_s=30,
                    receive_maximum=100,
                    topic_alias_maximum=8,
                    maximum_packet_bytes=149_504,
                    subscription_ids_available=False,
                )
            )
        )
    )
    assert isinstance(connack, mqtt5.ConnAckPacket)
    assert connack.session_present
    assert (connack.assigned_client_id, connack.server_keep_alive) == ("made-up", 30)
    assert (connack.receive_max, connack.topic_alias_max, connack.max_packet_size) == (100, 8, 149_504)
    assert connack.max_qos == 1
    assert not connack.subscription_id_available
    for reason in (Reason.NOT_AUTHORIZED, Reason.QUOTA_EXCEEDED, Reason.CLIENT_ID_NOT_VALID):
        refusal, _ = mqtt5.read(memoryview(codec.encode_connack(Connack(reason=reason, text="no"))))
        assert isinstance(refusal, mqtt5.ConnAckPacket)
        assert (int(refusal.reason_code), refusal.reason_str) == (reason, "no")
    suback, _ = mqtt5.read(memoryview(codec.encode_suback(4, [Reason.GRANTED_QOS_1, Reason.NOT_AUTHORIZED])))
    assert isinstance(suback, mqtt5.SubAckPacket)
    assert (suback.packet_id, list(suback.reason_codes)) == (4, [1, 0x87])
    unsuback, _ = mqtt5.read(memoryview(codec.encode_unsuback(4, [Reason.NO_SUBSCRIPTION_EXISTED])))
    assert isinstance(unsuback, mqtt5.UnsubAckPacket)
    assert list(unsuback.reason_codes) == [0x11]
    puback, _ = mqtt5.read(memoryview(codec.encode_puback(5, Reason.NOT_AUTHORIZED, "no")))
    assert isinstance(puback, mqtt5.PubAckPacket)
    assert (puback.packet_id, puback.reason_code) == (5, 0x87)
    assert codec.encode_puback(5, Reason.SUCCESS, None) == b"\x40\x02\x00\x05"
    disconnect, _ = mqtt5.read(memoryview(codec.encode_disconnect(Reason.SESSION_TAKEN_OVER, "another")))
    assert isinstance(disconnect, mqtt5.DisconnectPacket)
    assert disconnect.reason_code == 0x8E


def test_answers_of_311() -> None:
    codec = Codec311()
    assert codec.encode_connack(Connack(session_present=True)) == b"\x20\x02\x01\x00"
    assert codec.encode_connack(Connack(reason=Reason.NOT_AUTHORIZED, session_present=True)) == b"\x20\x02\x00\x05"
    assert codec.encode_connack(Connack(reason=Reason.CLIENT_ID_NOT_VALID)) == b"\x20\x02\x00\x02"
    assert codec.encode_connack(Connack(reason=Reason.QUOTA_EXCEEDED)) == b"\x20\x02\x00\x03"
    assert codec.encode_suback(2, [Reason.SUCCESS, Reason.GRANTED_QOS_1, Reason.QUOTA_EXCEEDED]) == (
        b"\x90\x05\x00\x02\x00\x01\x80"
    )
    assert codec.encode_unsuback(2, [Reason.SUCCESS]) == b"\xb0\x02\x00\x02"
    assert codec.encode_disconnect(Reason.QUOTA_EXCEEDED, "no") == b""


@given(st.integers(0, 268_435_455))
def test_lengths_are_minimal_and_read_back(length: int) -> None:
    encoded = encode_length(length)
    assert len(encoded) == (1 if length < 128 else 2 if length < 16384 else 3 if length < 2097152 else 4)
    assert body_bounds(b"\x30" + encoded, 0, 1 << 29) == (1 + len(encoded), 1 + len(encoded) + length)
