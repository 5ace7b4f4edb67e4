"""`chatops post`, against a real stack: what it says it posted has been heard."""

import datetime as dt
import json
import queue
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from chatops import environment
from chatops.aws.iam import put_inline_policy
from chatops.chat.messages import parse_time
from chatops.chat.policy import guest_policy
from chatops.cli.app import run
from chatops.environment import Environment
from chatops.local.packets import Message
from tests.local.cli import COMMAND, WAIT_S, chatops, variables
from tests.local.harness import RunningStack

Post = Callable[..., tuple[int, str, str]]


@pytest.fixture
def post(
    stack: RunningStack,
    chat: Environment,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Post:
    """Run a post in this process; its code, data and notes."""
    environment.save(tmp_path / "env", chat)
    for name, value in settings(stack, tmp_path).items():
        if name.startswith(("CHATOPS", "AWS")):
            monkeypatch.setenv(name, value)

    def post(*arguments: str) -> tuple[int, str, str]:
        code = run(["post", *arguments, "--env", "test", "--env-dir", str(tmp_path / "env")])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return post


def settings(stack: RunningStack, directory: Path) -> dict[str, str]:
    keys = stack.keys()
    return variables(directory, AWS_ACCESS_KEY_ID=keys.access_key_id, AWS_SECRET_ACCESS_KEY=keys.secret_access_key)


class Heard:
    """What the broker was given, as it was."""

    def __init__(self) -> None:
        self.messages: queue.Queue[Message] = queue.Queue()

    def next(self) -> Message:
        return self.messages.get(timeout=WAIT_S)


@pytest.fixture
def heard(stack: RunningStack, monkeypatch: pytest.MonkeyPatch) -> Heard:
    broker = stack.stack.broker
    deliver = broker.deliver
    found = Heard()

    def listening(message: Message, *rest: object, **named: object) -> int:
        found.messages.put(message)
        return deliver(message, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(broker, "deliver", listening)
    return found


@pytest.mark.parametrize("who", ["operator", "guest"])
def test_properties_expiry_name_and_kind_arrive(post: Post, heard: Heard, who: str) -> None:
    arguments = ("--property", "a=1", "--property", "ü=x=y", "--expires", "10m", "--name", "Ada", "--kind", "system")
    code, out, err = post("lobby", "hello", "--as", who, *arguments, "--json")
    assert code == 0, err
    receipt, message = json.loads(out), heard.next()
    assert message.user_properties == (("a", "1"), ("ü", "x=y"))
    assert message.expires_at is not None
    said = json.loads(message.payload)
    assert (said["id"], said["name"], said["kind"], said["text"]) == (receipt["id"], "Ada", "system", "hello")
    assert receipt["from"] == said["from"]
    assert receipt["bytes"] == len(message.payload)
    assert receipt["acknowledged_ms"] >= 0


@pytest.mark.parametrize("who", ["operator", "guest"])
def test_the_echo_is_waited_for(post: Post, who: str) -> None:
    code, out, err = post("lobby", "hello", "--room", "games", "--as", who, "--wait-echo", "--json")
    assert code == 0, err
    document = json.loads(out)
    assert [receipt["room"] for receipt in document["receipts"]] == ["/chat/lobby", "/chat/games"]
    assert all(receipt["echo_ms"] >= 0 for receipt in document["receipts"])
    assert (document["posted"], document["failed"]) == (1, [])


def test_an_echo_that_does_not_come_is_told(post: Post, monkeypatch: pytest.MonkeyPatch, stack: RunningStack) -> None:
    monkeypatch.setattr("chatops.cli.post_echo._WAIT_S", 0.2)
    monkeypatch.setattr(stack.stack.broker, "deliver", lambda *_rest, **_named: 0)
    code, _, err = post("lobby", "hello", "--wait-echo")
    assert code == 8
    assert "did not arrive" in err


def test_bytes_are_posted_as_they_are(post: Post, heard: Heard, tmp_path: Path) -> None:
    path = tmp_path / "picture"
    path.write_bytes(b"\xff\x00\r\n\x1b")
    assert post("lobby", "--file", str(path), "--raw")[0] == 0
    assert heard.next().payload == b"\xff\x00\r\n\x1b"
    assert post("lobby", "plain", "--raw")[0] == 0
    assert heard.next().payload == b"plain"
    path.write_text("from a file\n")
    assert post("lobby", "--file", str(path))[0] == 0
    assert json.loads(heard.next().payload)["text"] == "from a file"


def test_repetitions_each_have_their_id(post: Post, heard: Heard) -> None:
    code, out, err = post("lobby", "again", "--repeat", "5", "--rate", "200", "--json")
    assert code == 0, err
    ids = [json.loads(heard.next().payload)["id"] for _ in range(5)]
    assert ids == sorted(set(ids))
    document = json.loads(out)
    assert document["posted"] == 5
    assert document["receipts"][-1]["id"] == ids[-1]
    assert "posted 5 messages" in err


def test_a_post_waits_for_its_time(post: Post, heard: Heard) -> None:
    moment = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=0.7)
    code, _, err = post("lobby", "at last", "--at", moment.isoformat())
    assert code == 0, err
    assert "waiting until" in err
    sent = parse_time(json.loads(heard.next().payload)["sent"])
    assert sent is not None
    assert sent >= moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def test_a_room_that_is_refused_leaves_the_others_posted(stack: RunningStack, chat: Environment, post: Post) -> None:
    aws, role, policy = stack.aws(), chat.managed["role"], chat.managed["policy"]
    allowed = guest_policy(region=chat.region, account="123456789012", prefix="/chat/")
    denial = {
        "Effect": "Deny",
        "Action": "iot:Publish",
        "Resource": f"arn:aws:iot:{chat.region}:123456789012:topic//chat/games",
    }
    try:
        put_inline_policy(aws, role, policy, {**allowed, "Statement": [*allowed["Statement"], denial]})
        code, out, err = post("lobby", "hi", "--room", "games", "--room", "help", "--as", "guest", "--json")
    finally:
        put_inline_policy(aws, role, policy, allowed)
    assert code == 7
    assert "not to /chat/games" in err
    document = json.loads(out)
    assert [receipt["room"] for receipt in document["receipts"]] == ["/chat/lobby", "/chat/help"]
    assert [each["room"] for each in document["failed"]] == ["/chat/games"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("lobby",),
        ("lobby", ""),
        ("/other/x", "hi"),
        ("lobby", "forgot", "quotes"),
        ("lobby", "hi", "--room", "/other/x"),
        ("lobby", "--lines", "--repeat", "2"),
        ("lobby", "hi", "--rate", "0"),
        ("lobby", "hi", "--expires", "0s"),
        ("lobby", "hi", "--property", "x"),
        ("lobby", "hi", "--at", "25:00"),
        ("lobby", "hi", "--kind", "leave"),
        ("lobby", "hi", "--as", "nobody"),
        ("lobby", "x" * 131_072),
    ],
)
def test_what_cannot_be_is_refused(post: Post, heard: Heard, arguments: tuple[str, ...]) -> None:
    code, out, err = post(*arguments)
    assert (code, out) == (2, "")
    assert err.count("error: ") == err.count("  fix: ") == 1
    assert heard.messages.empty()


