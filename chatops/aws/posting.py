"""Posting to a room from a program, such as a Lambda function: what `chatops.post` does.

It needs boto3 alone of all that chatops depends on, which Lambda's Python runtime brings along.
"""

import dataclasses
import datetime as dt
import os
from collections.abc import Mapping
from pathlib import Path

from chatops import environment as environments
from chatops import settings
from chatops.aws.iot import publish
from chatops.aws.session import Aws, AwsTarget
from chatops.chat.messages import Envelope, Kind, MessageIds, encode
from chatops.chat.rooms import MAX_PAYLOAD_BYTES, parse_room
from chatops.environment import Environment
from chatops.errors import UsageError


@dataclasses.dataclass(frozen=True, slots=True)
class Posted:
    """What was posted, acknowledged by AWS.

    Attributes:
        room: the whole topic.
        id: the message's id.
        sent: when, in UTC.
    """

    room: str
    id: str
    sent: dt.datetime


def post(
    room: str,
    text: str,
    *,
    environment: Environment | str | None = None,
    name: str = "operator",
    kind: str = "chat",
    env_dir: str | os.PathLike[str] | None = None,
) -> Posted:
    """Post a message to a room, at QoS 1, through AWS IoT's HTTPS data plane.

    Uses boto3's credentials: in a Lambda function those of its role, which needs `iot:Publish` on the room's topic.
    In a function that runs often, load the environment once: each name given is read from its file again.

    Args:
        room: `/chat/lobby`, or `lobby` for short.
        text: what to say.
        environment: one that `chatops.environment.load` returned, or the name of one with a file in `env_dir`; None
            takes CHATOPS_ENV, or the only file there is. The embedded one (`local`) belongs to the command line.
        name: the display name.
        kind: `chat` or `system`.
        env_dir: the folder of environment files; None takes CHATOPS_ENV_DIR, or `env`.

    Raises:
        UsageError: the room, the kind or the size cannot be.
        ConfigurationError: the environment is missing or wrong.
        NotAuthorisedError: no credentials, or iot:Publish is missing.
        ConnectionFailedError, AwsError: AWS cannot be reached, or refuses.
    """
    if kind not in {Kind.CHAT, Kind.SYSTEM}:
        raise UsageError(f"There is no kind of message {kind!r} to post", "choose chat or system")
    if not isinstance(environment, Environment):
        environment = _named(environment, None if env_dir is None else os.fspath(env_dir), os.environ)
    target = parse_room(room, environment.topic_prefix)
    sent = dt.datetime.now(dt.UTC)
    message = Envelope(id=MessageIds().new(), sender="operator", name=name, kind=Kind(kind), text=text, sent=sent)
    payload = encode(message)
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise UsageError(
            f"The message is {len(payload):,} bytes long; AWS IoT takes at most {MAX_PAYLOAD_BYTES:,}", "shorten it"
        )
    publish(Aws(_target(environment, os.environ)), target.topic, payload)
    return Posted(target.topic, message.id, sent)


def _named(name: str | None, env_dir: str | None, variables: Mapping[str, str]) -> Environment:
    directory: Path = settings.env_dir(env_dir, variables).value
    chosen = settings.environment_name(name, variables, environments.names_in(directory)).value
    return environments.load(directory, environments.check_name(chosen))


def _target(environment: Environment, variables: Mapping[str, str]) -> AwsTarget:
    endpoints = {name: url for name, url in environment.endpoints.items() if not name.startswith("gateway")}
    overridden = {"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_IOT_DATA_PLANE"} & variables.keys()
    if not overridden and "aws" not in endpoints and "iot-data" not in endpoints:
        endpoints["iot-data"] = f"https://{environment.gateway}"
    return AwsTarget(region=environment.region, endpoints=endpoints)
