"""The two ways a message takes: the operator's through HTTPS, a guest's over MQTT."""

import asyncio
import contextlib
import functools
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from chatops.cli.context import Selection, require_local
from chatops.environment import Environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatops.mqtt.connection import ChatConnection
    from chatops.mqtt.data_plane import DataPlane
    from chatops.mqtt.login import Login
    from chatops.mqtt.signing import Keys

GUEST_RATE = 50.0
"""Messages a second of a guest that names no rate: AWS IoT discards what exceeds 100 a connection, in plus out."""


class Channel(Protocol):
    """Posts messages, each acknowledged.

    Attributes:
        sender: what an envelope says in `from`.
        rate: messages a second when nobody names a rate.
    """

    sender: str
    rate: float | None

    async def post(
        self, topic: str, payload: bytes, *, properties: Sequence[tuple[str, str]], expiry_s: int | None
    ) -> None:
        """Post one message; returns when it is acknowledged."""


@dataclass(slots=True)
class OperatorChannel:
    """Through the HTTPS data plane."""

    plane: "DataPlane"
    sender: str = "operator"
    rate: float | None = None

    async def post(
        self, topic: str, payload: bytes, *, properties: Sequence[tuple[str, str]], expiry_s: int | None
    ) -> None:
        """Post one message."""
        send = functools.partial(self.plane.publish, user_properties=properties, expiry_s=expiry_s)
        await asyncio.to_thread(send, topic, payload)


@dataclass(slots=True)
class GuestChannel:
    """Over MQTT."""

    chat: "ChatConnection"
    sender: str
    rate: float | None = GUEST_RATE

    async def post(
        self, topic: str, payload: bytes, *, properties: Sequence[tuple[str, str]], expiry_s: int | None
    ) -> None:
        """Post one message."""
        await self.chat.publish(topic, payload, user_properties=properties, expiry_s=expiry_s)


@asynccontextmanager
async def open_channel(
    selection: Selection, environment: Environment, who: str, profile: str | None
) -> AsyncGenerator[Channel]:
    """Make a channel for `guest` or `operator`, and close it at the end."""
    if who == "guest":
        from chatops.chat.messages import guest_sender
        from chatops.mqtt.connection import connect
        from chatops.mqtt.login import log_in

        login = await log_in(environment, selection.variables, selection.runtime)
        async with connect(login.address, login.region, login.keys, login.client_id) as chat:
            yield GuestChannel(chat, guest_sender(login.identity))
        return
    from chatops.mqtt.data_plane import DataPlane

    url = _data_url(selection, environment)
    with contextlib.closing(
        DataPlane(url, environment.region, operator_keys(selection, environment, profile), selection.variables)
    ) as plane:
        yield OperatorChannel(plane)


@dataclass(frozen=True, slots=True)
class _LastingKeys:
    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = None


async def listener_login(selection: Selection, environment: Environment, who: str, profile: str | None) -> "Login":
    """Log in over MQTT as the one who posts, to hear the echo."""
    from chatops.mqtt.login import Login, address_of, log_in

    if who == "guest":
        return await log_in(environment, selection.variables, selection.runtime)
    keys = operator_keys(selection, environment, profile)()
    client_id = f"operator-{secrets.token_hex(4)}"
    return Login(address_of(environment), environment.region, keys, client_id, "operator")


def operator_keys(selection: Selection, environment: Environment, profile: str | None) -> "Callable[[], Keys]":
    """What knows the operator's credentials: the local stack's record, else what boto3 finds."""
    if selection.is_local:
        record = require_local(selection)
        keys = _LastingKeys(record.access_key_id, record.secret_access_key)
        return lambda: keys
    from chatops.aws.session import Aws
    from chatops.cli.lifecycle import operator_target

    return Aws(operator_target(environment, None, profile)).keys


def _data_url(selection: Selection, environment: Environment) -> str:
    if selection.is_local:
        return require_local(selection).control_url
    variables = selection.variables
    return (
        environment.endpoints.get("iot-data")
        or environment.endpoints.get("aws")
        or variables.get("AWS_ENDPOINT_URL_IOT_DATA_PLANE")
        or variables.get("AWS_ENDPOINT_URL")
        or f"https://{environment.gateway}"
    )
