"""Small things that sessions, broker and gateway hand one another."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from chatops.local.packets import Encoded, Message, Reason
from chatops.local.throttles import Throttles


class DisconnectCause(Enum):
    """Why a connection ended, in the words of AWS IoT Core's lifecycle events."""

    AUTH_ERROR = "AUTH_ERROR"
    CLIENT_INITIATED_DISCONNECT = "CLIENT_INITIATED_DISCONNECT"
    CLIENT_ERROR = "CLIENT_ERROR"
    CONNECTION_LOST = "CONNECTION_LOST"
    DUPLICATE_CLIENTID = "DUPLICATE_CLIENTID"
    FORBIDDEN_ACCESS = "FORBIDDEN_ACCESS"
    MQTT_KEEP_ALIVE_TIMEOUT = "MQTT_KEEP_ALIVE_TIMEOUT"
    SERVER_ERROR = "SERVER_ERROR"
    SERVER_INITIATED_DISCONNECT = "SERVER_INITIATED_DISCONNECT"
    API_INITIATED_DISCONNECT = "API_INITIATED_DISCONNECT"
    THROTTLED = "THROTTLED"
    WEBSOCKET_TTL_EXPIRATION = "WEBSOCKET_TTL_EXPIRATION"


class Link(Protocol):
    """A session's connection."""

    def write(self, data: bytes) -> None:
        """Send whole packets."""
        ...

    def release_after(self, delay_s: float) -> None:
        """Call the session's `release` after a while."""
        ...

    def close(self, reason: Reason, cause: DisconnectCause, text: str | None = None) -> None:
        """Say why and hang up."""
        ...


class Interference(Protocol):
    """What stands between broker and sessions while faults are injected; `chatops.local.faults.Faults` does."""

    def deliver(self, receiver: object, sender: object, topic: str, send: Callable[[], bool]) -> bool:
        """Have `send` deliver now, later, twice or never; returns whether it goes out, as far as is known."""
        ...


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a client connected from, and to."""

    ip: str
    port: int
    server_ip: str = ""
    server_port: int = 0


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message at QoS 1 on its way to everyone who gets the same bytes."""

    message: Message
    encoded: Encoded
    version: int
    retain: bool
    subscription_ids: tuple[int, ...]


class Counters:
    """What a broker counts; read as `Statistics`."""

    __slots__ = (
        "bytes_in",
        "connects",
        "connects_failed",
        "denied",
        "discarded",
        "dropped",
        "messages_in",
        "messages_out",
        "throttles",
    )

    def __init__(self) -> None:
        self.throttles = Throttles()
        self.bytes_in = 0
        self.connects = 0
        self.connects_failed = 0
        self.denied = 0
        self.discarded = 0
        self.dropped = 0
        self.messages_in = 0
        self.messages_out = 0
