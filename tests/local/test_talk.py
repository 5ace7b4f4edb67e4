"""`tail` and `post`, as processes, against a stack of their own."""

import json
import os
import re
import signal
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from chatops.local import daemon
from tests.local.cli import WAIT_S, chatops, running, variables


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Generator[Path]:
    path = tmp_path_factory.mktemp("runtime")
    assert chatops("local", "up", env=variables(path)).code == 0
    yield path
    daemon.stop(path)


def test_what_the_operator_posts_a_piped_tail_shows_as_json_lines(runtime: Path) -> None:
    env = variables(runtime)
    with running("tail", "/chat/lobby", "-n", "1", "--env", "local", env=env) as tail:
        tail.note("watching /chat/lobby")
        posted = chatops("post", "lobby", "maintenance soon", "--env", "local", "--json", env=env)
        assert posted.code == 0, posted.stderr
        receipt = json.loads(posted.stdout)
        shown = json.loads(tail.line())
        assert tail.process.wait(WAIT_S) == 0
    assert shown["text"] == "maintenance soon"
    assert shown["room"] == receipt["room"] == "/chat/lobby"
    assert shown["id"] == receipt["id"]
    assert shown["from"] == "operator"
    assert shown["encoding"] == "envelope"
    assert set(shown) == {
        *("received", "room", "id", "from", "name", "kind", "text", "sent", "bytes", "encoding", "latency_ms")
    }


def test_guests_post_over_mqtt_and_text_comes_from_standard_input(runtime: Path) -> None:
    env = variables(runtime)
    with running("tail", "games/", "--env", "local", "-n", "1", env=env) as tail:
        tail.note("watching /chat/games/#")
        posted = chatops(
            "post", "games/chess", "-", "--as", "guest", "--name", "Ada", "--env", "local", env=env, stdin="e4\n"
        )
        assert posted.code == 0, posted.stderr
        shown = json.loads(tail.line())
    assert (shown["text"], shown["name"], shown["room"]) == ("e4", "Ada", "/chat/games/chess")
    assert re.fullmatch(r"guest-[0-9a-f]{16}", shown["from"])


def test_a_user_keeps_one_identity(runtime: Path) -> None:
    env = variables(runtime)
    senders = {
        json.loads(chatops("post", "lobby", "x", "--as", "guest", "--env", "local", "--json", env=env).stdout)["from"]
        for _ in range(2)
    }
    assert len(senders) == 1
    assert (runtime / "identities.json").stat().st_mode & 0o777 == 0o600


def test_the_operator_may_watch_too(runtime: Path) -> None:
    env = variables(runtime)
    with running("tail", "#", "--as", "operator", "-n", "1", "--env", "local", env=env) as tail:
        tail.note("watching /chat/#")
        assert chatops("post", "help", "hi", "--env", "local", env=env).code == 0
        assert json.loads(tail.line())["room"] == "/chat/help"


def test_hostile_text_stays_one_line_without_control_characters(runtime: Path) -> None:
    env = variables(runtime)
    hostile = 'a\x1b[2Jb\u202ec[red]d</script>\u2028e\nf"g'
    with running("tail", "lobby", "-n", "1", "--env", "local", env=env) as tail:
        tail.note("watching")
        assert chatops("post", "lobby", "-", "--env", "local", env=env, stdin=hostile).code == 0
        line = tail.line()
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["text"] == hostile


def test_a_tail_survives_kill_9_of_the_stack(runtime: Path) -> None:
    env = variables(runtime)
    with running("tail", "lobby", "--env", "local", env=env) as tail:
        tail.note("watching")
        record = daemon.find(runtime)
        assert record is not None
        os.kill(record.pid, signal.SIGKILL)
        tail.note("lost the connection")
        started = chatops("local", "up", env=env)
        assert started.code == 0, started.stderr
        assert "starting a new one" in started.stderr
        back = tail.note("connected again")
        assert "missed" in back
        gap = json.loads(tail.line())
        assert (gap["kind"], gap["missed"]) == ("gap", None)
        assert gap["from"] < gap["to"]
        assert gap["reason"]
        assert chatops("post", "lobby", "after the storm", "--env", "local", env=env).code == 0
        assert json.loads(tail.line())["text"] == "after the storm"
        assert tail.process.poll() is None


def test_ctrl_c_ends_a_tail_cleanly(runtime: Path) -> None:
    with running("tail", "lobby", "--env", "local", env=variables(runtime)) as tail:
        tail.note("watching")
        tail.process.send_signal(signal.SIGINT)
        assert tail.process.wait(WAIT_S) == 130
        time.sleep(0)
        assert not any("Traceback" in line for line in list(tail.err.queue))


def test_quiet_says_nothing_but_data(runtime: Path) -> None:
    posted = chatops("post", "lobby", "hello", "--env", "local", "-q", env=variables(runtime))
    assert posted.stderr == ""
    assert len(posted.stdout.split()) == 1


def test_nobody_chose_the_environment_and_it_is_said(runtime: Path, tmp_path: Path) -> None:
    posted = chatops("post", "lobby", "hello", env=variables(runtime), cwd=tmp_path)
    assert posted.code == 0
    assert "environment: local" in posted.stderr


def test_the_load_test_joins_counts_and_deletes_its_identities(runtime: Path, tmp_path: Path) -> None:
    env = variables(runtime)
    arguments = ("--clients", "20", "--duration", "2", "--warm-up", "0.5", "--rate", "1", "--json", "--env", "local")
    done = chatops("loadtest", *arguments, env=env, cwd=tmp_path)
    assert done.code in {0, 10}, done.stderr
    document = json.loads(done.stdout)
    assert document["clients"] == {"asked": 20, "joined": 20, "failed": 0}
    assert document["posts"]["acknowledged"] == document["posts"]["sent"] == document["posts"]["due"] > 0
    assert document["deliveries"]["received"] == document["deliveries"]["expected"] > 0
    assert document["deliveries"]["lost"] == 0
    for figure in ("join", "ack", "delivery", "delivery_from_send"):
        assert set(document["latency_ms"][figure]) == {"p50", "p90", "p99", "p999", "p9999", "max"}
        assert document["latency_ms"][figure]["p50"] > 0
    assert set(document["generator"]) >= {"cpu", "lag_ms_p99", "rss_mb"}
    assert document["verdict"] in {"valid", "not valid"}
    assert document["thresholds"] == []
    assert set(document["cost_usd"]) == {"predicted", "metered"}
    assert document["identities"]["made"] == document["identities"]["discarded"] == 20
