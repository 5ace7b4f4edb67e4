"""Lines: JSON lines the fast way and the slow way, text that fits a terminal, recordings, what overlaps."""

import datetime as dt
import io
import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatops.chat.gaps import Gap
from chatops.chat.messages import Envelope, Kind, encode
from chatops.chat.recordings import RecordedMessage, gap_line, header_line, is_header, message_line, read_lines
from chatops.cli.tail_recorder import Recorder
from chatops.errors import ConfigurationError
from chatops.mqtt.connection import Delivery
from chatops.mqtt.inbox import Inbox
from chatops.mqtt.overlap import Overlap
from chatops.render.messages import (
    JsonLines,
    gap_record,
    gap_words,
    json_line,
    latency_ms,
    message_record,
    received_at,
    terminal_line,
)
from chatops.render.output import Output
from chatops.render.wrapping import cells, cut, wrap

NOW = dt.datetime(2026, 1, 31, 23, 59, 59, 123_000, tzinfo=dt.UTC)
PLAIN = Output(stdout=io.StringIO(), stderr=io.StringIO(), variables={})
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
HOSTILE = TEXT | st.sampled_from(
    ["\x1b[2J", "\x9b31m", "a\u202eb", "a\r\nb", "\u2028", "[red]x[/]", "</script>", "\x07", '"', "\\", "{", "\x7f"]
)


def payload_of(name: str, text: str, sender: str = "us-east-1:4f2a9c", sent: dt.datetime = NOW) -> bytes:
    return encode(Envelope(id="01J", sender=sender, name=name, kind=Kind.CHAT, text=text, sent=sent))


def both_ways(payload: bytes, topic: str = "/chat/lobby", at: float = NOW.timestamp()) -> str:
    delivery = Delivery(topic, payload, retain=False, at=at)
    fast = JsonLines().line(delivery)
    assert fast == json_line(message_record(delivery, received_at(delivery)))
    return fast


@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE)
def test_the_fast_way_writes_what_the_slow_way_does(name: str, text: str, sender: str, topic: str) -> None:
    line = both_ways(payload_of(name, text, sender), topic)
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["text"] == text


@given(st.binary(max_size=300) | TEXT.map(str.encode))
def test_any_payload_is_one_printable_line(payload: bytes) -> None:
    line = both_ways(payload)
    assert line.isascii()
    assert line.isprintable()


CANONICAL = '{"id":"1","from":"a","name":"b","kind":"chat","text":"c","sent":"2026-01-31T23:59:59.123Z"}'


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("2026-01-31", "2026-02-31"),
        ("T23:", "T24:"),
        ("23:59:59", "23:60:59"),
        ("2026", "0000"),
        ("2026", "0001"),
        ('"chat"', '"talk"'),
        ('"chat"', '"gap"'),
        ('"c"', '"\x7f"'),
        ('"c"', '"\\u0007"'),
        ('"c"', "5"),
        ('"id":"1"', '"id":""'),
        ('"c"', '"c","text":"d"'),
        ('"c"', '"c","x":1e999'),
        ("}", ',"x":' + "[" * 5000 + "]" * 5000 + "}"),
        ("}", ',"x":' + "9" * 5000 + "}"),
        ("{", " {"),
        ("}", "}\n"),
        (".123Z", ".123+02:00"),
    ],
)
def test_what_is_almost_canonical_is_judged_alike(old: str, new: str) -> None:
    line = both_ways(CANONICAL.replace(old, new, 1).encode())
    assert line.isprintable()
    assert json.loads(line)["kind"] in {None, "chat"}


def test_a_line_of_128_kilobytes() -> None:
    assert len(json.loads(both_ways(payload_of("Ada", "x" * 130_000)))["text"]) == 130_000


def test_latency_is_shown_where_the_senders_clock_is_credible() -> None:
    assert json.loads(both_ways(payload_of("Ada", "x", sent=NOW - dt.timedelta(milliseconds=12))))["latency_ms"] == 12
    assert latency_ms(NOW, NOW) == 0
    assert latency_ms(NOW, NOW + dt.timedelta(seconds=1)) is None
    assert latency_ms(NOW, NOW - dt.timedelta(days=1)) is None


def test_a_gap_is_a_line_of_its_own() -> None:
    gap = Gap(NOW, NOW + dt.timedelta(seconds=5), "session taken over\x1b[2J")
    found = gap_record(gap)
    assert found == {
        "kind": "gap",
        "from": "2026-01-31T23:59:59.123Z",
        "to": "2026-02-01T00:00:04.123Z",
        "reason": "session taken over\x1b[2J",
        "missed": None,
    }
    assert "(5.0 s)" in gap_words(gap)
    assert "\x1b" not in gap_words(gap)
    assert "1,234 messages" in gap_words(Gap(NOW, NOW, "overload", 1234))
    assert "since" in gap_words(Gap(NOW, None, "x"))


@given(TEXT.filter(lambda text: "\n" not in text), st.integers(20, 60), st.integers(20, 60))
def test_wrapped_text_fits_and_loses_nothing_but_spaces(text: str, first: int, others: int) -> None:
    lines = wrap(text, first, others)
    assert cells(lines[0]) <= first
    assert all(cells(line) <= others for line in lines[1:])
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_long_text_is_continued_below_its_beginning() -> None:
    delivery = Delivery("/chat/lobby", payload_of("Ada", "word " * 40), retain=False)
    lines = terminal_line(PLAIN, message_record(delivery, NOW), several_rooms=True, width=60).split("\n")
    assert len(lines) > 3
    assert all(len(line) <= 60 for line in lines)
    assert all(line.startswith(" " * 9 + "word") for line in lines[1:])
    assert cut("a long name", 6) == "a lon…"
    assert cells("日本") == 4


