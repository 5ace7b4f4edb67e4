"""The record of a running stack: one file in the user's runtime directory by which commands find it.

The file holds the operator's key pair of the local stack, made up at its start and of no use anywhere else; like the
directory it is readable by its owner alone.
"""

import hashlib
import hmac
import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path

from chatops.runtime import write_private

_INSTANCE = re.compile(r"[0-9a-f]{16}")

FAULTS_PATH = "/_chatops/faults"
"""Where the control plane takes injected faults."""


@dataclass(frozen=True, slots=True)
class StackRecord:
    """A running stack.

    Attributes:
        instance: random name of this run; the control plane answers with it, so that a reused port is told apart.
        started: seconds since the epoch.
        certificate: path of the PEM file that makes `wss` trusted.
        quotas: "protocol", "aws" or "none".
    """

    pid: int
    instance: str
    version: str
    started: float
    region: str
    account: str
    control_port: int
    gateway_port: int
    tls_port: int
    quotas: str
    certificate: str
    access_key_id: str
    secret_access_key: str = field(repr=False)

    @property
    def control_url(self) -> str:
        """The endpoint URL for any AWS tool."""
        return f"http://127.0.0.1:{self.control_port}"

    @property
    def gateway_url(self) -> str:
        """The gateway for MQTT over plain WebSocket."""
        return f"ws://127.0.0.1:{self.gateway_port}/mqtt"

    @property
    def gateway_tls_url(self) -> str:
        """The gateway for MQTT over encrypted WebSocket."""
        return f"wss://127.0.0.1:{self.tls_port}/mqtt"


def fault_token(secret_access_key: str) -> str:
    """What a request for faults shows; it follows from the operator's secret key, which so never goes over the wire."""
    return hmac.new(secret_access_key.encode(), b"chatops faults", hashlib.sha256).hexdigest()


def record_path(directory: Path) -> Path:
    """The record's file."""
    return directory / "stack.json"


def log_path(directory: Path) -> Path:
    """The stack's log."""
    return directory / "stack.log"


def environment_directory(directory: Path) -> Path:
    """Where the environment `local` has its file."""
    return directory / "env"


def write_record(directory: Path, record: StackRecord) -> None:
    """Publish a running stack."""
    write_private(record_path(directory), json.dumps(asdict(record), indent=2) + "\n")


def read_record(directory: Path) -> StackRecord | None:
    """The record in a directory, None when there is none or it cannot be read (half-written, another version's)."""
    try:
        document = json.loads(record_path(directory).read_text(encoding="utf-8"))
        record = StackRecord(**document)
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return record if _is_sound(record) else None


def _is_sound(record: StackRecord) -> bool:
    """A damaged record must not lead to another program's process or port."""
    ports = (record.control_port, record.gateway_port, record.tls_port)
    return (
        all(isinstance(port, int) and 0 < port < 1 << 16 for port in ports)
        and isinstance(record.pid, int)
        and 1 < record.pid < 1 << 31
        and isinstance(record.instance, str)
        and _INSTANCE.fullmatch(record.instance) is not None
    )
