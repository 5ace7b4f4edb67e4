"""The command line itself: what help loads and says, and that the README follows from the code."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from chatops import __version__
from chatops.cli.app import _COMMANDS, build_app, run
from chatops.errors import ChatopsError, ExitCode

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("aiohttp", "awscrt", "boto3", "botocore", "moto", "mqtt5", "picows", "rich.console", "uvloop")


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something."""
    subcommands = getattr(command, "commands", None)
    if subcommands is None:
        yield path, command
        return
    for name, subcommand in subcommands.items():
        yield from leaves(subcommand, (*path, name))


COMMANDS = list(leaves(typer.main.get_command(build_app())))
PATHS = list(dict.fromkeys(path[:length] for path, _ in COMMANDS for length in range(len(path) + 1)))


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["loadtest", "--help"], ["local", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys; from chatops.cli.app import run; run(sys.argv[1:]);"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stderr == "[]\n"
    assert done.stdout


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[" ".join(path) for path, _ in COMMANDS])
def test_every_command_has_help_with_an_example(
    path: tuple[str, ...], command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*path, "--help"]) == 0
    text = capsys.readouterr().out
    assert "Example" in text
    assert f"chatops {' '.join(path)}" in text
    names = {name for parameter in command.params for name in parameter.opts}
    assert {"--quiet", "--verbose"} <= names
    assert all(getattr(parameter, "help", None) for parameter in command.params if parameter.opts[0].startswith("--"))


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_every_help_fits_80_columns(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run([*path, "--help"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if len(line) > 80] == []


def test_the_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"chatops {__version__}\n"


def test_no_arguments_is_help_and_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    assert "Commands:" in capsys.readouterr().out


def test_the_readme_follows_from_the_code() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def subclasses(kind: type[ChatopsError]) -> Iterator[type[ChatopsError]]:
    for each in kind.__subclasses__():
        yield each
        yield from subclasses(each)


def test_every_error_has_an_exit_code_of_the_table() -> None:
    for kind in subclasses(ChatopsError):
        if kind.__module__ == "chatops.errors":
            assert kind("problem", "remedy").code in set(ExitCode) - {ExitCode.DONE, ExitCode.BUG}


@pytest.mark.parametrize("code", [code for code in ExitCode if code not in {ExitCode.DONE, ExitCode.BUG}])
def test_the_boundary_turns_each_error_into_two_lines_and_its_code(
    code: ExitCode, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class ExpectedError(ChatopsError):
        pass

    ExpectedError.code = code

    def fail(*_arguments: object, **_options: object) -> None:
        raise ExpectedError("it went wrong", "do this")

    monkeypatch.setattr("chatops.cli.tail.select", fail)
    assert run(["tail", "lobby"]) == code
    assert capsys.readouterr().err == "error: it went wrong\n  fix: do this\n"


def test_an_interruption_is_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("chatops.cli.tail.select", interrupted)
    assert run(["tail", "lobby"]) == ExitCode.INTERRUPTED
    assert capsys.readouterr().err == ""


def test_the_list_of_commands_says_what_their_help_says(capsys: pytest.CaptureFixture[str]) -> None:
    root: Any = typer.main.get_command(build_app())
    assert {
        name: " ".join((command.help or "").split("\n\n")[0].split()) for name, command in root.commands.items()
    } == (dict(_COMMANDS))
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in _COMMANDS)
