"""The folder of a run: made and tried before anything starts, filled at the end, read again by `report`.

`run.json` is the document of `chatops loadtest --json` with what it takes to read it elsewhere: versions, machine,
quotas, the plan, and the latency distributions in HdrHistogram's own encoding (base64 of its compressed form).
"""

import json
import os
import platform
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chatops import __version__
from chatops.errors import ConfigurationError, UsageError
from chatops.files import NumberError, read_bounded, strict_json
from chatops.load.distribution import Distribution
from chatops.load.preflight import Preflight
from chatops.load.recording import MAGIC, events_files
from chatops.load.result import SCHEMA, RunResult

RUN = "run.json"
CLAIM = ".claimed"
KIND = "chatops loadtest"
MOST_BYTES = 256 * 1024 * 1024
_BYTES_A_DELIVERY = 16  # before compression 20; zlib halves most of it
_SPARE_BYTES = 16 * 1024 * 1024
_MOST_ENCODED = 100_000  # a distribution takes 13 KB
_SECTIONS = ("clients", "join", "posts", "deliveries", "latency_ms", "cost_usd", "generator", "failures", "scenario")


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a run took place, for its record; nothing secret.

    Attributes:
        gateway: host and port.
    """

    environment: str
    region: str
    gateway: str
    plan: Preflight


def default_folder(environment: str, now: float) -> Path:
    """`runs/<time>-<environment>`, in the folder that the command runs in."""
    return Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S', time.localtime(now))}-{environment}"


def prepare(folder: Path, plan: Preflight) -> bool:
    """Make the folder, try it, and claim it until `write_run` or `release`.

    Returns:
        Whether the folder was not there before.

    Raises:
        ConfigurationError: it cannot be made or written to, holds a run already, another run writes to it, or its
            disk is (nearly) full.
    """
    remedy = "name another folder with --out"
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / RUN).exists():
            raise ConfigurationError(f"{folder} holds a run already", remedy)
        if not _claim(folder / CLAIM):
            raise ConfigurationError(f"Another run writes to {folder}", remedy)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be written to: {error.strerror}", remedy) from None
    needed = _SPARE_BYTES + int((plan.publishes_in + plan.publishes_out) * plan.load_s) * _BYTES_A_DELIVERY
    if free < needed:
        release(folder, made=made)
        raise ConfigurationError(
            f"{folder} is on a disk with {free / 1e6:,.0f} MB left; the run's events take about {needed / 1e6:,.0f} MB",
            f"make room, or {remedy}",
        )
    return made


def _claim(file: Path) -> bool:
    """Write this process's id to a file that is not there, or whose writer is gone; tells whether it could."""
    for _ in range(2):
        try:
            with file.open("x", encoding="ascii") as claim:
                claim.write(f"{os.getpid()}\n".ljust(4096))  # enough to show that there is room
        except FileExistsError:
            if _alive(file):
                return False
            file.unlink(missing_ok=True)
        else:
            return True
    return False


def _alive(file: Path) -> bool:
    """Tell whether the process that a claim names is there, and not this one."""
    try:
        with file.open(encoding="ascii") as claim:
            number = int(claim.read(16).split()[0])
        if number > 0:
            os.kill(number, 0)
    except PermissionError:
        return True
    except (OSError, ValueError, IndexError, OverflowError):
        return False
    return number > 0 and number != os.getpid()


def release(folder: Path, *, made: bool) -> None:
    """Give a claimed folder up.

    Args:
        made: it was made for this run: remove it, unless more than the beginning of a file of events is in it.
    """
    with suppress(OSError):
        (folder / CLAIM).unlink(missing_ok=True)
        if not made:
            return
        for file in events_files(folder):
            if file.exists() and file.stat().st_size <= len(MAGIC):
                file.unlink()
        folder.rmdir()


def runs_in(folder: Path) -> list[Path]:
    """The runs that a folder of repeats holds; none when it is a run itself, or no folder.

    Raises:
        OSError: it cannot be read.
    """
    if not folder.is_dir() or (folder / RUN).is_file():
        return []
    return sorted(child for child in folder.iterdir() if (child / RUN).is_file())


def run_document(result: RunResult, setting: Setting) -> dict[str, Any]:
    """The content of `run.json`."""
    document = {"kind": KIND, **result.document()}
    document["made_with"] = {
        "chatops": __version__,
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
    }
    document["environment"] = {"name": setting.environment, "region": setting.region, "gateway": setting.gateway}
    document["plan"] = setting.plan.document()
    document["histograms"] = {
        name: {"hdr": found.encode().decode("ascii"), "max_us": found.max_us}
        for name, found in result.distributions.items()
        if found.count
    }
    if result.recorded:
        problems = [recorded.problem for recorded in result.recorded if recorded.problem]
        if missing := len(result.processes) - len(result.recorded):
            problems.append(f"{missing} of {len(result.processes)} processes were lost, and theirs with them")
        document["events"] = {
            "files": [recorded.file for recorded in result.recorded],
            "complete": not problems,
            "problem": problems[0] if problems else None,
            "rows": {
                name: sum(recorded.rows[kind] for recorded in result.recorded)
                for kind, name in enumerate(("posts", "answers", "deliveries", "differences"), 1)
            },
        }
    return document


def write_run(folder: Path, document: Mapping[str, Any]) -> None:
    """Write `run.json`, whole or not at all.

    Raises:
        ConfigurationError: the disk is full, or the folder is gone.
    """
    temporary = folder / f".{RUN}.{os.getpid()}"
    try:
        temporary.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        temporary.replace(folder / RUN)
        (folder / CLAIM).unlink(missing_ok=True)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ConfigurationError(
            f"The run cannot be written to {folder}: {error.strerror}", "its figures were printed; make room and repeat"
        ) from None


def read_run(path: Path) -> dict[str, Any]:
    """Read a run's document; `path` is its folder, or the `run.json` itself.

    Raises:
        UsageError: there is none, or it is no run that this version reads.
    """
    try:
        file = path / RUN if path.is_dir() else path
        document = strict_json(read_bounded(file, MOST_BYTES))
    except OSError as error:
        with suppress(OSError):
            if several := runs_in(path):
                raise UsageError(
                    f"{path} holds {len(several)} runs", f"name one of them, such as {several[0]}"
                ) from None
        raise UsageError(f"There is no run in {path}: {error.strerror}", "name a folder that `loadtest` made") from None
    except NumberError as error:
        raise UsageError(
            f"{file} is no run: it holds {error}, which no figure is", "name a folder that `chatops loadtest` made"
        ) from None
    except (ValueError, RecursionError):
        raise UsageError(f"{file} is no run: it is not JSON", "name a folder that `chatops loadtest` made") from None
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise UsageError(f"{file} is no run that this version reads", "name a folder that `chatops loadtest` made")
    broken = [name for name in _SECTIONS if not isinstance(document.get(name), dict)]
    if broken:
        raise UsageError(f"{file} is no run: it has no {', '.join(broken)}", "name a folder that `loadtest` made")
    return document


def distribution_of(document: Mapping[str, Any], name: str) -> Distribution | None:
    """A latency distribution of a run's document; None when it has none, or a damaged one."""
    found = document.get("histograms", {})
    entry = found.get(name) if isinstance(found, Mapping) else None
    try:
        encoded = str(entry["hdr"])[:_MOST_ENCODED].encode("ascii")  # type: ignore[index]
        return Distribution.decode(encoded, int(entry["max_us"]))  # type: ignore[index]
    except (TypeError, KeyError, ValueError):
        return None
