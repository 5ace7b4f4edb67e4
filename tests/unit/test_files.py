"""What a user names may be anything: a pipe that nobody writes to, a device without end, a folder, a link to either."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatops import environment
from chatops.chat.recordings import header_line
from chatops.cli.app import run
from chatops.cli.tail_recorder import Recorder
from chatops.errors import ChatopsError
from chatops.files import NumberError, read_bounded, strict_json
from chatops.infra.policy_file import read_policy
from chatops.load.recording import read_events
from chatops.load.replay import read_replay
from chatops.load.run_folder import read_run
from chatops.load.scenario_file import read_scenario


def record(path: Path) -> None:
    with Recorder(path, 1 << 20, ["/chat/lobby"]):
        pass


READERS: dict[str, Callable[[Path], Any]] = {
    "a scenario": read_scenario,
    "a replay": read_replay,
    "a run": read_run,
    "events": lambda path: list(read_events(path)),
    "a policy": read_policy,
    "an environment": lambda path: environment.load(path.parent, path.stem),
    "a recording": record,
}
KINDS: dict[str, Callable[[Path], None]] = {
    "a pipe": os.mkfifo,
    "a device without end": lambda path: path.symlink_to("/dev/zero"),
    "a pipe behind a link": lambda path: (os.mkfifo(path.with_name("pipe")), path.symlink_to("pipe"))[1],
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", KINDS)
def test_only_regular_files_are_read(tmp_path: Path, reader: str, kind: str) -> None:
    path = tmp_path / "named.json"
    KINDS[kind](path)
    with pytest.raises(ChatopsError) as caught:
        READERS[reader](path)
    assert "not a regular file" in caught.value.problem


def test_a_folder_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Is a directory"):
        read_bounded(tmp_path, 10)


def test_no_more_is_read_than_can_be_meant(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 2048)
    assert len(read_bounded(path, 2048)) == 2048
    with pytest.raises(OSError, match="larger than 1 KiB"):
        read_bounded(path, 1024)


def test_a_line_without_end_is_no_message(tmp_path: Path) -> None:
    path = tmp_path / "recording.jsonl"
    path.write_text(header_line(["/chat/lobby"], datetime.now(UTC)) + "\n" + "x" * 5_000_000 + "\n")
    with pytest.raises(ChatopsError, match="holds no message"):
        read_replay(path)


@pytest.mark.parametrize(
    "text", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "9" * 400, "9" * 5000, "-" + "9" * 20]
)
def test_numbers_that_no_figure_is_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(NumberError):
        strict_json(f'{{"a": [{text}]}}'.encode())
    (tmp_path / "run.json").write_text(f'{{"schema": 1, "clients": {{"joined": {text}}}}}')
    with pytest.raises(ChatopsError, match="which no figure is"):
        read_run(tmp_path)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    )
)
def test_everything_else_is_read_as_it_is(document: Any) -> None:
    assert strict_json(json.dumps(document).encode()) == document


def test_a_name_that_no_file_has_is_said_in_two_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "x" * 300  # longer than any file system takes
    monkeypatch.chdir(tmp_path)
    for arguments in (["report", "show", name], ["report", "compare", name, name], ["report", "export", name]):
        assert run(arguments) == 2
        assert "error: " in capsys.readouterr().err
