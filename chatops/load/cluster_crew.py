"""The engines of a run on a cluster: called together, given their parts once, heard and written to, sent home."""

import asyncio
import contextlib
import pickle
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from chatops.errors import ConfigurationError, ConnectionFailedError
from chatops.load.clocks import SAME_CLOCK, Reading, agree, best
from chatops.load.cluster_engine import up_name
from chatops.load.cluster_link import BROKEN, Letters, Link
from chatops.load.cluster_report import ClusterReport, Machine
from chatops.load.fleet import Fleet
from chatops.load.protocol import Alive, Assignment, Finished, Piece, Stop, ToProcess
from chatops.load.recording import EVENTS, Recorded
from chatops.load.roll_call import Presence, clocks_of, differing, this_build
from chatops.load.statistics import Metric, Window
from chatops.load.totals import Totals

START_S = 60.0
"""Within this time every worker has to have begun its engines; one that is busy does not."""

_WAITING_LETTERS = (32, 4)  # at the scheduler, and more for each engine: whoever has more to say waits
_HEAR_S = 0.05  # what gathers meanwhile is carried together
_WRITE_S = 0.25
_ALIVE_S = 1.0
_WATCH_S = 1.0
_LEAVING_S = 10.0
_DISMISSING_S = 5.0
_MORE_ERRORS_S = 1.0
_NAMED = 5


