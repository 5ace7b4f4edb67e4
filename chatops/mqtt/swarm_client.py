"""Many MQTT 5 clients in one process, driven by callbacks: what a load generator needs of awscrt, and no more.

All clients share one event-loop thread, one bootstrap and one TLS context. One thread, not one a core: Python runs one
callback at a time anyway, and 500 clients receiving 10,000 messages/s took 57 % of a core with two threads, 39 % with
one, and 27 % with the thread's Python state kept between callbacks (see `EventThread`).

Callbacks run on awscrt's thread and hold the interpreter lock: they append, or hand over, and return.
"""

import inspect
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic_ns as _now
from typing import Any, Protocol

from awscrt import io, mqtt5

from chatops.mqtt.connection import transport_security
from chatops.mqtt.endpoint import GatewayAddress
from chatops.mqtt.event_thread import EventThread
from chatops.mqtt.signing import Keys, handshake_signer

Arrival = tuple[int, str, bytes, int]
"""The client's number, the topic, the beginning of the payload, and when it came (nanoseconds, `time.monotonic_ns`)."""

TIMED_OUT = "timed out"
"""The cause when no acknowledgement came within `SwarmOptions.ack_timeout_s`."""

_FAILURE = 0x80  # MQTT 5: reason codes from here on are failures
_RECONNECT_MS = (1_000, 30_000)


class SwarmEvents(Protocol):
    """What a client reports; called on awscrt's thread. A cause is a short stable text to count by."""

    def connected(self, client: int) -> None:
        """The gateway has accepted the connection, the first or a later one."""

    def connect_failed(self, client: int, cause: str) -> None:
        """An attempt to connect has failed; another one follows unless the client is stopped."""

    def disconnected(self, client: int, cause: str) -> None:
        """The connection is gone; the client connects again unless it is stopped."""

    def stopped(self, client: int) -> None:
        """The client will do nothing more."""


@dataclass(frozen=True, slots=True)
class SwarmOptions:
    """Settings that all clients share.

    Attributes:
        keep_bytes: how much of each payload is handed on, so that large messages need not be kept.
        keep_alive_s: MQTT keep-alive; AWS takes 30 to 1200.
        ack_timeout_s: a post or subscription without acknowledgement has failed after this.
    """

    keep_bytes: int
    keep_alive_s: int = 300
    connect_timeout_s: float = 20.0
    ack_timeout_s: int = 20


class SwarmNetwork:
    """What the clients of one process share: the event loop's thread, name resolution, TLS.

    Args:
        address: the gateway.
        region: the region to sign for.
        arrived: called for each message received; an `append` or something as short.
        events: told about connections.
    """

    def __init__(
        self,
        address: GatewayAddress,
        region: str,
        *,
        arrived: Callable[[Arrival], None],
        events: SwarmEvents,
        options: SwarmOptions,
    ) -> None:
        self.address = address
        self.region = region
        self.arrived = arrived
        self.events = events
        self.options = options
        self._thread = EventThread()
        self.bootstrap = self._thread.bootstrap
        self.tls = transport_security(address)
        self.sockets = io.SocketOptions()
        self.sockets.connect_timeout_ms = int(options.connect_timeout_s * 1000)
        self.direct = _hands_publishes_over_plainly()
        self._kept: set[int] = set()

    def client(self, number: int, client_id: str, keys: Callable[[], Keys]) -> "SwarmClient":
        """Make a client; `keys` is asked at every handshake and must not block."""
        return SwarmClient(self, number, client_id, keys)

    def on_event_thread(self) -> None:
        """Called on awscrt's thread now and then, so that its Python state is kept."""
        thread = threading.get_ident()
        if thread not in self._kept:
            self._kept.add(thread)
            EventThread.keep_state()


class SwarmClient:
    """One connection of many; see `SwarmEvents` for what it reports."""

    __slots__ = ("_client", "number")

    def __init__(self, network: SwarmNetwork, number: int, client_id: str, keys: Callable[[], Keys]) -> None:
        self.number = number
        options = network.options
        receiver = _Receiver(number, network.arrived, options.keep_bytes)
        sign = handshake_signer(network.region, keys)
        self._client = mqtt5.Client(
            mqtt5.ClientOptions(
                host_name=network.address.host,
                port=network.address.port,
                bootstrap=network.bootstrap,
                socket_options=network.sockets,
                tls_ctx=network.tls,
                websocket_handshake_transform=receiver.before(sign) if network.direct else sign,
                connect_options=mqtt5.ConnectPacket(client_id=client_id, keep_alive_interval_sec=options.keep_alive_s),
                session_behavior=mqtt5.ClientSessionBehaviorType.CLEAN,
                extended_validation_and_flow_control_options=(
                    mqtt5.ExtendedValidationAndFlowControlOptions.NONE  # the gateway's limits are what is tested
                ),
                offline_queue_behavior=mqtt5.ClientOperationQueueBehaviorType.FAIL_ALL_ON_DISCONNECT,
                retry_jitter_mode=mqtt5.ExponentialBackoffJitterMode.FULL,
                min_reconnect_delay_ms=_RECONNECT_MS[0],
                max_reconnect_delay_ms=_RECONNECT_MS[1],
                connack_timeout_ms=int(options.connect_timeout_s * 1000),
                ack_timeout_sec=options.ack_timeout_s,
                on_publish_callback_fn=receiver,
                on_lifecycle_event_connection_success_fn=_Callback(network, number, _on_success),
                on_lifecycle_event_connection_failure_fn=_Callback(network, number, _on_failure),
                on_lifecycle_event_disconnection_fn=_Callback(network, number, _on_disconnection),
                on_lifecycle_event_stopped_fn=_Callback(network, number, _on_stopped),
                disable_metrics=True,
            )
        )

    def start(self) -> None:
        """Connect, and connect again whenever the connection is lost, until `stop`."""
        self._client.start()

    def stop(self) -> None:
        """Disconnect; `SwarmEvents.stopped` follows."""
        self._client.stop(mqtt5.DisconnectPacket(reason_code=mqtt5.DisconnectReasonCode.NORMAL_DISCONNECTION))

    def drop(self) -> None:
        """Close the connection without a DISCONNECT, as a lost network does; `SwarmEvents.stopped` follows."""
        self._client.stop()

    def subscribe(self, topic: str, qos: int, done: Callable[[str | None], None]) -> None:
        """Subscribe to one topic; `done` gets None, or the cause of failure, on awscrt's thread."""
        packet = mqtt5.SubscribePacket([mqtt5.Subscription(topic, mqtt5.QoS(qos))])
        self._client.subscribe(packet).add_done_callback(lambda future: done(_subscribe_cause(future)))

    def publish(self, topic: str, payload: bytes, done: Callable[[str | None], None]) -> None:
        """Publish at QoS 1; `done` gets None at the acknowledgement, or the cause of failure, on awscrt's thread."""
        packet = mqtt5.PublishPacket(topic=topic, payload=payload, qos=mqtt5.QoS.AT_LEAST_ONCE)
        self._client.publish(packet).add_done_callback(lambda future: done(_publish_cause(future)))


