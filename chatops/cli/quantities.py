"""Quantities as people write them on a command line: shares, durations, rates."""

import math

from chatops.errors import UsageError

_UNITS_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def share(option: str, text: str) -> float:
    """Read `1%`, or a bare number from 0 to 1.

    Raises:
        UsageError: it is neither.
    """
    per_cent = text.strip().endswith("%")
    value = _number(text.strip().removesuffix("%"))
    if value is not None and per_cent:
        value /= 100
    if value is None or not 0 <= value <= 1:
        raise UsageError(f"{option} {text!r} is no share", "write a percentage from 0% to 100%")
    return value


def seconds(option: str, text: str) -> float:
    """Read `50ms`, `2s`, `1m`, `1h`, or a bare number of seconds.

    Raises:
        UsageError: it is none of these.
    """
    stripped = text.strip()
    digits = stripped.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = stripped[len(digits) :]
    value = _number(digits.strip())
    if value is None or value < 0 or (unit and unit not in _UNITS_S):
        raise UsageError(f"{option} {text!r} is no duration", "write 50ms, 2s, 5m or 1h")
    return value * _UNITS_S[unit or "s"]


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
