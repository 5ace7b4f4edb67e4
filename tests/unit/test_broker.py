"""The broker without sockets: fake links, a fake clock, and every scheduled flush done by hand."""

from collections.abc import Callable
from dataclasses import dataclass, field

import mqtt5
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatops.local.broker import Broker, Message
from chatops.local.broker_values import DisconnectCause, Peer
from chatops.local.credentials import Principal, PrincipalKind
from chatops.local.limits import Limits
from chatops.local.packets import Connect, Reason, SubscriptionRequest, Will
from chatops.local.packets5 import Codec5
from chatops.local.packets311 import Codec311
from chatops.local.sessions import Session
from chatops.local.topics import matches, parse_filter

OPERATOR = Principal(PrincipalKind.OPERATOR, "123456789012")


@dataclass
class World:
    """A broker, its clock and what it has scheduled."""

    limits: Limits = field(default_factory=Limits.none)
    now: float = 1000.0
    generation: int = 0
    denied: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    scheduled: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.broker = Broker(
            self, self.limits, clock=lambda: self.now, wall_clock=lambda: self.now + 1e9, schedule=self.scheduled.append
        )

    def may_receive(self, principal: Principal, topic: str) -> bool:
        self.asked.append(topic)
        return topic not in self.denied

    def authenticate(self, method: str, target: str, headers: object) -> Principal:
        return OPERATOR

    def may_connect(self, principal: Principal, client_id: str, *, persistent: bool, will: bool) -> bool:
        return True

    def may_publish(self, principal: Principal, topic: str, *, retain: bool) -> bool:
        return True

    def may_subscribe(self, principal: Principal, topic_filter: str) -> bool:
        return True

    def flush(self) -> None:
        while self.scheduled:
            self.scheduled.pop(0)()

    def connect(self, client_id: str, **options: object) -> "Client":
        return Client(self, client_id, **options)  # type: ignore[arg-type]


class Client:
    """A connection that keeps what is written to it."""

    def __init__(
        self,
        world: World,
        client_id: str,
        *,
        version: int = 5,
        clean: bool = True,
        expiry_s: int = 0,
        will: Will | None = None,
        window: int = 65535,
        principal: Principal = OPERATOR,
    ) -> None:
        self.world = world
        self.writes: list[bytes] = []
        self.closed: list[tuple[Reason, DisconnectCause]] = []
        self.releases: list[float] = []
        connect = Connect(version, client_id, clean, 60, expiry_s, will, receive_maximum=window)
        self.session: Session
        self.session, self.present = world.broker.open(
            connect,
            client_id,
            link=self,
            codec=Codec5() if version == 5 else Codec311(),
            principal=principal,
            peer=Peer("127.0.0.1", 1),
            expiry_s=expiry_s,
            keep_alive_s=60,
        )
        self.session.resume()

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def release_after(self, delay_s: float) -> None:
        self.releases.append(delay_s)

    def close(self, reason: Reason, cause: DisconnectCause, text: str | None = None) -> None:
        self.closed.append((reason, cause))
        self.lose(cause)

    def lose(self, cause: DisconnectCause = DisconnectCause.CONNECTION_LOST) -> None:
        said_goodbye = cause is DisconnectCause.CLIENT_INITIATED_DISCONNECT
        self.world.broker.end(self.session, self, cause, send_will=not said_goodbye)

    def subscribe(self, text: str, qos: int = 0, **options: object) -> None:
        topic_filter = parse_filter(text, max_bytes=None, max_slashes=None)
        request = SubscriptionRequest(text, qos, **options)  # type: ignore[arg-type]
        self.world.broker.subscribe(self.session, request, topic_filter)

    def take(self) -> list[mqtt5.PublishPacket]:
        """Flush, and read what has come."""
        self.world.flush()
        data, packets = b"".join(self.writes), []
        self.writes.clear()
        while data:
            packet, size = mqtt5.read(memoryview(data))
            data = data[size:]
            assert isinstance(packet, mqtt5.PublishPacket)
            packets.append(packet)
        return packets

    def payloads(self) -> list[bytes]:
        return [packet.payload for packet in self.take()]


