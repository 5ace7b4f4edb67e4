"""Each kind of bad input: two lines on standard error and the exit code of the product's table."""

import json
import os
import socket
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from chatops import environment
from chatops.aws.cognito import describe_pool
from chatops.cli.app import run
from chatops.environment import Environment
from tests.local.cli import COMMAND, Finished, assert_two_line_error, variables
from tests.local.harness import RunningStack


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "env").mkdir()
    return tmp_path


@pytest.fixture
def here(folder: Path, chat: Environment, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    """A working directory with an environment `test` of the stack, and no AWS settings of the machine's."""
    environment.save(folder / "env", chat)
    monkeypatch.chdir(folder)
    for name, value in variables(folder).items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def operator(stack: RunningStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", stack.keys().access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", stack.keys().secret_access_key)


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> Finished:
    code = run(list(arguments))
    captured = capsys.readouterr()
    return Finished(code, captured.out, captured.err)


Capture = pytest.CaptureFixture[str]


def test_an_unknown_environment(here: Path, capsys: Capture) -> None:
    assert_two_line_error(call(capsys, "tail", "lobby", "--env", "produktion"), 3, "'produktion'", "test")


def test_an_environment_name_that_is_a_path(here: Path, capsys: Capture) -> None:
    assert_two_line_error(call(capsys, "tail", "lobby", "--env", "../x"), 3, "cannot be the name")


def test_a_half_written_environment_file(here: Path, capsys: Capture) -> None:
    (here / "env" / "broken.json").write_text('{"iotGatewayName": "abc",\n  "cog')
    assert_two_line_error(call(capsys, "post", "lobby", "hi", "--env", "broken"), 3, "line 2, column 3")


def test_an_unknown_key(here: Path, capsys: Capture) -> None:
    document = {**json.loads((here / "env" / "test.json").read_text()), "topicPrefx": "/x/"}
    (here / "env" / "typo.json").write_text(json.dumps(document))
    assert_two_line_error(call(capsys, "post", "lobby", "hi", "--env", "typo"), 3, "'topicPrefx'", "'topicPrefix'")


def test_a_region_that_is_not_the_pools(here: Path, capsys: Capture) -> None:
    document = {**json.loads((here / "env" / "test.json").read_text()), "region": "eu-central-1"}
    (here / "env" / "moved.json").write_text(json.dumps(document))
    assert_two_line_error(call(capsys, "post", "lobby", "hi", "--env", "moved"), 3, "eu-central-1", "us-east-1")


@pytest.mark.parametrize(
    ("room", "words"),
    [
        ("/other/lobby", "lies outside"),
        ("$aws/things/x", "lies outside"),
        ("r" * 251, "257 bytes"),
        ("a/b/c/d/e/f/g", "8 slashes"),
        ("#", "pattern"),
        ("/chat/+", "pattern"),
        ("", "empty"),
        ("/chat/", "names no room"),
        ("lob\x00by", "control character"),
    ],
)
def test_rooms_that_cannot_be(here: Path, capsys: Capture, room: str, words: str) -> None:
    assert_two_line_error(call(capsys, "post", room, "hi", "--env", "test"), 2, words)


@pytest.mark.parametrize("room", ["/other/#", "$aws/#", "lob#", "a/#/b", "a+/b"])
def test_patterns_that_cannot_be_watched(here: Path, capsys: Capture, room: str) -> None:
    assert_two_line_error(call(capsys, "tail", room, "--env", "test", "-n", "1"), 2)


def test_an_empty_text(here: Path, capsys: Capture) -> None:
    assert_two_line_error(call(capsys, "post", "lobby", "  ", "--env", "test"), 2, "text is empty")


def test_a_message_of_128_kib_and_a_byte(here: Path, operator: None, capsys: Capture) -> None:
    assert_two_line_error(call(capsys, "post", "lobby", "x" * (128 * 1024 + 1), "--env", "test"), 2, "131,072")


def test_an_unknown_command_and_option(here: Path, capsys: Capture) -> None:
    assert_two_line_error(call(capsys, "tial", "lobby"), 2, "tial")
    assert_two_line_error(call(capsys, "tail", "lobby", "--colour"), 2, "--colour")
    assert_two_line_error(call(capsys, "post", "lobby"), 2)


def test_no_aws_credentials(here: Path, capsys: Capture) -> None:
    assert_two_line_error(call(capsys, "post", "lobby", "hi", "--env", "test"), 4, "no AWS credentials")


def test_credentials_that_aws_does_not_know(here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAXXXXXXXXXXXXXXXX")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    assert_two_line_error(call(capsys, "post", "lobby", "hi", "--env", "test"), 4, "iot:Publish")


def test_a_wrong_secret_key(here: Path, stack: RunningStack, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", stack.keys().access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    assert_two_line_error(call(capsys, "post", "lobby", "hi", "--env", "test"), 4, "does not accept")


def test_expired_credentials(
    here: Path, stack: RunningStack, chat: Environment, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = stack.aws().call("cognito-identity", "get_id", IdentityPoolId=chat.identity_pool_id)["IdentityId"]
    keys = stack.aws().call("cognito-identity", "get_credentials_for_identity", IdentityId=guest)["Credentials"]
    stack.call(stack.stack.credentials.expire_guests)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys["SecretKey"])
    monkeypatch.setenv("AWS_SESSION_TOKEN", keys["SessionToken"])
    assert_two_line_error(call(capsys, "post", "lobby", "hi", "--env", "test"), 4, "expired")


def test_a_guests_credentials_may_not_do_an_operators_work(
    here: Path, stack: RunningStack, chat: Environment, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = stack.aws().call("cognito-identity", "get_id", IdentityPoolId=chat.identity_pool_id)["IdentityId"]
    keys = stack.aws().call("cognito-identity", "get_credentials_for_identity", IdentityId=guest)["Credentials"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys["SecretKey"])
    monkeypatch.setenv("AWS_SESSION_TOKEN", keys["SessionToken"])
    monkeypatch.setenv("AWS_ENDPOINT_URL", stack.aws_url)
    finished = call(capsys, "setup", "--env", "new", "--region", "us-east-1", "--yes")
    assert_two_line_error(finished, 4)
    assert not (here / "env" / "new.json").exists()


def test_no_region(here: Path, operator: None, capsys: Capture) -> None:
    assert_two_line_error(call(capsys, "describe-endpoint"), 3, "Region")


@pytest.mark.parametrize("region", ["nowhere", "eu west 1", "../x"])
def test_a_region_that_is_none(
    here: Path, operator: None, stack: RunningStack, capsys: Capture, monkeypatch: pytest.MonkeyPatch, region: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", stack.aws_url)
    finished = call(capsys, "setup", "--env", "new", "--region", region, "--yes")
    assert_two_line_error(finished, 3)


def test_an_unknown_profile(here: Path, capsys: Capture) -> None:
    finished = call(capsys, "describe-endpoint", "--profile", "nobody", "--region", "eu-west-1")
    assert_two_line_error(finished, 3, "'nobody'")


def test_a_pool_that_was_deleted(here: Path, stack: RunningStack, tmp_path: Path, capsys: Capture) -> None:
    gone = stack.set_up(here / "env", "gone")
    aws = stack.aws()
    assert describe_pool(aws, gone.identity_pool_id).guests_allowed
    aws.call("cognito-identity", "delete_identity_pool", IdentityPoolId=gone.identity_pool_id)
    finished = call(capsys, "tail", "lobby", "--env", "gone", "-n", "1")
    assert_two_line_error(finished, 5, gone.identity_pool_id, "chatops setup")


def unreachable(here: Path, name: str) -> None:
    """Write an environment whose endpoints nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as briefly:
        port = briefly.getsockname()[1]
    document = json.loads((here / "env" / "test.json").read_text())
    document["endpoints"] = {
        "aws": f"http://127.0.0.1:{port}",
        "gateway": f"ws://127.0.0.1:{port}/mqtt",
    }
    (here / "env" / f"{name}.json").write_text(json.dumps(document))


def test_an_unreachable_cognito(here: Path, capsys: Capture) -> None:
    unreachable(here, "far")
    assert_two_line_error(call(capsys, "tail", "lobby", "--env", "far", "-n", "1"), 6, "cannot be reached")


def test_an_unreachable_data_plane(here: Path, operator: None, capsys: Capture) -> None:
    unreachable(here, "far")
    assert_two_line_error(call(capsys, "post", "lobby", "hi", "--env", "far"), 6, "cannot be reached")


def test_an_unreachable_gateway(here: Path, chat: Environment, capsys: Capture) -> None:
    unreachable(here, "far")
    document = json.loads((here / "env" / "far.json").read_text())
    document["endpoints"]["aws"] = chat.endpoints["aws"]
    (here / "env" / "far.json").write_text(json.dumps(document))
    assert_two_line_error(call(capsys, "tail", "lobby", "--env", "far", "-n", "1"), 6, "cannot be reached")


def test_setup_asks_and_nobody_is_there(
    here: Path, operator: None, stack: RunningStack, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", stack.aws_url)
    finished = call(capsys, "setup", "--env", "unasked", "--region", "us-east-1")
    assert finished.code == 2
    assert "--yes" in finished.stderr
    assert not (here / "env" / "unasked.json").exists()


def test_the_bad_wishes_of_a_load_test(here: Path, capsys: Capture) -> None:
    for arguments in (["--clients", "0"], ["--clients", "-5"], ["--clients", "10", "--duration", "0"]):
        assert_two_line_error(call(capsys, "loadtest", "--env", "test", *arguments), 2)


def test_a_bug_is_a_short_line_and_a_log(
    here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*_arguments: object) -> None:
        raise ZeroDivisionError("secret details")

    monkeypatch.setattr("chatops.cli.tail.select", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    finished = call(capsys, "tail", "lobby")
    assert_two_line_error(finished, 1, "bug", "ZeroDivisionError")
    assert "secret details" not in finished.stderr
    log = next(tmp_path.glob("chatops-bug-*.log"))
    assert "Traceback" in log.read_text()


def test_a_reader_that_goes_away_is_no_error(here: Path, stack: RunningStack) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [*COMMAND, "env", "show", "--env", "test"],
            env=variables(here),
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_mistyped_environment_and_a_missing_folder(here: Path, capsys: Capture) -> None:
    assert_two_line_error(call(capsys, "post", "lobby", "hi", "--env", "tset"), 3, "did you mean 'test'?")
    assert_two_line_error(call(capsys, "post", "lobby", "hi", "--env", "env/test.json"), 3, "--env test")
    assert_two_line_error(call(capsys, "post", "lobby", "hi", "--env-dir", "nowhere"), 3, "nowhere")


def test_a_file_named_local_is_reported(here: Path, capsys: Capture) -> None:
    (here / "env" / "local.json").write_text((here / "env" / "test.json").read_text())
    finished = call(capsys, "env", "validate")
    assert finished.code == 3
    assert "local: the name is reserved" in finished.stdout
    assert call(capsys, "env", "list").stdout.count("local") == 1


def test_a_pool_id_that_is_none(here: Path, capsys: Capture) -> None:
    assert_two_line_error(call(capsys, "setup", "--env", "x", "--adopt", "foo"), 2, "'foo'")


def test_a_stack_that_is_gone_is_named_as_the_cause(
    here: Path, operator: None, stack: RunningStack, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as briefly:
        port = briefly.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    assert_two_line_error(call(capsys, "plan", "--env", "x", "--region", "us-east-1"), 6, "local env --unset")
    monkeypatch.setenv("AWS_ENDPOINT_URL", stack.aws_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAXXXXXXXXXXXXXXXX")
    assert_two_line_error(call(capsys, "plan", "--env", "x", "--region", "us-east-1"), 4, "local env")
