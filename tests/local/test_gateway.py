"""MQTT 5 through the gateway: sessions, subscriptions, deliveries, on real sockets."""

import asyncio
import time

import mqtt5
import pytest

from chatops.local.broker import Message
from chatops.local.limits import Limits
from tests.local.gateway_harness import Policy, publish, run, serving, until


def test_a_message_reaches_every_subscriber_and_its_sender() -> None:
    async def main() -> None:
        async with serving() as served:
            one, two = await served.connect("one"), await served.connect("two")
            assert await served.subscribe(one, "/chat/lobby") == [0]
            assert await served.subscribe(two, "/chat/+", qos=1) == [1]
            one.send(publish("/chat/lobby", b"hi", packet_id=7))
            packets = [await one.packet(), await one.packet()]
            ack = next(p for p in packets if isinstance(p, mqtt5.PubAckPacket))
            heard = next(p for p in packets if isinstance(p, mqtt5.PublishPacket))
            assert (ack.packet_id, ack.reason_code) == (7, 0)
            assert (heard.topic, heard.payload, heard.qos) == ("/chat/lobby", b"hi", 0)
            got = await two.packet()
            assert (got.topic, got.payload, got.qos, got.retain) == ("/chat/lobby", b"hi", 1, False)
            assert got.packet_id
            statistics = served.broker.statistics()
            assert (statistics.messages_in, statistics.messages_out, statistics.connections) == (1, 2, 2)

    run(main())


def test_the_connack_says_what_aws_says() -> None:
    async def main() -> None:
        async with serving(Limits.aws_protocol()) as served:
            _, connack = await served.connect_and_answer("c", keep_alive=5)
            assert (connack.receive_max, connack.max_qos, connack.topic_alias_max) == (100, 1, 8)
            assert connack.max_packet_size == 149_504
            assert connack.server_keep_alive == 30
            assert connack.wildcard_subscription_available
            assert connack.shared_subscription_available
            assert not connack.subscription_id_available
            _, connack = await served.connect_and_answer("d", keep_alive=60_000)
            assert connack.server_keep_alive == 1200

    run(main())


def test_a_client_without_an_id_gets_one() -> None:
    async def main() -> None:
        async with serving() as served:
            _, connack = await served.connect_and_answer("")
            assert connack.assigned_client_id
            assert served.broker.connection(connack.assigned_client_id) is not None

    run(main())


def test_properties_travel_and_the_expiry_shrinks() -> None:
    async def main() -> None:
        async with serving() as served:
            client = await served.connect("c")
            await served.subscribe(client, "t")
            sent = publish(
                "t",
                content_type="text/plain",
                response_topic="answers",
                correlation_data=b"\x00\xff",
                payload_format_indicator=1,
                message_expiry_interval=60,
                user_properties=[("a", "1"), ("a", "2")],
            )
            got = await client.ask(sent)
            assert (got.content_type, got.response_topic, got.correlation_data) == (
                "text/plain",
                "answers",
                b"\x00\xff",
            )
            assert got.payload_format_indicator == 1
            assert 59 <= got.message_expiry_interval <= 60
            assert got.user_properties == [("a", "1"), ("a", "2")]

    run(main())


def test_topic_aliases() -> None:
    async def main() -> None:
        async with serving() as served:
            client = await served.connect("c")
            await served.subscribe(client, "#")
            client.send(publish("first", topic_alias=1), publish("", topic_alias=1), publish("second", topic_alias=1))
            client.send(publish("", b"last", topic_alias=1))
            assert [(await client.packet()).topic for _ in range(4)] == ["first", "first", "second", "second"]

    run(main())


@pytest.mark.parametrize("alias", [9, 8])
def test_an_alias_beyond_the_maximum_or_unknown_ends_the_connection(alias: int) -> None:
    async def main() -> None:
        async with serving(Limits.aws_protocol()) as served:
            client = await served.connect("c")
            answer = await client.ask(publish("", topic_alias=alias))
            assert (type(answer), answer.reason_code) == (mqtt5.DisconnectPacket, 0x94)
            await client.gone()

    run(main())


