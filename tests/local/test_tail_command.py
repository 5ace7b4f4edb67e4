"""`chatops tail`, against a stack with a room that somebody talks in."""

import datetime as dt
import json
import os
import pty
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

from chatops import environment
from chatops.aws.iam import put_inline_policy
from chatops.chat.messages import Envelope, Kind, MessageIds, encode
from chatops.chat.policy import guest_policy
from chatops.chat.recordings import RecordedMessage, read_lines
from chatops.cli.app import run
from chatops.environment import Environment
from chatops.local.broker import Message
from tests.local.cli import COMMAND, WAIT_S, Running, running, variables
from tests.local.harness import RunningStack

NOBODY = "empty"


def payload(text: str, *, name: str = "Ada", sender: str = "us-east-1:4f2a9c11", kind: Kind = Kind.CHAT) -> bytes:
    ids = MessageIds()
    message = Envelope(ids.new(), sender, name, kind, text, dt.datetime.now(dt.UTC))
    return encode(message)


def say(stack: RunningStack, topic: str, data: bytes) -> None:
    stack.call(lambda: stack.stack.broker.publish(Message(topic, data, 0)))


@pytest.fixture
def talk(stack: RunningStack) -> Generator[None]:
    """People who talk: every 25 ms somebody, in several rooms and forms."""
    over = threading.Event()

    def speak() -> None:
        number = 0
        while not over.wait(0.025):
            number += 1
            say(stack, "/chat/lobby", payload(f"message {number}"))
            say(stack, "/chat/games/chess", payload("e4", name="Grace", sender="us-east-1:99887766"))
            say(stack, "/chat/lobby", payload("", kind=Kind.JOIN))

    thread = threading.Thread(target=speak)
    thread.start()
    yield
    over.set()
    thread.join()


@pytest.fixture
def tail(
    chat: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, list[str], str]]:
    """Run a tail in this process; its code, lines and notes."""
    environment.save(tmp_path / "env", chat)
    for name, value in variables(tmp_path).items():
        if name.startswith("CHATOPS"):
            monkeypatch.setenv(name, value)

    def tail(*arguments: str) -> tuple[int, list[str], str]:
        code = run(["tail", *arguments, "--env", "test", "--env-dir", str(tmp_path / "env")])
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err

    return tail


Tail = Callable[..., tuple[int, list[str], str]]


@pytest.mark.usefixtures("talk")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("lobby", "-n", "3"), 0),
        (("lobby", "--until", "message"), 0),
        (("lobby", "--for", "0.3s"), 0),
        ((NOBODY, "--idle", "0.3s"), 0),
        ((NOBODY, "-n", "1", "--for", "0.3s"), 9),
        (("lobby", "--until", "no such thing", "--for", "0.3s"), 9),
        ((NOBODY, "-n", "1", "--idle", "0.3s", "--for", "20s"), 8),
        (("lobby", "-n", "1", "--idle", "20s", "--for", "20s"), 0),
    ],
)
def test_the_exit_code_tells_what_ended_it(tail: Tail, arguments: tuple[str, ...], code: int) -> None:
    found, lines, notes = tail(*arguments)
    assert found == code, notes
    if "-n" in arguments and code == 0:
        assert len(lines) == int(arguments[arguments.index("-n") + 1])
    assert ("ended: " in notes) == (code != 0)


@pytest.mark.usefixtures("talk")
def test_rooms_are_chosen_and_left_out(tail: Tail) -> None:
    _, lines, _ = tail("--all", "--exclude", "games/", "-n", "6")
    assert {json.loads(line)["room"] for line in lines} == {"/chat/lobby"}
    _, lines, _ = tail("+/chess", "lobby", "-n", "6")
    assert {json.loads(line)["room"] for line in lines} == {"/chat/lobby", "/chat/games/chess"}


@pytest.mark.usefixtures("talk")
def test_messages_are_chosen(tail: Tail) -> None:
    _, lines, _ = tail("--all", "--from", "grace", "-n", "2")
    assert {json.loads(line)["name"] for line in lines} == {"Grace"}
    _, lines, _ = tail("--all", "--kind", "join,leave", "-n", "2")
    assert {json.loads(line)["kind"] for line in lines} == {"join"}
    _, lines, _ = tail("lobby", "--grep", "message [0-9]*[05]$", "-n", "2")
    assert all(json.loads(line)["text"][-1] in "05" for line in lines)
    code, lines, _ = tail("--all", "--sample", "20%", "-n", "5")
    assert (code, len(lines)) == (0, 5)


