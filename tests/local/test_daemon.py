import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from chatops.errors import ConfigurationError, ConnectionFailedError
from chatops.local import daemon
from chatops.local.record import StackRecord, read_record, record_path, write_record
from tests.local.cli import WAIT_S, Finished, assert_two_line_error, chatops, running, variables


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def runtime(tmp_path: Path) -> Generator[Path]:
    yield tmp_path
    daemon.stop(tmp_path)


def up(runtime: Path, *arguments: str) -> Finished:
    return chatops("local", "up", "--json", *arguments, env=variables(runtime))


def test_up_starts_in_the_background_and_again_finds_it(runtime: Path) -> None:
    first = up(runtime)
    assert first.code == 0, first.stderr
    second = up(runtime)
    assert json.loads(first.stdout)["pid"] == json.loads(second.stdout)["pid"]
    assert "starting" in first.stderr
    assert second.stderr == ""
    status = chatops("local", "status", "--json", env=variables(runtime))
    assert status.code == 0
    assert json.loads(status.stdout)["connections"] == 0


def test_the_record_is_private_and_listeners_are_on_loopback(runtime: Path) -> None:
    assert up(runtime).code == 0
    assert record_path(runtime).stat().st_mode & 0o777 == 0o600
    assert runtime.stat().st_mode & 0o077 == 0
    record = read_record(runtime)
    assert record is not None
    hexadecimal = {f"{port:04X}" for port in (record.control_port, record.gateway_port, record.tls_port)}
    listening = [
        row.split()[1].split(":")
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for row in Path(table).read_text().splitlines()[1:]
        if row.split()[3] == "0A"
    ]
    ours = [address for address, port in listening if port in hexadecimal]
    assert len(ours) == 3
    assert set(ours) == {"0100007F"}


def test_down_stops_it_and_its_ports_are_remembered(runtime: Path) -> None:
    first = json.loads(up(runtime).stdout)
    down = chatops("local", "down", "--json", env=variables(runtime))
    assert json.loads(down.stdout) == {"stopped": True, "pid": first["pid"]}
    assert not Path(f"/proc/{first['pid']}/cmdline").exists() or not Path(f"/proc/{first['pid']}/cmdline").read_bytes()
    assert_two_line_error(chatops("local", "status", env=variables(runtime)), 8, "not running")
    second = json.loads(up(runtime).stdout)
    assert (second["aws"], second["gateway"]) == (first["aws"], first["gateway"])
    assert second["pid"] != first["pid"]


def test_down_without_a_stack_is_no_error(runtime: Path) -> None:
    down = chatops("local", "down", env=variables(runtime))
    assert down.code == 0
    assert "no local stack" in down.stderr


def test_after_kill_9_the_next_command_starts_a_new_one_and_says_so(runtime: Path) -> None:
    first = json.loads(up(runtime).stdout)
    os.kill(first["pid"], signal.SIGKILL)
    wait_until(lambda: daemon.find(runtime) is None)
    status = chatops("local", "status", env=variables(runtime))
    assert_two_line_error(status, 8, "gone without having been stopped")
    posted = chatops("post", "lobby", "hello", "--env", "local", env=variables(runtime))
    assert posted.code == 0, posted.stderr
    assert f"(process {first['pid']}) is gone" in posted.stderr


