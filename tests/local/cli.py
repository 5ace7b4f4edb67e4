"""Running the command line as a user does: a process of its own, or, where nothing depends on that, in this one."""

import os
import subprocess
import sys
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import IO

COMMAND = (sys.executable, "-m", "chatops.cli.app")
WAIT_S = 60.0


def variables(runtime: Path, **more: str) -> dict[str, str]:
    """A clean environment: nothing of the machine's AWS settings, a runtime directory of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CHATOPS_"))}
    home = runtime / "home"
    home.mkdir(exist_ok=True)
    return {
        **kept,
        "CHATOPS_RUNTIME_DIR": str(runtime),
        "HOME": str(home),
        "AWS_EC2_METADATA_DISABLED": "true",
        **more,
    }


@dataclass(frozen=True)
class Finished:
    code: int
    stdout: str
    stderr: str


def chatops(
    *arguments: str, env: Mapping[str, str], cwd: Path | None = None, stdin: str | bytes | None = None
) -> Finished:
    """Run one command to its end."""
    raw = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(
        [*COMMAND, *arguments],
        env=dict(env),
        cwd=cwd,
        input=raw or b"",
        capture_output=True,
        timeout=WAIT_S,
        check=False,
    )
    return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())


def assert_two_line_error(finished: Finished, code: int, *words: str) -> None:
    """The form that every expected failure has."""
    lines = finished.stderr.splitlines()
    errors = [index for index, line in enumerate(lines) if line.startswith("error: ")]
    assert finished.code == code, finished
    assert len(errors) == 1, finished.stderr
    assert len(lines) == errors[0] + 2, finished.stderr
    assert lines[errors[0] + 1].startswith("  fix: "), finished.stderr
    assert "Traceback" not in finished.stderr
    for word in words:
        assert word in finished.stderr, f"{word!r} not in {finished.stderr!r}"


class Running:
    """A command that goes on running; its lines are read in the background."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.out: Queue[str] = Queue()
        self.err: Queue[str] = Queue()
        assert process.stdout is not None
        assert process.stderr is not None
        self._threads = [
            threading.Thread(target=_read, args=(process.stdout, self.out)),
            threading.Thread(target=_read, args=(process.stderr, self.err)),
        ]
        for thread in self._threads:
            thread.start()

    def line(self) -> str:
        """The next line on standard output."""
        return _next(self.out, self)

    def note(self, containing: str) -> str:
        """The next line on standard error that contains a text."""
        while True:
            line = _next(self.err, self)
            if containing in line:
                return line

    def finish(self) -> None:
        for thread in self._threads:
            thread.join()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


def _read(pipe: IO[str], queue: "Queue[str]") -> None:
    for line in pipe:
        queue.put(line.rstrip("\n"))


def _next(queue: "Queue[str]", running: Running) -> str:
    try:
        return queue.get(timeout=WAIT_S)
    except Empty:
        rest = list(running.err.queue)
        raise AssertionError(f"no line within {WAIT_S} s; on standard error: {rest}") from None


@contextmanager
def running(*arguments: str, env: Mapping[str, str], cwd: Path | None = None) -> Generator[Running]:
    """Start a command and end it at the end, by its own id."""
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    command = Running(process)
    try:
        yield command
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(WAIT_S)
        command.finish()
