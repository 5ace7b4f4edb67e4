"""Which messages a watcher wants to see: cheap tests first, before anything is shown."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chatops.errors import UsageError

KINDS = ("chat", "system", "join", "leave", "text", "binary")
"""The kinds of an envelope, and `text` and `binary` for what is none."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What a message must be like; None and empty ask for nothing.

    Attributes:
        text: searched for in the text.
        senders: one of them must be the sender, its beginning (with or without `guest-`, or a Region), or the name.
        kinds: of `KINDS`.
    """

    text: re.Pattern[str] | None = None
    senders: tuple[str, ...] = ()
    kinds: frozenset[str] = frozenset()

    @property
    def takes_all(self) -> bool:
        """Whether every message passes."""
        return self.text is None and not self.senders and not self.kinds

    def takes(self, record: Mapping[str, Any]) -> bool:
        """Whether a message passes, given its record (as in `tail`'s JSON lines)."""
        return (
            (not self.kinds or kind_of(record) in self.kinds)
            and (not self.senders or self._is_from(record))
            and (self.text is None or matches(self.text, record))
        )

    def _is_from(self, record: Mapping[str, Any]) -> bool:
        sender: str = record["from"] or ""
        name = (record["name"] or "").casefold()
        short = sender.removeprefix("guest-").rpartition(":")[2]
        return any(
            wanted and (sender.startswith(wanted) or short.startswith(wanted) or name == wanted.casefold())
            for wanted in self.senders
        )


def kind_of(record: Mapping[str, Any]) -> str:
    """The kind of a message, as `Selection.kinds` names it."""
    if record["encoding"] == "envelope":
        return str(record["kind"])
    return "binary" if record["encoding"] == "base64" else "text"


def matches(pattern: re.Pattern[str], record: Mapping[str, Any]) -> bool:
    """Whether a message's text holds a pattern; binary payloads have no text."""
    return pattern.search(_text_of(record)) is not None


def parse_pattern(option: str, text: str) -> re.Pattern[str]:
    """Read a regular expression, in Python's syntax.

    Raises:
        UsageError: it is none; the message says where.
    """
    try:
        return re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise UsageError(
            f"{option} {text!r} is no regular expression: {error}", "escape ( [ . * + ? with a backslash"
        ) from None


def parse_kinds(texts: Sequence[str]) -> frozenset[str]:
    """Read kinds, several in one text with commas between.

    Raises:
        UsageError: one of them does not exist.
    """
    kinds = frozenset(kind for text in texts for kind in text.split(","))
    if unknown := sorted(kinds - set(KINDS)):
        raise UsageError(f"There is no kind of message {unknown[0]!r}", f"choose from {', '.join(KINDS)}")
    return kinds


def _text_of(record: Mapping[str, Any]) -> str:
    return "" if record["encoding"] == "base64" else record["text"] or ""