def test_messages_of_one_iteration_leave_in_one_write_and_share_their_bytes() -> None:
    world = World()
    one, two = world.connect("one"), world.connect("two")
    one.subscribe("t")
    two.subscribe("t")
    assert world.broker.deliver(Message("t", b"1", 1)) == 2
    assert len(world.scheduled) == 1
    world.flush()
    assert one.writes[0] is two.writes[0]
    one.writes.clear()
    for payload in (b"2", b"3", b"4"):
        world.broker.deliver(Message("t", payload, 0))
    assert len(world.scheduled) == 1
    world.flush()
    assert len(one.writes) == 1
    assert one.payloads() == [b"2", b"3", b"4"]


def test_packet_ids_are_never_reused_while_in_flight() -> None:
    world = World()
    client = world.connect("c")
    client.subscribe("t", 1)
    client.session._last_packet_id = 65533
    for _ in range(4):
        world.broker.deliver(Message("t", b"", 1))
    assert [packet.packet_id for packet in client.take()] == [65534, 65535, 1, 2]
    client.session._last_packet_id = 65533
    world.broker.deliver(Message("t", b"", 1))
    assert client.take()[0].packet_id == 3


def test_an_unknown_or_repeated_puback_is_ignored() -> None:
    world = World()
    client = world.connect("c", window=1)
    client.subscribe("t", 1)
    for payload in (b"1", b"2", b"3"):
        world.broker.deliver(Message("t", payload, 1))
    assert client.payloads() == [b"1"]
    client.session.acknowledge(77)
    assert client.payloads() == []
    client.session.acknowledge(1)
    client.session.acknowledge(1)
    assert client.payloads() == [b"2"]


def test_the_offline_queue_is_bounded_in_number_and_bytes() -> None:
    world = World(Limits(queued_messages=3, queued_bytes=1000))
    for client_id, payload in (("number", b"x"), ("bytes", b"x" * 400)):
        client = world.connect(client_id, expiry_s=60)
        client.subscribe("t", 1)
        client.lose()
        before = world.broker.statistics().dropped
        for _ in range(5):
            world.broker.deliver(Message("t", payload, 1))
        assert world.broker.statistics().dropped == before + (2 if client_id == "number" else 3)
        client = world.connect(client_id, clean=False)
        assert client.present
        assert client.payloads() == [payload] * (3 if client_id == "number" else 2)
        client.lose()


def test_expired_messages_are_not_delivered_late() -> None:
    world = World()
    client = world.connect("c", expiry_s=60)
    client.subscribe("t", 1)
    client.lose()
    world.broker.deliver(Message("t", b"short", 1, expires_at=world.now + 5))
    world.broker.deliver(Message("t", b"long", 1, expires_at=world.now + 50))
    world.now += 10
    client = world.connect("c", clean=False, expiry_s=60)
    (packet,) = client.take()
    assert (packet.payload, packet.message_expiry_interval) == (b"long", 40)
    client.lose()
    world.now += 45
    assert world.connect("c", clean=False).payloads() == []


def test_a_session_that_comes_back_in_another_version_is_spoken_to_in_it() -> None:
    world = World()
    client = world.connect("c", version=4, expiry_s=60)
    client.subscribe("t", 1)
    world.broker.deliver(Message("t", b"unacknowledged", 1, user_properties=(("a", "b"),)))
    world.flush()
    client.lose()
    world.broker.deliver(Message("t", b"queued", 1))
    client = world.connect("c", version=5, clean=False)
    first, second = client.take()
    assert (first.payload, first.duplicate, first.user_properties) == (b"unacknowledged", True, [("a", "b")])
    assert second.payload == b"queued"
    world.broker.deliver(Message("t", b"new", 1))
    assert client.payloads() == [b"new"]


def test_a_session_is_not_handed_to_another_principal() -> None:
    world = World()
    client = world.connect("c", expiry_s=60)
    client.subscribe("t", 1)
    client.lose()
    world.broker.deliver(Message("t", b"secret", 1))
    other = Principal(PrincipalKind.GUEST, "123456789012", "us-east-1", "us-east-1:other")
    thief = world.connect("c", clean=False, principal=other)
    assert not thief.present
    assert thief.payloads() == []
    assert world.broker.subscriptions("c") == []


def test_what_may_not_be_received_any_more_is_not_delivered_after_a_return() -> None:
    world = World()
    client = world.connect("c", expiry_s=60)
    client.subscribe("#", 1)
    client.lose()
    for topic in ("a", "b"):
        world.broker.deliver(Message(topic, topic.encode(), 1))
    world.denied.add("a")
    world.generation += 1
    assert world.connect("c", clean=False).payloads() == [b"b"]


