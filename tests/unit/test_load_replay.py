"""Replays: a recording's rhythm, faster, denser, by other people."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chatops.chat.recordings import RecordedMessage, header_line, message_line
from chatops.errors import UsageError
from chatops.load.replay import make_replay, read_replay

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def said(seconds: float, topic: str = "/chat/lobby", text: str = "hello") -> RecordedMessage:
    return RecordedMessage(NOON + timedelta(seconds=seconds), topic, text.encode())


def test_a_replay_keeps_the_rhythm_and_ranks_rooms_by_liveliness() -> None:
    replay = make_replay([said(0, "/chat/quiet"), said(1), said(1.5), said(4)], speed=2.0, scale=1.0, seed=1)
    assert [(beat.at_s, beat.room) for beat in replay.beats] == [(0, 1), (0.5, 0), (0.75, 0), (2.0, 0)]
    assert replay.rooms == 2
    assert replay.seconds == pytest.approx(2.1)
    assert replay.busiest_second == 3


def test_scale_posts_each_message_so_often_by_different_people() -> None:
    messages = [said(second) for second in range(200)]
    assert len(make_replay(messages, speed=1.0, scale=3.0, seed=1).beats) == 600
    halves = len(make_replay(messages, speed=1.0, scale=0.5, seed=1).beats)
    assert 60 <= halves <= 140
    replay = make_replay(messages[:1], speed=1.0, scale=3.0, seed=1)
    assert sorted(client for _, client in replay.schedule([[7, 8, 9]])) == [7, 8, 9]


def test_rooms_without_anyone_stay_silent() -> None:
    replay = make_replay([said(0), said(1, "/chat/b"), said(2, "/chat/c")], speed=1.0, scale=1.0, seed=1)
    assert [client for _, client in replay.schedule([[1], []])] == [1, 1]


def test_a_recording_is_read_and_lines_that_are_none_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    lines = [header_line(["/chat/lobby"], NOON), message_line(said(0)), "{", "[]", message_line(said(3)), '{"at": 5}']
    path.write_text("\n".join(lines))
    assert [beat.at_s for beat in read_replay(path).beats] == [0.0, 3.0]


@pytest.mark.parametrize("text", ["", "hello", "{}", '{"recording": 99}', header_line(["/chat/lobby"], NOON)])
def test_what_is_no_recording_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_text(text)
    with pytest.raises(UsageError):
        read_replay(path)


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf"), 1e9])
def test_factors_that_cannot_be_are_refused(tmp_path: Path, factor: float) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_text(header_line(["/chat/lobby"], NOON) + "\n" + message_line(said(0)))
    with pytest.raises(UsageError):
        read_replay(path, speed=factor)
    with pytest.raises(UsageError):
        read_replay(path, scale=factor)


def test_a_missing_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        read_replay(tmp_path / "none.jsonl")
