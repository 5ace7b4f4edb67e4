"""`who` and `rooms`, as guest and as operator, beside people who talk and people who only listen."""

import datetime as dt
import json
import threading
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from chatops import environment
from chatops.chat.messages import Envelope, Kind, MessageIds, encode
from chatops.cli.app import run
from chatops.environment import Environment
from chatops.local.packets import Message
from tests.local.cli import running, variables
from tests.local.harness import RunningStack

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def env(stack: RunningStack, chat: Environment, tmp_path: Path) -> dict[str, str]:
    environment.save(tmp_path / "env", chat)
    keys = stack.keys()
    return variables(tmp_path, AWS_ACCESS_KEY_ID=keys.access_key_id, AWS_SECRET_ACCESS_KEY=keys.secret_access_key)


@pytest.fixture
def command(
    env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    for name, value in env.items():
        if name.startswith(("CHATOPS", "AWS")):
            monkeypatch.setenv(name, value)

    def command(*arguments: str) -> tuple[int, str, str]:
        code = run([*arguments, "--env", "test", "--env-dir", str(tmp_path / "env")])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


@pytest.fixture
def talk(stack: RunningStack) -> Generator[None]:
    """Ada, who talks in the lobby all the time."""
    over = threading.Event()
    ids = MessageIds()

    def speak() -> None:
        while not over.wait(0.03):
            now = dt.datetime.now(dt.UTC)
            said = encode(Envelope(ids.new(), "us-east-1:ada", "Ada\x1b[2J", Kind.CHAT, "hi\u202e", now))
            stack.call(lambda said=said: stack.stack.broker.publish(Message("/chat/lobby", said, 0)))  # type: ignore[misc]

    thread = threading.Thread(target=speak)
    thread.start()
    yield
    over.set()
    thread.join()


@pytest.mark.usefixtures("talk")
def test_a_guest_hears_who_speaks_and_says_what_it_cannot_know(command: Command) -> None:
    code, out, err = command("who", "lobby", "--for", "0.5s", "--json")
    assert code == 0, err
    document = json.loads(out)
    (person,) = document["people"]
    assert (person["id"], person["words"], person["certain"]) == ("us-east-1:ada", "hi\u202e", False)
    assert person["since"] <= person["last"]
    assert "cannot know" in err
    code, out, _ = command("who", "lobby", "--for", "0.5s")
    assert "Ada\\x1b[2J (ada)" in out
    assert "\x1b" not in out
    assert "\u202e" not in out


def test_the_operator_sees_who_comes_and_goes_in_silence(env: dict[str, str], command: Command, tmp_path: Path) -> None:
    with running("who", "lobby", "--as", "operator", "--watch", "--env", "test", env=env, cwd=tmp_path) as who:
        who.note("nobody can list")
        # `who` may not have subscribed yet: listeners come until one is seen.
        seen: list[dict[str, object]] = []
        while not seen:
            with running("tail", "lobby", "--env", "test", env=env, cwd=tmp_path) as tail:
                listener = tail.note("watching").rpartition(" as ")[2]
                tail.process.terminate()
                tail.process.wait()
            while not who.out.empty():
                seen.append(json.loads(who.out.get()))
        seen += [json.loads(who.line())] if len(seen) == 1 else []
    assert [each["change"] for each in seen[-2:]] == ["subscribed", "disconnected"]
    assert seen[-1]["id"] == listener
    assert seen[-1]["certain"] is True


@pytest.mark.usefixtures("talk")
@pytest.mark.parametrize("who", ["guest", "operator"])
def test_rooms_are_shown_with_what_goes_on_in_them(command: Command, who: str) -> None:
    code, out, err = command("rooms", "--as", who, "--for", "1s", "--json")
    assert code == 0, err
    busiest = json.loads(out)["rooms"][0]
    assert busiest["room"] == "/chat/lobby"
    assert busiest["people"] == 1
    assert busiest["messages"] > 5
    assert busiest["per_s"] > 5
    assert (busiest["watchers"] is None) == (who == "guest")
    code, out, _ = command("rooms", "--for", "0.3s")
    assert out.splitlines()[0].split() == ["ROOM", "MESSAGES", "PER", "SECOND", "PEOPLE", "LAST"]


@pytest.mark.parametrize(
    "arguments",
    [("who", "games/+"), ("who", "lobby", "--as", "x"), ("who", "lobby", "--for", "0s"), ("rooms", "--for", "x")],
)
def test_what_cannot_be_is_refused(command: Command, arguments: tuple[str, ...]) -> None:
    code, out, _ = command(*arguments)
    assert (code, out) == (2, "")