@pytest.mark.usefixtures("talk")
def test_lines_of_ones_own_a_recording_and_figures(tail: Tail, tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    arguments = ("--kind", "chat", "--format", "{name}|{room}|{text}", "--record", str(path), "--stats", "-n", "4")
    code, lines, notes = tail("lobby", *arguments)
    assert code == 0
    assert all(line.startswith("Ada|/chat/lobby|message ") for line in lines)
    assert "4 messages in" in notes
    assert "1 senders in 1 rooms" in notes
    recorded = list(read_lines(path.read_text().splitlines()))
    assert len(recorded) == 4
    assert all(isinstance(each, RecordedMessage) and b"message" in each.payload for each in recorded)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("lobby", "--all"),
        ("lobby", "--format", "{who}"),
        ("lobby", "--format", "{text}", "--json"),
        ("lobby", "--grep", "("),
        ("lobby", "--until", "*"),
        ("lobby", "--kind", "rumour"),
        ("lobby", "--sample", "0"),
        ("lobby", "--for", "soon"),
        ("lobby", "--idle", "0s"),
        ("lobby", "--record-size", "1"),
        ("lobby", "--exclude", "/other/x"),
        ("lobby", "--as", "nobody"),
        ("/other/x",),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_connected(tail: Tail, arguments: tuple[str, ...]) -> None:
    code, lines, notes = tail(*arguments)
    assert (code, lines) == (2, [])
    assert notes.count("error: ") == notes.count("  fix: ") == 1


# As a process of its own


Process = Callable[..., AbstractContextManager[Running]]


@pytest.fixture
def process(chat: Environment, tmp_path: Path) -> Process:
    environment.save(tmp_path / "env", chat)
    return lambda *arguments: running("tail", *arguments, "--env", "test", env=variables(tmp_path), cwd=tmp_path)


def disconnect_all(stack: RunningStack) -> None:
    for client_id in stack.call(lambda: list(stack.stack.broker._sessions)):
        stack.call(partial(stack.stack.broker.disconnect_client, client_id))


def test_a_lost_connection_and_then_a_policy_that_refuses(
    stack: RunningStack, chat: Environment, process: Process
) -> None:
    aws, role, policy = stack.aws(), chat.managed["role"], chat.managed["policy"]
    allowed = guest_policy(region=chat.region, account="123456789012", prefix="/chat/")
    denied = {**allowed, "Statement": allowed["Statement"][:2]}
    with process("lobby", "-v") as tail:
        tail.note("watching")
        disconnect_all(stack)
        gap = json.loads(tail.line())
        assert gap["kind"] == "gap"
        assert gap["to"] is not None
        assert "administrative action" in gap["reason"]
        try:
            put_inline_policy(aws, role, policy, denied)
            disconnect_all(stack)
            assert tail.process.wait(WAIT_S) == 4
        finally:
            put_inline_policy(aws, role, policy, allowed)
        last = json.loads(tail.line())
        assert (last["kind"], last["to"]) == ("gap", None)
        assert "refuses" in tail.note("error: ")


def test_kill_9_costs_a_recording_no_whole_line(stack: RunningStack, process: Process, tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    with process("lobby", "--record", str(path)) as tail:
        tail.note("watching")
        for number in range(5):
            say(stack, "/chat/lobby", payload(f"message {number}"))
        for _ in range(5):
            tail.line()
        tail.process.send_signal(signal.SIGKILL)
        tail.process.wait(WAIT_S)
    assert len(list(read_lines(path.read_text().splitlines()))) == 5


def test_a_tail_ends_quietly_when_its_reader_does(stack: RunningStack, chat: Environment, tmp_path: Path) -> None:
    environment.save(tmp_path / "env", chat)
    process = subprocess.Popen(
        [*COMMAND, "tail", "lobby", "--env", "test"],
        env=variables(tmp_path),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        assert "watching" in process.stderr.readline()
        say(stack, "/chat/lobby", payload("one"))
        assert json.loads(process.stdout.readline())["text"] == "one"
        process.stdout.close()
        say(stack, "/chat/lobby", payload("two"))
        assert process.wait(WAIT_S) == 0
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_on_a_terminal_long_text_is_wrapped_and_figures_stand_below(
    stack: RunningStack, chat: Environment, tmp_path: Path
) -> None:
    environment.save(tmp_path / "env", chat)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "tail", "lobby", "--stats", "--env", "test"],
        env=variables(tmp_path, COLUMNS="60", TERM="xterm"),
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        shown = read_until(ours, b"watching")
        shown += read_until(ours, b"messages/s")
        say(stack, "/chat/lobby", payload("word " * 30 + "\x1b[2Jend"))
        shown += read_until(ours, b"1 in all")
        process.send_signal(signal.SIGTERM)
        shown += read_until(ours, b"rooms")
        assert process.wait(WAIT_S) == 130
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    text = shown.decode()
    assert "\r\n         word word" in text
    assert "\\x1b[2Jend" in text
    assert "\x1b[2J" not in text
    assert "/chat/lobby" in text
    assert "1 messages in" in text


def read_until(handle: int, words: bytes) -> bytes:
    found = b""
    deadline = time.monotonic() + WAIT_S
    while words not in found:
        ready, _, _ = select.select([handle], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, found
        found += os.read(handle, 65536)
    return found
