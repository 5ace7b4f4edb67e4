"""Before a run on a cluster: which worker carries which engine, and whether all of them are fit to."""

import hashlib
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import chatops
from chatops.load.clocks import Reading, this_clock

_ENGINE = ("*.py", "chat/*.py", "load/*.py", "mqtt/*.py")
"""The source that an engine runs."""


def place(threads: Mapping[str, int], engines: int) -> tuple[str, ...]:
    """Spread engines over workers, an engine a thread at most, the emptiest worker first.

    Args:
        threads: of each worker, by its address.

    Returns:
        The worker of each engine.

    Raises:
        ValueError: there are fewer threads than engines.
    """
    if engines > sum(threads.values()):
        raise ValueError(f"{sum(threads.values())} threads cannot carry {engines} engines")
    carried = dict.fromkeys(sorted(threads), 0)
    found = []
    for _ in range(engines):
        free = [worker for worker in carried if carried[worker] < threads[worker]]
        worker = min(free, key=lambda one: (carried[one] + 1) / threads[one])
        carried[worker] += 1
        found.append(worker)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Build:
    """What an engine runs on. Engines of one run exchange pickled values, so these must be the same everywhere.

    Attributes:
        chatops: its version.
        code: a digest of its source, since two checkouts may have the same version.
        python: major and minor version.
    """

    chatops: str
    code: str
    python: str

    def words(self) -> str:
        """For people."""
        return f"chatops {self.chatops} ({self.code}) on Python {self.python}"


def this_build() -> Build:
    """What this process runs on."""
    folder = Path(chatops.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(file for pattern in _ENGINE for file in folder.glob(pattern)):
        digest.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    python = ".".join(platform.python_version_tuple()[:2])
    return Build(chatops.__version__, digest.hexdigest()[:8], python)


@dataclass(frozen=True, slots=True)
class Presence:
    """What an engine says of itself before it is told anything.

    Attributes:
        worker: the address of the worker that carries it.
        host: its machine's name, for people.
        clock: which monotonic clock it reads.
        reading: how far the reference clock is ahead of that.
    """

    worker: str
    host: str
    clock: str
    build: Build
    reading: Reading

    @classmethod
    def here(cls, worker: str, reading: Reading) -> "Presence":
        """Of this process."""
        return cls(worker, platform.node(), this_clock(), this_build(), reading)

    def plain(self) -> dict[str, Any]:
        """Plain values, which another version can read too."""
        return asdict(self)

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> "Presence":
        """Read what `plain` wrote.

        Raises:
            KeyError, TypeError: it is something else.
        """
        return cls(plain["worker"], plain["host"], plain["clock"], Build(**plain["build"]), Reading(**plain["reading"]))


def differing(here: Build, found: Iterable[Presence]) -> tuple[str, ...]:
    """The workers that run something else, each with what it runs."""
    others = {presence.worker: presence.build for presence in found if presence.build != here}
    return tuple(f"{worker} has {build.words()}" for worker, build in sorted(others.items()))


def clocks_of(present: Sequence[Presence]) -> tuple[str, ...]:
    """The clocks that took part, in the order of their first engines."""
    return tuple(dict.fromkeys(presence.clock for presence in present))