def test_the_policy_is_asked_once_for_each_topic_and_generation() -> None:
    world = World()
    asked = world.asked
    client = world.connect("c")
    client.subscribe("#")
    for _ in range(3):
        world.broker.deliver(Message("t", b"", 0))
        client.subscribe("other/#")
    assert asked == ["t"]
    world.generation += 1
    world.broker.deliver(Message("t", b"", 0))
    assert asked == ["t", "t"]
    for number in range(1000):
        world.broker.deliver(Message(str(number), b"", 0))
    assert len(client.session.receives) <= 256


def test_sessions_end_when_their_time_is_over() -> None:
    world = World()
    for client_id, expiry in (("short", 10), ("long", 100), ("none", 0)):
        client = world.connect(client_id, expiry_s=expiry)
        client.subscribe("t", 1)
        client.lose()
    assert world.broker.session_count == 2
    world.now += 11
    world.broker.tick()
    assert world.broker.subscriptions("short") is None
    assert world.broker.subscriptions("long") == [("t", 1)]
    back = world.connect("long", clean=False, expiry_s=100)
    world.now += 200
    world.broker.tick()
    assert world.broker.session_count == 1
    back.lose()
    world.now += 101
    world.broker.tick()
    assert world.broker.session_count == world.broker.statistics().subscriptions == 0


def test_coming_and_going_leaves_no_deadlines_behind() -> None:
    world = World()
    for _ in range(5000):
        world.connect("c", clean=False, expiry_s=604_800).lose()
        world.now += 1
    assert len(world.broker._deadlines) < 2000


WILL = Will(Message("last", b"gone", 1))


@pytest.mark.parametrize(
    ("cause", "published"),
    [(cause, cause is not DisconnectCause.CLIENT_INITIATED_DISCONNECT) for cause in DisconnectCause],
)
def test_which_ends_send_the_will(cause: DisconnectCause, *, published: bool) -> None:
    world = World()
    watcher = world.connect("watcher")
    watcher.subscribe("last")
    world.connect("c", will=WILL).lose(cause)
    assert watcher.payloads() == ([b"gone"] if published else [])


def test_a_delayed_will() -> None:
    world = World()
    watcher = world.connect("watcher")
    watcher.subscribe("last")
    delayed = Will(WILL.message, delay_s=30, expiry_s=5)
    world.connect("c", will=delayed, expiry_s=100).lose()
    world.now += 29
    world.broker.tick()
    assert watcher.payloads() == []
    world.now += 2
    world.broker.tick()
    (packet,) = watcher.take()
    assert packet.message_expiry_interval == 5
    world.connect("c", will=delayed, expiry_s=100).lose()
    world.connect("c", clean=False, expiry_s=100)
    world.now += 100
    world.broker.tick()
    assert watcher.payloads() == []
    world.connect("short", will=delayed, expiry_s=3).lose()
    world.now += 4
    world.broker.tick()
    assert watcher.payloads() == [b"gone"]
    world.connect("d", will=delayed, expiry_s=100).lose()
    world.connect("d", clean=True)
    assert watcher.payloads() == [b"gone"]


def test_a_retained_will_is_kept() -> None:
    world = World()
    world.connect("c", will=Will(Message("last", b"gone", 1, retain=True))).lose()
    kept = world.broker.retained_message("last")
    assert kept is not None
    assert (kept.message.payload, kept.modified_at) == (b"gone", world.now + 1e9)


def test_retained_messages_expire_and_are_bounded() -> None:
    world = World(Limits(retained_messages=2))
    world.broker.publish(Message("a", b"1", 1, retain=True, expires_at=world.now + 10))
    world.broker.publish(Message("b", b"2", 1, retain=True))
    assert not world.broker.retain(Message("c", b"3", 1, retain=True))
    assert world.broker.retain(Message("b", b"22", 1, retain=True))
    assert [(topic, size) for topic, size, _, _ in world.broker.retained()] == [("a", 1), ("b", 2)]
    world.now += 11
    assert world.broker.retained_message("a") is None
    assert world.broker.retain(Message("c", b"3", 1, retain=True))


