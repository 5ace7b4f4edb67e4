"""Rooms: the MQTT topics of the chat, and AWS IoT Core's limits on topics and filters.

Limits are those of AWS IoT Core's message broker quotas (service code `iotcore`): 256 bytes of UTF-8 and at most
seven slashes in a topic or filter.
"""

import unicodedata
from dataclasses import dataclass

from chatops.errors import ConfigurationError, UsageError

MAX_TOPIC_BYTES = 256
MAX_TOPIC_SLASHES = 7
MAX_PAYLOAD_BYTES = 128 * 1024
DEFAULT_PREFIX = "/chat/"

_WILDCARDS = ("+", "#")


def _topic_problem(topic: str) -> str | None:
    """Say what AWS IoT Core would refuse in `topic`, wildcards aside, or None."""
    size = len(topic.encode("utf-8", "surrogatepass"))
    slashes = topic.count("/")
    if size > MAX_TOPIC_BYTES:
        return f"is {size} bytes long; AWS IoT takes at most {MAX_TOPIC_BYTES}"
    if slashes > MAX_TOPIC_SLASHES:
        return f"has {slashes} slashes; AWS IoT takes at most {MAX_TOPIC_SLASHES}"
    if any(unicodedata.category(character) in {"Cc", "Cs"} or _is_noncharacter(character) for character in topic):
        return "contains a control character or a code point that MQTT does not allow"
    return None


def _is_noncharacter(character: str) -> bool:
    """Say whether Unicode will never assign it. What this Python's Unicode does not know yet is another matter."""
    code = ord(character)
    return code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF


def check_prefix(prefix: str) -> str:
    """Return `prefix` when rooms can live under it.

    Raises:
        ConfigurationError: it is empty, has wildcards, does not end in a slash, starts with `$`, or is too long to
            leave room for a name.
    """
    remedy = 'use something like "/chat/"'
    shown = repr(_shortened(prefix))
    if not prefix.endswith("/") or not prefix.strip("/"):
        raise ConfigurationError(f"The topic prefix {shown} must be a name that ends in a slash", remedy)
    if prefix.startswith("$"):
        raise ConfigurationError(f"The topic prefix {shown} is reserved: AWS IoT keeps topics with $", remedy)
    if any(character in prefix for character in (*_WILDCARDS, "*", "?")) or "${" in prefix:
        raise ConfigurationError(f"The topic prefix {shown} contains a wildcard of MQTT or of IAM", remedy)
    if (problem := _topic_problem(prefix + "x")) is not None:
        raise ConfigurationError(f"The topic prefix {shown}, with a name of one letter, {problem}", remedy)
    return prefix


@dataclass(frozen=True, slots=True)
class Room:
    """One room: a topic under an environment's prefix.

    Attributes:
        topic: the whole MQTT topic, such as `/chat/lobby`.
        name: what follows the prefix, such as `lobby`.
    """

    topic: str
    name: str

    def __str__(self) -> str:
        return self.topic


def parse_room(text: str, prefix: str = DEFAULT_PREFIX) -> Room:
    """Read a room as users write it: a whole topic (`/chat/lobby`) or what follows the prefix (`lobby`).

    Raises:
        UsageError: the room lies outside the prefix, has a wildcard, or breaks a limit of AWS IoT Core.
    """
    topic = _whole(text, prefix)
    if any(character in topic for character in _WILDCARDS):
        raise UsageError(
            f"{text!r} is a pattern, not a room: + and # can be watched but not posted to",
            f"name one room, such as {prefix}lobby",
        )
    name = topic[len(prefix) :]
    if not name.strip("/"):
        raise UsageError(f"{text!r} names no room", f"name one, such as {prefix}lobby")
    return Room(topic, name)


def parse_filter(text: str, prefix: str = DEFAULT_PREFIX) -> str:
    """Read what to watch: a room, a room and all below it (trailing slash), or an MQTT filter under the prefix.

    Returns:
        An MQTT topic filter that lies wholly under `prefix`.

    Raises:
        UsageError: it lies outside the prefix, breaks a limit, or misplaces a wildcard.
    """
    topic = _whole(text, prefix)
    if topic.endswith("/"):
        topic = _whole(topic + "#", prefix)
    levels = topic.split("/")
    misplaced = [
        level
        for index, level in enumerate(levels)
        if ("#" in level and (level != "#" or index != len(levels) - 1)) or ("+" in level and level != "+")
    ]
    if misplaced:
        raise UsageError(
            f"{text!r} misplaces a wildcard: + and # stand alone between slashes, and # comes last",
            f"write {prefix}# for all rooms or {prefix}games/+ for the rooms of one group",
        )
    return topic


def _whole(text: str, prefix: str) -> str:
    if not text:
        raise UsageError("The room's name is empty", f"name one, such as {prefix}lobby")
    topic = text if text.startswith(("/", "$", prefix)) else prefix + text
    if not topic.startswith(prefix):
        raise UsageError(
            f"The room {_shortened(text)!r} lies outside {prefix}, where this environment's rooms are",
            f"name a room such as {prefix}lobby, or lobby for short",
        )
    if (problem := _topic_problem(topic)) is not None:
        raise UsageError(f"The room {_shortened(text)!r} {problem}", "choose a shorter, flatter name")
    return topic


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"