class Crew:
    """The engines of a run, and the carrier of their messages.

    Args:
        run: the eight digits of the run.
        workers: the worker of each engine.
        known: all workers that there were when the engines were placed.
        folder: where the engines' files of events are put together; None when nothing is recorded.
    """

    def __init__(
        self, link: Link, run: str, workers: Sequence[str], *, known: Sequence[str], folder: Path | None
    ) -> None:
        self._link = link
        self._run = run
        self._workers = tuple(workers)
        self._known = frozenset(known)
        self._folder = folder
        self._up: Letters | None = None
        self._tasks: list[Any] = []
        self._present: dict[int, Presence] = {}
        self._boxes: dict[int, Letters] = {}
        self._assignments: Sequence[Assignment] = ()
        self._fleet: Fleet | None = None
        self._pumps: list[asyncio.Task[None]] = []
        self._letters: list[list[ToProcess]] = [[] for _ in workers]
        self._wake = [asyncio.Event() for _ in workers]
        self._later: dict[int, Reading] = {}
        self._left: set[int] = set()
        self._told = asyncio.Event()
        self._file_problems: dict[int, str] = {}
        self._late: set[str] = set()
        self._refused = 0
        self._scheduler_clock = ""
        self._allowed_failures: int | None = None
        self.own = SAME_CLOCK
        """How far the scheduler's clock, which is the run's, is ahead of this process's."""

    def now_ns(self) -> int:
        """The run's common clock."""
        return time.monotonic_ns() + self.own.ahead_ns

    # Before anything is made.

    async def call_the_roll(self, stop: asyncio.Event) -> tuple[Presence, ...] | None:
        """Have every engine say that it is there, on what, and with which clock; None when `stop` is set meanwhile.

        Raises:
            ConfigurationError: workers have no chatops, or another one.
            ConnectionFailedError: a worker is gone, or does not begin.
        """
        link = self._link
        self._scheduler_clock = await link.clock()
        self._allowed_failures = await link.allowed_failures()
        self.own = await link.compare_clocks()
        up = self._up = await link.letters(
            up_name(self._run), most=_WAITING_LETTERS[0] + _WAITING_LETTERS[1] * len(self._workers)
        )
        module = "chatops.load.cluster_engine"
        for index, worker in enumerate(self._workers):
            call = f"__import__({module!r}, fromlist=['carry']).carry({self._run!r}, {index})"
            self._tasks.append(link.submit(call, key=f"chatops-{self._run}-{index}", worker=worker))
        end = time.monotonic() + START_S
        while len(self._present) < len(self._workers):
            if stop.is_set():
                return None
            await self._look_for_failures()
            if time.monotonic() > end:
                missing = {self._workers[index] for index in range(len(self._workers)) if index not in self._present}
                raise ConnectionFailedError(
                    f"{_named(sorted(missing))} did not begin within {START_S:.0f} s",
                    "see whether its threads are busy with other work, or leave it out",
                )
            for letter in await up.take_all(_WATCH_S):
                await self._answer_to_roll(letter)
        found = tuple(self._present[index] for index in range(len(self._workers)))
        others = differing(this_build(), found)
        if others:
            raise ConfigurationError(
                f"Not all run {this_build().words()}, as this machine does: {_named(others)}",
                "install the same chatops there, on the same Python",
            )
        return found

    async def _look_for_failures(self) -> None:
        gone = sorted({*self._workers} - (await self._link.threads()).keys())
        if gone:
            raise ConnectionFailedError(f"{_named(gone)} left the cluster before the start", "see its log")
        if not any(task.status == "error" for task in self._tasks):
            return
        await asyncio.sleep(_MORE_ERRORS_S)  # the others fail likewise
        failed = {
            worker: await task.exception()
            for worker, task in zip(self._workers, self._tasks, strict=True)
            if task.status == "error"
        }
        if all(isinstance(error, ImportError | AttributeError) for error in failed.values()):
            raise ConfigurationError(
                f"chatops is missing or too old on {_named(sorted(failed))}",
                f"install it there: pip install 'chatops[cluster]=={this_build().chatops}'",
            )
        worker, error = next(iter(failed.items()))
        raise ConnectionFailedError(f"{worker} cannot carry an engine: {type(error).__name__}: {error}", "see its log")

    async def _answer_to_roll(self, letter: Mapping[str, Any]) -> None:
        index = int(letter["engine"])
        if letter["kind"] != "here" or index in self._present:
            await self._refuse(letter)
            return
        try:
            self._present[index] = Presence.of(letter["presence"])
        except (KeyError, TypeError):
            raise ConfigurationError(
                f"{self._workers[index]} runs a chatops that this one does not understand", "install the same there"
            ) from None
        self._boxes[index] = await self._link.letters(letter["box"])

    async def _refuse(self, letter: Mapping[str, Any]) -> None:
        """Send a task away that was run a second time: its engine has been given out."""
        if letter["kind"] != "here":
            return
        self._refused += 1
        with contextlib.suppress(*BROKEN):
            box = await self._link.letters(letter["box"])
            await box.put({"kind": "refused"})

    def readings(self) -> Mapping[str, Reading]:
        """How far the scheduler's clock is ahead of each that the engines read, by its name."""
        found: dict[str, list[Reading]] = {}
        for presence in self._present.values():
            found.setdefault(presence.clock, []).append(presence.reading)
        return {
            clock: SAME_CLOCK if clock == self._scheduler_clock else best(readings) for clock, readings in found.items()
        }

    def assign(self, assignments: Sequence[Assignment]) -> None:
        """Say what each engine has to do; given out by `start`."""
        self._assignments = assignments

    # The carrier of a fleet.

    def send(self, index: int, message: ToProcess) -> None:
        """Send a message to an engine."""
        self._letters[index].append(message)
        self._wake[index].set()

    async def start(self, fleet: Fleet) -> None:
        """Give out the assignments; what the engines say goes to the fleet."""
        self._fleet = fleet
        try:
            for index, assignment in enumerate(self._assignments):
                await self._boxes[index].put({"kind": "assignment", "data": pickle.dumps(assignment)})
        except BROKEN:
            self._gone()
            return
        assert self._up is not None  # noqa: S101  (made by the roll call)
        work = [
            self._hear(fleet, self._up),
            self._watch(fleet),
            *(self._write_to(fleet, index) for index in self._boxes),
        ]
        self._pumps = [asyncio.create_task(each) for each in work]

    async def end(self) -> None:
        """Wait until the engines have left and said how far their clocks have drifted."""
        fleet = self._fleet
        if fleet is None:
            return
        patience = _LEAVING_S
        if not fleet.over:
            patience = _WRITE_S + _ALIVE_S  # somebody is in a hurry
            for index in self._boxes:
                self.send(index, Stop())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while any(not (index in self._left or index in fleet.lost) for index in self._boxes):
                    self._told.clear()
                    await self._told.wait()
        for pump in self._pumps:
            if pump.done() and not pump.cancelled() and (error := pump.exception()) is not None:
                raise error

    async def dismiss(self) -> None:
        """Release all that was asked of the scheduler; engines that were never given a part are sent home."""
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        if self._folder is not None:
            for index in range(len(self._workers)):
                self._part(self._folder, index).unlink(missing_ok=True)
        with contextlib.suppress(*BROKEN):
            async with asyncio.timeout(_DISMISSING_S):
                if self._fleet is None:
                    for box in self._boxes.values():
                        await box.put({"kind": "refused"})
                if self._up is not None:
                    for letter in await self._up.take_all(_HEAR_S):
                        await self._refuse(letter)
                    await self._up.end()
                for task in self._tasks:
                    task.release()
                self._link.drop_queues()

    async def _hear(self, fleet: Fleet, up: Letters) -> None:
        while True:
            try:
                letters = await up.take_all()
            except BROKEN:
                self._gone()
                return
            for letter in letters:
                await self._heard(fleet, letter)
            await asyncio.sleep(_HEAR_S)

    async def _heard(self, fleet: Fleet, letter: Mapping[str, Any]) -> None:
        index = int(letter["engine"])
        if letter["box"] != self._boxes[index].name:
            await self._refuse(letter)
            return
        if letter["kind"] == "left":
            self._left.add(index)
            self._told.set()
            self._later[index] = Reading(letter["ahead_ns"], letter["bound_ns"])
            fleet.lose(index, letter["how"])
            return
        message = pickle.loads(letter["data"])  # noqa: S301  (an engine of ours; see docs/cluster.md on who else could)
        match message:
            case Piece(content):
                fleet.alive(index)
                self._keep(index, content)
            case Finished(recorded) if recorded is not None:
                fleet.received(index, replace(message, recorded=self._kept(index, recorded)))
            case _:
                fleet.received(index, message)

    def _keep(self, index: int, content: bytes) -> None:
        """Write a piece of an engine's file of events down; it gets its name when it is whole."""
        if self._folder is None or index in self._file_problems:
            return
        try:
            with self._part(self._folder, index).open("ab") as file:
                file.write(content)
        except OSError as error:
            self._file_problems[index] = f"{error.strerror}"

    def _kept(self, index: int, recorded: Recorded) -> Recorded:
        """Name an engine's file of events, which has been brought home."""
        if self._folder is None:
            return recorded
        try:
            self._part(self._folder, index).rename(self._folder / recorded.file)
        except OSError as error:
            self._file_problems[index] = f"{error.strerror}"
        return replace(recorded, problem=self._file_problems.get(index, recorded.problem))

    def _part(self, folder: Path, index: int) -> Path:
        return folder / f".{EVENTS}-{index}.{self._run}"

    async def _write_to(self, fleet: Fleet, index: int) -> None:
        """Carry what is to be said to an engine, and that this front is there when there is nothing."""
        wake = self._wake[index]
        try:
            while index not in self._left:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_ALIVE_S):
                        await wake.wait()
                wake.clear()
                letters, self._letters[index] = self._letters[index], []
                lost = index in fleet.lost  # but perhaps its worker is only about to end, or was slow
                letters = [Stop()] if lost else letters or [Alive()]
                await self._boxes[index].put({"kind": "letters", "data": pickle.dumps(letters)})
                if lost:
                    return
                await asyncio.sleep(_WRITE_S)
        except BROKEN:
            return  # whoever listens to all of them learns it too

    async def _watch(self, fleet: Fleet) -> None:
        """Look who is in the cluster."""
        try:
            while True:
                there = await self._link.threads()
                for index, worker in enumerate(self._workers):
                    if worker not in there and index not in self._left:
                        fleet.lose(index, f"its worker {worker} is gone")
                self._late |= there.keys() - self._known
                await asyncio.sleep(_WATCH_S)
        except BROKEN:
            self._gone()

    def _gone(self) -> None:
        if self._fleet is not None:
            for index in range(len(self._workers)):
                self._fleet.lose(index, f"the scheduler at {self._link.address} is gone, or was restarted")

    # Afterwards.

    def report(self, totals: Totals) -> ClusterReport:
        """What there is to say of the machines."""
        readings = self.readings()
        machines = []
        for clock in clocks_of([self._present[index] for index in sorted(self._present)]):
            engines = [index for index in sorted(self._present) if self._present[index].clock == clock]
            reading, later = readings[clock], [self._later[index] for index in engines if index in self._later]
            same = clock == self._scheduler_clock
            if later and not same:
                reading = reading.again(best(later))
            workers: dict[str, tuple[int, ...]] = {}
            for index in engines:
                workers[self._workers[index]] = (*workers.get(self._workers[index], ()), index)
            machines.append(Machine(self._present[engines[0]].host, workers, reading, checked=same or bool(later)))
        found = totals.statistics.distributions
        across = [
            found[Window.STEADY, metric].percentiles()
            for metric in (Metric.DELIVERY_ACROSS, Metric.DELIVERY_FROM_SEND_ACROSS)
            if (Window.STEADY, metric) in found
        ]
        return ClusterReport(
            scheduler=self._link.address,
            machines=tuple(machines),
            between=agree(
                [machine.reading for machine in machines],
                max((each.count for each in across), default=0),
                [each.p50 for each in across],
            ),
            late_workers=tuple(sorted(self._late)),
            refused=self._refused,
            allowed_failures=self._allowed_failures,
        )


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