def test_two_commands_at_once_get_one_stack(runtime: Path) -> None:
    results: list[Finished] = []
    threads = [threading.Thread(target=lambda: results.append(up(runtime))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.code for result in results] == [0, 0, 0], results
    assert len({json.loads(result.stdout)["pid"] for result in results}) == 1
    assert sum("starting the local stack" in result.stderr for result in results) == 1


def test_a_record_of_another_programs_process_is_stale(runtime: Path) -> None:
    write_record(runtime, _record(os.getpid(), "not-this-process"))
    assert daemon.find(runtime) is None
    assert daemon.stop(runtime) is None
    assert os.getpid() > 0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', "null"])
def test_a_record_that_cannot_be_read_is_no_record(runtime: Path, text: str) -> None:
    record_path(runtime).write_text(text)
    assert daemon.find(runtime) is None


def test_a_stack_that_does_not_answer_is_said_to_be_so(runtime: Path) -> None:
    pid = json.loads(up(runtime).stdout)["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(ConnectionFailedError, match="does not answer"):
            daemon.find(runtime)
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_taken_port_is_an_error_of_two_lines(runtime: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert_two_line_error(up(runtime, "--port", port), 3, "cannot listen")
    assert read_record(runtime) is None


def test_remembered_ports_that_are_taken_give_way_to_free_ones(runtime: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (runtime / "ports.json").write_text(json.dumps({"control": port, "gateway": port, "tls": port}))
        started = up(runtime)
        assert started.code == 0, started.stderr
        assert str(port) not in json.loads(started.stdout)["aws"]


def test_it_leaves_when_nobody_uses_it(runtime: Path) -> None:
    options = daemon.StartOptions(idle_s=0.01)
    with daemon.exclusive(runtime):
        record = daemon.start(runtime, options)
    wait_until(lambda: not daemon.is_running(record))
    assert read_record(runtime) is None
    assert "nobody has used the stack" in (runtime / "stack.log").read_text()


def test_foreground_shows_the_log_and_ends_with_a_signal(runtime: Path) -> None:
    with running("local", "up", "--foreground", env=variables(runtime)) as command:
        command.note("ready: AWS at http://127.0.0.1:")
        again = chatops("local", "up", "--foreground", env=variables(runtime))
        assert_two_line_error(again, 3, "runs already")
        command.process.send_signal(signal.SIGINT)
        assert command.process.wait(WAIT_S) == 0
    assert read_record(runtime) is None


def test_other_settings_than_those_of_the_running_stack_are_refused(runtime: Path) -> None:
    assert up(runtime).code == 0
    assert_two_line_error(up(runtime, "--quotas", "aws"), 3, "other settings")
    assert_two_line_error(up(runtime, "--quotas", "many"), 2, "'many'")


def test_logs_show_what_happened_and_no_secret(runtime: Path) -> None:
    assert_two_line_error(chatops("local", "logs", env=variables(runtime)), 3, "no log yet")
    assert up(runtime).code == 0
    assert chatops("post", "lobby", "hello", "--as", "guest", env=variables(runtime)).code == 0
    shown = chatops("local", "logs", env=variables(runtime)).stdout
    record = read_record(runtime)
    assert record is not None
    assert "ready: AWS at" in shown
    assert record.secret_access_key not in shown
    assert "X-Amz-Signature" not in shown
    assert "X-Amz-Security-Token" not in shown


def test_a_missing_extra_is_an_error_of_two_lines(runtime: Path) -> None:
    program = "import sys; sys.modules['moto'] = None; from chatops.cli.app import run; sys.exit(run(['local', 'up']))"

    done = subprocess.run([sys.executable, "-c", program], env=variables(runtime), capture_output=True, check=False)
    finished = Finished(done.returncode, done.stdout.decode(), done.stderr.decode())
    assert_two_line_error(finished, 3, "moto missing", "pip install 'chatops[local]'")


def test_a_runtime_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    env = variables(tmp_path, CHATOPS_RUNTIME_DIR=str(tmp_path / "file"))
    assert_two_line_error(chatops("local", "status", env=env), 3, "cannot be used")


def test_start_fails_cleanly_when_the_folder_cannot_hold_a_log(tmp_path: Path) -> None:
    (tmp_path / "stack.log").mkdir()
    with pytest.raises(ConfigurationError, match="did not start"):
        daemon.start(tmp_path, daemon.StartOptions())


def _record(pid: int, instance: str) -> StackRecord:
    return StackRecord(
        pid=pid,
        instance=instance,
        version="0",
        started=0.0,
        region="us-east-1",
        account="123456789012",
        control_port=1,
        gateway_port=1,
        tls_port=1,
        quotas="protocol",
        certificate="",
        access_key_id="AKIA",
        secret_access_key="secret",
    )
