"""The user's runtime directory: what commands of one user share on one machine, private to that user."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from chatops.errors import ConfigurationError

RUNTIME_VARIABLE = "CHATOPS_RUNTIME_DIR"


def runtime_directory(variables: Mapping[str, str]) -> Path:
    """The directory for the record, the log and the local environment; made when missing, private to its owner.

    Raises:
        ConfigurationError: it cannot be made, or belongs to somebody else.
    """
    if chosen := variables.get(RUNTIME_VARIABLE):
        path = Path(chosen)
    elif base := variables.get("XDG_RUNTIME_DIR"):
        path = Path(base) / "chatops"
    else:
        path = Path(variables.get("TMPDIR") or "/tmp") / f"chatops-{os.getuid()}"  # noqa: S108  (checked below)
    remedy = f"name another folder in {RUNTIME_VARIABLE}"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise ConfigurationError(f"{path} is not a folder of yours", remedy)
        if found.st_mode & 0o077:
            raise ConfigurationError(f"{path} is open to other users", f"run `chmod 700 {path}`, or {remedy}")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be used: {error.strerror}", remedy) from None
    return path


def write_private(path: Path, text: str) -> None:
    """Write a file atomically, readable by its owner alone."""
    import tempfile  # noqa: PLC0415  (19 ms; most commands only read)

    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
