"""What the gateway refuses, at the upgrade and after it, and how it says so in each version; and lifecycle events."""

import json

import mqtt5
import pytest

from chatops.local.authorizer import Refused
from chatops.local.broker import Message
from chatops.local.limits import Limits
from tests.local.gateway_harness import (
    Policy,
    document,
    http,
    publish,
    run,
    serving,
    until,
    upgrade,
)

SUBSCRIBE_311 = b"\x82\x06\x00\x01\x00\x01%c\x01"


def test_a_refused_upgrade_says_which_check_failed() -> None:
    async def main() -> None:
        policy = Policy(refuse_with=Refused(403, "InvalidSignatureException", "the signature does not match"))
        async with serving(policy=policy) as served:
            status, headers, body = await http(served.gateway.port, upgrade("/mqtt?X-Amz-Signature=bad"))
            assert status == 403
            assert headers["content-type"] == "application/json"
            assert json.loads(body) == {
                "code": "InvalidSignatureException",
                "message": "the signature does not match",
            }
            assert policy.asked == ["/mqtt?X-Amz-Signature=bad"]
            assert served.broker.statistics().connects_failed == 1

    run(main())


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (upgrade("/"), 404),
        (upgrade("/mqtt/"), 404),
        (upgrade("/MQTT"), 404),
        (upgrade("http://127.0.0.1/mqtt"), 404),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /mqtt HTTP/1.1\r\nHost: x\r\n\r\n", 426),
        (b"POST /mqtt HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx", 400),
        (b"GET /mqtt HTTP/9.9\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00garbage\r\n\r\n", 400),
        (b"GET /mqtt HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (upgrade("/mqtt\xff"), 404),
        (upgrade(Sec_WebSocket_Protocol=""), 400),
        (upgrade(Sec_WebSocket_Protocol="chat"), 400),
        (upgrade(Sec_WebSocket_Key="short"), 400),
        (upgrade(Sec_WebSocket_Version="99"), 400),
        (upgrade(Connection="close"), 400),
    ],
)
def test_other_requests_are_answered_cleanly(request_bytes: bytes, status: int) -> None:
    async def main() -> None:
        async with serving() as served:
            answered, _, body = await http(served.gateway.port, request_bytes)
            assert answered == status
            assert b"Traceback" not in body
            assert served.broker.connection_count == 0

    run(main())


def test_the_upgrade_negotiates_mqtt_as_browsers_ask_for_it() -> None:
    async def main() -> None:
        async with serving() as served:
            request = upgrade("/mqtt?a=b", Connection="keep-alive, Upgrade", Sec_WebSocket_Protocol="foo, mqtt")
            request += b"\x88\x80\x00\x00\x00\x00"
            status, headers, _ = await http(served.gateway.port, request)
            assert status == 101
            assert headers["sec-websocket-protocol"] == "mqtt"

    run(main())


def test_only_loopback() -> None:
    async def main() -> None:
        async with serving() as served:
            with pytest.raises(ValueError, match="loopback"):
                await served.gateway.start(host="0.0.0.0")  # noqa: S104  (that it is refused is the point)

    run(main())


