"""One MQTT 5 connection to the gateway, for asyncio.

    async with connect(address, region, keys, client_id) as chat:
        await chat.subscribe(["/chat/lobby"])
        async for delivery in chat.deliveries():
            ...

It lives once: when it is lost, `deliveries` raises, and whoever wants another makes another (see `watching`). That
keeps a gap visible and signs every handshake with fresh credentials. awscrt's callbacks run on its own threads and
hold the interpreter lock, so that they only append and wake the loop.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from awscrt import io, mqtt5

from chatops.errors import ChatopsError, ConnectionFailedError, NotAuthorisedError
from chatops.mqtt.diagnosis import explain_refusal
from chatops.mqtt.endpoint import GatewayAddress
from chatops.mqtt.event_thread import EventThread
from chatops.mqtt.futures import outcome
from chatops.mqtt.inbox import INBOX_LIMIT, Delivery, Inbox, Missed
from chatops.mqtt.signing import Keys, handshake_signer

__all__ = [
    "INBOX_LIMIT",
    "ChatConnection",
    "ConnectionLostError",
    "Delivery",
    "Missed",
    "Will",
    "connect",
    "transport_security",
]

_CONNECT_TIMEOUT_S = 15.0
_STOP_TIMEOUT_S = 3.0
_KEEP_ALIVE_S = 30  # the shortest that AWS IoT takes
_PING_TIMEOUT_MS = 5_000


@dataclass(frozen=True, slots=True)
class Will:
    """What the gateway says for a client that leaves without a word."""

    topic: str
    payload: bytes


class ConnectionLostError(ConnectionFailedError):
    """A connection that was up has ended.

    Attributes:
        reason: for people, such as "session taken over".
        unnoticed_s: for how long at most it had been dead when that was noticed, in seconds.
    """

    def __init__(self, reason: str, unnoticed_s: float = 0.0) -> None:
        super().__init__(f"The connection to the gateway was lost: {reason}", "run the command again")
        self.reason = reason
        self.unnoticed_s = unnoticed_s


def transport_security(address: GatewayAddress) -> io.ClientTlsContext | None:
    """The TLS context for an address, None for plain `ws`; make one and share it, contexts are dear."""
    if not address.tls:
        return None
    options = io.TlsContextOptions()
    if address.ca_file is not None:
        options.override_default_trust_store_from_path(None, address.ca_file)
    return io.ClientTlsContext(options)


class ChatConnection:
    """An open connection; made by `connect`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, thread: EventThread | None = None) -> None:
        self._loop = loop
        self._thread = thread
        self._client: mqtt5.Client | None = None
        self._inbox = Inbox()
        self._waiting = False
        self._arrival = asyncio.Event()
        self._connected: asyncio.Future[None] = loop.create_future()
        self._stopped = asyncio.Event()
        self._ended: ChatopsError | None = None
        self._closing = False

    @property
    def dropped(self) -> int:
        """Deliveries that were dropped because nobody took them in time."""
        return self._inbox.dropped

    def take_missed(self) -> Missed | None:
        """Deliveries that have been dropped since the last call."""
        return self._inbox.take_missed()

    async def subscribe(self, filters: Sequence[str], qos: int = 0) -> None:
        """Subscribe, eight filters a packet, as AWS IoT takes them.

        Raises:
            NotAuthorisedError: the policy refuses one of them; the message names it.
            ConnectionLostError: the connection ended meanwhile.
        """
        for start in range(0, len(filters), 8):
            group = filters[start : start + 8]
            packet = mqtt5.SubscribePacket([mqtt5.Subscription(f, mqtt5.QoS(qos)) for f in group])
            acknowledgement = await self._done(self._open().subscribe(packet))
            for topic_filter, reason in zip(group, acknowledgement.reason_codes, strict=False):
                if int(reason) >= 0x80:
                    raise _refused("subscribing to", topic_filter, reason, acknowledgement.reason_string)

    async def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        user_properties: Sequence[tuple[str, str]] = (),
        expiry_s: int | None = None,
    ) -> None:
        """Publish at QoS 1; returns when the gateway has acknowledged.

        Raises:
            NotAuthorisedError: the policy refuses the topic.
            ConnectionFailedError: no acknowledgement came.
        """
        packet = mqtt5.PublishPacket(
            topic=topic,
            payload=payload,
            qos=mqtt5.QoS.AT_LEAST_ONCE,
            retain=retain,
            message_expiry_interval_sec=expiry_s,
            user_properties=[mqtt5.UserProperty(name=n, value=v) for n, v in user_properties],
        )
        completion = await self._done(self._open().publish(packet))
        reason = completion.puback.reason_code
        if reason is not None and int(reason) >= 0x80:
            raise _refused("posting to", topic, reason, completion.puback.reason_string)

    async def deliveries(self) -> AsyncGenerator[list[Delivery]]:
        """Yield what has arrived, in batches, until the connection ends.

        Raises:
            ConnectionLostError: it was lost.
            NotAuthorisedError: the gateway ended it for lack of permission.
        """
        while True:
            yield await self.next_batch()

    async def next_batch(self, timeout_s: float | None = None) -> list[Delivery]:
        """What has arrived; waits for it, unless something is there.

        Args:
            timeout_s: how long to wait at most; nothing is returned then.

        Raises:
            ConnectionLostError, NotAuthorisedError: as `deliveries`, once all that had arrived has been taken.
        """
        if batch := self._inbox.take():
            return batch
        if self._ended is not None:
            raise self._ended
        self._arrival.clear()
        self._waiting = True
        try:
            if not self._inbox and self._ended is None:
                async with asyncio.timeout(timeout_s):
                    await self._arrival.wait()
        except TimeoutError:
            return self._inbox.take()
        finally:
            self._waiting = False
        batch = self._inbox.take()
        if not batch and self._ended is not None:
            raise self._ended
        return batch

    def _open(self) -> mqtt5.Client:
        if self._ended is not None:
            raise self._ended
        if self._client is None:
            raise RuntimeError("the connection was never opened")
        return self._client

    async def _done(self, future: Any) -> Any:
        """Wait for one of awscrt's futures, or for the end of the connection."""
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                return await outcome(future)
        except TimeoutError:
            raise ConnectionFailedError(
                "The gateway did not acknowledge in time", "it may be throttling; try again in a moment"
            ) from None
        except Exception as error:
            if isinstance(error, ChatopsError):
                raise
            await asyncio.sleep(0)
            if self._ended is not None:
                raise self._ended from None
            raise ConnectionFailedError(f"The gateway did not acknowledge: {error}", "try again") from None

    # awscrt's threads call what follows.

    def _on_publish(self, data: Any) -> None:
        packet = data.publish_packet
        properties = packet.user_properties
        self._inbox.put(
            Delivery(
                packet.topic,
                packet.payload or b"",
                bool(packet.retain),
                tuple((p.name, p.value) for p in properties) if properties else (),
                time.time(),
            )
        )
        if self._waiting:
            self._waiting = False
            self._call_soon(self._arrival.set)

    def _on_success(self, _data: Any) -> None:
        if self._thread is not None:
            self._thread.keep_state()
        self._call_soon(self._settle, None)

    def _on_failure(self, data: Any) -> None:
        connack = data.connack_packet
        problem: ChatopsError
        if connack is not None and connack.reason_code is not None:
            problem = _refused("connecting", "", connack.reason_code, connack.reason_string)
        else:
            problem = ConnectionFailedError(
                f"No connection to the gateway: {data.exception}",
                "check the network and `chatops local status`",
            )
        self._call_soon(self._settle, problem)

    def _on_disconnection(self, data: Any) -> None:
        packet = data.disconnect_packet
        problem: ChatopsError
        if packet is None:
            silent = getattr(data.exception, "name", "") == "AWS_ERROR_MQTT5_PING_RESPONSE_TIMEOUT"
            unnoticed_s = _KEEP_ALIVE_S + _PING_TIMEOUT_MS / 1000 if silent else 0.0
            problem = ConnectionLostError(_first_sentence(data.exception), unnoticed_s)
        elif int(packet.reason_code) == 0x87:
            problem = _refused("staying", "", packet.reason_code, packet.reason_string)
        else:
            said = f" ({packet.reason_string})" if packet.reason_string else ""
            problem = ConnectionLostError(f"{_words(packet.reason_code)}{said}")
        self._call_soon(self._end, problem)

    def _on_stopped(self, _data: Any) -> None:
        self._call_soon(self._stopped.set)

    def _call_soon(self, function: Callable[..., object], *arguments: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)

    # The loop's thread calls what follows.

    def _settle(self, problem: ChatopsError | None) -> None:
        if self._connected.done():
            if problem is not None:
                self._end(problem)
        elif problem is None:
            self._connected.set_result(None)
        else:
            self._connected.set_exception(problem)

    def _end(self, problem: ChatopsError) -> None:
        """Remember why it ended and stop the client: awscrt would otherwise connect again by itself."""
        if self._ended is None:
            self._ended = problem
            if not self._connected.done():
                self._connected.set_exception(problem)
            if self._client is not None and not self._closing:
                self._closing = True
                self._client.stop()
        self._arrival.set()


