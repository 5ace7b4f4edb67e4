"""Several processes of one run, as the front sees them, whatever carries their messages.

It waits at the barriers (all have joined; no post is without an answer), passes posts on to those who have receivers
for them, and adds up what is counted. A process that is lost leaves what it had told; nobody waits for it.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import assert_never

from chatops import errors
from chatops.errors import ChatopsError, ConnectionFailedError
from chatops.load.protocol import (
    AllAnswered,
    Answered,
    Begin,
    Delta,
    Finished,
    FromProcess,
    Joined,
    Lost,
    Posts,
    Stop,
    ToProcess,
)
from chatops.load.recording import Recorded
from chatops.load.totals import Part, Totals

SILENT_S = 20.0
"""A process that says nothing for so long is lost; it tells what it counted every second."""

_LOOK_S = 0.5


@dataclass(slots=True)
class _Process:
    joined: int | None = None
    answered: bool = False
    finished: bool = False
    lost: str | None = None
    lost_after_s: float | None = None
    part: Part = field(default_factory=Part)
    told: int = 0
    heard: float = 0.0
    recorded: Recorded | None = None
    error: ChatopsError | None = None

    @property
    def active(self) -> bool:
        return self.lost is None and not self.finished


class Fleet:
    """The processes of a run.

    Args:
        count: how many there are.
        send: takes a message to a process; must not block, and ignores processes that are gone.
        lead_s: from the last join to the begin of the load.
        now_ns: the common clock.
    """

    def __init__(
        self,
        count: int,
        send: Callable[[int, ToProcess], None],
        *,
        lead_s: float,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.totals = Totals()
        self.start_ns: int | None = None
        self._processes = [_Process(heard=time.monotonic()) for _ in range(count)]
        self._send = send
        self._lead_ns = round(lead_s * 1e9)
        self._now_ns = now_ns
        self._begun = False
        self._all_answered = False
        self._over = asyncio.Event()

    @property
    def parts(self) -> tuple[Part, ...]:
        """How each process goes, or went as far as is known."""
        return tuple(process.part for process in self._processes)

    @property
    def recorded(self) -> tuple[Recorded, ...]:
        """The files of events."""
        return tuple(process.recorded for process in self._processes if process.recorded is not None)

    @property
    def lost(self) -> Mapping[int, str]:
        """The processes that were lost, and how, in words."""
        return {index: process.lost for index, process in enumerate(self._processes) if process.lost is not None}

    @property
    def over(self) -> bool:
        """Whether every process has finished or is lost."""
        return self._over.is_set()

    def alive(self, index: int) -> None:
        """A process is busy with something that it need not tell."""
        self._processes[index].heard = time.monotonic()

    def received(self, index: int, message: FromProcess) -> None:
        """Take a message of a process."""
        process = self._processes[index]
        if not process.active:
            return
        process.heard = time.monotonic()
        match message:
            case Joined(joined):
                process.joined = joined
                self._look_at_barriers()
            case Delta(number, part, totals, posts):
                if number != process.told:
                    self.lose(index, f"{number - process.told} of its messages were lost")
                    return
                process.told += 1
                if totals is not None:
                    self.totals.merge(totals)
                if part is not None:
                    process.part = part
                for destination, reports in (posts or {}).items():
                    self._tell(destination, Posts(reports))
            case Answered():
                process.answered = True
                self._look_at_barriers()
            case Finished(recorded, kind, error):
                process.finished = True
                process.recorded = recorded
                process.error = _error(kind, error)
                self._look_at_barriers()
            case _:
                assert_never(message)

    def lose(self, index: int, how: str) -> None:
        """A process is gone."""
        process = self._processes[index]
        if not process.active:
            return
        process.lost = how
        if self.start_ns is not None:
            process.lost_after_s = max(0.0, (self._now_ns() - self.start_ns) / 1e9)
        for other in range(len(self._processes)):
            self._tell(other, Lost(index))
        self._look_at_barriers()

    def stop(self) -> None:
        """Have all processes end early."""
        for index in range(len(self._processes)):
            self._tell(index, Stop())

    async def finished(self, stop: asyncio.Event) -> None:
        """Wait until every process has finished or is lost; passes the wish to stop on."""
        stopping = False
        while not self._over.is_set():
            try:
                async with asyncio.timeout(_LOOK_S):
                    await self._over.wait()
            except TimeoutError:
                pass
            if stop.is_set() and not stopping:
                stopping = True
                self.stop()
            for index, process in enumerate(self._processes):
                if process.active and time.monotonic() - process.heard > SILENT_S:
                    self.lose(index, f"it said nothing for {SILENT_S:.0f} s")

    def why_nobody_joined(self) -> ChatopsError:
        """Why nobody could join, as the first process has it that knows."""
        found = [process.error for process in self._processes if process.error is not None]
        if found:
            return found[0]
        how = next(iter(self.lost.values()), "no process said why")
        return ConnectionFailedError(f"No client could join: {how}", "look at the messages above, and try again")

    def lost_words(self, clients_of: Callable[[int], str]) -> tuple[str, ...]:
        """Why the run is partial: each lost process, how, when, and whom it carried."""
        found = []
        for index, process in enumerate(self._processes):
            if process.lost is not None:
                after = process.lost_after_s
                when = "before the load" if after is None else f"{after:.1f} s into the load"
                found.append(f"process {index} was lost {when} ({process.lost}), and with it {clients_of(index)}")
            elif process.error is not None and self._begun and self.start_ns is not None:
                found.append(f"process {index} failed ({process.error.problem}), and with it {clients_of(index)}")
        return tuple(found)

    def _tell(self, index: int, message: ToProcess) -> None:
        if self._processes[index].active:
            self._send(index, message)

    def _look_at_barriers(self) -> None:
        active = [index for index, process in enumerate(self._processes) if process.active]
        processes = [self._processes[index] for index in active]
        if not self._begun and all(process.joined is not None for process in processes):
            self._begun = True
            if any(process.joined for process in processes):
                self.start_ns = self._now_ns() + self._lead_ns
            for index in active:
                self._tell(index, Begin(self.start_ns))
        if not self._all_answered and self._begun and all(process.answered for process in processes):
            self._all_answered = True
            for index in active:
                self._tell(index, AllAnswered())
        if not active:
            self._over.set()


def _error(kind: str, error: tuple[str, str] | None) -> ChatopsError | None:
    """An error of another process, as the class that it had there."""
    if error is None:
        return None
    found = getattr(errors, kind, None)
    made = found if isinstance(found, type) and issubclass(found, ChatopsError) else ConnectionFailedError
    return made(*error)