def test_no_local_retain_as_published_and_subscription_ids() -> None:
    async def main() -> None:
        async with serving() as served:
            deaf, marked = await served.connect("deaf"), await served.connect("marked")
            await served.subscribe(deaf, "t", no_local=True)
            suback = await marked.ask(
                mqtt5.SubscribePacket(1, [mqtt5.TopicFilter("t", retain_as_published=True)], subscription_id=42)
            )
            assert isinstance(suback, mqtt5.SubAckPacket)
            deaf.send(publish("t", retain=True))
            await deaf.quiet()
            got = await marked.packet()
            assert got.retain
            assert got.subscription_ids == [42]
            marked.send(publish("t", retain=False))
            assert not (await marked.packet()).retain
            assert (await deaf.packet()).payload == b"hello"

    run(main())


def test_retained_messages_come_to_exact_filters_only() -> None:
    async def main() -> None:
        async with serving() as served:
            client = await served.connect("c")
            await client.ask(publish("room", b"kept", packet_id=1, retain=True))
            assert await served.subscribe(client, "#", "+") == [0, 0]
            await client.quiet()
            assert await served.subscribe(client, "room", qos=1) == [1]
            got = await client.packet()
            assert (got.payload, got.retain, got.qos) == (b"kept", True, 1)
            assert await served.subscribe(client, "room", retain_handling=mqtt5.RetainHandling(1)) == [0]
            assert await served.subscribe(client, "room", retain_handling=mqtt5.RetainHandling(2)) == [0]
            await client.quiet()
            assert served.broker.retained()[0][:3] == ("room", 4, 1)
            client.send(publish("room", b"", retain=True))
            await client.packet()
            assert served.broker.retained() == []
            await served.subscribe(client, "room")
            await client.quiet()

    run(main())


def test_overlapping_subscriptions_deliver_once_at_the_higher_qos() -> None:
    async def main() -> None:
        async with serving() as served:
            client = await served.connect("c")
            await served.subscribe(client, "a/#")
            await served.subscribe(client, "a/b", qos=1)
            packets = [await client.ask(publish("a/b", packet_id=1)), await client.packet()]
            assert [p.qos for p in packets if isinstance(p, mqtt5.PublishPacket)] == [1]
            await client.quiet()

    run(main())


def test_a_shared_subscription_gives_each_message_to_one() -> None:
    async def main() -> None:
        async with serving() as served:
            members = [await served.connect(f"m{number}") for number in range(3)]
            for member in members:
                await served.subscribe(member, "$share/group/jobs/+")
            watcher = await served.connect("watcher")
            await served.subscribe(watcher, "jobs/#")
            for number in range(60):
                watcher.send(publish(f"jobs/{number}"))
            for _ in range(60):
                await watcher.packet()
            await until(lambda: sum(member.waiting for member in members) >= 60)
            for member in members:
                await member.quiet() if not member.waiting else None
            assert sum(member.waiting for member in members) == 60
            assert sum(member.waiting > 0 for member in members) > 1

    run(main())


def test_reserved_topics_stay_apart_from_wildcards() -> None:
    async def main() -> None:
        async with serving() as served:
            client = await served.connect("c")
            await served.subscribe(client, "#", "+/x")
            served.broker.publish(Message("$aws/x", b"", 0))
            await client.quiet()
            await served.subscribe(client, "$aws/+")
            served.broker.publish(Message("$aws/x", b"now", 0))
            assert (await client.packet()).payload == b"now"

    run(main())


def test_unsubscribe() -> None:
    async def main() -> None:
        async with serving() as served:
            client = await served.connect("c")
            await served.subscribe(client, "t")
            answer = await client.ask(mqtt5.UnsubscribePacket(2, ["t", "never"]))
            assert list(answer.reason_codes) == [0, 0x11]
            client.send(publish("t"))
            await client.quiet()
            assert served.broker.subscriptions("c") == []

    run(main())


def test_a_newer_connection_takes_the_client_id_over() -> None:
    async def main() -> None:
        async with serving() as served:
            older = await served.connect("same")
            newer = await served.connect("same")
            farewell = await older.packet()
            assert (type(farewell), farewell.reason_code) == (mqtt5.DisconnectPacket, 0x8E)
            await older.gone()
            await newer.quiet()
            assert served.broker.connection_count == 1

    run(main())


