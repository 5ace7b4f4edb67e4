"""Standard streams that are closed or full, and Ctrl-C while the command line is still being loaded."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from chatops.errors import ExitCode

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-c", "import sys; sys.argv[0] = 'chatops'; from chatops.cli.entry import main; main()")
EVERY_WAY_OUT = (["--help"], ["--version"], ["env", "list", "--json"], ["local", "env", "--unset"], ["permissions"])


def shell(redirection: str, *arguments: str, unbuffered: bool = False) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *COMMAND, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**kept, **({"PYTHONUNBUFFERED": "1"} if unbuffered else {})},
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
@pytest.mark.parametrize("unbuffered", [False, True])
@pytest.mark.parametrize("arguments", EVERY_WAY_OUT, ids=" ".join)
def test_a_full_standard_output_is_said_in_two_lines(arguments: list[str], unbuffered: bool) -> None:  # noqa: FBT001
    done = shell(">/dev/full", *arguments, unbuffered=unbuffered)
    assert done.returncode == ExitCode.CONFIGURATION, done.stderr
    problem, remedy = done.stderr.splitlines()[-2:]
    assert problem == "error: Standard output cannot be written: No space left on device"
    assert remedy == "  fix: redirect it to where there is room"
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("arguments", EVERY_WAY_OUT, ids=" ".join)
def test_a_closed_standard_output_is_the_null_device(arguments: list[str]) -> None:
    done, null = shell(">&-", *arguments), shell(">/dev/null", *arguments)
    assert (done.returncode, done.stderr) == (null.returncode, null.stderr)
    assert done.returncode == 0


def test_closed_and_full_streams_change_no_exit_code() -> None:
    for redirection in ("<&- >&- 2>&-", "2>&-", "2>/dev/full", "<&-"):
        assert shell(redirection, "--version").returncode == 0, redirection
        assert shell(redirection, "report", "show", "/nowhere").returncode == ExitCode.USAGE, redirection


def test_no_file_takes_the_number_of_a_closed_stream() -> None:
    program = (
        "from chatops.cli.entry import open_streams; open_streams(); import os, sys;"
        "name = os.path.realpath('/proc/self/fd/1') if os.path.exists('/proc/self/fd/1') else os.devnull;"
        "sys.stderr.write(f'{sys.stdout.fileno()} {name} {os.open(os.devnull, os.O_RDONLY) > 2}')"
    )
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" <&- >&-', "sh", sys.executable, "-c", program],
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stderr == f"1 {os.devnull} True"


def test_an_interrupt_while_the_command_line_is_loaded_is_quiet() -> None:
    # A module that the command line imports stops on its way; the interrupt comes exactly there.
    program = (
        "import importlib.abc, sys, time\n"
        "class Slow(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'typer':\n"
        "            print('loading', flush=True)\n"
        "            time.sleep(60)\n"
        "from chatops.cli.entry import main\n"
        "sys.meta_path.insert(0, Slow())\n"
        "main()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "loading\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == ExitCode.INTERRUPTED
        assert process.stdout.read() + process.stderr.read() == ""


def test_the_entry_loads_nothing_of_the_command_line() -> None:
    program = (
        "import os, re, sys; before = set(sys.modules); import chatops.cli.entry;"  # as the installed script does
        "print(*sorted(sys.modules.keys() - before - {'signal', '_signal'}))"
    )
    done = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "chatops chatops.cli chatops.cli.entry\n"
