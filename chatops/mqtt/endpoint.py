"""Where the gateway is, and how its address follows from an environment."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from chatops.errors import ConfigurationError

_REMEDY = "the name looks like abc123-ats.iot.eu-west-1.amazonaws.com; `chatops describe-endpoint` prints yours"


@dataclass(frozen=True, slots=True)
class GatewayAddress:
    """A gateway's WebSocket address.

    Attributes:
        ca_file: PEM file of a certificate to trust beside the system's (a local `wss` gateway), or None.
    """

    host: str
    port: int
    tls: bool
    path: str = "/mqtt"
    ca_file: str | None = None

    @property
    def url(self) -> str:
        """The address without any signature."""
        default = 443 if self.tls else 80
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == default else f":{self.port}"
        return f"{'wss' if self.tls else 'ws'}://{host}{port}{self.path}"


def gateway_address(name: str, override: str | None = None) -> GatewayAddress:
    """Turn a gateway name, or a `ws://` or `wss://` URL that overrides it, into an address.

    A name with a loopback host is the local stack's and is reached without TLS; all others are reached over TLS on
    port 443, as AWS IoT Core is.

    Raises:
        ConfigurationError: the name or URL cannot be read, or asks for an unencrypted connection off this machine.
    """
    if override is None:
        return _from_name(name)
    try:
        parts = urlsplit(override)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError(f"The gateway URL {override!r} cannot be read: {error}", _REMEDY) from None
    if parts.scheme not in {"ws", "wss"} or not host:
        raise ConfigurationError(f"The gateway URL {override!r} is not a ws:// or wss:// address", _REMEDY)
    tls = parts.scheme == "wss"
    if not tls and not is_loopback(host):
        raise ConfigurationError(
            f"The gateway URL {override!r} would send credentials unencrypted",
            "use wss:// for any other machine",
        )
    return GatewayAddress(host, port or (443 if tls else 80), tls, parts.path or "/mqtt")


def is_loopback(host: str) -> bool:
    """Tell whether `host` names this machine, by its text alone (no look-up)."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _from_name(name: str) -> GatewayAddress:
    try:
        parts = urlsplit(f"//{name}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError(f"The gateway name {name!r} cannot be read: {error}", _REMEDY) from None
    if not host or parts.path or parts.query or parts.username:
        raise ConfigurationError(f"The gateway name {name!r} is not a host name", _REMEDY)
    tls = not is_loopback(host)
    return GatewayAddress(host, port or (443 if tls else 80), tls)
