"""Writing messages as a command's user: envelopes that fit into what AWS IoT takes."""

import datetime as dt

from chatops.chat.messages import Envelope, Kind, MessageIds, encode
from chatops.chat.rooms import MAX_PAYLOAD_BYTES
from chatops.errors import UsageError


class Composer:
    """Writes messages of one sender, with ids that sort.

    Args:
        sender: an identity id, or `operator`.
        name: the display name.
    """

    def __init__(self, sender: str, name: str, kind: Kind = Kind.CHAT) -> None:
        self._sender = sender
        self._name = name
        self._kind = kind
        self._ids = MessageIds()

    def compose(self, text: str) -> tuple[Envelope, bytes]:
        """Write a message, sent now, and its payload.

        Raises:
            UsageError: it is larger than AWS IoT takes.
        """
        message = Envelope(
            id=self._ids.new(),
            sender=self._sender,
            name=self._name,
            kind=self._kind,
            text=text,
            sent=dt.datetime.now(dt.UTC),
        )
        return message, checked(encode(message))


def compose(sender: str, name: str, text: str, kind: Kind = Kind.CHAT) -> tuple[Envelope, bytes]:
    """Write one message and its payload; see `Composer`."""
    return Composer(sender, name, kind).compose(text)


def checked(payload: bytes) -> bytes:
    """Return a payload that AWS IoT takes.

    Raises:
        UsageError: it is too large.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise UsageError(
            f"The message is {len(payload):,} bytes long; AWS IoT takes at most {MAX_PAYLOAD_BYTES:,}",
            "shorten it, or post it in parts",
        )
    return payload
