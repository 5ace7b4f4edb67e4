"""The format that a user gives for lines: `{time:%H:%M} {name}: {text}`, checked before the first message.

What a stranger wrote has its control characters escaped and is never read as a format itself.
"""

import datetime as dt
import difflib
import re
from collections.abc import Callable, Mapping
from string import Formatter
from typing import Any

from chatops.chat.text import safe_text
from chatops.errors import UsageError

FIELDS = ("time", "sent", "room", "name", "from", "id", "kind", "text", "bytes", "encoding", "latency_ms")
_MOMENTS = frozenset({"time", "sent"})
_NUMBERS = frozenset({"bytes", "latency_ms"})
_DEFAULT_MOMENT = "%H:%M:%S"
_ESCAPES = {"\\t": "\t", "\\n": "\n", "\\\\": "\\"}
_WIDTH = re.compile(r"[0-9]+")
_WIDEST = 1000

LineFormat = Callable[[Mapping[str, Any]], str]


def parse_line_format(text: str) -> LineFormat:
    r"""Read a format.

    `\t`, `\n` and `\\` are understood; `{{` and `}}` stand for braces. A field that a message lacks is empty.

    Returns:
        A function from a message's record (as in `tail`'s JSON lines) to its line.

    Raises:
        UsageError: a field is not known (the nearest one is named), or its format does not suit it.
    """
    spelled = re.sub(r"\\[tn\\]", lambda match: _ESCAPES[match.group()], text)
    try:
        pieces = list(Formatter().parse(spelled))
    except ValueError as error:
        raise UsageError(
            f"--format {text!r} cannot be read: {error}", "write it like '{time:%H:%M} {name}: {text}'"
        ) from (None)
    parts: list[tuple[str, str | None, str]] = []
    for literal, field, spec, conversion in pieces:
        if field is not None:
            _check(field, spec or "", conversion)
        parts.append((literal, field, spec or ""))
    if not any(field for _, field, _ in parts):
        raise UsageError(f"--format {text!r} shows nothing of a message", f"fields: {', '.join(FIELDS)}")
    return lambda record: "".join(
        literal + (_shown(record, field, spec) if field is not None else "") for literal, field, spec in parts
    )


def _check(field: str, spec: str, conversion: str | None) -> None:
    if field not in FIELDS:
        near = difflib.get_close_matches(field, FIELDS, n=1, cutoff=0.5)
        raise UsageError(
            f"--format has no field {field!r}",
            f"did you mean {{{near[0]}}}?" if near else f"fields: {', '.join(FIELDS)}",
        )
    problem = UsageError(
        f"--format cannot show {{{field}}} as {spec!r}",
        "times take %H:%M, texts a width such as <20, numbers a width or 06.1f",
    )
    if conversion or "{" in spec or "\0" in spec:
        raise problem
    if field in _MOMENTS:
        sample: object = dt.datetime(2026, 1, 31, tzinfo=dt.UTC)
    else:
        if any(int(digits) > _WIDEST for digits in _WIDTH.findall(spec)):
            raise problem
        sample = 1 if field in _NUMBERS else "x"
    try:
        format(sample, spec)
    except ValueError:
        raise problem from None


def _shown(record: Mapping[str, Any], field: str, spec: str) -> str:
    value = record["received" if field == "time" else field]
    if value is None:
        value = ""
    elif field in _MOMENTS:
        local = dt.datetime.fromisoformat(value).astimezone()
        return safe_text(local.strftime(spec or _DEFAULT_MOMENT))
    elif isinstance(value, str):
        value = safe_text(value)
    try:
        return format(value, spec)
    except ValueError:
        return str(value)