@given(HOSTILE, HOSTILE, st.integers(1, 120))
def test_no_control_character_gets_through_a_wrapped_line(name: str, text: str, width: int) -> None:
    delivery = Delivery("/chat/\x1b", payload_of(name, text), retain=False)
    shown = terminal_line(PLAIN, message_record(delivery, NOW), several_rooms=True, width=width)
    lines = shown.split("\n")
    assert not [c for line in lines for c in line if unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"}]
    assert all(line.startswith(" " * 9) for line in lines[1:])


# Recordings


@given(st.binary(max_size=200) | TEXT.map(str.encode), HOSTILE, st.booleans())
def test_a_recorded_message_is_read_back_as_it_was(payload: bytes, topic: str, retain: bool) -> None:  # noqa: FBT001
    message = RecordedMessage(NOW, topic, payload, retain, (("k", topic),))
    line = message_line(message)
    assert line.isascii()
    assert line.isprintable()
    assert list(read_lines([line])) == [message]


@given(
    st.text(max_size=80)
    | st.sampled_from(["[" * 5000, '{"gap":{}}', '{"at":1}', '{"at":"2026-01-31T23:59:59Z","topic":"x"}'])
)
def test_foreign_lines_are_passed_over(line: str) -> None:
    assert list(read_lines([line])) == []


def test_a_recording_is_rotated_continued_and_mended(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    messages = [RecordedMessage(NOW, "/chat/lobby", f"{number} {'x' * 500}".encode()) for number in range(40)]
    with Recorder(path, 4096, ["/chat/#"]) as recorder:
        recorder.write([message_line(message) for message in messages[:20]])
        recorder.write([gap_line(Gap(NOW, None, "lost"))])
    with path.open("a") as file:
        file.write('{"at":"2026-01-31T23:5')  # kill -9, within a line
    with Recorder(path, 4096, ["/chat/#"]) as recorder:
        recorder.write([message_line(message) for message in messages[20:]])
    parts = [*sorted(tmp_path.glob("chat.*.jsonl"), key=lambda p: int(p.name.split(".")[1])), path]
    assert len(parts) > 3
    assert all(part.stat().st_size < 4096 + 700 for part in parts)
    found = []
    for part in parts:
        lines = part.read_text().splitlines()
        assert is_header(lines[0])
        found += list(read_lines(lines))
    assert [each for each in found if isinstance(each, RecordedMessage)] == messages
    assert [each.reason for each in found if isinstance(each, Gap)] == ["lost"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_no_recording_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "thesis.txt"
    path.write_text("chapter one")
    with pytest.raises(ConfigurationError, match="no recording"), Recorder(path, 4096, []):
        pass
    assert path.read_text() == "chapter one"
    with pytest.raises(ConfigurationError, match="cannot be written"), Recorder(tmp_path / "no" / "x", 4096, []):
        pass
    assert is_header(header_line(["/chat/#"], NOW))


# What arrives


def delivery(payload: bytes, at: float = 0.0, *, retain: bool = False) -> Delivery:
    return Delivery("/chat/lobby", payload, retain, (), at)


def test_an_inbox_is_bounded_in_count_and_bytes_and_counts_what_it_drops() -> None:
    inbox = Inbox(limit=3, limit_bytes=100)
    for number in range(5):
        inbox.put(delivery(b"x", float(number)))
    assert [each.at for each in inbox.take()] == [0.0, 1.0, 2.0]
    missed = inbox.take_missed()
    assert missed is not None
    assert (missed.count, missed.since, missed.until) == (2, 3.0, 4.0)
    assert inbox.take_missed() is None
    inbox.put(delivery(b"y" * 90, 5.0))
    inbox.put(delivery(b"y" * 20, 6.0))
    inbox.put(delivery(b"y" * 10, 7.0))
    assert len(inbox.take()) == 2
    assert inbox.dropped == 3
    inbox.put(delivery(b"y" * 100))
    assert len(inbox) == 1


@given(st.lists(st.sampled_from([b"a", b"b", b"c", b"d"]), max_size=12), st.integers(0, 12), st.integers(0, 12))
def test_two_connections_that_overlap_show_each_message_once(stream: list[bytes], begins: int, ends: int) -> None:
    """The old one brings all up to `ends`, the new one all from `begins` on; the stream has equal messages in it."""
    begins, ends = min(begins, ends, len(stream)), min(max(begins, ends), len(stream))
    overlap = Overlap()
    shown = overlap.new([delivery(payload) for payload in stream[begins:ends]])
    overlap.end(until=100.0)
    shown += overlap.new([delivery(payload, 1.0) for payload in stream[begins:]])
    assert sorted(each.payload for each in shown) == sorted(stream[begins:])


def test_what_is_retained_is_not_shown_again_and_later_all_is_new() -> None:
    overlap = Overlap.retained(100.0)
    assert overlap.new([delivery(b"old", 99.0, retain=True), delivery(b"new", 99.0)]) == [delivery(b"new", 99.0)]
    assert len(overlap.new([delivery(b"old", 101.0, retain=True)])) == 1
    assert overlap.is_over(101.0)
