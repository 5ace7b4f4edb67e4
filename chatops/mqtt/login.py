"""Logging in as a guest: everything that a connection needs, from an environment.

Every `GetId` makes an identity for good, so that the identity of a pool is remembered between commands, in the
user's runtime directory: whoever knows the id of a guest can be that guest, so that the file is private.
"""

import contextlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from chatops.environment import Environment
from chatops.errors import NotFoundError
from chatops.mqtt.endpoint import GatewayAddress, gateway_address
from chatops.mqtt.guests import GuestCredentials, Guests, cognito_endpoint
from chatops.mqtt.signing import Keys
from chatops.runtime import write_private

_REMEMBERED = 50


@dataclass(frozen=True, slots=True)
class Login:
    """Someone who is ready to connect: a guest, or an operator with keys of AWS.

    Attributes:
        identity: a guest's identity id, or "operator". A guest's is a secret: see `chat.messages.guest_sender`.
    """

    address: GatewayAddress
    region: str
    keys: Keys
    client_id: str
    identity: str

    @property
    def expires_at(self) -> float | None:
        """When the keys expire, in seconds since the epoch; None when nobody can know."""
        return getattr(self.keys, "expires_at", None)


def address_of(environment: Environment) -> GatewayAddress:
    """The gateway of an environment, overrides applied."""
    address = gateway_address(environment.gateway, environment.endpoints.get("gateway"))
    if (ca_file := environment.endpoints.get("gateway-ca")) is None:
        return address
    return GatewayAddress(address.host, address.port, address.tls, address.path, ca_file)


def cognito_url(environment: Environment, variables: Mapping[str, str]) -> str:
    """Cognito's endpoint for an environment: its own override, then AWS's variables, then the Region's."""
    return (
        environment.endpoints.get("cognito-identity")
        or environment.endpoints.get("aws")
        or variables.get("AWS_ENDPOINT_URL_COGNITO_IDENTITY")
        or variables.get("AWS_ENDPOINT_URL")
        or cognito_endpoint(environment.region)
    )


async def log_in(environment: Environment, variables: Mapping[str, str], directory: Path) -> Login:
    """Get credentials for this user's guest identity of the pool; a new identity when it has none or lost it.

    Args:
        variables: the process's environment variables.
        directory: the user's runtime directory.

    Raises:
        ChatopsError: as `Guests` says.
    """
    async with Guests(cognito_url(environment, variables), environment.identity_pool_id) as guests:
        credentials = await guest_credentials(guests, environment.identity_pool_id, directory)
    return Login(
        address=address_of(environment),
        region=environment.region,
        keys=credentials,
        client_id=f"{credentials.identity_id}-{secrets.token_hex(4)}",
        identity=credentials.identity_id,
    )


async def guest_credentials(guests: Guests, pool_id: str, directory: Path) -> GuestCredentials:
    """Credentials of this user's identity of a pool; a new identity is remembered before it is used."""
    known = _read(directory)
    if (identity_id := known.get(pool_id)) is not None:
        with contextlib.suppress(NotFoundError):
            return await guests.credentials(identity_id)
    identity_id = await guests.new_identity()
    _remember(directory, known, pool_id, identity_id)
    return await guests.credentials(identity_id)


def _path(directory: Path) -> Path:
    return directory / "identities.json"


def _read(directory: Path) -> dict[str, str]:
    try:
        document = json.loads(_path(directory).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(document, dict):
        return {}
    return {str(pool): str(identity) for pool, identity in document.items()}


def _remember(directory: Path, known: Mapping[str, str], pool_id: str, identity_id: str) -> None:
    kept = [(pool, identity) for pool, identity in known.items() if pool != pool_id][-_REMEMBERED:]
    with contextlib.suppress(OSError):
        write_private(_path(directory), json.dumps(dict([*kept, (pool_id, identity_id)]), indent=2) + "\n")
