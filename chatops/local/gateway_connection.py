"""One WebSocket connection: bytes in, packets to those who answer them, bytes out, and all that has to do with time.

Frames are only a stream of bytes to MQTT: a packet may be spread over several, and one may hold several packets.
Whatever a peer sends, no exception leaves a callback here, and nothing it leaves unread grows without bound.
"""

import asyncio
import functools
import logging
from collections.abc import Callable
from typing import Any

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from chatops.local.broker_values import DisconnectCause, Peer
from chatops.local.credentials import Principal
from chatops.local.gateway_connect import Client, open_session
from chatops.local.gateway_requests import FIRST_PUBACK, Requests
from chatops.local.gateway_services import RefusedError, Services
from chatops.local.limits import RateLimiter
from chatops.local.packets import (
    CLIENT_PACKETS,
    CONNECT,
    PROTOCOL_5,
    Codec,
    Connack,
    PacketError,
    Reason,
    body_bounds,
    protocol_version,
)
from chatops.local.packets5 import Codec5
from chatops.local.packets311 import Codec311
from chatops.local.sessions import Session

_LOG = logging.getLogger(__name__)

CONNECT_WITHIN_S = 10.0
"""From the upgrade to the CONNECT."""

CLOSE_WITHIN_S = 2.0
"""How long a peer has to read the last words before the socket is reset."""

STALLED_AFTER_S = 60.0
"""How long a peer may leave a full buffer unread."""

_GRACE = 1.5
_BINARY: Any = 2


