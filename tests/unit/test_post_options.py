"""What a post is told, and what it says when something fails."""

import datetime as dt
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatops.cli.post_options import read_expiry, read_moment, read_properties, read_text
from chatops.cli.post_run import Outcome
from chatops.errors import AwsError, ChatopsError, ExitCode, NotAuthorisedError, UsageError
from chatops.mqtt.data_plane import _refusal

NOW = dt.datetime(2026, 1, 31, 21, 0, tzinfo=dt.timezone(dt.timedelta(hours=1)))


@pytest.mark.parametrize(
    ("text", "file", "lines", "expected"),
    [
        ("hello", False, False, "hello"),
        ("-", False, False, None),
        ("-", False, True, None),
        (None, False, True, None),
        (None, True, False, None),
        (None, True, True, None),
    ],
)
def test_what_to_say_is_given_or_read(
    text: str | None,
    file: bool,  # noqa: FBT001
    lines: bool,  # noqa: FBT001
    expected: str | None,
) -> None:
    assert read_text(text, file=file, lines=lines) == expected


@pytest.mark.parametrize(
    ("text", "file", "lines"),
    [(None, False, False), (" ", False, False), ("-", True, False), ("x", True, False), ("x", False, True)],
)
def test_without_one_source_nothing_is_posted(
    text: str | None,
    file: bool,  # noqa: FBT001
    lines: bool,  # noqa: FBT001
) -> None:
    with pytest.raises(UsageError):
        read_text(text, file=file, lines=lines)


def test_properties_and_expiry() -> None:
    assert read_properties(["a=1", "b=x=y", "c="]) == (("a", "1"), ("b", "x=y"), ("c", ""))
    for text in ("a", "=1", "a=" + "x" * 9000, "a=\0"):
        with pytest.raises(UsageError):
            read_properties([text])
    assert read_expiry("10m") == 600
    assert read_expiry(None) is None
    for text in ("0s", "169h", "-1s", "soon"):
        with pytest.raises(UsageError):
            read_expiry(text)


def test_a_time_of_day_is_the_next_one() -> None:
    assert read_moment("22:00", NOW) == NOW.replace(hour=22)
    assert read_moment("20:30:15", NOW) == NOW.replace(day=1, month=2, hour=20, minute=30, second=15)
    assert read_moment("2026-02-01T08:00", NOW) == NOW.replace(month=2, day=1, hour=8)
    assert read_moment(None, NOW) is None
    for text in ("25:00", "20:61", "noon", "2025-01-01", "", "2026-13-01T00:00"):
        with pytest.raises(UsageError):
            read_moment(text, NOW)


def failure_of(outcome: Outcome, *, lines: bool) -> ChatopsError:
    with pytest.raises(ChatopsError) as raised:
        outcome.raise_failure(lines=lines)
    return raised.value


def test_partial_failure_names_what_is_left() -> None:
    refused = NotAuthorisedError("no", "grant it")
    receipt = {"room": "/chat/lobby"}
    partly = failure_of(Outcome([receipt], [("/chat/games", refused)], 0), lines=False)
    assert partly.code == ExitCode.PARTLY_DONE
    assert "/chat/lobby" in partly.problem
    assert "/chat/games: no" in partly.problem
    assert failure_of(Outcome([], [("/chat/games", refused)], 0), lines=False) is refused
    assert failure_of(Outcome([], [("/chat/games", refused)], 0), lines=True) is refused
    stopped = failure_of(Outcome([receipt], [("/chat/lobby", refused)], 41), lines=True)
    assert stopped.code == ExitCode.PARTLY_DONE
    assert "41 messages were posted; number 42 was not" in stopped.problem
    assert "tail -n +42" in stopped.remedy
    Outcome([receipt], [], 1).raise_failure(lines=False)


@given(st.sampled_from([400, 401, 403, 413, 429, 500]), st.text(max_size=30), st.binary(max_size=200))
def test_whatever_answers_a_post_becomes_an_error_that_can_be_shown(status: int, kind: str, body: bytes) -> None:
    error = _refusal(status, kind, body, "/chat/lobby")
    assert isinstance(error, NotAuthorisedError if status in {401, 403} else AwsError)
    assert not [c for c in error.problem.removesuffix(kind) if unicodedata.category(c) == "Cc" and c not in kind]