def test_a_persistent_session_gets_what_it_missed_and_redeliveries_are_marked() -> None:
    async def main() -> None:
        async with serving() as served:
            client, connack = await served.connect_and_answer("p", session_expiry_interval=60)
            assert not connack.session_present
            await served.subscribe(client, "t", qos=1)
            served.broker.publish(Message("t", b"unacknowledged", 1))
            first = await client.packet()
            assert not first.duplicate
            client.drop()
            await until(lambda: not served.broker.connection_count)
            served.broker.publish(Message("t", b"missed", 1))
            served.broker.publish(Message("t", b"not kept", 0))
            served.broker.publish(Message("t", b"expired", 1, expires_at=time.monotonic() - 1))
            client, connack = await served.connect_and_answer("p", session_expiry_interval=60, clean_start=False)
            assert connack.session_present
            again, missed = await client.packet(), await client.packet()
            assert (again.payload, again.duplicate, again.packet_id) == (b"unacknowledged", True, first.packet_id)
            assert (missed.payload, missed.duplicate) == (b"missed", False)
            client.send(mqtt5.PubAckPacket(again.packet_id), mqtt5.PubAckPacket(missed.packet_id))
            await client.quiet()
            client.drop()
            await until(lambda: not served.broker.connection_count)
            client, connack = await served.connect_and_answer("p", clean_start=False)
            assert connack.session_present
            await client.quiet()
            client.drop()
            await until(lambda: not served.broker.session_count)
            _, connack = await served.connect_and_answer("p", clean_start=False)
            assert not connack.session_present

    run(main())


def test_a_clean_start_forgets_the_session() -> None:
    async def main() -> None:
        async with serving() as served:
            client = await served.connect("p", session_expiry_interval=60)
            await served.subscribe(client, "t", qos=1)
            client.send(mqtt5.DisconnectPacket())
            await client.gone()
            assert served.broker.session_count == 1
            client, connack = await served.connect_and_answer("p", clean_start=True)
            assert not connack.session_present
            assert served.broker.subscriptions("p") == []

    run(main())


def test_a_session_may_be_given_up_when_leaving() -> None:
    async def main() -> None:
        async with serving() as served:
            client = await served.connect("p", session_expiry_interval=60)
            client.send(mqtt5.DisconnectPacket(session_expiry_interval=0))
            await until(lambda: not served.broker.session_count)
            client = await served.connect("q")
            answer = await client.ask(mqtt5.DisconnectPacket(session_expiry_interval=60))
            assert answer.reason_code == 0x82

    run(main())


def test_the_receive_maximum_holds_deliveries_back() -> None:
    async def main() -> None:
        async with serving() as served:
            client = await served.connect("c", receive_max=2)
            await served.subscribe(client, "t", qos=1)
            for number in range(5):
                served.broker.publish(Message("t", b"%d" % number, 1))
            first, second = await client.packet(), await client.packet()
            await client.quiet()
            third = await client.ask(mqtt5.PubAckPacket(second.packet_id))
            await client.quiet()
            assert [first.payload, second.payload, third.payload] == [b"0", b"1", b"2"]
            client.send(mqtt5.PubAckPacket(first.packet_id), mqtt5.PubAckPacket(third.packet_id))
            assert [(await client.packet()).payload for _ in range(2)] == [b"3", b"4"]

    run(main())


def test_packets_larger_than_the_client_takes_are_not_sent() -> None:
    async def main() -> None:
        async with serving() as served:
            client = await served.connect("c", max_packet_size=40)
            await served.subscribe(client, "t", qos=1)
            for qos in (0, 1):
                served.broker.publish(Message("t", b"x" * 100, qos))
                served.broker.publish(Message("t", b"small", qos))
            assert [(await client.packet()).payload for _ in range(2)] == [b"small", b"small"]
            assert served.broker.statistics().dropped == 2

    run(main())


def will(topic: str = "last", **options: object) -> mqtt5.Will:
    return mqtt5.Will(topic, payload=b"gone", qos=mqtt5.QoS.AT_LEAST_ONCE, **options)  # type: ignore[arg-type]


