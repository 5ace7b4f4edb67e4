"""The process that runs the local stack: `python -m chatops.local.server`, started by `chatops local up`.

It says on the file descriptor it was given that it is ready or why it is not, writes its record, and leaves on
SIGTERM, on SIGINT, or when nobody has used it for a while.
"""

import argparse
import asyncio
import contextlib
import gc
import json
import logging
import logging.handlers
import os
import signal
import sys
import time
from pathlib import Path

import uvloop

from chatops import __version__
from chatops.errors import ChatopsError, ConfigurationError
from chatops.local.daemon import hold
from chatops.local.record import (
    StackRecord,
    environment_directory,
    log_path,
    read_record,
    record_path,
    write_record,
)
from chatops.local.stack import ACCOUNT, Ports, Quotas, Stack
from chatops.open_files import allow_many
from chatops.runtime import write_private

_LOG = logging.getLogger("chatops.local")
_LOG_BYTES = 2_000_000
_CHECK_S = 5.0


def main(arguments: list[str]) -> int:
    """Run the stack until it is told to stop; returns the exit code."""
    options = _parser().parse_args(arguments)
    directory = Path(options.directory)
    _set_up_logging(directory, foreground=options.foreground)
    allow_many()
    try:
        with hold(directory), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(options, directory))
    except ChatopsError as error:
        _tell(options.ready_fd, {"problem": error.problem, "remedy": error.remedy, "code": int(error.code)})
        _LOG.error("%s; %s", error.problem, error.remedy)
        return int(error.code)
    except KeyboardInterrupt:
        return 0
    return 0


async def _serve(options: argparse.Namespace, directory: Path) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    stack = await _started(options, directory)
    ports = stack.ports
    # What another run left behind names pools that no longer exist.
    (environment_directory(directory) / "local.json").unlink(missing_ok=True)
    write_private(
        _ports_path(directory),
        json.dumps({"control": ports.control, "gateway": ports.gateway, "tls": ports.tls}),
    )
    write_record(
        directory,
        StackRecord(
            pid=os.getpid(),
            instance=stack.instance,
            version=__version__,
            started=time.time(),
            region=stack.region,
            account=ACCOUNT,
            control_port=ports.control,
            gateway_port=ports.gateway,
            tls_port=ports.tls,
            quotas=stack.quotas.value,
            certificate=str(stack.certificate),
            access_key_id=stack.operator.access_key_id,
            secret_access_key=stack.operator.secret_access_key,
        ),
    )
    _LOG.info("ready: AWS at http://127.0.0.1:%d, gateway at ws://127.0.0.1:%d/mqtt", ports.control, ports.gateway)
    _LOG.info("encrypted gateway at wss://127.0.0.1:%d/mqtt, certificate %s", ports.tls, stack.certificate)
    _tell(options.ready_fd, {"ready": stack.instance})
    # Everything made so far lives as long as the process: keep it out of the collector's way.
    gc.collect()
    gc.freeze()
    try:
        await _until_told_or_idle(stack, stopping, options.idle)
    finally:
        mine = read_record(directory)
        if mine is not None and mine.instance == stack.instance:
            record_path(directory).unlink(missing_ok=True)
        await stack.stop()
        _LOG.info("stopped")


async def _started(options: argparse.Namespace, directory: Path) -> Stack:
    """Start on the ports asked for; else on those of the last run, so that clients find it again; else on free ones."""
    asked = Ports(options.port, options.gateway_port, options.tls_port)
    remembered = _remembered_ports(directory)
    first = Ports(asked.control or remembered.control, asked.gateway or remembered.gateway, asked.tls or remembered.tls)
    for ports in dict.fromkeys((first, asked)):
        stack = Stack(
            directory, ports=ports, quotas=Quotas(options.quotas), region=options.region, instance=options.instance
        )
        try:
            await stack.start()
        except ConfigurationError as error:
            if ports == asked:
                raise
            _LOG.warning("the ports of the last run are not free: %s", error.problem)
        else:
            return stack
    raise RuntimeError("the loop returns or raises")


async def _until_told_or_idle(stack: Stack, stopping: asyncio.Event, idle_s: float) -> None:
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), _CHECK_S)
        if stopping.is_set():
            _LOG.info("asked to stop")
            return
        if idle_s and stack.idle_s() > idle_s:
            _LOG.info("nobody has used the stack for %.0f s", idle_s)
            return


def _ports_path(directory: Path) -> Path:
    return directory / "ports.json"


def _remembered_ports(directory: Path) -> Ports:
    try:
        document = json.loads(_ports_path(directory).read_text(encoding="utf-8"))
        ports = [int(document[key]) for key in ("control", "gateway", "tls")]
    except (OSError, ValueError, KeyError, TypeError):
        return Ports()
    return Ports(*ports) if all(0 < port < 65536 for port in ports) else Ports()


def _tell(descriptor: int, message: dict[str, object]) -> None:
    """Answer whoever started this process; nobody may be listening (any more)."""
    if descriptor < 0:
        return
    with contextlib.suppress(OSError):
        os.write(descriptor, json.dumps(message).encode() + b"\n")
        os.close(descriptor)


def _set_up_logging(directory: Path, *, foreground: bool) -> None:
    handler: logging.Handler = (
        logging.StreamHandler(sys.stderr)
        if foreground
        else logging.handlers.RotatingFileHandler(log_path(directory), maxBytes=_LOG_BYTES, backupCount=1)
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    if not foreground:
        log_path(directory).chmod(0o600)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    logging.getLogger("botocore").setLevel(logging.WARNING)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m chatops.local.server", description="Runs the local stack.")
    parser.add_argument("--directory", required=True)
    parser.add_argument("--instance", required=True)
    parser.add_argument("--region", required=True)
    parser.add_argument("--quotas", choices=[choice.value for choice in Quotas], required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--gateway-port", type=int, default=0)
    parser.add_argument("--tls-port", type=int, default=0)
    parser.add_argument("--idle", type=float, default=0.0, help="seconds without use after which it leaves; 0 never")
    parser.add_argument("--ready-fd", type=int, default=-1)
    parser.add_argument("--foreground", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