_ONE_ARGUMENT = inspect.Signature([inspect.Parameter("data", inspect.Parameter.POSITIONAL_OR_KEYWORD)])


class _Receiver:
    """The callback for received messages.

    awscrt inspects the signature of every callback of every client, 160 of the 205 µs that making one takes;
    `__signature__` answers that at once.
    """

    __signature__ = _ONE_ARGUMENT
    __slots__ = ("_arrived", "_keep", "_number")

    def __init__(self, number: int, arrived: Callable[[Arrival], None], keep: int) -> None:
        self._number = number
        self._arrived = arrived
        self._keep = keep

    def __call__(self, data: Any) -> None:
        at = _now()
        packet = data.publish_packet
        self._arrived((self._number, packet.topic, (packet.payload or b"")[: self._keep], at))

    def before(self, sign: Callable[..., None]) -> Callable[..., None]:
        """A handshake's transform that first puts `direct` in the place of awscrt's own unpacking."""

        def transform(transform_args: Any) -> None:
            transform_args.client._on_publish = self.direct  # noqa: SLF001  (see `_hands_publishes_over_plainly`)
            sign(transform_args=transform_args)

        return transform

    def direct(self, payload: bytes | None, _qos: int, _retain: bool, topic: str, *_: Any) -> bool:  # noqa: FBT001
        """What awscrt's C part calls for a PUBLISH, without the packet object that awscrt would make of it.

        Returns:
            False: awscrt sends the PUBACK.
        """
        at = _now()
        self._arrived((self._number, topic, (payload or b"")[: self._keep], at))
        return False


def _hands_publishes_over_plainly() -> bool:
    """Tell whether awscrt hands a PUBLISH over as the version does that `_Receiver.direct` was written for.

    The packet object costs a fifth of a delivery's CPU time (`docs/decisions/014`). The method that makes it is
    awscrt's own business, so with any other signature it is left in its place.
    """
    own = getattr(getattr(mqtt5, "_ClientCore", None), "_on_publish", None)
    if own is None:
        return False
    names = list(inspect.signature(own).parameters)
    return names[:5] == ["self", "payload", "qos", "retain", "topic"] and names[-1] == "puback_control_id"


class _Callback:
    """A callback whose signature need not be inspected; see `_Receiver`.

    It does not refer to its client: awscrt keeps its callbacks as long as the client lives, and the client would live
    as long as they do.
    """

    __signature__ = _ONE_ARGUMENT
    __slots__ = ("_network", "_number", "_react")

    def __init__(self, network: SwarmNetwork, number: int, react: Callable[[SwarmNetwork, int, Any], None]) -> None:
        self._network = network
        self._number = number
        self._react = react

    def __call__(self, data: Any) -> None:
        self._react(self._network, self._number, data)


def _on_success(network: SwarmNetwork, number: int, _data: Any) -> None:
    network.on_event_thread()
    network.events.connected(number)


def _on_failure(network: SwarmNetwork, number: int, data: Any) -> None:
    packet = data.connack_packet
    reason = packet.reason_code if packet is not None else None
    network.events.connect_failed(number, _cause(reason, data.exception))


def _on_disconnection(network: SwarmNetwork, number: int, data: Any) -> None:
    packet = data.disconnect_packet
    reason = packet.reason_code if packet is not None else None
    network.events.disconnected(number, _cause(reason, data.exception))


def _on_stopped(network: SwarmNetwork, number: int, _data: Any) -> None:
    network.events.stopped(number)


def _subscribe_cause(future: Any) -> str | None:
    error = future.exception()
    if error is not None:
        return _cause(None, error)
    refused = [reason for reason in future.result().reason_codes if int(reason) >= _FAILURE]
    return _cause(refused[0], None) if refused else None


def _publish_cause(future: Any) -> str | None:
    error = future.exception()
    if error is not None:
        return _cause(None, error)
    reason = future.result().puback.reason_code
    return _cause(reason, None) if reason is not None and int(reason) >= _FAILURE else None


def _cause(reason: Any, error: Any) -> str:
    """A text to count by: the MQTT reason where there is one, else awscrt's name of the error."""
    if getattr(error, "name", None) == "AWS_ERROR_MQTT_TIMEOUT":
        return TIMED_OUT
    if reason is not None and int(reason):
        return f"{getattr(reason, 'name', 'REASON')} (0x{int(reason):02X})"
    return str(getattr(error, "name", None) or type(error).__name__)