@asynccontextmanager
async def connect(
    address: GatewayAddress,
    region: str,
    keys: Keys,
    client_id: str,
    *,
    will: Will | None = None,
    tls: io.ClientTlsContext | None = None,
    thread: EventThread | None = None,
) -> AsyncGenerator[ChatConnection]:
    """Open one connection and close it at the end.

    Args:
        address: the gateway.
        region: the region to sign for.
        keys: a guest's or an operator's credentials.
        client_id: a guest's must be its identity id, or that with `-` and a suffix.
        will: what to say when this client vanishes.
        tls: a context to share; made here when the address needs one and none is given.
        thread: a thread for callbacks that connections share; awscrt's own threads when none is given.

    Raises:
        NotAuthorisedError: the signature or the policy was refused; the message says which and why.
        ConnectionFailedError: the gateway cannot be reached.
    """
    chat = ChatConnection(asyncio.get_running_loop(), thread)
    options = mqtt5.ClientOptions(
        host_name=address.host,
        port=address.port,
        bootstrap=thread.bootstrap if thread is not None else io.ClientBootstrap.get_or_create_static_default(),
        tls_ctx=tls or transport_security(address),
        websocket_handshake_transform=handshake_signer(region, lambda: keys),
        connect_options=mqtt5.ConnectPacket(
            client_id=client_id,
            keep_alive_interval_sec=_KEEP_ALIVE_S,
            request_problem_information=True,
            will=_will_packet(will),
        ),
        session_behavior=mqtt5.ClientSessionBehaviorType.CLEAN,
        offline_queue_behavior=mqtt5.ClientOperationQueueBehaviorType.FAIL_ALL_ON_DISCONNECT,
        extended_validation_and_flow_control_options=mqtt5.ExtendedValidationAndFlowControlOptions.NONE,
        connack_timeout_ms=int(_CONNECT_TIMEOUT_S * 1000),
        ping_timeout_ms=_PING_TIMEOUT_MS,
        on_publish_callback_fn=chat._on_publish,  # noqa: SLF001  (this function is the class's constructor)
        on_lifecycle_event_connection_success_fn=chat._on_success,  # noqa: SLF001
        on_lifecycle_event_connection_failure_fn=chat._on_failure,  # noqa: SLF001
        on_lifecycle_event_disconnection_fn=chat._on_disconnection,  # noqa: SLF001
        on_lifecycle_event_stopped_fn=chat._on_stopped,  # noqa: SLF001
        disable_metrics=True,
    )
    client = mqtt5.Client(options)
    chat._client = client  # noqa: SLF001
    client.start()
    try:
        await _settled(chat, address, region, keys)
        yield chat
    finally:
        if not chat._closing:  # noqa: SLF001
            chat._closing = True  # noqa: SLF001
            client.stop(mqtt5.DisconnectPacket(reason_code=mqtt5.DisconnectReasonCode.NORMAL_DISCONNECTION))
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await chat._stopped.wait()  # noqa: SLF001
        except TimeoutError:
            pass


