"""What a connected client asks for: publish, subscribe, unsubscribe, leave; and how it is told no.

A denied operation is answered as AWS IoT Core answers it: MQTT 5 has reason codes for it, MQTT 3.1.1 is hung up on.
"""

from dataclasses import replace

from chatops.local.broker_values import DisconnectCause, Link
from chatops.local.gateway_services import RefusedError, Services
from chatops.local.packets import (
    CONNECT,
    PINGRESP_BYTES,
    PROTOCOL_5,
    Codec,
    Message,
    PacketError,
    Publish,
    Reason,
    SubscriptionRequest,
)
from chatops.local.sessions import Session
from chatops.local.throttles import Throttled
from chatops.local.topics import Filter, parse_filter

FIRST_PUBACK = 0x40

_FIRST_PUBLISH = range(0x30, 0x40)
_FIRST_SUBSCRIBE = 0x82
_FIRST_UNSUBSCRIBE = 0xA2
_FIRST_PINGREQ = 0xC0
_FIRST_DISCONNECT = 0xE0

_REMEMBERED_TOPICS = 256


class Requests:
    """Answers one connection's packets after its CONNECT.

    Args:
        services: what connections share.
        session: the client's session.
        link: its connection.
        explains: whether the client wants reasons in words.
    """

    def __init__(self, services: Services, session: Session, link: Link, *, explains: bool) -> None:
        self._services = services
        self._broker = services.broker
        self._limits = services.limits
        self._session = session
        self._codec: Codec = session.codec
        self._link = link
        self._explains = explains
        self._aliases: dict[int, str] = {}
        self._unacknowledged: set[int] = set()
        self._verdicts: dict[tuple[str, bool], Reason] = {}
        self._verdicts_generation = -1

    def handle(self, first: int, data: bytes, start: int, stop: int) -> None:
        """Answer a packet; `first` is its first byte, `data[start:stop]` its body.

        Raises:
            PacketError: it is malformed, or may not come now.
            RefusedError: it is refused in a way that ends the connection.
        """
        if first in _FIRST_PUBLISH:
            self._publish(first, self._codec.publish(first, data, start, stop, self._services.clock()))
        elif first == FIRST_PUBACK:
            self._session.acknowledge(self._codec.puback(data, start, stop))
        elif first == _FIRST_PINGREQ and start == stop:
            self._session.control(PINGRESP_BYTES)
        elif first == _FIRST_SUBSCRIBE:
            self._subscribe(data, start, stop)
        elif first == _FIRST_UNSUBSCRIBE:
            self._unsubscribe(data, start, stop)
        elif first == _FIRST_DISCONNECT:
            self._disconnect(data, start, stop)
        elif first >> 4 == CONNECT:
            raise PacketError("a second CONNECT on one connection", Reason.PROTOCOL_ERROR)
        else:
            raise PacketError(f"a client does not send packets that begin with 0x{first:02x}")

    def _publish(self, first: int, publish: Publish) -> None:
        session, message, packet_id = self._session, publish.message, publish.packet_id
        if first & 4:
            raise RefusedError("QoS 2 is not supported", Reason.QOS_NOT_SUPPORTED)
        if publish.topic_alias:
            message = self._with_topic(message, publish.topic_alias)
        limits = self._limits
        if limits.payload is not None and len(message.payload) > limits.payload:
            raise RefusedError(f"a payload is larger than {limits.payload} bytes", Reason.PACKET_TOO_LARGE)
        account = self._services.publishes
        if (session.publishes is not None and not session.publishes.allow()) or (
            account is not None and not account.allow()
        ):
            self._discard(packet_id)
            return
        verdict = self._verdict(message.topic, retain=message.retain)
        if verdict != Reason.SUCCESS:
            self._deny_publish(packet_id, verdict)
            return
        broker = self._broker
        if message.retain and not broker.retain(message):
            self._deny_publish(packet_id, Reason.QUOTA_EXCEEDED)
            return
        broker.counters.messages_in += 1
        broker.deliver(message, session)
        if packet_id and session.link is self._link:
            self._unacknowledged.discard(packet_id)
            session.control(b"\x40\x02" + packet_id.to_bytes(2, "big"))

    def _with_topic(self, message: Message, alias: int) -> Message:
        if alias > self._limits.topic_aliases:
            raise PacketError(f"topic alias {alias} is over {self._limits.topic_aliases}", Reason.TOPIC_ALIAS_INVALID)
        if message.topic:
            self._aliases[alias] = message.topic
            return message
        topic = self._aliases.get(alias)
        if topic is None:
            raise PacketError(f"topic alias {alias} stands for nothing yet", Reason.TOPIC_ALIAS_INVALID)
        return replace(message, topic=topic)

    def _discard(self, packet_id: int) -> None:
        """Ignore a PUBLISH beyond the rate. At QoS 1 it stays unacknowledged and counts against the receive maximum."""
        self._broker.counters.discarded += 1
        self._broker.counters.throttles.count(Throttled.PUBLISH_IN)
        if not packet_id:
            return
        most = self._limits.unacknowledged_in
        if most is None or packet_id in self._unacknowledged or len(self._unacknowledged) < most:
            self._unacknowledged.add(packet_id)
        elif self._codec.version == PROTOCOL_5:
            raise RefusedError(
                f"more than {most} publishes are unacknowledged",
                Reason.RECEIVE_MAXIMUM_EXCEEDED,
                DisconnectCause.THROTTLED,
            )

    def _verdict(self, topic: str, *, retain: bool) -> Reason:
        generation = self._services.authorizer.generation
        if generation != self._verdicts_generation or len(self._verdicts) > _REMEMBERED_TOPICS:
            self._verdicts.clear()
            self._verdicts_generation = generation
        verdict = self._verdicts.get((topic, retain))
        if verdict is None:
            if self._services.topic_problem(topic) is not None:
                verdict = Reason.TOPIC_NAME_INVALID
            elif not self._services.may_publish(self._session.principal, topic, retain=retain):
                verdict = Reason.NOT_AUTHORIZED
            else:
                verdict = Reason.SUCCESS
            self._verdicts[topic, retain] = verdict
        return verdict

    def _deny_publish(self, packet_id: int, reason: Reason) -> None:
        self._broker.counters.denied += 1
        if self._codec.version != PROTOCOL_5 or not packet_id:
            raise RefusedError("a PUBLISH was refused", reason, _cause(reason))
        text = "the PUBLISH was refused" if self._explains else None
        self._session.control(self._codec.encode_puback(packet_id, reason, text))

    def _subscribe(self, data: bytes, start: int, stop: int) -> None:
        session, codec = self._session, self._codec
        subscribe = codec.subscribe(data, start, stop)
        if subscribe.subscription_id and not self._limits.subscription_ids:
            raise PacketError("subscription ids are not available", Reason.SUBSCRIPTION_IDS_NOT_SUPPORTED)
        most = self._limits.subscriptions_per_request
        too_many = most is not None and len(subscribe.requests) > most
        reasons: list[Reason] = []
        accepted: dict[str, tuple[SubscriptionRequest, Filter]] = {}
        for request in subscribe.requests:
            judged = Reason.QUOTA_EXCEEDED if too_many else self._judge_filter(request.topic_filter, accepted)
            if isinstance(judged, Filter):
                accepted[judged.text] = (request, judged)
                reasons.append(Reason(min(request.qos, 1)))
            elif codec.version != PROTOCOL_5 and (too_many or judged != Reason.QUOTA_EXCEEDED):
                raise RefusedError("a SUBSCRIBE was refused", judged, _cause(judged))
            else:
                reasons.append(judged)
        session.control(codec.encode_suback(subscribe.packet_id, reasons))
        for request, topic_filter in accepted.values():
            self._broker.subscribe(session, request, topic_filter, identifier=subscribe.subscription_id)
        self._broker.events.subscribed(session, list(accepted))

    def _judge_filter(self, text: str, accepted: dict[str, tuple[SubscriptionRequest, Filter]]) -> Filter | Reason:
        """Take a filter apart, or say why it is refused."""
        limits = self._limits
        try:
            topic_filter = parse_filter(text, max_bytes=limits.topic, max_slashes=limits.topic_slashes)
        except ValueError:
            return Reason.TOPIC_FILTER_INVALID
        if not self._services.authorizer.may_subscribe(self._session.principal, topic_filter.text):
            self._broker.counters.denied += 1
            return Reason.NOT_AUTHORIZED
        most = limits.subscriptions_per_connection
        if most is not None and len({*self._session.subscriptions, *accepted, text}) > most:
            return Reason.QUOTA_EXCEEDED
        rate = self._services.subscriptions
        if rate is not None and not rate.allow():
            self._broker.counters.throttles.count(Throttled.SUBSCRIBE)
            return Reason.QUOTA_EXCEEDED
        return topic_filter

    def _unsubscribe(self, data: bytes, start: int, stop: int) -> None:
        session, codec = self._session, self._codec
        unsubscribe = codec.unsubscribe(data, start, stop)
        removed = [self._broker.unsubscribe(session, text) for text in unsubscribe.topic_filters]
        reasons = [Reason.SUCCESS if was else Reason.NO_SUBSCRIPTION_EXISTED for was in removed]
        session.control(codec.encode_unsuback(unsubscribe.packet_id, reasons))
        gone = [text for text, was in zip(unsubscribe.topic_filters, removed, strict=True) if was]
        self._broker.events.unsubscribed(session, gone)

    def _disconnect(self, data: bytes, start: int, stop: int) -> None:
        session = self._session
        disconnect = self._codec.disconnect(data, start, stop)
        if disconnect.session_expiry_s is not None:
            if disconnect.session_expiry_s and not session.expiry_s:
                raise PacketError("a DISCONNECT cannot make a session persistent", Reason.PROTOCOL_ERROR)
            session.expiry_s = min(disconnect.session_expiry_s, self._limits.session_expiry)
        if disconnect.reason != Reason.SUCCESS:
            # Any reason but "normal" asks for the will (section 3.14.2.1), and is still the client's own wish.
            self._broker.end(session, self._link, DisconnectCause.CLIENT_INITIATED_DISCONNECT, send_will=True)
        self._link.close(Reason.SUCCESS, DisconnectCause.CLIENT_INITIATED_DISCONNECT)


def _cause(reason: Reason) -> DisconnectCause:
    return DisconnectCause.AUTH_ERROR if reason == Reason.NOT_AUTHORIZED else DisconnectCause.CLIENT_ERROR
