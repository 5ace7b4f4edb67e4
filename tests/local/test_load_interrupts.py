"""Ctrl-C and its kin in every part of a load test: what is reported, what is left behind."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from chatops.aws.session import Aws
from chatops.cli.lifecycle import local_target
from chatops.environment import load
from chatops.local.record import environment_directory, read_record
from tests.local.cli import Running, chatops, running, variables

FEW = ("--clients", "20", "--duration", "600", "--warm-up", "0", "--total-rate", "10", "--env", "local")


def identities_in(here: Path) -> int:
    """How many identities the pool holds."""
    record = read_record(here)
    assert record is not None
    pool = load(environment_directory(here), "local").identity_pool_id
    answer = Aws(local_target(record)).call("cognito-identity", "list_identities", IdentityPoolId=pool, MaxResults=60)
    return len(answer["Identities"])


def said(command: Running) -> str:
    """All that a command that has ended said on standard error."""
    command.finish()
    return "\n".join(command.err.queue)


def press(command: Running, number: signal.Signals, times: int = 1) -> None:
    for _ in range(times):
        command.process.send_signal(number)
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("processes", ["1", "2"])
def test_the_first_signal_drains_and_reports(here: Path, number: signal.Signals, processes: str) -> None:
    folder = f"first-{number.name}-{processes}"
    arguments = ("loadtest", *FEW, "--processes", processes, "--out", folder)
    with running(*arguments, env=variables(here), cwd=here) as command:
        command.note("steady")
        press(command, number)
        assert command.process.wait(60) == 130
        words = said(command)
    assert "interrupted: draining" in words
    document: dict[str, Any] = json.loads((here / folder / "run.json").read_text(encoding="utf-8"))
    assert document["interrupted"]
    assert document["deliveries"]["lost"] == 0
    assert identities_in(here) == 0


@pytest.mark.parametrize("times", [2, 6])
@pytest.mark.parametrize("processes", ["1", "2"])
def test_the_second_ends_it_without_a_report_and_leaves_nothing(here: Path, processes: str, times: int) -> None:
    folder, env = f"second-{processes}-{times}", variables(here)
    assert chatops("local", "fault", "--delay", "20s", env=env, cwd=here).code == 0  # so that draining takes long
    arguments = ("loadtest", *FEW, "--processes", processes, "--out", folder)
    with running(*arguments, env=env, cwd=here) as command:
        command.note("steady")
        time.sleep(1)
        press(command, signal.SIGINT, times)
        assert command.process.wait(60) == 130
        words = said(command)
    assert chatops("local", "fault", "--clear", env=env, cwd=here).code == 0
    assert "ended without a report; 20 identities deleted" in words
    assert "Traceback" not in words
    assert "Error" not in words
    assert "ignored" not in words
    assert identities_in(here) == 0
    left = {file.name for file in (here / folder).iterdir()} if (here / folder).exists() else set()
    assert all(name.startswith("events") for name in left)


def test_a_run_that_is_ended_before_it_measures_does_not_blame_its_generator(here: Path) -> None:
    with running("loadtest", *FEW, "--processes", "2", "--out", "early", env=variables(here), cwd=here) as command:
        command.note("joining")
        press(command, signal.SIGINT)
        assert command.process.wait(60) == 130
        command.finish()
    document = json.loads((here / "early" / "run.json").read_text(encoding="utf-8"))
    assert document["verdict"] == "partial"
    assert document["phases"]["steady"]["seconds"] < 1
    assert not any("core" in reason for reason in document["reasons"])


@pytest.mark.parametrize("mode", [("--repeat", "3"), ("--find-limit", "--fail-on", "lost>1000000")])
def test_several_runs_say_what_they_have_when_they_are_interrupted_between(here: Path, mode: tuple[str, ...]) -> None:
    few = ("--clients", "5", "--duration", "1", "--warm-up", "0", "--total-rate", "10", "--env", "local")
    folder = f"several{mode[0]}"
    with running("loadtest", *few, *mode, "--out", folder, env=variables(here), cwd=here) as command:
        command.note("report:")  # the first has ended
        press(command, signal.SIGTERM)
        assert command.process.wait(60) == 130
        words = said(command)
        shown = "\n".join(command.out.queue)
    assert "Traceback" not in words
    assert "counted" in shown if mode[0] == "--repeat" else "limit" in shown
    assert identities_in(here) == 0