async def _settled(chat: ChatConnection, address: GatewayAddress, region: str, keys: Keys) -> None:
    """Wait until the connection is up; a refused upgrade is asked again over plain HTTP, to say why."""
    try:
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            await chat._connected  # noqa: SLF001
    except TimeoutError:
        raise ConnectionFailedError(
            f"The gateway {address.url} did not answer within {_CONNECT_TIMEOUT_S:.0f} s",
            "check the network and the environment's gateway name",
        ) from None
    except NotAuthorisedError:
        raise
    except ConnectionFailedError as error:
        raise (await explain_refusal(address, region, keys)) or error from None


def _will_packet(will: Will | None) -> mqtt5.PublishPacket | None:
    if will is None:
        return None
    return mqtt5.PublishPacket(topic=will.topic, payload=will.payload, qos=mqtt5.QoS.AT_LEAST_ONCE)


def _refused(doing: str, what: str, reason: Any, said: str | None) -> ChatopsError:
    words = _words(reason)
    detail = f"{words}: {said}" if said else words
    target = f"{doing} {what}".strip()
    if int(reason) == 0x87:
        return NotAuthorisedError(
            f"The policy refuses {target} ({detail})",
            "rooms lie under the environment's prefix; `chatops setup` mends the guest policy",
        )
    return ConnectionFailedError(f"The gateway refused {target} ({detail})", "see the reason above")


def _words(reason: Any) -> str:
    name = getattr(reason, "name", str(reason))
    return str(name).replace("_", " ").lower()


def _first_sentence(error: object) -> str:
    text = str(error) if error is not None else "no reason given"
    return text.partition(": ")[2] or text
