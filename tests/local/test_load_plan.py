"""`chatops loadtest --plan` through the real command: offline, and with the account's quotas asked for."""

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chatops.cli.app import run
from tests.local.cli import WAIT_S, Finished, assert_two_line_error, chatops, variables
from tests.local.harness import RunningStack

AWS_LIKE = {
    "iotGatewayName": "abc123-ats.iot.eu-west-1.amazonaws.com",
    "cognitoIdentityPoolId": "eu-west-1:7b0cb1f2-1111-4222-8333-444455556666",
}
MILLION = (
    *("loadtest", "--plan", "--env", "big", "--clients", "1000000", "--spread", "even", "--rate", "0.01"),
    *("--identities", "5000", "--warm-up", "0", "--duration", "3600"),
)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with an environment as on AWS; nothing listens there, and nobody has credentials."""
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "big.json").write_text(json.dumps(AWS_LIKE))
    return tmp_path


def planned(here: Path, *arguments: str, **more: str) -> Finished:
    return chatops(*MILLION, *arguments, env=variables(here, **more), cwd=here)


def keys(stack: RunningStack) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": stack.keys().access_key_id,
        "AWS_SECRET_ACCESS_KEY": stack.keys().secret_access_key,
    }


def document(done: Finished) -> dict[str, Any]:
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def test_a_million_guests_are_planned_for_offline_and_refused_with_the_whole_plan(here: Path) -> None:
    done = planned(here)
    assert_two_line_error(done, 2, "1,000,000 connections are more than the account's 500,000", "AWS's defaults")
    assert "refused" in done.stdout
    for heading in ("machines", "joining", "deliveries, by spread", "an hour", "raises for nobody", "to be raised"):
        assert heading in done.stdout
    # Whole commands, to be copied.
    assert (
        "    aws service-quotas request-service-quota-increase --region eu-west-1 \\\n"
        "      --service-code iotcore --quota-code L-75CAB723 --desired-value 1300000\n" in done.stdout
    )
    assert all(len(line) <= 79 for line in done.stdout.splitlines())
    assert "\x1b" not in done.stdout
    assert sorted(path.name for path in here.iterdir()) == ["env", "home"]


def test_the_plan_as_json_carries_all_of_it(here: Path) -> None:
    done = planned(here, "--json", "--machine", "16x64")
    assert_two_line_error(done, 2)
    plan = document(done)
    assert (plan["schema"], plan["kind"], plan["clients"]) == (1, "chatops loadtest plan", 1_000_000)
    assert plan["quotas"]["source"] == "AWS's defaults"
    assert len(plan["refusals"]) == 2
    scale = plan["scale"]
    assert scale["sizing"]["machine"] == {"cores": 16, "memory_gib": 64.0}
    assert (scale["sizing"]["machines"], scale["sizing"]["processes"]) == (32, 500)
    assert (scale["slowest"], scale["join_s"]) == ("CONNECT", plan["ramp_s"])
    assert [each["code"] for each in scale["raises"]][:2] == ["L-FE4EDCF9", "L-75CAB723"]
    assert scale["region"] == "eu-west-1"


def test_with_force_it_is_shown_all_the_same_and_succeeds(here: Path) -> None:
    assert planned(here, "--force").code == 0


def test_what_the_quotas_allow_is_not_refused(here: Path) -> None:
    done = planned(here, "--clients", "10000", "--json")
    assert done.code == 0
    assert document(done)["refusals"] == document(done)["scale"]["raises"] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--clients", "10000000000"], "10,000,000,000"),
        (["--rooms", "1000001"], "rooms are more than"),
        (["--rate", "1e300"], "posts per second"),
        (["--rate", "inf"], "posts per second"),
        (["--total-rate", "1e9"], "posts per second"),
        (["--rate", "2"], "posts per second in all cannot be"),
        (["--connect-rate", "1e12"], "connects per second"),
        (["--identities", "1000001"], "identities are more than"),
        (["--duration", "1e9"], "duration"),
        (["--machine", "8"], "8x16"),
        (["--machine", "0x16"], "8x16"),
        (["--machine", "8x-1"], "8x16"),
        (["--machine", "9999x9999"], "1024x65536"),
    ],
)
def test_what_cannot_be_planned_is_said_in_two_lines(
    here: Path, arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in variables(here).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(here)
    assert run([*MILLION, *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("  fix: ")
    assert words in captured.err


def test_a_machine_is_only_for_a_plan(here: Path) -> None:
    arguments = [each for each in MILLION if each != "--plan"]
    done = chatops(*arguments, "--machine", "8x16", env=variables(here), cwd=here)
    assert_two_line_error(done, 2, "--plan")


def test_the_accounts_own_quotas_are_asked_for(here: Path, stack: RunningStack) -> None:
    endpoints = {"endpoints": {"service-quotas": stack.aws_url}}
    (here / "env" / "big.json").write_text(json.dumps({**AWS_LIKE, **endpoints}))
    plan = document(planned(here, "--json", **keys(stack)))
    assert plan["quotas"]["source"] == plan["scale"]["quotas"]["source"] == "Service Quotas"
    assert (plan["quotas"]["identities"], plan["quotas"]["connections"]) == (25, 500_000)
    wrong = {**keys(stack), "AWS_SECRET_ACCESS_KEY": "not the key"}
    assert "could not be asked" in document(planned(here, "--json", **wrong))["quotas"]["source"]


def test_where_service_quotas_cannot_be_reached_the_defaults_count_and_are_named(here: Path) -> None:
    (here / "env" / "big.json").write_text(
        json.dumps({**AWS_LIKE, "endpoints": {"service-quotas": "http://127.0.0.1:9"}})
    )
    made_up = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "made-up"}
    plan = document(planned(here, "--json", **made_up))
    assert plan["quotas"]["source"] == "AWS's defaults: Service Quotas could not be asked"
    assert plan["quotas"]["publishes_out"] == 20_000


def test_what_is_to_be_raised_is_asked_for_in_the_aws_clis_own_words(here: Path, stack: RunningStack) -> None:
    """The stack grants nothing, but tells a quota that it knows from one that it does not."""
    env = variables(
        here, AWS_ENDPOINT_URL=stack.aws_url, AWS_DEFAULT_REGION="eu-west-1", AWS_MAX_ATTEMPTS="1", **keys(stack)
    )
    fresh = ("--identities", "1000000")
    commands = [each["command"] for each in document(planned(here, *fresh, "--json"))["scale"]["raises"]]
    assert len(commands) == 6
    aws = str(Path(sys.executable).with_name("aws"))
    for command in (commands[0], commands[1]):
        name, *arguments = shlex.split(command)
        assert name == "aws"
        done = subprocess.run([aws, *arguments], env=env, capture_output=True, text=True, timeout=WAIT_S, check=False)
        assert "AccessDeniedException" in done.stderr, done.stderr
    wrong = commands[0].replace("--quota-code L-", "--quota-code L-0")
    done = subprocess.run(
        [aws, *shlex.split(wrong)[1:]], env=env, capture_output=True, text=True, timeout=WAIT_S, check=False
    )
    assert "NoSuchResourceException" in done.stderr
