"""What a tail is told: formats of lines, selections, filters of topics, sizes and ends."""

import datetime as dt
import re
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatops.chat.line_format import FIELDS, parse_line_format
from chatops.chat.selection import Selection, parse_kinds, parse_pattern
from chatops.chat.topic_filters import topic_matcher
from chatops.chat.traffic import MOST_ROOMS, MOST_SENDERS, Rate, Traffic
from chatops.cli.tail_options import read_ends, read_share, read_size
from chatops.errors import UsageError


def record(**changes: Any) -> dict[str, Any]:
    return {
        "received": "2026-01-31T23:59:59.123Z",
        "room": "/chat/lobby",
        "id": "01J",
        "from": "us-east-1:4f2a9c11-0000-4000-8000-000000000000",
        "name": "Ada",
        "kind": "chat",
        "text": "hello",
        "sent": "2026-01-31T23:59:59.100Z",
        "bytes": 100,
        "encoding": "envelope",
        "latency_ms": 23,
        **changes,
    }


PLAIN = record(
    **{"id": None, "from": None, "name": None, "kind": None, "sent": None, "latency_ms": None}, encoding="text"
)


def test_a_format_of_ones_own() -> None:
    shown = parse_line_format("{time:%H:%M} {name}: {text}")(record())
    local = dt.datetime(2026, 1, 31, 23, 59, tzinfo=dt.UTC).astimezone()
    assert shown == f"{local:%H:%M} Ada: hello"
    assert (
        parse_line_format(r"{room}\t{text:>7}|{bytes:05d}|{latency_ms:.1f}")(record())
        == "/chat/lobby\t  hello|00100|23.0"
    )
    assert parse_line_format("{{{text}}}")(record()) == "{hello}"


def test_what_a_message_lacks_is_empty() -> None:
    assert parse_line_format("[{name}] [{sent:%H:%M}] [{latency_ms:.1f}] {text}")(PLAIN) == "[] [] [] hello"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{nam}", "name"),
        ("{text", "expected"),
        ("{time:%}} {text!r}", "--format"),
        ("{text!r}", "{text}"),
        ("{text.__class__}", "no field"),
        ("{0}", "no field"),
        ("{}", "no field"),
        ("nothing", "shows nothing"),
        ("{text:{bytes}}", "{text}"),
        ("{text:d}", "{text}"),
        ("{bytes:%H}", "{bytes}"),
        ("{text:99999999999}", "{text}"),
    ],
)
def test_a_wrong_format_is_refused_before_the_first_message(text: str, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_line_format(text)
    assert words in refused.value.problem + refused.value.remedy


@given(st.text(max_size=40))
def test_any_format_is_read_or_refused(text: str) -> None:
    try:
        line_format = parse_line_format(text)
    except UsageError:
        return
    line_format(record())
    line_format(PLAIN)


@given(st.sampled_from(FIELDS), st.text(max_size=30), st.sampled_from(["", "<20", ">3", "%H", ".2f"]))
def test_no_control_character_gets_through_a_format(field: str, hostile: str, spec: str) -> None:
    try:
        line_format = parse_line_format(f"{{{field}:{spec}}}")
    except UsageError:
        return
    shown = line_format(record(text=hostile, name=hostile, room=hostile, id=hostile, **{"from": hostile}))
    assert not [c for c in shown if unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"}]


def test_a_selection_asks_for_text_sender_and_kind() -> None:
    chosen = Selection(re.compile("(?i)HELLO"), ("4f2a9c",), frozenset({"chat"}))
    assert chosen.takes(record())
    assert not chosen.takes(record(text="bye"))
    assert not chosen.takes(record(**{"from": "us-east-1:other"}))
    assert not chosen.takes(record(kind="join"))
    assert Selection(senders=("ada",)).takes(record())
    assert Selection(senders=("us-east-1:4f2a",)).takes(record())
    assert Selection(kinds=frozenset({"text"})).takes(PLAIN)
    assert not Selection(text=re.compile("/wA=")).takes(record(encoding="base64", text="/wA="))
    assert Selection().takes_all


def test_patterns_and_kinds_are_checked() -> None:
    with pytest.raises(UsageError, match="no regular expression"):
        parse_pattern("--grep", "(")
    assert parse_kinds(["chat,join", "leave"]) == {"chat", "join", "leave"}
    with pytest.raises(UsageError, match="'talk'"):
        parse_kinds(["talk"])


@pytest.mark.parametrize(
    ("topic_filter", "topic", "expected"),
    [
        ("/chat/lobby", "/chat/lobby", True),
        ("/chat/lobby", "/chat/lobby/x", False),
        ("/chat/#", "/chat/games/chess", True),
        ("/chat/games/#", "/chat/games", True),
        ("/chat/+", "/chat/lobby", True),
        ("/chat/+", "/chat/games/chess", False),
        ("/chat/+/chess", "/chat/games/chess", True),
        ("#", "$aws/events", False),
        ("#", "/chat/x", True),
    ],
)
def test_filters_match_as_mqtt_has_it(topic_filter: str, topic: str, expected: bool) -> None:  # noqa: FBT001
    assert topic_matcher([topic_filter])(topic) is expected


def test_sizes_shares_and_ends() -> None:
    assert (read_size("--record-size", "64M"), read_size("--record-size", "5000")) == (64 * 1024**2, 5000)
    for text in ("", "M", "1", "-5M", "1.5M", "9" * 40, "x", "٣M"):
        with pytest.raises(UsageError):
            read_size("--record-size", text)
    assert read_share("1%") == 0.01
    for text in ("0", "2", "x"):
        with pytest.raises(UsageError):
            read_share(text)
    ends = read_ends(None, "30s", "2m", None)
    assert (ends.for_s, ends.idle_s, ends.awaits) == (30.0, 120.0, False)
    assert read_ends(3, None, None, None).awaits
    with pytest.raises(UsageError):
        read_ends(None, "0s", None, None)


def test_a_rate_is_of_the_last_seconds() -> None:
    rate = Rate()
    for second in range(100):
        rate.add(float(second), 5)
    assert rate.per_s(99.0, 0.0) == 5.0
    assert rate.per_s(200.0, 0.0) == 0.0


def test_traffic_is_counted_in_bounded_memory() -> None:
    traffic = Traffic(0.0)
    for number in range(3_000):
        traffic.add(record(room=f"/chat/{number}", **{"from": f"guest-{number}"}), number / 1000)
    assert traffic.messages == 3_000
    assert len(traffic.rooms) == MOST_ROOMS
    assert len(traffic.senders) <= MOST_SENDERS
    assert "/chat/2999" in traffic.rooms
    assert len(traffic.busiest(3.0, 3)) == 3
