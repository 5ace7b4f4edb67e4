"""The command line's root: the command table and the one place where errors become output and exit codes."""

import importlib
import os
import sys
from collections.abc import Collection, Mapping
from typing import Annotated

import typer

from chatops import __version__
from chatops.cli.entry import let_go, open_streams
from chatops.errors import ChatopsError, ExitCode
from chatops.render.output import Output, ReaderGoneError

_COMMANDS: Mapping[str, str] = {
    "demo": "Try everything on an embedded AWS.",
    "setup": "Make or mend an environment, after showing how.",
    "plan": "Show what setup would do, and do nothing.",
    "status": "Show what exists of an environment.",
    "teardown": "Remove an environment, and prove that it is gone.",
    "doctor": "Prove what guests can and cannot do.",
    "permissions": "Print the IAM policy that an operator needs.",
    "describe-endpoint": "Print the name of the account's gateway.",
    "env": "Environments: list, show, check, choose.",
    "tail": "Show the messages of rooms as they arrive.",
    "post": "Post to one or more rooms.",
    "who": "Show who is in a room.",
    "rooms": "Show which rooms are alive.",
    "connect-url": "Print a signed URL for any MQTT client.",
    "loadtest": "Let many guests chat; count and time deliveries.",
    "report": "Recorded load tests: show, compare, export.",
    "site": "The guests' page.",
    "local": "The embedded AWS: start, stop, look, use.",
}
"""Every command with the first sentence of its help: the list is shown without loading them."""

_GROUPS = frozenset({"env", "local", "report", "site"})


def _version(wanted: bool) -> None:
    if wanted:
        Output().data(f"chatops {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _listed() -> None:
    """Stands for a command that was not asked for."""


def build_app(wanted: Collection[str] | None = None) -> typer.Typer:
    """Make the command table; a command's module, named like the command, is loaded only when it is wanted.

    Loading all of them takes longer than most commands have to start.

    Args:
        wanted: the commands to load; all when None. The others are listed, and do nothing.
    """
    app = typer.Typer(
        name="chatops",
        help="Set up, watch, speak in and load-test a serverless chat on AWS IoT Core, or on an embedded AWS.",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        epilog="Without an AWS account: `chatops demo`. Exit codes and settings: see the README.",
    )
    app.callback()(_root)
    for name, summary in _COMMANDS.items():
        if wanted is not None and name not in wanted:
            app.command(name, help=summary)(_listed)
            continue
        module = importlib.import_module(f"chatops.cli.{name.replace('-', '_')}")
        if name in _GROUPS:
            app.add_typer(module.app, name=name)
        else:
            app.command(name)(getattr(module, name.replace("-", "_")))
    return app


def main() -> None:
    """Run the command line and exit with one of `ExitCode`."""
    open_streams()
    code = run(sys.argv[1:])
    let_go()
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command; returns its exit code. Errors are written to standard error, in two lines."""
    out = Output()
    try:
        code = _perform(out, arguments)
        out.flush()
    except ChatopsError as error:
        out.error(error.problem, error.remedy)
        return int(error.code)
    except (typer.Abort, KeyboardInterrupt):
        if out.can_ask:
            out.note("")  # the line of a question, or of ^C, is still open
        return int(ExitCode.INTERRUPTED)
    except ReaderGoneError:
        let_go()
        return int(ExitCode.DONE)
    except Exception as error:  # noqa: BLE001  (the one boundary)
        lost = out.lost(error) if isinstance(error, OSError) else None
        if lost is None:
            return _bug(out, error)
        out.error(lost.problem, lost.remedy)
        return int(lost.code)
    return code


def _perform(out: Output, arguments: list[str]) -> int:
    completing = "_CHATOPS_COMPLETE" in os.environ
    app = build_app(None if completing else [name for name in _COMMANDS if name in arguments])
    try:
        result = app(arguments, prog_name="chatops", standalone_mode=False)
    except Exception as error:
        if hasattr(error, "format_message"):
            return _usage(out, error)
        raise
    return result if isinstance(result, int) else int(ExitCode.DONE)


def _usage(out: Output, error: Exception) -> int:
    """A problem that the command line's parser found."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "chatops"
    message = " ".join(str(error.format_message()).split()) if hasattr(error, "format_message") else str(error)
    if not message or type(error).__name__ == "NoArgsIsHelpError":
        out.data(context.get_help() if context is not None else "")
        return int(ExitCode.USAGE)
    out.error(message.rstrip("."), f"see `{path} --help`")
    return int(ExitCode.USAGE)


def _bug(out: Output, error: Exception) -> int:
    """An unexpected exception: a short line, and the trace in a file that can be sent."""
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="chatops-bug-", suffix=".log", delete=False, encoding="utf-8") as file:
        file.write(f"chatops {__version__}, Python {sys.version}\n")
        file.write("".join(traceback.format_exception(error)))
    out.error(f"chatops has a bug: {type(error).__name__}", f"please report it with {file.name}")
    return int(ExitCode.BUG)


if __name__ == "__main__":
    main()