def test_a_held_session_waits_within_bounds_and_goes_on() -> None:
    world = World(Limits(outgoing_bytes=1000, publishes_per_connection=None, bytes_per_connection=None))
    client = world.connect("c")
    client.subscribe("t")
    client.session.slow_down()
    for number in range(30):
        world.broker.deliver(Message("t", b"%02d" % number * 50, 0))
    assert client.take() == []
    assert world.broker.statistics().dropped == 21
    client.session.speed_up()
    assert [payload[:2] for payload in client.payloads()] == [b"%02d" % number for number in range(9)]
    client.session.slow_down()
    for _ in range(2000):
        client.session.control(b"\xd0\x00")
    assert client.closed == [(Reason.QUOTA_EXCEEDED, DisconnectCause.THROTTLED)]


def test_a_held_session_keeps_qos_1_in_its_queue() -> None:
    world = World(Limits(outgoing_bytes=1000, publishes_per_connection=None, bytes_per_connection=None))
    client = world.connect("c")
    client.subscribe("t", 1)
    client.session.slow_down()
    for number in range(30):
        world.broker.deliver(Message("t", b"%02d" % number * 50, 1))
    client.session.speed_up()
    assert [payload[:2] for payload in client.payloads()] == [b"%02d" % number for number in range(30)]


def test_throughput_is_paid_off_over_time() -> None:
    world = World(Limits(bytes_per_connection=1000, publishes_per_connection=None))
    client = world.connect("c")
    client.subscribe("t")
    world.broker.deliver(Message("t", b"x" * 1500, 0))
    assert len(client.payloads()) == 1
    assert client.releases == [pytest.approx(0.507)]
    world.broker.deliver(Message("t", b"y", 0))
    assert client.take() == []
    world.now += 1
    client.session.release()
    assert client.payloads() == [b"y"]


def test_rates_count_in_and_out_and_refill() -> None:
    world = World(Limits(publishes_per_connection=10, bytes_per_connection=None))
    client = world.connect("c")
    client.subscribe("t")
    assert sum(world.broker.deliver(Message("t", b"", 0)) for _ in range(15)) == 10
    assert world.broker.statistics().discarded == 5
    world.now += 0.5
    assert sum(world.broker.deliver(Message("t", b"", 0)) for _ in range(15)) == 5


def test_the_account_rate_counts_all_deliveries() -> None:
    world = World(Limits(publishes_out=7))
    for name in ("a", "b"):
        world.connect(name).subscribe("t")
    assert sum(world.broker.deliver(Message("t", b"", 0)) for _ in range(5)) == 7


def test_an_end_of_an_older_link_changes_nothing() -> None:
    world = World()
    older = world.connect("c")
    newer = world.connect("c")
    assert older.closed == [(Reason.SESSION_TAKEN_OVER, DisconnectCause.DUPLICATE_CLIENTID)]
    older.lose()
    assert world.broker.connection_count == 1
    assert newer.session.link is newer


filters = st.sampled_from(["a", "b", "a/b", "a/+", "+", "#", "a/#", "+/b", "$share/g/a", "$share/g/a/#", "$share/h/#"])


@given(
    st.lists(st.tuples(st.integers(0, 3), filters, st.integers(0, 1), st.booleans()), max_size=15),
    st.sampled_from(["a", "b", "a/b", "c", "$a"]),
    st.integers(0, 1),
)
def test_deliveries_follow_subscriptions(actions: list[tuple[int, str, int, bool]], topic: str, qos: int) -> None:
    world = World()
    clients = [world.connect(str(number)) for number in range(4)]
    held: list[dict[str, int]] = [{} for _ in clients]
    for number, text, granted, removes in actions:
        world.broker.deliver(Message(topic, b"earlier", 0))
        if removes:
            assert world.broker.unsubscribe(clients[number].session, text) is (text in held[number])
            held[number].pop(text, None)
        else:
            clients[number].subscribe(text, granted)
            held[number][text] = granted
    for client in clients:
        client.take()
    receivers = world.broker.deliver(Message(topic, b"now", qos))
    groups: set[str] = set()
    total = 0
    for client, subscriptions in zip(clients, held, strict=True):
        got = client.take()
        total += len(got)
        own = [level for text, level in subscriptions.items() if text[0] != "$" and matches(text, topic)]
        if own:
            assert max(int(packet.qos) for packet in got) >= min(qos, max(own))
            assert len(got) >= 1
        groups |= {
            text for text in subscriptions if text.startswith("$share/") and matches(text.split("/", 2)[2], topic)
        }
    expected = sum(any(t[0] != "$" and matches(t, topic) for t in subscriptions) for subscriptions in held)
    assert total == receivers == expected + len(groups)
