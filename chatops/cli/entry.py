"""Where the command line begins: standard streams that are there, and an interrupt that is quiet from the start.

Loading the command line takes a while, in which Python would answer Ctrl-C with a traceback of half-done imports.
This module is what the installed script imports, and it and `chatops` itself import next to nothing, so that there is
no such while before it.
"""

import os
import signal
import sys

_INTERRUPTED = 130  # ExitCode.INTERRUPTED, without importing it


def main() -> None:
    """Load the command line and run it; exits with one of `ExitCode`."""
    handler = signal.getsignal(signal.SIGINT)
    ours = handler is signal.default_int_handler  # whoever ignores it (nohup, a job in the background) is left alone
    if ours:
        signal.signal(signal.SIGINT, _leave)
    from chatops.cli.app import main as run_command_line

    if ours:
        signal.signal(signal.SIGINT, handler)
    run_command_line()


def open_streams() -> None:
    """Let a standard stream that was closed (`>&-`) be the null device.

    Else the next file or socket opened would get its number, and what is written beside Python's own streams would
    go there.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is not None:
            continue
        null = os.open(os.devnull, os.O_RDWR)
        if null != number:
            os.dup2(null, number)
            os.close(null)
        setattr(sys, name, open(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False))  # noqa: SIM115


def let_go() -> None:
    """Give up what a standard stream still holds and cannot write, so that Python does not fail at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _leave(_number: int, _frame: object) -> None:
    os._exit(_INTERRUPTED)  # nothing has been begun that would have to be ended
