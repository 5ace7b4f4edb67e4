"""The local stack's life in the background, as commands see it: find it, start it, stop it.

Only the standard library is imported here, and its slow parts where they are used: every command comes through this
module, also those that only print their help.
"""

import contextlib
import fcntl
import importlib.util
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from chatops.errors import ChatopsError, ConfigurationError, ConnectionFailedError, ExitCode
from chatops.local.record import StackRecord, log_path, read_record, record_path

DEFAULT_IDLE_S = 1800.0
_HEALTH_TIMEOUT_S = 2.0
_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 8.0
_NEEDED = ("aiohttp", "cryptography", "moto", "mqtt5", "picows", "uvloop")


@dataclass(frozen=True, slots=True)
class StartOptions:
    """How to start a stack. Ports of 0 take those of the last run when they are free, else any free ones."""

    region: str = "us-east-1"
    quotas: str = "protocol"
    port: int = 0
    gateway_port: int = 0
    tls_port: int = 0
    idle_s: float = DEFAULT_IDLE_S


class StackStartError(ChatopsError):
    """The stack's process said why it did not start; the exit code is its own."""

    def __init__(self, problem: str, remedy: str, code: ExitCode) -> None:
        super().__init__(problem, remedy)
        self.code = code


def check_installed() -> None:
    """Make sure that the extra `local` is installed.

    Raises:
        ConfigurationError: a package of it is missing.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"The local stack is not installed ({', '.join(missing)} missing)", "run: pip install 'chatops[local]'"
        )


@contextmanager
def exclusive(directory: Path) -> Generator[None]:
    """Hold the lock under which one command at a time starts a stack or sets the chat up in it."""
    with _open_lock(directory / "lock") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def hold(directory: Path) -> IO[str]:
    """Mark this process as the stack of a directory, for as long as the returned file stays open.

    Raises:
        ConfigurationError: another stack of the directory runs.
    """
    file = _open_lock(directory / "running.lock")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise ConfigurationError(
            "A local stack runs already in this runtime directory", "stop it with `chatops local down` first"
        ) from None
    return file


def _open_lock(path: Path) -> IO[str]:
    try:
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "w")
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be opened: {error.strerror}", "name another folder in CHATOPS_RUNTIME_DIR"
        ) from None


def find(directory: Path) -> StackRecord | None:
    """The running stack, None when there is none (a record without a live process behind it is stale).

    Raises:
        ConnectionFailedError: its process lives but does not answer.
    """
    record = read_record(directory)
    if record is None:
        return None
    if health(record) is not None:
        return record
    if is_running(record):
        raise ConnectionFailedError(
            f"The local stack (process {record.pid}) does not answer", "end it with `chatops local down`"
        )
    return None


def health(record: StackRecord) -> dict[str, Any] | None:
    """What the stack says of itself, None when nothing, or something else, answers at its port."""
    import http.client  # noqa: PLC0415  (28 ms, with ssl and email)

    connection = http.client.HTTPConnection("127.0.0.1", record.control_port, timeout=_HEALTH_TIMEOUT_S)
    try:
        connection.request("GET", "/_chatops/health")
        answer = json.loads(connection.getresponse().read(65536))
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    ours = isinstance(answer, dict) and answer.get("instance") == record.instance
    return answer if ours else None


def is_running(record: StackRecord) -> bool:
    """Tell whether the record's process still runs, and is that stack and not a later process with its number."""
    try:
        os.kill(record.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return False
    import subprocess  # noqa: PLC0415

    command = Path(f"/proc/{record.pid}/cmdline")
    try:
        words = command.read_bytes()
    except OSError:
        if Path("/proc").is_dir():
            return False
        words = subprocess.run(  # noqa: S603  (fixed program, a number as its argument)
            ["/bin/ps", "-o", "command=", "-p", str(record.pid)], capture_output=True, check=False
        ).stdout
    return record.instance.encode() in words.split(b"\0" if b"\0" in words else None)


def ensure(directory: Path, options: StartOptions, notify: Callable[[str], None]) -> StackRecord:
    """Return the running stack, starting one when there is none. Call it under `exclusive`.

    Args:
        notify: told, in words, when a stack is started or a stale record was found.

    Raises:
        ConfigurationError: the extra is not installed, or the process could not start; its reason is passed on.
        ConnectionFailedError: it does not answer.
    """
    record = find(directory)
    if record is not None:
        return record
    stale = read_record(directory)
    if stale is not None:
        notify(f"the local stack (process {stale.pid}) is gone without having been stopped; starting a new one")
        record_path(directory).unlink(missing_ok=True)
    else:
        notify("starting the local stack")
    return start(directory, options)


def command_line(directory: Path, options: StartOptions, instance: str) -> list[str]:
    """The command that runs the stack's process."""
    return [
        sys.executable,
        "-m",
        "chatops.local.server",
        *("--directory", str(directory)),
        *("--instance", instance),
        *("--region", options.region),
        *("--quotas", options.quotas),
        *("--port", str(options.port)),
        *("--gateway-port", str(options.gateway_port)),
        *("--tls-port", str(options.tls_port)),
        *("--idle", str(options.idle_s)),
    ]


def start(directory: Path, options: StartOptions) -> StackRecord:
    """Start a stack in the background and wait until it is ready."""
    import secrets  # noqa: PLC0415
    import subprocess  # noqa: PLC0415

    check_installed()
    reading, writing = os.pipe()
    try:
        process = subprocess.Popen(  # noqa: S603  (our own module, arguments from validated options)
            [*command_line(directory, options, secrets.token_hex(8)), "--ready-fd", str(writing)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(writing,),
            start_new_session=True,
            cwd="/",
            env=clean_variables(os.environ),
        )
    finally:
        os.close(writing)
    try:
        answer = _first_line(reading)
    finally:
        os.close(reading)
    record = read_record(directory)
    if "ready" in answer and record is not None:
        # The process outlives this command on purpose.
        process.returncode = 0
        return record
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    process.wait()
    if "problem" in answer:
        raise StackStartError(str(answer["problem"]), str(answer["remedy"]), ExitCode(int(answer["code"])))
    raise ConfigurationError("The local stack did not start", f"see {log_path(directory)}")


def stop(directory: Path) -> StackRecord | None:
    """Stop the running stack and wait until it is gone; returns its record, None when none ran."""
    record = read_record(directory)
    if record is None:
        return None
    if not is_running(record):
        record_path(directory).unlink(missing_ok=True)
        return None
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(record.pid, number)
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        while time.monotonic() < deadline:
            if not is_running(record):
                record_path(directory).unlink(missing_ok=True)
                return record
            time.sleep(0.02)
    raise ConnectionFailedError(f"The local stack (process {record.pid}) does not end", "end it by hand")


def _first_line(descriptor: int) -> dict[str, Any]:
    """Read the process's one line; an empty answer when it ends or takes too long."""
    import select  # noqa: PLC0415

    deadline = time.monotonic() + _START_TIMEOUT_S
    read = b""
    while not read.endswith(b"\n"):
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        piece = os.read(descriptor, 4096) if ready else b""
        if not piece:
            return {}
        read += piece
    answer = json.loads(read)
    return answer if isinstance(answer, dict) else {}


def clean_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment variables for the stack's process: nothing of a real account may leak into it."""
    return {name: value for name, value in variables.items() if not name.startswith("AWS_")}