def test_a_file_that_is_missing_and_keys_that_are_wrong(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    assert post("lobby", "--file", "/nonexistent")[0] == 3
    assert post("lobby", "--lines", "--file", "/nonexistent")[0] == 3
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    code, _, err = post("lobby", "hi")
    assert code == 4
    assert "credentials" in err


# As a process: standard input


def test_each_line_is_a_message_and_a_failure_says_how_many_got_through(
    stack: RunningStack, chat: Environment, heard: Heard, tmp_path: Path
) -> None:
    environment.save(tmp_path / "env", chat)
    env = settings(stack, tmp_path)
    text = "one\n\ntwo\r\nthree" + "\n" + "x" * 131_072 + "\nnever"
    done = chatops("post", "lobby", "--lines", "--rate", "500", "--env", "test", env=env, cwd=tmp_path, stdin=text)
    assert done.code == 7, done.stderr
    assert [json.loads(heard.next().payload)["text"] for _ in range(3)] == ["one", "two", "three"]
    assert "3 messages were posted; number 4 was not" in done.stderr
    assert "posted 3 messages in" in done.stderr
    assert heard.messages.empty()
    empty = chatops("post", "lobby", "--lines", "--env", "test", env=env, cwd=tmp_path, stdin="\n \n")
    assert empty.code == 2


def test_ctrl_c_ends_a_post_that_waits_for_lines(
    stack: RunningStack, chat: Environment, heard: Heard, tmp_path: Path
) -> None:
    environment.save(tmp_path / "env", chat)
    process = subprocess.Popen(
        [*COMMAND, "post", "lobby", "--lines", "--as", "guest", "--env", "test"],
        env=settings(stack, tmp_path),
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(b"first\n")
        process.stdin.flush()
        assert json.loads(heard.next().payload)["text"] == "first"
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_S) == 130
        notes = process.stderr.read()
        assert b"posted 1 messages" in notes or b"posted 0 messages" in notes
        assert b"Traceback" not in notes
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stderr):
            if pipe is not None:
                pipe.close()
