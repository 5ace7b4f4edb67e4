"""What the broker knows of one client: subscriptions, what is on its way, and what waits for it to come back.

A session outlives its connection when the client asked for that. Deliveries to a connected client are only appended
to its `out` list; the outbox writes each session's list once an event-loop iteration, as one WebSocket frame. Fan-out
therefore shares bytes between receivers and makes one system call for several messages when there are several, while
a single message leaves in the iteration that brought it.

Whatever is unusual about a session (no connection, a slow reader, a quota, a small maximum packet size) sets
`guarded`, and only guarded sessions pay for checks. It is also where injected faults on deliveries belong.
"""

from collections import deque
from collections.abc import Callable

from chatops.local.broker_values import Counters, Delivery, DisconnectCause, Link, Peer
from chatops.local.credentials import Principal
from chatops.local.limits import Limits, RateLimiter
from chatops.local.packets import Codec, Encoded, Message, Reason, Will
from chatops.local.throttles import Throttled
from chatops.local.topics import Filter

_LARGEST_PACKET_ID = 65535
_CONTROL_HEADROOM = 2


class Subscription:
    """One filter of one session, compared by identity."""

    __slots__ = ("filter", "identifier", "no_local", "qos", "retain_as_published", "session")

    def __init__(
        self,
        session: "Session",
        topic_filter: Filter,
        qos: int,
        *,
        no_local: bool = False,
        retain_as_published: bool = False,
        identifier: int = 0,
    ) -> None:
        self.session = session
        self.filter = topic_filter
        self.qos = qos
        self.no_local = no_local
        self.retain_as_published = retain_as_published
        self.identifier = identifier


class Outbox:
    """The sessions that have something to write.

    Args:
        schedule: has a function called soon; the event loop's `call_soon`.
    """

    __slots__ = ("_schedule", "dirty", "scheduled")

    def __init__(self, schedule: Callable[[Callable[[], None]], object]) -> None:
        self._schedule = schedule
        self.dirty: list[Session] = []
        self.scheduled = False

    def wake(self) -> None:
        """Have everything written soon."""
        if not self.scheduled and self.dirty:
            self.scheduled = True
            self._schedule(self.flush)

    def flush(self) -> None:
        """Write what every session has waiting, one write for each."""
        dirty, self.dirty = self.dirty, []
        self.scheduled = False
        for session in dirty:
            out = session.out
            if not out or session.held:
                continue
            session.out = []
            data = out[0] if len(out) == 1 else b"".join(out)
            if session.throughput is not None:
                session.spend(len(data))
            session.write(data)


def _nowhere(data: bytes) -> None:
    """Take what is written to a session that has no connection."""