class Connection(WSListener):
    """A client's connection, and its session's link.

    Args:
        services: what it shares with the others.
        principal: who signed the upgrade.
    """

    def __init__(self, services: Services, principal: Principal) -> None:
        super().__init__()
        self._services = services
        self._limits = services.limits
        self._principal = principal
        self._transport: WSTransport
        self._peer = Peer("", 0)
        self._loop = asyncio.get_running_loop()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._codec: Codec | None = None
        self._session: Session | None = None
        self._requests: Requests | None = None
        self._explains = True
        self._closed = False
        self._fragmented = False
        self._partial: bytearray | None = None
        self._needed = 0
        self._last_seen = 0.0
        self._keep_alive_s = 0
        self._incoming: RateLimiter | None = None
        if services.limits.bytes_per_connection is not None:
            self._incoming = RateLimiter(services.limits.bytes_per_connection, clock=services.clock)
        self.write: Callable[[bytes], None]

    # What picows calls

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The upgrade is done: wait for the CONNECT, not for ever."""
        self._transport = transport
        # The enumeration's member costs picows 0.2 µs a call to convert, its number nothing.
        self.write = functools.partial(transport.send, _BINARY)
        sockname = transport.underlying_transport.get_extra_info("sockname") or ("", 0)
        peername = transport.underlying_transport.get_extra_info("peername") or ("", 0)
        self._peer = Peer(peername[0], peername[1], sockname[0], sockname[1])
        self._services.connections.add(self)
        self._set_timer("connect", CONNECT_WITHIN_S, self._no_connect)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take a frame in."""
        if self._closed:
            return
        try:
            kind = frame.msg_type
            if kind is WSMsgType.BINARY or (kind is WSMsgType.CONTINUATION and self._fragmented):
                self._fragmented = not frame.fin
                self._feed(frame.get_payload_as_bytes())
            elif kind is WSMsgType.PING:
                # A peer that does not read gets no answers: they would pile up.
                if "stalled" not in self._timers:
                    transport.send_pong(frame.get_payload_as_bytes())
            elif kind is WSMsgType.CLOSE:
                self.close(Reason.SUCCESS, DisconnectCause.CLIENT_INITIATED_DISCONNECT)
            elif kind is not WSMsgType.PONG:
                self._hang_up(WSCloseCode.UNSUPPORTED_DATA, DisconnectCause.CLIENT_ERROR)
        except PacketError as error:
            self._fail(error.reason, DisconnectCause.CLIENT_ERROR, str(error))
        except RefusedError as error:
            self._fail(error.reason, error.cause, str(error))
        except Exception:  # noqa: BLE001  (one client's bytes must not end what serves the others)
            _LOG.exception("the gateway failed on a packet")
            self._fail(Reason.IMPLEMENTATION_SPECIFIC_ERROR, DisconnectCause.SERVER_ERROR, "internal failure")

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002
        """The socket is gone."""
        self._closed = True
        self._services.leave(self)
        self._cancel_timers()
        if self._session is not None:
            self._services.broker.end(self._session, self, DisconnectCause.CONNECTION_LOST, send_will=True)

    def pause_writing(self) -> None:
        """The peer reads more slowly than we write."""
        if self._session is not None:
            self._session.slow_down()
        if not self._closed:
            self._set_timer("stalled", STALLED_AFTER_S, self._stalled)

    def resume_writing(self) -> None:
        """The peer has caught up."""
        if (timer := self._timers.pop("stalled", None)) is not None:
            timer.cancel()
        if self._session is not None and not self._closed:
            self._session.speed_up()

    # What the session calls

    def release_after(self, delay_s: float) -> None:
        """Let the session go on after a while."""
        if self._session is not None:
            self._set_timer("release", delay_s, self._session.release)

    def close(self, reason: Reason, cause: DisconnectCause, text: str | None = None) -> None:
        """Say why, as far as the protocol can, and hang up. The will is sent unless the client said goodbye."""
        if self._closed:
            return
        last_words = b""
        session, codec = self._session, self._codec
        if session is not None and codec is not None:
            # What is held back for a slow reader would only fill its buffer further.
            if not session.slow:
                last_words = b"".join(session.out)
            if reason != Reason.SUCCESS:
                last_words += codec.encode_disconnect(reason, text if self._explains else None)
        self._hang_up(WSCloseCode.OK, cause, last_words)

    def abort(self) -> None:
        """Reset the socket."""
        self._closed = True
        self._transport.disconnect(graceful=False)

    # Bytes to packets

    def _feed(self, data: bytes) -> None:
        self._services.broker.counters.bytes_in += len(data)
        self._last_seen = self._loop.time()
        if self._incoming is not None and (delay := self._incoming.spend(len(data))) > 0:
            self._transport.underlying_transport.pause_reading()
            self._set_timer("read", delay, self._resume_reading)
        if self._partial is not None:
            self._partial += data
            if len(self._partial) < self._needed:
                return
            data = bytes(self._partial)
            self._partial = None
        position = 0
        end = len(data)
        limit = self._limits.packet
        session = self._session
        while position < end:
            first = data[position]
            if first == FIRST_PUBACK and session is not None and end - position >= 4 and data[position + 1] == 2:
                # The commonest packet of all where deliveries are at QoS 1; packet id 0 is refused further down.
                packet_id = data[position + 2] << 8 | data[position + 3]
                if packet_id:
                    session.acknowledge(packet_id)
                    position += 4
                    continue
            bounds = body_bounds(data, position, limit)
            if bounds is None or bounds[1] > end:
                self._check_first(first)
                self._partial = bytearray(data[position:])
                self._needed = end - position + 1 if bounds is None else bounds[1] - position
                return
            start, position = bounds
            if self._requests is None:
                self._first_packet(first, data, start, position)
                session = self._session
            else:
                self._requests.handle(first, data, start, position)
            if self._closed:
                return

    def _check_first(self, first: int) -> None:
        """Refuse what can only become a bad packet without waiting for the rest of it."""
        if self._requests is None and first != CONNECT << 4:
            raise PacketError("the first packet is not a CONNECT", Reason.PROTOCOL_ERROR)
        if first >> 4 not in CLIENT_PACKETS:
            raise PacketError(f"a client does not send packets that begin with 0x{first:02x}")

    def _first_packet(self, first: int, data: bytes, start: int, stop: int) -> None:
        self._check_first(first)
        codec: Codec = Codec311()
        explains = True
        try:
            if protocol_version(data, start, stop) == PROTOCOL_5:
                codec = Codec5()
            connect = codec.connect(data, start, stop)
            explains = connect.request_problem_information
            client = Client(self._principal, self._peer, self, codec)
            session, connack = open_session(self._services, connect, client)
        except (PacketError, RefusedError) as error:
            self._services.broker.counters.connects_failed += 1
            refusal = codec.encode_connack(Connack(reason=error.reason, text=str(error) if explains else None))
            self._hang_up(WSCloseCode.OK, DisconnectCause.CLIENT_ERROR, refusal)
            return
        self._codec = codec
        self._session = session
        self._explains = explains
        self._requests = Requests(self._services, session, self, explains=explains)
        self._timers.pop("connect").cancel()
        self._set_keep_alive(session.keep_alive_s)
        if self._limits.connection_lifetime is not None:
            self._set_timer("lifetime", self._limits.connection_lifetime, self._too_old)
        session.control(codec.encode_connack(connack))
        session.resume()

    # Time

    def _set_timer(self, name: str, delay_s: float, function: Callable[[], None]) -> None:
        if (timer := self._timers.get(name)) is not None:
            timer.cancel()
        self._timers[name] = self._loop.call_later(delay_s, function)

    def _cancel_timers(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _set_keep_alive(self, keep_alive_s: int) -> None:
        self._keep_alive_s = keep_alive_s
        if keep_alive_s:
            self._set_timer("keep-alive", _GRACE * keep_alive_s, self._check_keep_alive)

    def _check_keep_alive(self) -> None:
        left = self._last_seen + _GRACE * self._keep_alive_s - self._loop.time()
        if left > 0:
            self._set_timer("keep-alive", left + 0.001, self._check_keep_alive)
        else:
            self.close(Reason.KEEP_ALIVE_TIMEOUT, DisconnectCause.MQTT_KEEP_ALIVE_TIMEOUT, "nothing heard for too long")

    def _no_connect(self) -> None:
        self._hang_up(WSCloseCode.POLICY_VIOLATION, DisconnectCause.CLIENT_ERROR)

    def _too_old(self) -> None:
        self.close(
            Reason.MAXIMUM_CONNECT_TIME,
            DisconnectCause.WEBSOCKET_TTL_EXPIRATION,
            "the connection has reached its longest life",
        )

    def _stalled(self) -> None:
        self.close(Reason.QUOTA_EXCEEDED, DisconnectCause.CONNECTION_LOST, "nothing is read any more")

    def _resume_reading(self) -> None:
        self._last_seen = self._loop.time()
        self._transport.underlying_transport.resume_reading()

    # The end

    def _fail(self, reason: Reason, cause: DisconnectCause, text: str) -> None:
        if self._session is None:
            self._hang_up(WSCloseCode.PROTOCOL_ERROR, cause)
        else:
            self.close(reason, cause, text)

    def _hang_up(self, code: WSCloseCode, cause: DisconnectCause, last_words: bytes = b"") -> None:
        """End the session's connection, close the WebSocket, and reset the socket if the peer does not play along."""
        if self._closed:
            return
        self._closed = True
        if self._session is not None:
            said_goodbye = cause is DisconnectCause.CLIENT_INITIATED_DISCONNECT
            self._services.broker.end(self._session, self, cause, send_will=not said_goodbye)
        if last_words:
            self.write(last_words)
        self._cancel_timers()
        self._transport.send_close(code)
        self._set_timer("close", CLOSE_WITHIN_S, self.abort)
        socket = self._transport.underlying_transport
        try:
            # Closing with bytes of the peer unread would reset the connection, and the last words with it.
            if socket.can_write_eof():
                socket.write_eof()
                return
        except OSError:
            pass  # the peer has closed already
        socket.close()