def test_a_will_is_published_when_the_connection_is_lost_and_not_after_a_goodbye() -> None:
    async def main() -> None:
        async with serving() as served:
            watcher = await served.connect("watcher")
            await served.subscribe(watcher, "last")
            polite = await served.connect("polite", will=will())
            polite.send(mqtt5.DisconnectPacket())
            await polite.gone()
            await watcher.quiet()
            dropped = await served.connect("dropped", will=will())
            dropped.drop()
            assert (await watcher.packet()).payload == b"gone"
            asking = await served.connect("asking", will=will())
            asking.send(mqtt5.DisconnectPacket(reason_code=mqtt5.DisconnectReasonCode(4)))
            assert (await watcher.packet()).payload == b"gone"
            replaced = await served.connect("replaced", will=will())
            await served.connect("replaced")
            await replaced.gone()
            assert (await watcher.packet()).payload == b"gone"
            await watcher.quiet()

    run(main())


def test_a_delayed_will_waits_and_is_called_off_by_a_return() -> None:
    async def main() -> None:
        async with serving() as served:
            watcher = await served.connect("watcher")
            await served.subscribe(watcher, "last")
            soon = will(will_delay_interval=1)
            for returns in (True, False):
                client = await served.connect("c", will=soon, session_expiry_interval=60)
                client.drop()
                await until(lambda: served.broker.connection_count == 1)
                await watcher.quiet()
                if returns:
                    client = await served.connect("c", clean_start=False, session_expiry_interval=60)
                    await asyncio.sleep(1.6)
                    await watcher.quiet()
                    client.drop()
                    await until(lambda: served.broker.connection_count == 1)
            assert (await watcher.packet()).payload == b"gone"

    run(main())


def test_connection_information() -> None:
    async def main() -> None:
        async with serving() as served:
            assert served.broker.connection("c") is None
            before = time.time()
            client = await served.connect("c", keep_alive=77)
            await served.subscribe(client, "a", "b/#", qos=1)
            info = served.broker.connection("c")
            assert info is not None
            assert info.connected
            assert (info.client_id, info.keep_alive_s, info.clean_session) == ("c", 77, True)
            assert (info.source_ip, info.target_port) == ("127.0.0.1", served.gateway.port)
            assert before - 1 <= info.connected_since <= time.time() + 1
            assert served.broker.subscriptions("c") == [("a", 1), ("b/#", 1)]
            client.send(mqtt5.DisconnectPacket())
            await client.gone()
            info = served.broker.connection("c")
            assert info is not None
            assert not info.connected
            assert info.disconnect_reason == "CLIENT_INITIATED_DISCONNECT"
            assert served.broker.subscriptions("c") is None

    run(main())


def test_disconnecting_a_client_through_the_api() -> None:
    async def main() -> None:
        async with serving() as served:
            watcher = await served.connect("watcher")
            await served.subscribe(watcher, "last")
            for prevent in (True, False):
                client = await served.connect("c", will=will(), session_expiry_interval=60)
                assert served.broker.disconnect_client("c", clean_session=True, prevent_will=prevent)
                assert (await client.packet()).reason_code == 0x98
                await client.gone()
                assert served.broker.subscriptions("c") is None
            assert (await watcher.packet()).payload == b"gone"
            await watcher.quiet()
            assert not served.broker.disconnect_client("c")

    run(main())


def test_direct_messages_need_no_subscription_but_the_permission() -> None:
    async def main() -> None:
        async with serving(policy=Policy(receive=lambda topic: topic == "allowed")) as served:
            client = await served.connect("c")
            assert served.broker.send_direct("c", Message("allowed", b"psst", 1))
            assert not served.broker.send_direct("c", Message("other", b"psst", 1))
            assert not served.broker.send_direct("nobody", Message("allowed", b"psst", 1))
            got = await client.packet()
            assert (got.topic, got.payload, got.qos) == ("allowed", b"psst", 1)
            await client.quiet()

    run(main())


def test_stopping_says_goodbye() -> None:
    async def main() -> None:
        async with serving() as served:
            client = await served.connect("c")
            await served.gateway.stop()
            assert (await client.packet()).reason_code == 0x8B
            await client.gone()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", served.gateway.port)

    run(main())
