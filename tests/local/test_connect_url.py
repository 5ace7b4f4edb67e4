"""A signed URL, and the clients of the documentation that use it."""

import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chatops import environment
from chatops.chat.messages import parse_time
from chatops.environment import Environment
from tests.local.cli import WAIT_S, chatops, running, variables
from tests.local.harness import RunningStack

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "other-clients.md"


def example(language: str) -> str:
    """The one code block of a language in the documentation."""
    blocks = re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 1
    return str(blocks[0])


def test_paho_as_documented_chats_with_a_tail(stack: RunningStack, chat: Environment, tmp_path: Path) -> None:
    environment.save(tmp_path / "env", chat)
    env = variables(tmp_path)
    ticket = chatops("connect-url", "--env", "test", "--json", env=env, cwd=tmp_path)
    assert ticket.code == 0, ticket.stderr
    with running("tail", "lobby", "-n", "1", "--env", "test", env=env, cwd=tmp_path) as tail:
        tail.note("watching")
        done = subprocess.run(
            [sys.executable, "-c", example("python")],
            input=ticket.stdout,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == "/chat/lobby hello from paho\n"
        assert json.loads(tail.line())["text"] == "hello from paho"


def test_the_url_alone_is_data_and_its_lifetime_is_said(stack: RunningStack, chat: Environment, tmp_path: Path) -> None:
    environment.save(tmp_path / "env", chat)
    done = chatops("connect-url", "--env", "test", env=variables(tmp_path), cwd=tmp_path)
    assert done.code == 0, done.stderr
    assert re.fullmatch(r"ws://127\.0\.0\.1:\d+/mqtt\?X-Amz-Algorithm=\S+&X-Amz-Security-Token=\S+\n", done.stdout)
    assert "client id: us-east-1:" in done.stderr
    assert "connect before" in done.stderr
    assert "credentials in it expire" in done.stderr
    assert "X-Amz" not in done.stderr


@pytest.mark.parametrize("who", ["guest", "operator"])
def test_the_json_form_tells_when_it_ends(stack: RunningStack, chat: Environment, tmp_path: Path, who: str) -> None:
    environment.save(tmp_path / "env", chat)
    keys = stack.keys()
    env = variables(tmp_path, AWS_ACCESS_KEY_ID=keys.access_key_id, AWS_SECRET_ACCESS_KEY=keys.secret_access_key)
    done = chatops("connect-url", "--as", who, "--env", "test", "--json", env=env, cwd=tmp_path)
    document = json.loads(done.stdout)
    now = datetime.now(UTC)
    before = parse_time(document["connectBefore"])
    assert before is not None
    assert now < before <= now + timedelta(minutes=5)
    assert (document["credentialsExpire"] is None) == (who == "operator")
    assert document["clientId"].startswith("us-east-1:" if who == "guest" else "operator-")


def test_nobody_else_gets_one(tmp_path: Path) -> None:
    assert chatops("connect-url", "--as", "nobody", env=variables(tmp_path)).code == 2
