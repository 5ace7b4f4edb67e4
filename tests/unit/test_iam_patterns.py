"""Patterns match what IAM's do, and hostile ones take no longer than a walk over the text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatops.chat.iam_patterns import ArnPattern, Context, Pattern, PolicyError, tokenize

CONTEXT: Context = {"k:sub": "us-east-1:abc", "k:star": "*", "k:mark": "a?c", "k:many": ("a", "b"), "k:empty": ""}


def matches(pattern: str, text: str, *, variables: bool = True, wildcards: bool = True) -> bool | None:
    return Pattern(tokenize(pattern, variables=variables, wildcards=wildcards)).matches(text, CONTEXT)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("", "", True),
        ("", "a", False),
        ("a", "a", True),
        ("a", "A", False),
        ("*", "", True),
        ("*", "a/b:c", True),
        ("?", "", False),
        ("?", "é", True),
        ("?", "ab", False),
        ("a*", "a", True),
        ("a*", "ba", False),
        ("*a", "ba", True),
        ("*a", "ab", False),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("a?*", "a", False),
        ("a?*", "ab", True),
        ("*?*", "", False),
        ("*?*?*", "ab", True),
        ("*?*?*", "a", False),
        ("a**b", "ab", True),
        ("*ab*cd*", "xabxcdx", True),
        ("*ab*cd*", "cdab", False),
        ("*a?c*", "xabxabc", True),
        ("*a?c*", "xabxab", False),
        ("*ab*ba", "aba", False),
        ("topic//chat/*", "topic//chat/games/chess", True),
        ("topic/+/#", "topic/+/#", True),
        ("topic/+/#", "topic/a/b", False),
        ("[a-c]", "b", False),
        ("a.c", "abc", False),
        ("\\*", "\\x", True),
        ("$share", "$share", True),
        ("$", "$", True),
        ("a$", "a$", True),
    ],
)
def test_wildcards(pattern: str, text: str, *, expected: bool) -> None:
    assert matches(pattern, text) is expected


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("client/${k:sub}", "client/us-east-1:abc", True),
        ("client/${K:SUB}", "client/us-east-1:abc", True),
        ("client/${k:sub}", "client/us-east-1:abd", False),
        ("client/${k:sub}-*", "client/us-east-1:abc-1", True),
        ("client/${k:sub}-*", "client/us-east-1:abc", False),
        ("*${k:sub}*", "xus-east-1:abcy", True),
        ("?${k:sub}?", "xus-east-1:abcy", True),
        ("${k:sub}${k:sub}", "us-east-1:abcus-east-1:abc", True),
        ("${k:star}", "anything", False),
        ("${k:star}", "*", True),
        ("${k:mark}", "abc", False),
        ("${k:mark}*", "a?cd", True),
        ("x${k:empty}y", "xy", True),
        ("${k:none}", "", None),
        ("${k:many}", "a", None),
        ("${k:none, 'default'}", "default", True),
        ("${k:none,'a*'}", "ab", False),
        ("${k:none,''}", "", True),
        ("${k:sub, 'default'}", "default", False),
        ("${k:many, 'default'}", "default", None),
        ("${*}", "*", True),
        ("${*}", "a", False),
        ("${?}${$}", "?$", True),
        ("${$}{k:sub}", "${k:sub}", True),
        ("never${k:none}", "other", False),
    ],
)
def test_variables(pattern: str, text: str, *, expected: bool | None) -> None:
    assert matches(pattern, text) is expected


def test_variables_are_plain_text_when_the_version_has_none() -> None:
    assert matches("${k:sub}", "${k:sub}", variables=False) is True
    assert matches("${k:sub}", "us-east-1:abc", variables=False) is False
    assert matches("${", "${", variables=False) is True


def test_wildcards_are_plain_text_where_there_are_none() -> None:
    assert matches("a*?", "a*?", wildcards=False) is True
    assert matches("a*?", "abc", wildcards=False) is False
    assert matches("${k:sub}*", "us-east-1:abc*", wildcards=False) is True


def test_folding_covers_pattern_and_values() -> None:
    pattern = Pattern(tokenize("A${k:sub}ß", variables=True, wildcards=False), fold=True)
    assert pattern.matches("aUS-EAST-1:ABCss", CONTEXT) is True
    assert pattern.matches("bUS-EAST-1:ABCss", CONTEXT) is False


@pytest.mark.parametrize(
    "pattern", ["${", "a${b", "${}", "${ }", "${a b}", "${a${b}", "${a, b}", "${a, 'b}", "${a,'}", "${,'x'}", "${*?}"]
)
def test_malformed_variables(pattern: str) -> None:
    with pytest.raises(PolicyError, match="variable"):
        tokenize(pattern, variables=True, wildcards=True)


SMALL = st.text("ab*?$", max_size=10)


@given(pattern=SMALL, text=st.text("ab*?$", max_size=12))
def test_agrees_with_regular_expressions(pattern: str, text: str) -> None:
    translated = "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in pattern)
    expected = re.fullmatch(translated, text, re.DOTALL) is not None
    assert matches(pattern, text, variables=False) is expected
    assert matches(f"${{k:empty}}{pattern}", text) is expected


@given(value=st.text("ab*?${}'", max_size=6), before=SMALL, after=SMALL, text=st.text("ab*?${}'", max_size=14))
def test_a_value_is_never_a_wildcard(value: str, before: str, after: str, text: str) -> None:
    tokens = tokenize(before + "${k}" + after, variables=True, wildcards=True)
    wild = {"*": ".*", "?": "."}
    ends = ["".join(wild.get(character, re.escape(character)) for character in end) for end in (before, after)]
    expected = re.fullmatch(ends[0] + re.escape(value) + ends[1], text, re.DOTALL) is not None
    assert Pattern(tokens).matches(text, {"k": value}) is expected


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("*a" * 5_000 + "*b", "a" * 60_000),
        ("*" + "a" * 5_000 + "b*", "a" * 60_000),
        ("*" + "a?" * 2_500 + "b*", "a" * 60_000),
        ("*?a" * 3_000 + "b", "a" * 60_000),
        ("*" * 100_000 + "b", "a" * 60_000),
        ("?" * 100_000, "a" * 60_000),
        ("${k:none,'" + "a" * 60_000 + "'}*b", "a" * 60_000),
        ("*${k:sub}" * 3_000 + "b", "us-east-1:abc" * 3_000),
    ],
)
def test_hostile_patterns_come_to_an_end(pattern: str, text: str) -> None:
    # A matcher that backtracks does not come back from these in a lifetime.
    assert matches(pattern, text) is False


@pytest.mark.parametrize(
    ("pattern", "arn", "expected"),
    [
        ("arn:aws:iot:*:1:client/*", "arn:aws:iot:eu:1:client/a:b/c", True),
        ("arn:aws:iot:*:client/x", "arn:aws:iot:eu:1:client/x", False),
        ("arn:aws:iot:eu:1:*", "arn:aws:iot:eu:1:a:b", True),
        ("arn:aws:iot:*", "arn:aws:iot:eu:1:a:b", True),
        ("*", "arn:aws:iot:eu:1:a", True),
        ("*", "text", False),
        ("arn:aws:iot:eu:1", "arn:aws:iot:eu:1:a", False),
        ("arn:aws:iot:e?:1:${k:sub}", "arn:aws:iot:eu:1:us-east-1:abc", True),
        ("arn:aws:iot:${k:sub}:1:x", "arn:aws:iot:us-east-1:abc:1:x", False),
        ("arn:aws:iot:${k:none}:1:x", "arn:aws:iot:eu:1:x", None),
        ("arn:aws:iot:${k:none}:1:x", "arn:aws:iot:eu:1:y", False),
    ],
)
def test_arns(pattern: str, arn: str, *, expected: bool | None) -> None:
    assert ArnPattern(tokenize(pattern, variables=True, wildcards=True)).matches(arn, CONTEXT) is expected
