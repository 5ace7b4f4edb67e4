"""A Dask scheduler and workers as processes of their own, on loopback and on ports that they choose."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.local.cli import variables

WAIT_S = 60.0
_DASK = (sys.executable, "-m", "dask")


class Cluster:
    """A scheduler and its workers. What they write is in `folder`, one file each."""

    def __init__(self, folder: Path, stack: ExitStack, *, protocol: str = "tcp", **env: str) -> None:
        self.folder = folder
        self._stack = stack
        self._temporary = folder / "tmp"
        self._temporary.mkdir()
        (folder / "dask").mkdir()
        self._env = {**variables(folder), "TMPDIR": str(self._temporary), **env}
        self._file = folder / "scheduler.json"
        self.workers: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._start(
            "scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--scheduler-file",
            str(self._file),
            "--protocol",
            protocol,
        )
        wait_for(self._file.exists, self)
        self.address = self.identity()["address"]

    def restart(self) -> None:
        """Kill the scheduler and start another one at its address."""
        self.scheduler.kill()
        self.scheduler.wait()
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", self.address.rpartition(":")[2])

    def identity(self) -> dict[str, Any]:
        """What the scheduler has written of itself."""
        end = time.monotonic() + WAIT_S
        while True:
            try:
                return dict(json.loads(self._file.read_text()))
            except ValueError:  # still being written
                assert time.monotonic() < end
                time.sleep(0.02)

    def worker(
        self, *, threads: int = 1, prefix: Sequence[str] = (), env: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[bytes]":
        """Start a worker, whose process is the worker itself."""
        number = len(self.workers)
        process = self._start(
            "worker",
            self.address,
            "--host",
            f"{self.address.partition(':')[0]}://127.0.0.1",
            "--no-nanny",
            "--nthreads",
            str(threads),
            "--name",
            f"worker-{number}",
            "--local-directory",
            str(self.folder / "dask"),
            prefix=prefix,
            env=env or {},
        )
        self.workers.append(process)
        return process

    def ready(self, *, besides: int = 0) -> "Cluster":
        """Wait until the workers have joined."""
        log = self.folder / "scheduler.log"
        wait_for(lambda: log.read_text().count("Register worker") >= len(self.workers) + besides, self)
        return self

    def engines(self) -> list[int]:
        """The processes that carry engines of this cluster's workers."""
        mark = f"TMPDIR={self._temporary}".encode()
        return [pid for pid in _processes() if b"chatops.load.child" in _read(pid, "cmdline") and mark in _environ(pid)]

    def leftovers(self) -> list[Path]:
        """Files that engines have left behind."""
        return list(self._temporary.glob("chatops-*"))

    def logs(self) -> str:
        """All that scheduler and workers wrote."""
        return "\n".join(f"== {file.name}\n{file.read_text()}" for file in sorted(self.folder.glob("*.log")))

    def _start(
        self, what: str, *arguments: str, prefix: Sequence[str] = (), env: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[bytes]":
        number = f"-{len(self.workers)}" if what == "worker" else ""
        with (self.folder / f"{what}{number}.log").open("wb") as log:
            process = subprocess.Popen(
                [*prefix, *_DASK, what, *arguments, "--no-dashboard"],
                env={**self._env, **(env or {})},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._stack.callback(_end, process)
        return process


@contextmanager
def cluster(
    folder: Path, *, workers: int = 2, threads: int = 1, protocol: str = "tcp", **env: str
) -> Generator[Cluster]:
    """Start a scheduler and workers, and end them by their own ids."""
    folder.mkdir(exist_ok=True)
    with ExitStack() as stack:
        made = Cluster(folder, stack, protocol=protocol, **env)
        for _ in range(workers):
            made.worker(threads=threads)
        yield made.ready()


def wait_for(condition: Any, made: Cluster) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, made.logs()
        time.sleep(0.05)


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _read(pid: int, name: str) -> bytes:
    try:
        return (Path("/proc") / str(pid) / name).read_bytes()
    except OSError:
        return b""


def _environ(pid: int) -> list[bytes]:
    return _read(pid, "environ").split(b"\0")


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and is still to be waited for does not."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def is_root() -> bool:
    return os.geteuid() == 0
