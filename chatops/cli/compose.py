"""Writing a message as a command's user: an envelope that fits into what AWS IoT takes."""

import datetime as dt

from chatops.chat.messages import Envelope, Kind, MessageIds, encode
from chatops.chat.rooms import MAX_PAYLOAD_BYTES
from chatops.errors import UsageError


def compose(sender: str, name: str, text: str, kind: Kind = Kind.CHAT) -> tuple[Envelope, bytes]:
    """Write a message and its payload.

    Args:
        sender: an identity id, or `operator`.

    Raises:
        UsageError: it is larger than AWS IoT takes.
    """
    message = Envelope(
        id=MessageIds().new(), sender=sender, name=name, kind=kind, text=text, sent=dt.datetime.now(dt.UTC)
    )
    payload = encode(message)
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise UsageError(
            f"The message is {len(payload)} bytes long; AWS IoT takes at most {MAX_PAYLOAD_BYTES}",
            "shorten it, or post it in parts",
        )
    return message, payload
