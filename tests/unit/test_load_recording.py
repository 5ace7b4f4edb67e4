"""Recordings: what is written is read, whatever it was; what is damaged is refused."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatops.errors import UsageError
from chatops.load.message import post_number
from chatops.load.recording import (
    ANSWERS,
    DELIVERIES,
    DIFFERENCES,
    KINDS,
    MAGIC,
    POSTS,
    Recorder,
    read_events,
)
from chatops.load.tally import Difference, Kind

TIMES = st.integers(-(2**40), 2**40)
REUSED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def read(path: Path, kind: int) -> list[tuple[int, ...]]:
    return [
        row for block in read_events(path) if block.kind == kind for row in zip(*block.columns.values(), strict=True)
    ]


@REUSED
@given(
    st.lists(st.tuples(st.integers(0, 0xFF_FFFF), st.integers(0, 0xFF_FFFF), st.integers(0, 2**32 - 1), TIMES, TIMES)),
    st.lists(st.tuples(st.integers(0, 2**48 - 1), st.integers(0, 2**32 - 1), TIMES)),
    TIMES,
    st.integers(1, 7),
)
def test_what_is_recorded_is_read_again(
    tmp_path: Path,
    posts: list[tuple[int, int, int, int, int]],
    deliveries: list[tuple[int, int, int]],
    zero: int,
    flush_every: int,
) -> None:
    path = tmp_path / "events"
    recorder = Recorder(path)
    recorder.zero_us = zero
    for index, (sender, sequence, room, due, sent) in enumerate(posts):
        recorder.post(sender, sequence, room, 2, due, sent)
        if index % flush_every == 0:
            recorder.flush()
    for number, receiver, at in deliveries:
        for column, value in zip(recorder.deliveries, (number, receiver, at), strict=True):
            column.append(value)
    recorder.answer(5, zero, acknowledged=True)
    recorder.differences([Difference(Kind.LOST, 1, 2, 3), Difference(Kind.UNEXPECTED, -1, -1, 4)])
    recorder.close()
    assert recorder.problem is None
    assert read(path, POSTS) == [
        (post_number(a, b), room, 2, due - zero, sent - zero) for a, b, room, due, sent in posts
    ]
    assert read(path, DELIVERIES) == [(number, receiver, at - zero) for number, receiver, at in deliveries]
    assert read(path, ANSWERS) == [(5, 0, 1)]
    assert [(KINDS[kind], number, receiver) for kind, number, receiver in read(path, DIFFERENCES)] == [
        (Kind.LOST, post_number(1, 2), 3),
        (Kind.UNEXPECTED, -1, 4),
    ]
    assert recorder.rows[DELIVERIES] == len(deliveries)


@REUSED
@given(st.binary(max_size=200))
def test_no_file_does_more_than_be_refused(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "events"
    for content in (raw, MAGIC + raw):
        path.write_bytes(content)
        with contextlib.suppress(UsageError):
            assert list(read_events(path)) == [] or content == raw


def test_a_block_that_promises_too_much_is_refused_without_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_bytes(MAGIC + b"\x01" + b"\xff" * 12)
    with pytest.raises(UsageError):
        list(read_events(path))


def test_a_disk_that_fails_ends_the_recording_and_not_the_run(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "events")
    recorder._file.close()
    recorder._file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115, PTH123  (a disk that is full)
    for index in range(5):
        recorder.post(1, index, 0, 2, index, index)
        recorder.flush()
    recorder.close()
    assert recorder.problem == "No space left on device"


def test_a_recording_that_may_not_grow_keeps_its_beginning_and_the_differences(tmp_path: Path) -> None:
    path = tmp_path / "events-3"
    recorder = Recorder(path, most_bytes=2_000)
    for second in range(50):
        for sequence in range(100):
            recorder.post(second, sequence, room=0, window=2, due_us=second * 1_000_003, sent_us=sequence * 7_919)
        recorder.flush()
    recorder.differences([Difference(Kind.LOST, 1, 2, 3)])
    recorded = recorder.close()
    assert recorded.file == "events-3"
    assert "left out" in (recorded.problem or "")
    blocks = list(read_events(path))
    kinds = [block.kind for block in blocks]
    assert kinds == [POSTS] * (len(blocks) - 1) + [DIFFERENCES]
    assert 0 < recorded.rows[POSTS] == sum(len(block.columns["number"]) for block in blocks[:-1]) < 5_000
    assert path.stat().st_size < 2_200
