"""`chatops.post`, and the Lambda function of the documentation, against the local stack."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import chatops
from chatops import environment
from chatops.chat.messages import Envelope, decode
from chatops.environment import Environment
from chatops.errors import ChatopsError, ConfigurationError, NotAuthorisedError, UsageError
from chatops.local.packets import Message
from tests.local.harness import RunningStack

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def account(stack: RunningStack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    keys = stack.keys()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys.secret_access_key)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "CHATOPS_ENV", "CHATOPS_ENV_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def heard(stack: RunningStack, monkeypatch: pytest.MonkeyPatch) -> list[Message]:
    found: list[Message] = []
    deliver = stack.stack.broker.deliver

    def listening(message: Message) -> int:
        found.append(message)
        return deliver(message)

    monkeypatch.setattr(stack.stack.broker, "deliver", listening)
    return found


@pytest.mark.usefixtures("account")
def test_a_program_posts(chat: Environment, heard: list[Message], tmp_path: Path) -> None:
    posted = chatops.post("lobby", "from a program", environment=chat, name="bot", kind="system")
    message = decode(heard[-1].payload)
    assert isinstance(message, Envelope)
    assert (message.id, message.name, message.text, message.kind) == (posted.id, "bot", "from a program", "system")
    assert posted.room == heard[-1].topic == "/chat/lobby"
    environment.save(tmp_path, chat)
    assert chatops.post("/chat/help", "by name", environment="test", env_dir=tmp_path).room == "/chat/help"
    assert chatops.post("help", "the only one", env_dir=tmp_path).room == "/chat/help"


@pytest.mark.usefixtures("account")
def test_what_goes_wrong_says_what_to_do(
    chat: Environment, heard: list[Message], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[tuple[type[ChatopsError], dict[str, Any]]] = [
        (UsageError, {"room": "/other/x"}),
        (UsageError, {"kind": "leave"}),
        (UsageError, {"text": "x" * 200_000}),
        (ConfigurationError, {"environment": "absent", "env_dir": tmp_path}),
        (ConfigurationError, {"environment": "../x", "env_dir": tmp_path}),
    ]
    for expected, changes in failures:
        with pytest.raises(expected) as raised:
            chatops.post(**{"room": "lobby", "text": "hi", "environment": chat, **changes})
        assert raised.value.remedy
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(NotAuthorisedError):
        chatops.post("lobby", "hi", environment=chat)
    assert not heard


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "lambda.md").read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.usefixtures("account")
def test_the_documented_lambda_function_answers(
    chat: Environment, heard: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAT", environment.render(chat))
    whole: dict[str, Any] = {}
    exec(compile(blocks()[1], "handler.py", "exec"), whole)  # noqa: S102  (the documentation's code)
    asked = {"id": "1", "from": "us-east-1:x", "name": "Ada", "kind": "chat", "sent": "2026-01-31T12:00:00Z"}
    answer = whole["handler"]({**asked, "text": "!time, please", "room": "/chat/games"}, None)
    message = decode(heard[-1].payload)
    assert isinstance(message, Envelope)
    assert answer == {"answered": True, "id": message.id}
    assert re.fullmatch(r"It is \d\d:\d\d in Greenwich\.", message.text)
    assert heard[-1].topic == "/chat/games"
    count = len(heard)
    for silent in ({**asked, "text": "hello"}, {**asked, "text": "!time", "from": "operator"}, {"text": "!time"}):
        assert whole["handler"]({**silent, "room": "/chat/games"}, None) == {"answered": False}
    assert len(heard) == count


def test_the_documentation_is_python() -> None:
    assert len(blocks()) == 2
    for block in blocks():
        ast.parse(block)


def test_it_needs_boto3_alone() -> None:
    program = (
        "import sys, chatops; assert 'boto3' not in sys.modules; chatops.post; assert 'boto3' in sys.modules;"
        "print([n for n in ('aiohttp', 'typer', 'rich', 'moto', 'yarl', 'hdrh', 'uvloop', 'chatops.mqtt',"
        " 'chatops.cli') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr
    with pytest.raises(AttributeError, match="no attribute 'shout'"):
        chatops.shout  # noqa: B018
    assert json.dumps(chatops.__version__)
