"""The gateway's listener: HTTP upgrades on loopback, authenticated as AWS IoT Core does, then MQTT.

Whatever is refused is refused before the WebSocket exists, with a JSON body that says which check failed.
"""

import asyncio
import ipaddress
import json
import logging
import ssl
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus

from picows import (
    WSListener,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from chatops.local.authorizer import Authorizer, Refused
from chatops.local.broker import Broker
from chatops.local.broker_values import DisconnectCause
from chatops.local.gateway_connection import Connection
from chatops.local.gateway_services import Services
from chatops.local.limits import Limits
from chatops.local.packets import Reason

_LOG = logging.getLogger(__name__)

PATH = "/mqtt"
SUBPROTOCOL = "mqtt"

HANDSHAKE_WITHIN_S = 10.0
"""For TLS, and again for the upgrade request."""

_TICK_S = 0.5
_STOP_WITHIN_S = 1.0
_BACKLOG = 4096
_READ_BUFFER_BYTES = 4096
_SMALLEST_FRAME_LIMIT = 256 * 1024


class Gateway:
    """Listens for MQTT over WebSocket, on loopback only.

    Args:
        broker: where connections lead.
        authorizer: who may connect, and do what.
        limits: quotas; the broker's unless given.
        clock: seconds that never go back; the broker's should be the same.
    """

    def __init__(
        self,
        broker: Broker,
        authorizer: Authorizer,
        limits: Limits | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.port = 0
        self.tls_port = 0
        self._broker = broker
        self._authorizer = authorizer
        self._services = Services(broker, authorizer, broker.limits if limits is None else limits, clock)
        self._servers: list[asyncio.Server] = []
        self._timer: asyncio.TimerHandle | None = None

    async def start(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls_port: int = 0,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        """Listen; `port` and `tls_port` then say where. Without a context there is no TLS port.

        Raises:
            OSError: a port is taken.
            ValueError: `host` is not a loopback address.
        """
        if not ipaddress.ip_address(host).is_loopback:
            raise ValueError(f"the local gateway listens on loopback only, not on {host}")
        try:
            self.port = await self._listen(host, port, None)
            if tls_context is not None:
                self.tls_port = await self._listen(host, tls_port, tls_context)
        except BaseException:
            await self.stop()
            raise
        self._tick()

    async def stop(self) -> None:
        """Stop listening and disconnect everyone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for server in self._servers:
            server.close()
        connections = self._services.connections
        for connection in list(connections):
            connection.close(
                Reason.SERVER_SHUTTING_DOWN, DisconnectCause.SERVER_INITIATED_DISCONNECT, "the stack stops"
            )
        await self._services.wait_empty(_STOP_WITHIN_S)
        for connection in list(connections):
            connection.abort()
        await self._services.wait_empty(_STOP_WITHIN_S)
        for server in self._servers:
            # Sockets that never got as far as an upgrade; asyncio's own server has no such method before Python 3.13.
            getattr(server, "abort_clients", _nothing)()
        self._servers.clear()

    def cut(self) -> int:
        """Reset every connection, as a lost network does; returns how many there were."""
        connections = list(self._services.connections)
        for connection in connections:
            connection.abort()
        return len(connections)

    def throttle(self, quota: str, rate: float | None) -> None:
        """Enforce a quota of the account from now on; None is what `limits` has. See `Services.throttle`."""
        self._services.throttle(quota, rate)

    async def _listen(self, host: str, port: int, tls_context: ssl.SSLContext | None) -> int:
        server = await ws_create_server(
            self._accept,
            host,
            port,
            websocket_handshake_timeout=HANDSHAKE_WITHIN_S,
            enable_auto_pong=False,
            max_frame_size=max(_SMALLEST_FRAME_LIMIT, self._services.limits.packet),
            read_buffer_init_size=_READ_BUFFER_BYTES,
            logger_name=_quiet_logger(),
            backlog=_BACKLOG,
            ssl=tls_context,
            ssl_handshake_timeout=None if tls_context is None else HANDSHAKE_WITHIN_S,
        )
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    def _accept(self, request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener:
        """Judge an upgrade request."""
        try:
            return self._judge(request)
        except Exception:  # noqa: BLE001  (picows would show the text of whatever is raised to the stranger)
            _LOG.exception("the gateway failed on an upgrade request")
            return _refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "InternalFailure", "the gateway failed; see its log")

    def _judge(self, request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener:
        headers = list(request.headers.items())
        target = request.path.decode("ascii", "replace")
        if target.partition("?")[0] != PATH:
            return _refusal(HTTPStatus.NOT_FOUND, "NotFound", f"MQTT is at {PATH}")
        if request.headers.get("upgrade", "").lower() != "websocket":
            return _refusal(HTTPStatus.UPGRADE_REQUIRED, "UpgradeRequired", "this is a WebSocket endpoint")
        if SUBPROTOCOL not in _listed(request.headers.getall("sec-websocket-protocol", [])):
            return _refusal(HTTPStatus.BAD_REQUEST, "BadRequest", f"ask for the subprotocol {SUBPROTOCOL}")
        try:
            principal = self._authorizer.authenticate("GET", target, headers)
        except Refused as refused:
            self._broker.counters.connects_failed += 1
            return _refusal(HTTPStatus(refused.status), refused.code, refused.message)
        if "upgrade" in _listed(request.headers.getall("connection", [])):
            # Browsers send "keep-alive, Upgrade", which picows does not take.
            request.headers["Connection"] = "Upgrade"
        response = WSUpgradeResponse.create_101_response({"Sec-WebSocket-Protocol": SUBPROTOCOL})
        return WSUpgradeResponseWithListener(response, Connection(self._services, principal))

    def _tick(self) -> None:
        self._broker.tick()
        self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._tick)


def _listed(values: Sequence[str]) -> list[str]:
    """Split comma-separated header values."""
    return [item.strip().lower() for value in values for item in value.split(",")]


def _refusal(status: HTTPStatus, code: str, message: str) -> WSUpgradeResponseWithListener:
    body = json.dumps({"code": code, "message": message}).encode()
    headers = {"Content-Type": "application/json", "x-amzn-ErrorType": code}
    return WSUpgradeResponseWithListener(WSUpgradeResponse.create_error_response(status, body, headers), None)


def _quiet_logger() -> logging.Logger:
    """A logger for picows that says nothing: what strangers do wrong is answered, not logged."""
    logger = logging.getLogger("chatops.local.gateway.websocket")
    logger.setLevel(logging.CRITICAL + 1)
    return logger


def _nothing() -> None:
    """Stand in for a method that is not there."""