def test_connect_denied() -> None:
    async def main() -> None:
        policy = Policy(connect=lambda client_id: client_id == "me", persistent=False, will=False)
        async with serving(policy=policy) as served:
            for client_id, options in (
                ("you", {}),
                ("me", {"session_expiry_interval": 1}),
                ("me", {"will": mqtt5.Will("t")}),
            ):
                client, connack = await served.connect_and_answer(client_id, **options)
                assert connack.reason_code == 0x87
                assert connack.reason_str
                await client.gone()
            client, connack = await served.connect_and_answer("you", request_problem_info=False)
            assert connack.reason_str is None
            old = await served.raw(version=4)
            assert await old.ask(b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03you") == b"\x20\x02\x00\x05"
            await old.gone()
            persistent = await served.raw(version=4)
            assert await persistent.ask(b"\x10\x0e\x00\x04MQTT\x04\x00\x00\x3c\x00\x02me") == b"\x20\x02\x00\x05"
            await served.connect("me")
            assert served.broker.statistics().denied == 6

    run(main())


def test_a_will_needs_its_topic() -> None:
    async def main() -> None:
        async with serving(policy=Policy(publish=lambda topic: topic == "mine", retain=False)) as served:
            for will, reason in (
                (mqtt5.Will("mine"), 0),
                (mqtt5.Will("yours"), 0x87),
                (mqtt5.Will("mine", retain=True), 0x87),
                (mqtt5.Will("mine", qos=mqtt5.QoS.EXACTLY_ONCE), 0x9B),
            ):
                _, connack = await served.connect_and_answer("me", will=will)
                assert connack.reason_code == reason

    run(main())


def test_publish_denied_in_mqtt5() -> None:
    async def main() -> None:
        async with serving(policy=Policy(publish=lambda topic: topic == "ok", retain=False)) as served:
            client = await served.connect("c")
            await served.subscribe(client, "#")
            for packet in (publish("$aws/things/x", packet_id=1), publish("ok", packet_id=1, retain=True)):
                answer = await client.ask(packet)
                assert isinstance(answer, mqtt5.PubAckPacket)
                assert answer.reason_code == 0x87
            await client.quiet()
            answer = await client.ask(publish("no"))
            assert isinstance(answer, mqtt5.DisconnectPacket)
            assert answer.reason_code == 0x87
            await client.gone()
            info = served.broker.connection("c")
            assert info is not None
            assert info.disconnect_reason == "AUTH_ERROR"

    run(main())


@pytest.mark.parametrize("packet", [b"\x32\x06\x00\x02no\x00\x01", b"\x30\x04\x00\x02no", SUBSCRIBE_311 % b"n"])
def test_denied_in_311_hangs_up(packet: bytes) -> None:
    async def main() -> None:
        async with serving(policy=Policy(publish=lambda _: False, subscribe=lambda _: False)) as served:
            client = await served.connect_311("c")
            client.send(packet)
            await client.gone()
            assert client.waiting == 0

    run(main())


def test_nobody_forges_lifecycle_events() -> None:
    async def main() -> None:
        async with serving() as served:
            client = await served.connect("c")
            answer = await client.ask(publish("$aws/events/presence/connected/x", packet_id=1))
            assert answer.reason_code == 0x87

    run(main())


def test_subscribe_denied_in_mqtt5() -> None:
    async def main() -> None:
        async with serving(policy=Policy(subscribe=lambda text: text.startswith("ok"))) as served:
            client = await served.connect("c")
            assert await served.subscribe(client, "ok/#", "no", "$share/ok/x", qos=1) == [1, 0x87, 0x87]
            suback = await client.ask(b"\x82\x09\x00\x01\x00\x00\x03ok#\x01")
            assert list(suback.reason_codes) == [0x8F]
            assert served.broker.subscriptions("c") == [("ok/#", 1)]

    run(main())


def test_receive_is_judged_at_delivery_and_again_when_the_policy_changes() -> None:
    async def main() -> None:
        policy = Policy(receive=lambda topic: topic == "a")
        async with serving(policy=policy) as served:
            client = await served.connect("c")
            await served.subscribe(client, "#")
            for topic in ("a", "b", "a", "b"):
                served.broker.publish(Message(topic, topic.encode(), 0))
            assert [(await client.packet()).topic for _ in range(2)] == ["a", "a"]
            assert policy.asked.count("a") == policy.asked.count("b") == 1
            policy.receive = lambda topic: topic == "b"
            policy.generation += 1
            for topic in ("a", "b"):
                served.broker.publish(Message(topic, b"", 0))
            assert (await client.packet()).topic == "b"
            await client.quiet()
            assert served.broker.statistics().denied == 3

    run(main())


def test_publish_is_judged_again_when_the_policy_changes() -> None:
    async def main() -> None:
        policy = Policy()
        async with serving(policy=policy) as served:
            client = await served.connect("c")
            assert (await client.ask(publish("t", packet_id=1))).reason_code == 0
            policy.publish = lambda _: False
            policy.generation += 1
            assert (await client.ask(publish("t", packet_id=2))).reason_code == 0x87

    run(main())


def test_retained_messages_need_the_permission_to_receive() -> None:
    async def main() -> None:
        async with serving(policy=Policy(receive=lambda _: False)) as served:
            served.broker.publish(Message("t", b"kept", 1, retain=True))
            client = await served.connect("c")
            await served.subscribe(client, "t")
            await client.quiet()

    run(main())


def test_lifecycle_events() -> None:
    async def main() -> None:
        policy = Policy(connect=lambda client_id: client_id != "refused")
        async with serving(policy=policy) as served:
            quiet = await served.connect("before")
            quiet.drop()
            await until(lambda: not served.broker.connection_count)
            watcher = await served.connect("watcher")
            await served.subscribe(watcher, "$aws/events/presence/+/+", "$aws/events/subscriptions/+/+")
            assert document(await watcher.packet())["eventType"] == "subscribed"
            client = await served.connect("c")
            connected = await watcher.packet()
            assert connected.topic == "$aws/events/presence/connected/c"
            told = document(connected)
            assert (told["clientId"], told["eventType"], told["ipAddress"]) == ("c", "connected", "127.0.0.1")
            assert told["principalIdentifier"] == "us-east-1:guest"
            assert isinstance(told["timestamp"], int)
            await served.subscribe(client, "a", "b")
            subscribed = document(await watcher.packet())
            assert (subscribed["eventType"], subscribed["topics"]) == ("subscribed", ["a", "b"])
            await client.ask(mqtt5.UnsubscribePacket(1, ["a", "never"]))
            assert document(await watcher.packet())["topics"] == ["a"]
            client.send(mqtt5.DisconnectPacket())
            left = document(await watcher.packet())
            assert (left["eventType"], left["disconnectReason"]) == ("disconnected", "CLIENT_INITIATED_DISCONNECT")
            assert left["clientInitiatedDisconnect"] is True
            assert left["versionNumber"] == told["versionNumber"] == 0
            assert left["sessionIdentifier"] == told["sessionIdentifier"]
            again = await served.connect("c")
            assert document(await watcher.packet())["versionNumber"] == 1
            again.drop()
            assert document(await watcher.packet())["disconnectReason"] == "CONNECTION_LOST"
            await served.connect_and_answer("refused")
            failed = await watcher.packet()
            assert failed.topic == "$aws/events/presence/connect_failed/refused"
            assert document(failed)["connectFailureReason"] == "AUTHORIZATION_FAILED"
            await served.connect("with+plus")
            await watcher.quiet()

    run(main())


def test_quotas_of_subscriptions() -> None:
    async def main() -> None:
        async with serving(Limits.aws_protocol()) as served:
            client = await served.connect("c")
            assert await served.subscribe(client, *[f"{n}" for n in range(9)]) == [0x97] * 9
            for batch in range(6):
                assert await served.subscribe(client, *[f"{batch}/{n}" for n in range(8)]) == [0] * 8
            assert await served.subscribe(client, "x", "y", "z", "0/0") == [0, 0, 0x97, 0]
            assert await served.subscribe(client, "a" * 257, "/" * 8) == [0x8F, 0x8F]
            old = await served.connect_311("old")
            old.send(b"\x82\x26\x00\x01" + b"\x00\x01a\x00" * 9)
            await old.gone()

    run(main())


def test_quotas_of_topics_and_payloads() -> None:
    async def main() -> None:
        async with serving(Limits.aws_protocol()) as served:
            client = await served.connect("c")
            for topic in ("a" * 257, "/" * 8):
                assert (await client.ask(publish(topic, packet_id=1))).reason_code == 0x90
            assert (await client.ask(publish("t", b"x" * 131_072, packet_id=1))).reason_code == 0
            answer = await client.ask(publish("t", b"x" * 131_073, packet_id=1))
            assert (type(answer), answer.reason_code) == (mqtt5.DisconnectPacket, 0x95)
            await client.gone()

    run(main())


@pytest.mark.parametrize("client_id", ["x" * 129, "$me"])
def test_client_ids_that_aws_refuses(client_id: str) -> None:
    async def main() -> None:
        async with serving(Limits.aws_protocol()) as served:
            _, connack = await served.connect_and_answer(client_id)
            assert connack.reason_code == 0x85

    run(main())


def test_one_connect_a_second_for_each_client_id() -> None:
    async def main() -> None:
        async with serving(Limits.aws_protocol()) as served:
            await served.connect("c")
            await served.connect("other")
            _, connack = await served.connect_and_answer("c")
            assert connack.reason_code == 0x9F
            assert served.broker.connection_count == 2

    run(main())


def test_publishes_beyond_the_rate_are_discarded_in_and_out() -> None:
    async def main() -> None:
        async with serving(Limits.aws_protocol()) as served:
            sender, hearer = await served.connect("s"), await served.connect("h")
            await served.subscribe(hearer, "t")
            sender.send(*[publish("t", packet_id=number) for number in range(1, 181)])
            acks = [await sender.packet() for _ in range(100)]
            assert {ack.packet_id for ack in acks} >= set(range(1, 101))
            assert served.broker.statistics().discarded >= 70
            for _ in range(100):
                await hearer.packet()
            for _ in range(50):
                served.broker.publish(Message("t", b"", 0))
            await hearer.quiet() if not hearer.waiting else None
            assert hearer.waiting < 50

    run(main())


def test_more_unacknowledged_publishes_than_the_receive_maximum() -> None:
    async def main() -> None:
        async with serving(Limits.aws_protocol()) as served:
            client = await served.connect("c")
            client.send(*[publish("t", packet_id=number) for number in range(1, 400)])
            while not isinstance(answer := await client.packet(), mqtt5.DisconnectPacket):
                assert answer.reason_code == 0
            assert answer.reason_code == 0x93

    run(main())


def test_the_account_has_quotas_of_its_own() -> None:
    async def main() -> None:
        async with serving(Limits(connects=2, connects_per_client=None)) as served:
            codes = [(await served.connect_and_answer(str(number)))[1].reason_code for number in range(4)]
            assert codes[:2] == [0, 0]
            assert 0x9F in codes[2:]

    run(main())
