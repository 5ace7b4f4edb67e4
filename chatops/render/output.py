"""Standard output and standard error, as one object: data on the one, everything else on the other.

Made once a command. Whatever a stranger wrote has been through `safe_text` before it comes here, and is never read
as markup. rich is imported only when something is shown on a terminal.
"""

import errno
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TextIO

from chatops.chat.text import safe_text
from chatops.errors import ConfigurationError

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class ReaderGoneError(Exception):
    """Whoever read the output has gone (head, less): an end, not an error.

    Not an OSError, since command-line parsers turn a broken pipe into an exit code of their own.
    """


class OutputLostError(ConfigurationError):
    """Standard output cannot be written: its disk is full, say."""

    def __init__(self, error: OSError) -> None:
        super().__init__(
            f"Standard output cannot be written: {error.strerror or type(error).__name__}",
            "redirect it to where there is room",
        )


class Output:
    """Where a command writes.

    Args:
        json_mode: the command's data is one JSON document.
        quiet: nothing but data and errors.
        verbose: details as well.
    """

    def __init__(
        self,
        *,
        json_mode: bool = False,
        quiet: bool = False,
        verbose: bool = False,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
        variables: Mapping[str, str] = os.environ,
    ) -> None:
        self.json_mode = json_mode
        self.quiet = quiet
        self.verbose = verbose
        self._stdout = stdout if stdout is not None else sys.stdout
        self._stderr = stderr if stderr is not None else sys.stderr
        self._no_colour = bool(variables.get("NO_COLOR")) or variables.get("TERM") == "dumb"

    @property
    def on_terminal(self) -> bool:
        """Whether data is shown to a person."""
        return self._stdout.isatty()

    @property
    def can_ask(self) -> bool:
        """Whether a person is there to answer a question."""
        return sys.stdin.isatty() and self._stderr.isatty()

    def data(self, text: str) -> None:
        """Write a line of the command's data."""
        self._write(text + "\n")

    def lines(self, texts: Iterable[str]) -> None:
        """Write several lines at once and let them go out."""
        self._write("".join(text + "\n" for text in texts))
        self.flush()

    def document(self, document: Mapping[str, Any] | Sequence[Any]) -> None:
        """Write the command's one JSON document; ASCII only, so that no control character of a stranger's gets out."""
        self._write(json.dumps(document, indent=2, ensure_ascii=True) + "\n")
        self.flush()

    def flush(self) -> None:
        """Let out what has been written.

        Raises:
            ReaderGoneError: nobody reads it any more.
            OutputLostError: it cannot be written.
        """
        try:
            self._stdout.flush()
        except BrokenPipeError:
            raise ReaderGoneError from None
        except OSError as error:
            raise OutputLostError(error) from None

    def lost(self, error: OSError) -> OutputLostError | None:
        """Whether an error that nobody expected is that standard output cannot be written; None when it is not."""
        try:
            self._stdout.flush()  # what could not be written is still held back, and fails again
        except OSError as again:
            return OutputLostError(again)
        # An unbuffered stream (PYTHONUNBUFFERED) holds nothing back. Whatever writes a file says so of its file itself.
        return OutputLostError(error) if error.errno in _NO_ROOM and error.filename is None else None

    def _write(self, text: str) -> None:
        try:
            self._stdout.write(text)
        except BrokenPipeError:
            raise ReaderGoneError from None
        except OSError as error:
            raise OutputLostError(error) from None

    def note(self, text: str) -> None:
        """Say something beside the data."""
        if not self.quiet:
            self._say(text)

    def detail(self, text: str) -> None:
        """Say something that only `-v` shows."""
        if self.verbose:
            self._say(text)

    def error(self, problem: str, remedy: str) -> None:
        """Say what went wrong and what to do, in two lines."""
        # Both may quote what somebody else wrote: a path, an argument, an answer.
        self._say(self.styled(f"error: {safe_text(problem)}", "1;31", self._stderr))
        self._say(f"  fix: {safe_text(remedy)}")

    def styled(self, text: str, code: str, stream: TextIO | None = None) -> str:
        """Put text into an ANSI style where the stream is a terminal and colour is wanted.

        Args:
            code: the parameters of an SGR sequence, such as "1;31".
        """
        target = stream if stream is not None else self._stdout
        if self._no_colour or not target.isatty():
            return text
        return f"\x1b[{code}m{text}\x1b[0m"

    def note_style(self, text: str, code: str) -> str:
        """Like `styled`, for what goes to standard error."""
        return self.styled(text, code, self._stderr)

    def _say(self, text: str) -> None:
        with suppress(OSError):  # its reader is gone, or its disk is full: there is nowhere to say it
            self._stderr.write(text + "\n")
            self._stderr.flush()
