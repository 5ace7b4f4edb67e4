"""IAM condition blocks, compiled.

Every judgement is three-valued. None means that it cannot be told (an operator that is not known, a number that is
none, a variable without a value); the evaluator then lets no Allow match and lets every Deny match.
"""

import base64
import binascii
import ipaddress
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Protocol

from chatops.chat.iam_patterns import ArnPattern, Context, Pattern, look_up, tokenize

_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{0,40})?([eE][+-]?[0-9]{1,3})?", re.ASCII)
_ALL, _ANY = "forallvalues:", "foranyvalue:"
_EPOCH = re.compile(r"-?[0-9]{1,11}(\.[0-9]{1,9})?", re.ASCII)


class _Test(Protocol):
    """One value of the policy, ready to be compared with one value of the request."""

    def matches(self, text: str, context: Context, /) -> bool | None: ...


class _Compared:
    """A parsed value of the policy and how the request's value must stand to it."""

    __slots__ = ("_compare", "_read", "_value")

    def __init__(self, text: str, read: Callable[[str], object], compare: Callable[[object, object], bool]) -> None:
        self._read = read
        self._compare = compare
        self._value = read(text)

    def matches(self, text: str, _context: Context, /) -> bool | None:
        value = self._read(text)
        if value is None or self._value is None:
            return None
        return self._compare(value, self._value)


def _number(text: str) -> Decimal | None:
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def _date(text: str) -> datetime | None:
    try:
        if _EPOCH.fullmatch(text):
            return datetime.fromtimestamp(float(text), UTC)
        moment = datetime.fromisoformat(text) if len(text) <= 40 else None
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment is None or moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _boolean(text: str) -> bool | None:
    return {"true": True, "false": False}.get(text.lower())


def _binary(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False) if len(text) <= 64 else None
    except ValueError:
        return None


def _within(inner: object, outer: object) -> bool:
    if isinstance(inner, ipaddress.IPv4Network) and isinstance(outer, ipaddress.IPv4Network):
        return inner.subnet_of(outer)
    if isinstance(inner, ipaddress.IPv6Network) and isinstance(outer, ipaddress.IPv6Network):
        return inner.subnet_of(outer)
    return False


def _make_test(kind: str, text: str, *, variables: bool) -> _Test | None:
    """Compile one value of a positive operator; None when the operator is not known."""
    match kind:
        case "stringequals":
            return Pattern(tokenize(text, variables=variables, wildcards=False))
        case "stringequalsignorecase":
            return Pattern(tokenize(text, variables=variables, wildcards=False), fold=True)
        case "stringlike":
            return Pattern(tokenize(text, variables=variables, wildcards=True))
        case "arnequals" | "arnlike":
            return ArnPattern(tokenize(text, variables=variables, wildcards=True))
        case "bool":
            return _Compared(text, _boolean, operator.eq)
        case "binaryequals":
            return _Compared(text, _binary, operator.eq)
        case "ipaddress":
            return _Compared(text, _network, _within)
        case _:
            return _ordered_test(kind, text)


def _ordered_test(kind: str, text: str) -> _Test | None:
    read: Callable[[str], object]
    if kind.startswith("numeric"):
        read = _number
    elif kind.startswith("date"):
        read = _date
    else:
        return None
    compare: Callable[[Any, Any], bool] | None = {
        "equals": operator.eq,
        "lessthan": operator.lt,
        "lessthanequals": operator.le,
        "greaterthan": operator.gt,
        "greaterthanequals": operator.ge,
    }.get(kind.removeprefix("numeric").removeprefix("date"))
    return None if compare is None else _Compared(text, read, compare)


_NEGATED = {
    "stringnotequals": "stringequals",
    "stringnotequalsignorecase": "stringequalsignorecase",
    "stringnotlike": "stringlike",
    "numericnotequals": "numericequals",
    "datenotequals": "dateequals",
    "notipaddress": "ipaddress",
    "arnnotequals": "arnequals",
    "arnnotlike": "arnlike",
}


class Condition:
    """One operator with one condition key and its values.

    Args:
        name: the operator as the policy spells it, with `ForAllValues:`, `ForAnyValue:` and `IfExists`.
        key: the condition key.
        values: what the policy allows; one match is enough.
        variables: whether the policy's version has policy variables.

    Raises:
        PolicyError: a malformed policy variable.
    """

    __slots__ = ("_if_exists", "_key", "_negated", "_null", "_quantifier", "_tests")

    def __init__(self, name: str, key: str, values: Sequence[str], *, variables: bool) -> None:
        kind = name.lower()
        self._key = key
        self._quantifier = next((q for q in (_ALL, _ANY) if kind.startswith(q)), "")
        kind = kind.removeprefix(self._quantifier)
        self._if_exists = kind.endswith("ifexists")
        kind = kind.removesuffix("ifexists")
        self._null = kind == "null" and not self._quantifier and not self._if_exists
        self._negated = kind in _NEGATED
        kind = "bool" if self._null else _NEGATED.get(kind, kind)
        tests = [_make_test(kind, value, variables=variables) for value in values]
        self._tests = tuple(test for test in tests if test is not None)

    def judge(self, context: Context) -> bool | None:
        """Say whether the condition holds; None when that cannot be told."""
        if not self._tests:
            return None
        value = look_up(context, self._key)
        values = (value,) if isinstance(value, str) else value or ()
        if self._null:
            return self._one("true" if not values else "false", context)
        if self._quantifier:
            return self._quantified(values, context)
        if not values:
            return self._negated or self._if_exists
        # Without a quantifier one value of the request is enough to match, so none may match when negated.
        return self._holds(values, context)

    def _quantified(self, values: Sequence[str], context: Context) -> bool | None:
        # IAM takes an empty string for no value here, and ForAnyValue does not heed IfExists.
        values = tuple(value for value in values if value) if len(values) == 1 else values
        results = (self._holds((value,), context) for value in values)
        return _all(results) if self._quantifier == _ALL else _any(results)

    def _holds(self, values: Iterable[str], context: Context) -> bool | None:
        result = _any(self._one(value, context) for value in values)
        return result if result is None or not self._negated else not result

    def _one(self, value: str, context: Context) -> bool | None:
        return _any(test.matches(value, context) for test in self._tests)


def _any(results: Iterable[bool | None]) -> bool | None:
    answer: bool | None = False
    for result in results:
        if result:
            return True
        if result is None:
            answer = None
    return answer


def _all(results: Iterable[bool | None]) -> bool | None:
    answer: bool | None = True
    for result in results:
        if result is False:
            return False
        if result is None:
            answer = None
    return answer
