"""Condition operators, as a table, and through both effects."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatops.chat.iam import Context, Decision, evaluate, parse_policy

CONTEXT: Context = {
    "s": "Text",
    "n": "10",
    "d": "2026-01-02T03:04:05Z",
    "b": "TRUE",
    "ip": "10.1.2.3",
    "ip6": "2001:db8::1",
    "arn": "arn:aws:iam::123456789012:role/a",
    "bin": "aGk=",
    "many": ("one", "two"),
    "mixed": ("x", "10"),
    "none": (),
    "blank": "",
    "odd": "x",
    "user": "Text",
}
T, F, U = True, False, None


def verdicts(condition: dict[str, Any], context: Context = CONTEXT) -> tuple[bool, bool]:
    """Whether an Allow matches, and whether a Deny does."""
    results = []
    for effect in ("Allow", "Deny"):
        statement = {"Effect": effect, "Action": "a:b", "Resource": "*", "Condition": condition}
        policy = parse_policy({"Version": "2012-10-17", "Statement": statement})
        results.append(evaluate((policy,), action="a:b", resource="arn:x", context=context))
    return results[0] is Decision.ALLOW, results[1] is Decision.EXPLICIT_DENY


def expect(condition: dict[str, Any], expected: bool | None) -> None:  # noqa: FBT001  (the point of the call)
    wanted = (False, True) if expected is None else (expected, expected)
    assert verdicts(condition) == wanted


@pytest.mark.parametrize(
    ("operator", "key", "value", "expected"),
    [
        ("StringEquals", "s", "Text", T),
        ("StringEquals", "S", "Text", T),
        ("StringEquals", "s", "text", F),
        ("StringEquals", "s", "T*", F),
        ("StringEquals", "s", ["no", "Text"], T),
        ("StringEquals", "s", "${user}", T),
        ("StringEquals", "s", "${absent}", U),
        ("StringEquals", "absent", "Text", F),
        ("stringequals", "s", "Text", T),
        ("StringNotEquals", "s", "Text", F),
        ("StringNotEquals", "s", ["a", "Text"], F),
        ("StringNotEquals", "s", ["a", "b"], T),
        ("StringNotEquals", "absent", "Text", T),
        ("StringNotEquals", "s", "${absent}", U),
        ("StringEqualsIgnoreCase", "s", "tEXT", T),
        ("StringNotEqualsIgnoreCase", "s", "tEXT", F),
        ("StringLike", "s", "T?x*", T),
        ("StringLike", "s", "t*", F),
        ("StringNotLike", "s", "T*", F),
        ("StringNotLike", "absent", "T*", T),
        ("NumericEquals", "n", 10, T),
        ("NumericEquals", "n", "10.0", T),
        ("NumericEquals", "n", "1e1", T),
        ("NumericNotEquals", "n", 10, F),
        ("NumericLessThan", "n", 10, F),
        ("NumericLessThanEquals", "n", 10, T),
        ("NumericGreaterThan", "n", 9.5, T),
        ("NumericGreaterThanEquals", "n", 11, F),
        ("NumericGreaterThan", "n", ["99", "9"], T),
        ("NumericEquals", "odd", 10, U),
        ("NumericNotEquals", "odd", 10, U),
        ("NumericEquals", "n", "ten", U),
        ("NumericEquals", "n", "NaN", U),
        ("NumericLessThan", "n", "Infinity", U),
        ("NumericEquals", "n", "1_0", U),
        ("NumericEquals", "n", "1e99999999", U),
        ("NumericEquals", "absent", 10, F),
        ("NumericNotEquals", "absent", 10, T),
        ("DateEquals", "d", "2026-01-02T04:04:05+01:00", T),
        ("DateNotEquals", "d", "2026-01-02T03:04:05Z", F),
        ("DateLessThan", "d", "2026-01-02T03:04:06", T),
        ("DateLessThanEquals", "d", "2026-01-01", F),
        ("DateGreaterThan", "d", 0, T),
        ("DateGreaterThanEquals", "d", "1e99", U),
        ("DateEquals", "d", "yesterday", U),
        ("DateEquals", "odd", "2026-01-01", U),
        ("DateGreaterThan", "d", "99999999999", F),
        ("DateLessThan", "d", "-99999999999", U),
        ("Bool", "b", True, T),
        ("Bool", "b", "true", T),
        ("Bool", "b", "False", F),
        ("Bool", "odd", "true", U),
        ("Bool", "absent", "false", F),
        ("BoolIfExists", "absent", "false", T),
        ("BinaryEquals", "bin", "aGk=", T),
        ("BinaryEquals", "bin", "aGkK", F),
        ("BinaryEquals", "bin", "!", U),
        ("BinaryEquals", "bin", "é", U),
        ("IpAddress", "ip", "10.0.0.0/8", T),
        ("IpAddress", "ip", "10.1.2.3", T),
        ("IpAddress", "ip", ["192.168.0.0/16", "10.1.0.0/16"], T),
        ("IpAddress", "ip", "2001:db8::/32", F),
        ("IpAddress", "ip6", "2001:db8::/32", T),
        ("IpAddress", "ip6", "10.0.0.0/8", F),
        ("IpAddress", "ip", "10.0.0.0/33", U),
        ("IpAddress", "odd", "10.0.0.0/8", U),
        ("NotIpAddress", "ip", "10.0.0.0/8", F),
        ("NotIpAddress", "ip", "192.168.0.0/16", T),
        ("NotIpAddress", "absent", "10.0.0.0/8", T),
        ("NotIpAddress", "odd", "10.0.0.0/8", U),
        ("ArnEquals", "arn", "arn:aws:iam::*:role/*", T),
        ("ArnLike", "arn", "arn:aws:iam:*:role/a", F),
        ("ArnNotLike", "arn", "arn:aws:iam::*:role/a", F),
        ("ArnNotEquals", "odd", "arn:aws:iam::*:role/a", T),
        ("Null", "absent", True, T),
        ("Null", "absent", "false", F),
        ("Null", "s", "false", T),
        ("Null", "s", "true", F),
        ("Null", "none", "true", T),
        ("Null", "s", "perhaps", U),
        ("StringEqualsIfExists", "absent", "x", T),
        ("StringEqualsIfExists", "s", "x", F),
        ("StringNotEqualsIfExists", "absent", "x", T),
        ("StringEquals", "many", "two", T),
        ("StringEquals", "many", "three", F),
        ("StringNotEquals", "many", "two", F),
        ("StringNotEquals", "many", "three", T),
        ("ForAllValues:StringEquals", "many", ["one", "two", "three"], T),
        ("ForAllValues:StringEquals", "many", ["one"], F),
        ("ForAllValues:StringEquals", "s", ["Text"], T),
        ("ForAllValues:StringEquals", "absent", ["one"], T),
        ("ForAllValues:StringEquals", "none", ["one"], T),
        ("ForAllValues:StringEquals", "blank", ["one"], T),
        ("ForAllValues:StringNotEquals", "many", ["three"], T),
        ("ForAllValues:StringNotEquals", "many", ["two", "three"], F),
        ("ForAllValues:NumericLessThan", "mixed", "11", U),
        ("ForAllValues:NumericLessThan", "mixed", "10", F),
        ("ForAnyValue:NumericLessThan", "mixed", "11", T),
        ("ForAnyValue:NumericLessThan", "mixed", "10", U),
        ("NumericLessThan", "mixed", "11", T),
        ("NumericLessThan", "mixed", "10", U),
        ("ForAnyValue:StringEquals", "many", ["two", "three"], T),
        ("ForAnyValue:StringEquals", "many", ["three"], F),
        ("ForAnyValue:StringEquals", "absent", ["one"], F),
        ("ForAnyValue:StringEqualsIfExists", "absent", ["one"], F),
        ("ForAnyValue:StringLike", "many", "t*", T),
        ("ForAnyValue:StringNotEquals", "many", ["one"], T),
        ("ForAnyValue:StringNotEquals", "many", ["one", "two"], F),
        ("ForAnyValue:StringNotEquals", "absent", ["one"], F),
        ("StringEqual", "s", "Text", U),
        ("", "s", "Text", U),
        ("NullIfExists", "absent", "true", U),
        ("ForAnyValue:Null", "absent", "true", U),
        ("ForSomeValues:StringEquals", "s", "Text", U),
        ("ForAllValues:Unheard", "absent", "Text", U),
        ("UnheardIfExists", "absent", "Text", U),
        ("NumericLike", "n", "10", U),
        ("BoolNotEquals", "b", "true", U),
    ],
)
def test_operators(operator: str, key: str, value: Any, *, expected: bool | None) -> None:
    expect({operator: {key: value}}, expected)


def test_all_of_a_block_must_hold() -> None:
    expect({"StringEquals": {"s": "Text", "user": "Text"}, "Bool": {"b": True}}, T)
    expect({"StringEquals": {"s": "Text", "user": "Other"}}, F)
    expect({}, T)
    expect({"StringEquals": {}}, T)


def test_what_cannot_be_told_gives_way_to_what_is_false() -> None:
    expect({"Unheard": {"s": "x"}, "StringEquals": {"s": "Other"}}, F)
    expect({"StringEquals": {"s": "Text"}, "Unheard": {"s": "x"}}, U)


def test_a_value_that_fits_outweighs_one_that_cannot_be_read() -> None:
    expect({"NumericEquals": {"n": ["ten", "10"]}}, T)
    expect({"NumericNotEquals": {"n": ["ten", "10"]}}, F)


@given(
    operator=st.sampled_from(
        ["Numeric", "Date", "Bool", "Binary", "IpAddress", "ArnLike", "StringLike", "Null", "ForAnyValue:Bool"]
    ),
    suffix=st.sampled_from(["", "Equals", "LessThan", "IfExists"]),
    value=st.text(max_size=70),
    known=st.text(max_size=70),
)
def test_no_value_raises(operator: str, suffix: str, value: str, known: str) -> None:
    value = value.replace("${", "")
    allow, deny = verdicts({operator + suffix: {"k": value}}, {"k": known})
    assert deny or not allow
