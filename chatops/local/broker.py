"""Sessions and subscriptions, and the delivery of messages between them: the gateway's core, without any I/O.

One broker lives on the event loop of a stack. The gateway opens and ends sessions, the control plane publishes,
looks and disconnects. Nothing here blocks, and nothing a client does makes memory grow without bound.
"""

import asyncio
import heapq
import itertools
import random
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from chatops.local.authorizer import Authorizer
from chatops.local.broker_events import LifecycleEvents
from chatops.local.broker_info import ConnectionInfo, Statistics, describe
from chatops.local.broker_retained import Retained, RetainedMessages
from chatops.local.broker_routes import Route, Routes
from chatops.local.broker_values import Counters, Delivery, DisconnectCause, Interference, Link, Peer
from chatops.local.credentials import Principal
from chatops.local.limits import Limits, RateLimiter
from chatops.local.packets import Codec, Connect, Message, Reason, SubscriptionRequest
from chatops.local.sessions import Outbox, Session, Subscription
from chatops.local.topics import Filter

__all__ = ["Broker", "ConnectionInfo", "Message", "Retained", "Statistics"]

_REMEMBERED_CONNECTIONS = 10_000
_REMEMBERED_TOPICS = 256


class Broker:
    """Keeps sessions and delivers messages.

    Args:
        authorizer: judges whether a session may receive a topic.
        limits: quotas and bounds.
        clock: seconds that never go back.
        wall_clock: seconds since the epoch.
        schedule: has a function called soon; the running event loop's `call_soon` unless given.
    """

    def __init__(
        self,
        authorizer: Authorizer,
        limits: Limits | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        schedule: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        self.limits = Limits.aws_protocol() if limits is None else limits
        self.counters = Counters()
        self.connection_count = 0
        self._authorizer = authorizer
        self._clock = clock
        self._wall_clock = wall_clock
        self._sessions: dict[str, Session] = {}
        self._ended: OrderedDict[str, ConnectionInfo] = OrderedDict()
        self._deadlines: list[tuple[float, int, Session]] = []
        self._deadline_numbers = itertools.count()
        self._outbox = Outbox(schedule or _call_soon)
        self._routes = Routes(self._may_receive, lambda: authorizer.generation)
        self._retained = RetainedMessages(self.limits.retained_messages, clock, wall_clock)
        self._random = random.Random()  # noqa: S311  (spreads load, guards nothing)
        self._account_out = (
            None if self.limits.publishes_out is None else RateLimiter(self.limits.publishes_out, clock=clock)
        )
        self.interference: Interference | None = None
        self.events = LifecycleEvents(self.deliver, lambda: self._routes.reserved > 0, wall_clock)

    @property
    def session_count(self) -> int:
        """Sessions, connected or not."""
        return len(self._sessions)

    def statistics(self) -> Statistics:
        """Read all counts."""
        counters = self.counters
        return Statistics(
            connections=self.connection_count,
            sessions=len(self._sessions),
            subscriptions=len(self._routes),
            retained=len(self._retained),
            connects=counters.connects,
            connects_failed=counters.connects_failed,
            messages_in=counters.messages_in,
            messages_out=counters.messages_out,
            bytes_in=counters.bytes_in,
            discarded=counters.discarded,
            dropped=counters.dropped,
            denied=counters.denied,
        )

    # What the gateway calls

    def open(
        self,
        connect: Connect,
        client_id: str,
        *,
        link: Link,
        codec: Codec,
        principal: Principal,
        peer: Peer,
        expiry_s: int,
        keep_alive_s: int,
    ) -> tuple[Session, bool]:
        """Begin a connection, taking the client id over from an older one.

        Returns:
            The session, and whether it existed before. Call its `resume` when the CONNACK is out.
        """
        session = self._sessions.get(client_id)
        if session is not None and session.link is not None:
            session.link.close(
                Reason.SESSION_TAKEN_OVER,
                DisconnectCause.DUPLICATE_CLIENTID,
                "another connection uses this client id",
            )
            session = self._sessions.get(client_id)
        # A session is not handed to another principal, whatever its client id: what it has queued was for the first.
        if session is not None and (connect.clean_start or session.principal != principal):
            self._discard(session)
            session = None
        present = session is not None
        if session is None:
            session = self._sessions[client_id] = Session(
                client_id,
                str(uuid.uuid4()),
                outbox=self._outbox,
                counters=self.counters,
                limits=self.limits,
                clock=self._clock,
                account_out=self._account_out,
            )
        session.principal = principal
        session.peer = peer
        session.clean = connect.clean_start
        session.will = connect.will
        session.will_at = session.expires_at = None
        session.expiry_s = expiry_s
        session.keep_alive_s = keep_alive_s
        session.connected_at = self._wall_clock()
        session.attach(
            link, codec, receive_maximum=connect.receive_maximum, maximum_packet=connect.maximum_packet_bytes
        )
        if present:
            self._routes.refresh(session)
            session.forget_waiting(lambda message: self._may_receive(session, message.topic))
        self.connection_count += 1
        self.counters.connects += 1
        self._ended.pop(client_id, None)
        self.events.connected(session)
        return session, present

    def end(self, session: Session, link: Link, cause: DisconnectCause, *, send_will: bool) -> None:
        """End a connection; a link that has been replaced already ends nothing."""
        if session.link is not link:
            return
        session.detach()
        self.connection_count -= 1
        self._remember_end(session, cause)
        self.events.disconnected(session, cause)
        now = self._clock()
        will = session.will
        if not send_will:
            session.will = None
        elif will is not None and (delay := min(will.delay_s, session.expiry_s)) > 0:
            session.will_at = now + delay
            self._set_deadline(session.will_at, session)
        else:
            self._publish_will(session)
        if session.expiry_s:
            session.expires_at = now + session.expiry_s
            self._set_deadline(session.expires_at, session)
        else:
            self._discard(session)

    def subscribe(
        self, session: Session, request: SubscriptionRequest, topic_filter: Filter, *, identifier: int = 0
    ) -> None:
        """Add a subscription and send the retained message it is entitled to, if any."""
        known = topic_filter.text in session.subscriptions
        subscription = Subscription(
            session,
            topic_filter,
            min(request.qos, 1),
            no_local=request.no_local,
            retain_as_published=request.retain_as_published,
            identifier=identifier,
        )
        self._routes.add(subscription)
        # AWS IoT Core sends no retained messages to subscriptions with wildcards; the standard none to shared ones.
        if not topic_filter.exact or topic_filter.group:
            return
        if request.retain_handling == 2 or (request.retain_handling == 1 and known):
            return
        retained = self._retained.find(topic_filter.pattern)
        if retained is None:
            return
        if not self._may_receive(session, topic_filter.pattern):
            self.counters.denied += 1
            return
        qos = min(retained.message.qos, subscription.qos)
        ids = (identifier,) if identifier else ()
        self.counters.messages_out += self._deliver_to(session, retained.message, qos, retain=True, ids=ids)
        self._outbox.wake()

    def unsubscribe(self, session: Session, topic_filter: str) -> bool:
        """Remove a subscription; returns whether there was one."""
        subscription = session.subscriptions.get(topic_filter)
        if subscription is None:
            return False
        self._routes.remove(subscription)
        return True

    def retain(self, message: Message) -> bool:
        """Keep a message for later subscribers, or drop the topic's; returns False when there is no room."""
        return self._retained.store(message)

    def deliver(self, message: Message, origin: Session | None = None) -> int:
        """Deliver a message to its subscribers.

        Args:
            message: what to deliver; its retain flag only decides how it is marked.
            origin: the session it came from, for subscriptions that do not want their own messages.

        Returns:
            To how many sessions it goes, those included that will have it when they are back.
        """
        route = self._routes.find(message.topic)
        receivers = 0
        if self.interference is not None:
            return self._deliver_interfered(self.interference, message, route, origin)
        for group in route.groups:
            sessions = group.sessions
            if group.no_local and origin is not None:
                sessions = [session for session in sessions if session is not origin]
            qos = 1 if message.qos and group.qos else 0
            retain = message.retain and group.retain_as_published
            codec = group.codec
            encoded = codec.encode_publish(
                message,
                qos=qos,
                retain=retain,
                now=self._clock(),
                subscription_ids=group.subscription_ids,
            )
            if qos:
                delivery = Delivery(message, encoded, codec.version, retain, group.subscription_ids)
                for session in sessions:
                    receivers += session.deliver(delivery)
                continue
            packet = encoded.head
            dirty = self._outbox.dirty
            for session in sessions:
                if session.guarded:
                    receivers += session.offer(packet)
                    continue
                out = session.out
                if not out:
                    dirty.append(session)
                out.append(packet)
                receivers += 1
        for members in route.shared:
            receivers += self._deliver_shared(message, members)
        self._outbox.wake()
        self.counters.messages_out += receivers
        self.counters.denied += route.denied
        return receivers

    def _deliver_interfered(
        self, interference: Interference, message: Message, route: Route, origin: Session | None
    ) -> int:
        """Deliver one by one through injected faults, which may deliver later, twice or never."""

        def later(session: Session, qos: int, *, retain: bool, ids: tuple[int, ...]) -> Callable[[], bool]:
            def send() -> bool:
                sent = self._deliver_to(session, message, qos, retain=retain, ids=ids)
                self._outbox.wake()
                return sent

            return send

        receivers = 0
        for group in route.groups:
            qos = 1 if message.qos and group.qos else 0
            retain = message.retain and group.retain_as_published
            for session in group.sessions:
                if session is not origin or not group.no_local:
                    send = later(session, qos, retain=retain, ids=group.subscription_ids)
                    receivers += interference.deliver(session, origin, message.topic, send)
        for members in route.shared:
            receivers += self._deliver_shared(message, members)
        self._outbox.wake()
        self.counters.messages_out += receivers
        self.counters.denied += route.denied
        return receivers

    def tick(self) -> None:
        """Do what has become due: delayed wills and the end of sessions. To be called about once a second."""
        now = self._clock()
        while self._deadlines and self._deadlines[0][0] <= now:
            _, _, session = heapq.heappop(self._deadlines)
            if session.link is not None or self._sessions.get(session.client_id) is not session:
                continue
            if session.will_at is not None and session.will_at <= now:
                session.will_at = None
                self._publish_will(session)
            if session.expires_at is not None and session.expires_at <= now:
                self._discard(session)

    # What the control plane calls

    def publish(self, message: Message) -> int:
        """Publish on behalf of an operator; returns to how many sessions it goes."""
        if message.retain:
            self._retained.store(message)
        self.counters.messages_in += 1
        return self.deliver(message)

    def disconnect_client(self, client_id: str, *, clean_session: bool = False, prevent_will: bool = False) -> bool:
        """Disconnect a client (MQTT 5: 0x98); returns whether there was a connection, or a session to clean."""
        session = self._sessions.get(client_id)
        if session is None:
            return False
        was_connected = session.link is not None
        if prevent_will:
            session.will = None
        if session.link is not None:
            session.link.close(
                Reason.ADMINISTRATIVE_ACTION,
                DisconnectCause.API_INITIATED_DISCONNECT,
                "disconnected through the API",
            )
        if clean_session and self._sessions.get(client_id) is session:
            self._discard(session)
        return was_connected or clean_session

    def connection(self, client_id: str) -> ConnectionInfo | None:
        """Look a client's connection up, or its last one; None for a client never seen, or long ago."""
        session = self._sessions.get(client_id)
        if session is None or session.link is None:
            return self._ended.get(client_id)
        return describe(session, connected=True)

    def subscriptions(self, client_id: str) -> list[tuple[str, int]] | None:
        """List the filters of a client and their QoS; None when it has no session."""
        session = self._sessions.get(client_id)
        if session is None:
            return None
        return [(text, subscription.qos) for text, subscription in session.subscriptions.items()]

    def send_direct(self, client_id: str, message: Message) -> bool:
        """Deliver a message to one client, which needs no subscription but the permission to receive its topic.

        Returns:
            False when the client is not connected, or not permitted, or has no room.
        """
        session = self._sessions.get(client_id)
        if session is None or session.link is None:
            return False
        if not self._may_receive(session, message.topic):
            self.counters.denied += 1
            return False
        sent = self._deliver_to(session, message, min(message.qos, 1), retain=False)
        self.counters.messages_out += sent
        self._outbox.wake()
        return sent

    def retained(self) -> list[tuple[str, int, int, float]]:
        """List retained messages: topic, payload bytes, QoS, last modified in seconds since the epoch."""
        return [
            (retained.message.topic, len(retained.message.payload), retained.message.qos, retained.modified_at)
            for retained in self._retained.all()
        ]

    def retained_message(self, topic: str) -> Retained | None:
        """Look the retained message of a topic up."""
        return self._retained.find(topic)

    def _may_receive(self, session: Session, topic: str) -> bool:
        """Ask the policy, or remember what it said: routes are made anew whenever a wildcard subscription comes."""
        generation = self._authorizer.generation
        verdicts = session.receives
        if session.receives_generation != generation or len(verdicts) >= _REMEMBERED_TOPICS:
            verdicts.clear()
            session.receives_generation = generation
        verdict = verdicts.get(topic)
        if verdict is None:
            verdict = verdicts[topic] = self._authorizer.may_receive(session.principal, topic)
        return verdict

    def _deliver_shared(self, message: Message, members: list[Subscription]) -> bool:
        """Deliver to one member of a shared subscription, rather to one that is connected."""
        connected = [member for member in members if member.session.link is not None]
        member = self._random.choice(connected or members)
        return self._deliver_to(
            member.session,
            message,
            min(message.qos, member.qos),
            retain=message.retain and member.retain_as_published,
            ids=(member.identifier,) if member.identifier else (),
        )

    def _deliver_to(
        self, session: Session, message: Message, qos: int, *, retain: bool, ids: tuple[int, ...] = ()
    ) -> bool:
        encoded = session.codec.encode_publish(message, qos=qos, retain=retain, now=self._clock(), subscription_ids=ids)
        if qos:
            return session.deliver(Delivery(message, encoded, session.codec.version, retain, ids))
        return session.offer(encoded.head)

    def _publish_will(self, session: Session) -> None:
        will, session.will = session.will, None
        if will is None:
            return
        message = will.message
        if will.expiry_s is not None:
            message = replace(message, expires_at=self._clock() + will.expiry_s)
        if message.retain:
            self._retained.store(message)
        self.deliver(message)

    def _discard(self, session: Session) -> None:
        """Forget a session that has no connection. A will that still waits is due now (section 3.1.3.2.2)."""
        if self._sessions.get(session.client_id) is session:
            del self._sessions[session.client_id]
        for subscription in list(session.subscriptions.values()):
            self._routes.remove(subscription)
        session.expires_at = session.will_at = None
        self._publish_will(session)

    def _set_deadline(self, when: float, session: Session) -> None:
        if len(self._deadlines) > 1024 + 4 * len(self._sessions):
            # Sessions that came back left theirs behind.
            self._deadlines = [entry for entry in self._deadlines if entry[0] in _deadlines_of(entry[2])]
            heapq.heapify(self._deadlines)
        heapq.heappush(self._deadlines, (when, next(self._deadline_numbers), session))

    def _remember_end(self, session: Session, cause: DisconnectCause) -> None:
        self._ended[session.client_id] = describe(
            session, connected=False, disconnected_since=self._wall_clock(), reason=cause.value
        )
        if len(self._ended) > _REMEMBERED_CONNECTIONS:
            self._ended.popitem(last=False)


def _deadlines_of(session: Session) -> tuple[float | None, float | None]:
    return session.will_at, session.expires_at


def _call_soon(function: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_soon(function)