class Session:
    """One client's state. Made and kept by the broker.

    Attributes:
        guarded: deliveries need checks; never set by anyone but `_reconsider`.
        held: nothing may be written for now: the reader is slow or its throughput is used up.
        link: the connection, None between connections.
        inflight: QoS 1 deliveries that wait for their PUBACK, by packet id, oldest first.
        receives: which topics the policy lets it receive, while the policy's generation is `receives_generation`.
        queue: QoS 1 deliveries that wait for a connection or for room in `inflight`.
    """

    __slots__ = (
        "_account_out",
        "_clock",
        "_counters",
        "_last_packet_id",
        "_limits",
        "_outbox",
        "_queued_bytes",
        "_waiting_bytes",
        "clean",
        "client_id",
        "codec",
        "connected_at",
        "expires_at",
        "expiry_s",
        "guarded",
        "held",
        "identifier",
        "inflight",
        "keep_alive_s",
        "link",
        "maximum_packet",
        "out",
        "peer",
        "principal",
        "publishes",
        "queue",
        "receives",
        "receives_generation",
        "slow",
        "subscriptions",
        "throughput",
        "version_number",
        "will",
        "will_at",
        "window",
        "write",
    )

    def __init__(
        self,
        client_id: str,
        identifier: str,
        *,
        outbox: Outbox,
        counters: Counters,
        limits: Limits,
        clock: Callable[[], float],
        account_out: RateLimiter | None = None,
    ) -> None:
        self.client_id = client_id
        self.identifier = identifier
        self._outbox = outbox
        self._counters = counters
        self._limits = limits
        self._clock = clock
        self._account_out = account_out
        self.subscriptions: dict[str, Subscription] = {}
        self.inflight: dict[int, Delivery] = {}
        self.queue: deque[Delivery] = deque()
        self._queued_bytes = 0
        self._waiting_bytes = 0
        self._last_packet_id = 0
        self.out: list[bytes] = []
        self.write: Callable[[bytes], None] = _nowhere
        self.link: Link | None = None
        self.codec: Codec
        self.principal: Principal
        self.peer: Peer
        self.will: Will | None = None
        self.will_at: float | None = None
        self.receives: dict[str, bool] = {}
        self.receives_generation = -1
        self.expiry_s = 0
        self.expires_at: float | None = None
        self.clean = True
        self.keep_alive_s = 0
        self.connected_at = 0.0
        self.version_number = 0
        self.window = _LARGEST_PACKET_ID
        self.maximum_packet: int | None = None
        self.publishes: RateLimiter | None = None
        self.throughput: RateLimiter | None = None
        self.slow = False
        self.held = False
        self.guarded = True

    def attach(self, link: Link, codec: Codec, *, receive_maximum: int, maximum_packet: int | None) -> None:
        """Begin a connection; nothing is sent before `resume`."""
        limits = self._limits
        self.link = link
        self.write = link.write
        self.codec = codec
        self.window = min(receive_maximum, limits.unacknowledged_out or _LARGEST_PACKET_ID)
        self.maximum_packet = maximum_packet
        if limits.publishes_per_connection is not None:
            self.publishes = RateLimiter(limits.publishes_per_connection, clock=self._clock)
        if limits.bytes_per_connection is not None:
            self.throughput = RateLimiter(limits.bytes_per_connection, clock=self._clock)
        self.slow = self.held = False
        self._reconsider()

    def detach(self) -> None:
        """End the connection; what is unacknowledged or queued stays."""
        self.link = None
        self.write = _nowhere
        self.out = []
        self._waiting_bytes = 0
        self.slow = self.held = False
        self._reconsider()

    def resume(self) -> None:
        """Send again what was never acknowledged, marked as duplicate, then what has waited (section 4.4)."""
        now = self._clock()
        for packet_id, delivery in list(self.inflight.items()):
            expires_at = delivery.message.expires_at
            if expires_at is not None and expires_at <= now:
                del self.inflight[packet_id]
                continue
            encoded = self._encode(delivery, now, duplicate=True)
            self._append(encoded, packet_id)
        self._drain()
        self._outbox.wake()

    def control(self, data: bytes) -> None:
        """Send a packet that is not a PUBLISH; a client that lets them pile up unread is cut off."""
        out = self.out
        if not out:
            self._outbox.dirty.append(self)
            self._outbox.wake()
        out.append(data)
        if self.held:
            self._waiting_bytes += len(data)
            if self._waiting_bytes > _CONTROL_HEADROOM * self._limits.outgoing_bytes and self.link is not None:
                self.link.close(Reason.QUOTA_EXCEEDED, DisconnectCause.THROTTLED, "answers are not read")

    def offer(self, packet: bytes) -> bool:
        """Deliver a whole PUBLISH at QoS 0 to a guarded session; returns whether it goes out."""
        if self.link is None:
            return False
        if not self._within_rate():
            return False
        if self.maximum_packet is not None and len(packet) > self.maximum_packet:
            self._counters.dropped += 1
            return False
        if self.held:
            if self._waiting_bytes + len(packet) > self._limits.outgoing_bytes:
                self._counters.dropped += 1
                return False
            self._waiting_bytes += len(packet)
        if not self.out:
            self._outbox.dirty.append(self)
        self.out.append(packet)
        return True

    def deliver(self, delivery: Delivery) -> bool:
        """Deliver at QoS 1; returns whether the message goes out or waits."""
        inflight = self.inflight
        if self.guarded or self.queue or len(inflight) >= self.window:
            return self._deliver_guarded(delivery)
        packet_id = self._last_packet_id % _LARGEST_PACKET_ID + 1
        while packet_id in inflight:
            packet_id = packet_id % _LARGEST_PACKET_ID + 1
        self._last_packet_id = packet_id
        inflight[packet_id] = delivery
        out = self.out
        if not out:
            self._outbox.dirty.append(self)
        encoded = delivery.encoded
        out += (encoded.head, packet_id.to_bytes(2, "big"), encoded.tail)
        return True

    def acknowledge(self, packet_id: int) -> None:
        """Take a client's PUBACK; one for an unknown packet id is ignored."""
        if self.inflight.pop(packet_id, None) is not None and self.queue:
            self._drain()
            self._outbox.wake()

    def spend(self, size: int) -> None:
        """Charge `size` bytes to the throughput, and hold back what comes after them for as long as they take."""
        if self.throughput is not None and self.link is not None and (delay := self.throughput.spend(size)) > 0:
            self.held = True
            self._reconsider()
            self.link.release_after(delay)

    def slow_down(self) -> None:
        """The connection's buffer is full: hold back."""
        self.slow = self.held = True
        self._reconsider()

    def speed_up(self) -> None:
        """The connection's buffer has room again."""
        self.slow = False
        self.release()

    def release(self) -> None:
        """Go on writing, unless the reader is still slow."""
        if self.slow or self.link is None:
            return
        self.held = False
        self._waiting_bytes = 0
        self._reconsider()
        if self.out:
            self._outbox.dirty.append(self)
        self._drain()
        self._outbox.wake()

    def forget_waiting(self, keep: Callable[[Message], bool]) -> None:
        """Drop from the queue what `keep` refuses: another principal may have taken the session over."""
        kept = [delivery for delivery in self.queue if keep(delivery.message)]
        self.queue = deque(kept)
        self._queued_bytes = sum(delivery.encoded.size for delivery in kept)

    def _reconsider(self) -> None:
        self.guarded = (
            self.link is None
            or self.held
            or self.publishes is not None
            or self.throughput is not None
            or self.maximum_packet is not None
            or self._account_out is not None
        )

    def _within_rate(self) -> bool:
        if (self.publishes is None or self.publishes.allow()) and (
            self._account_out is None or self._account_out.allow()
        ):
            return True
        self._counters.discarded += 1
        self._counters.throttles.count(Throttled.PUBLISH_OUT)
        return False

    def _deliver_guarded(self, delivery: Delivery) -> bool:
        size = delivery.encoded.size
        if self.link is not None:
            if self.maximum_packet is not None and size > self.maximum_packet:
                self._counters.dropped += 1
                return False
            if not self._within_rate():
                return False
            full = self.held and self._waiting_bytes + size > self._limits.outgoing_bytes
            if not full and not self.queue and len(self.inflight) < self.window:
                self._transmit(delivery)
                return True
        if len(self.queue) >= self._limits.queued_messages or self._queued_bytes + size > self._limits.queued_bytes:
            self._counters.dropped += 1
            return False
        self.queue.append(delivery)
        self._queued_bytes += size
        return True

    def _drain(self) -> None:
        """Send from the queue while there is room."""
        queue = self.queue
        now = self._clock()
        while queue and len(self.inflight) < self.window and self.link is not None:
            if self.held and self._waiting_bytes > self._limits.outgoing_bytes // 2:
                return
            delivery = queue.popleft()
            self._queued_bytes -= delivery.encoded.size
            expires_at = delivery.message.expires_at
            if expires_at is not None and expires_at <= now:
                continue
            if delivery.version != self.codec.version or expires_at is not None:
                delivery = Delivery(
                    delivery.message,
                    self._encode(delivery, now),
                    self.codec.version,
                    delivery.retain,
                    delivery.subscription_ids,
                )
            if self.maximum_packet is not None and delivery.encoded.size > self.maximum_packet:
                self._counters.dropped += 1
                continue
            self._transmit(delivery)

    def _transmit(self, delivery: Delivery) -> None:
        packet_id = self._last_packet_id % _LARGEST_PACKET_ID + 1
        while packet_id in self.inflight:
            packet_id = packet_id % _LARGEST_PACKET_ID + 1
        self._last_packet_id = packet_id
        self.inflight[packet_id] = delivery
        self._append(delivery.encoded, packet_id)

    def _append(self, encoded: Encoded, packet_id: int) -> None:
        if not self.out:
            self._outbox.dirty.append(self)
        self.out += (encoded.head, packet_id.to_bytes(2, "big"), encoded.tail)
        if self.held:
            self._waiting_bytes += encoded.size

    def _encode(self, delivery: Delivery, now: float, *, duplicate: bool = False) -> Encoded:
        return self.codec.encode_publish(
            delivery.message,
            qos=1,
            retain=delivery.retain,
            now=now,
            duplicate=duplicate,
            subscription_ids=delivery.subscription_ids,
        )
