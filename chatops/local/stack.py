"""The embedded AWS as one thing: starts and stops its parts, in one event loop."""

import errno
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from chatops.errors import ConfigurationError
from chatops.local.broker import Broker
from chatops.local.certificate import make_tls_context
from chatops.local.control_plane import ControlPlane
from chatops.local.credentials import Credential, CredentialStore, Principal, PrincipalKind
from chatops.local.fault_control import FaultControl, FaultyAuthorizer
from chatops.local.faults import Faults
from chatops.local.gateway import Gateway
from chatops.local.limits import Limits
from chatops.local.record import fault_token
from chatops.local.roles import RoleCatalogue
from chatops.local.throttles import Throttled

ACCOUNT = "123456789012"
DEFAULT_REGION = "us-east-1"


class Quotas(Enum):
    """Which of AWS's quotas the stack enforces: the protocol's, the account's as well, or none (benchmarks)."""

    PROTOCOL = "protocol"
    AWS = "aws"
    NONE = "none"

    def limits(self) -> Limits:
        """The limits that this choice stands for."""
        match self:
            case Quotas.PROTOCOL:
                return Limits.aws_protocol()
            case Quotas.AWS:
                return Limits.aws_account()
            case Quotas.NONE:
                return Limits.none()


@dataclass(frozen=True, slots=True)
class Ports:
    """TCP ports on 127.0.0.1; 0 takes a free one."""

    control: int = 0
    gateway: int = 0
    tls: int = 0


class Stack:
    """A running stack.

    Args:
        directory: where the TLS certificate is written.
        instance: a name for this run, told by the health check.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        directory: Path,
        *,
        ports: Ports | None = None,
        quotas: Quotas = Quotas.PROTOCOL,
        region: str = DEFAULT_REGION,
        instance: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self._wanted = ports or Ports()
        self._clock = clock
        self.region = region
        self.quotas = quotas
        self.instance = instance or secrets.token_hex(8)
        self.operator = Credential(
            access_key_id="AKIA" + secrets.token_hex(8).upper(),
            secret_access_key=secrets.token_urlsafe(30),
            session_token=None,
            expires_at=None,
            principal=Principal(PrincipalKind.OPERATOR, ACCOUNT),
        )
        self.last_used = clock()
        self.credentials = CredentialStore(clock)
        self.credentials.add(self.operator)
        self.roles = RoleCatalogue()
        limits = quotas.limits()
        authorizer = FaultyAuthorizer(
            self.credentials, self.roles, clock, ports=lambda: (self.gateway.port, self.gateway.tls_port)
        )
        self.broker = Broker(authorizer, limits)
        self.gateway = Gateway(self.broker, authorizer, limits)
        self.faults = FaultControl(self, self.credentials, fault_token(self.operator.secret_access_key))
        authorizer.faults = self.faults.faults
        self.control_plane = ControlPlane(
            broker=self.broker,
            credentials=self.credentials,
            roles=self.roles,
            limits=limits,
            account=ACCOUNT,
            region=region,
            gateway_address=lambda: f"127.0.0.1:{self.gateway.port}",
            operator=self.operator,
            authorizer=authorizer,
            instance_id=self.instance,
            clock=clock,
            on_activity=self._used,
            faults=self.faults,
        )

    @property
    def ports(self) -> Ports:
        """The ports in use, once started."""
        return Ports(self.control_plane.port, self.gateway.port, self.gateway.tls_port)

    @property
    def certificate(self) -> Path:
        """The PEM file that makes `wss` trusted."""
        return self._directory / "certificate.pem"

    def idle_s(self) -> float:
        """Seconds since the last request, 0 while anyone is connected to the gateway."""
        if self.broker.connection_count:
            self._used()
        return self._clock() - self.last_used

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigurationError: a port is taken.
        """
        try:
            await self.gateway.start(
                port=self._wanted.gateway, tls_port=self._wanted.tls, tls_context=make_tls_context(self.certificate)
            )
            await self.control_plane.start(port=self._wanted.control)
        except OSError as error:
            await self.stop()
            taken = error.errno in {errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL}
            raise ConfigurationError(
                f"The local stack cannot {'listen' if taken else 'start'}: {error.strerror or error}",
                "choose other ports with --port and --gateway-port, or leave them out to get free ones"
                if taken
                else f"see to the folder {self._directory}",
            ) from None

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        self.faults.clear()
        await self.control_plane.stop()
        await self.gateway.stop()

    def interfere(self, faults: Faults | None) -> None:
        """See `fault_control.Meddling`, as for the next two."""
        self.broker.interference = faults

    def throttle(self, quota: str, rate: float | None) -> None:
        """Enforce an account quota."""
        match quota:
            case "identities":
                self.control_plane.throttle_guests("GetId", rate)
            case "credentials":
                self.control_plane.throttle_guests("GetCredentialsForIdentity", rate)
            case _:
                self.gateway.throttle(quota, rate)

    def cut(self) -> int:
        """Reset every connection."""
        return self.gateway.cut()

    def delivery_throttled(self) -> None:
        """Count a delivery that a throttle has kept back."""
        self.broker.counters.throttles.count(Throttled.PUBLISH_OUT)

    def _used(self) -> None:
        self.last_used = self._clock()
