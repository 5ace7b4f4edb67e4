"""The command line's root: the command table and the one place where errors become output and exit codes."""

import os
import sys
from typing import Annotated

import typer

from chatops import __version__
from chatops.cli import env, local, report, site
from chatops.cli.connect_url import connect_url
from chatops.cli.demo import demo
from chatops.cli.describe_endpoint import describe_endpoint
from chatops.cli.doctor import doctor
from chatops.cli.loadtest import loadtest
from chatops.cli.permissions import permissions
from chatops.cli.plan import plan
from chatops.cli.post import post
from chatops.cli.rooms import rooms
from chatops.cli.setup import setup
from chatops.cli.status import status
from chatops.cli.tail import tail
from chatops.cli.teardown import teardown
from chatops.cli.who import who
from chatops.errors import ChatopsError, ExitCode
from chatops.render.output import Output, ReaderGoneError

app = typer.Typer(
    name="chatops",
    help="Set up, watch, speak in and load-test a serverless chat on AWS IoT Core, or on an embedded AWS.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Without an AWS account: `chatops demo`. Exit codes and settings: see the README.",
)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"chatops {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command("demo")(demo)
app.command("setup")(setup)
app.command("plan")(plan)
app.command("status")(status)
app.command("teardown")(teardown)
app.command("doctor")(doctor)
app.command("permissions")(permissions)
app.command("describe-endpoint")(describe_endpoint)
app.add_typer(env.app, name="env")
app.command("tail")(tail)
app.command("post")(post)
app.command("who")(who)
app.command("rooms")(rooms)
app.command("connect-url")(connect_url)
app.command("loadtest")(loadtest)
app.add_typer(report.app, name="report")
app.add_typer(site.app, name="site")
app.add_typer(local.app, name="local")


def main() -> None:
    """Run the command line and exit with one of `ExitCode`."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; returns its exit code. Errors are written to standard error, in two lines."""
    out = Output()
    try:
        result = app(arguments, prog_name="chatops", standalone_mode=False)
        out.flush()
    except ChatopsError as error:
        out.error(error.problem, error.remedy)
        return int(error.code)
    except (typer.Abort, KeyboardInterrupt):
        if out.can_ask:
            out.note("")  # the line of a question, or of ^C, is still open
        return int(ExitCode.INTERRUPTED)
    except ReaderGoneError:
        # What Python still holds back must not fail at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.DONE)
    except Exception as error:  # noqa: BLE001  (the one boundary)
        if hasattr(error, "format_message"):
            return _usage(out, error)
        return _bug(out, error)
    return result if isinstance(result, int) else int(ExitCode.DONE)


def _usage(out: Output, error: Exception) -> int:
    """A problem that the command line's parser found."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "chatops"
    message = " ".join(str(error.format_message()).split()) if hasattr(error, "format_message") else str(error)
    if not message or type(error).__name__ == "NoArgsIsHelpError":
        sys.stdout.write(f"{context.get_help() if context is not None else ''}\n")
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
