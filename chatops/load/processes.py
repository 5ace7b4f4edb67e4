"""A load test in several processes of this machine.

They are spawned, never forked: awscrt's threads do not survive a fork. All read the same monotonic clock, so that
deliveries between them are timed as exactly as within one.
"""

import asyncio
import multiprocessing
import os
import secrets
import signal
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from chatops.load import alone
from chatops.load.child import how_it_ended, serve
from chatops.load.conduct import conduct
from chatops.load.cost import Prices
from chatops.load.fleet import Fleet
from chatops.load.front import Discard, Front, Wishes
from chatops.load.pipes import Mailbox
from chatops.load.progress import Progress
from chatops.load.protocol import Assignment, FromProcess, ToProcess
from chatops.load.recording import EVENTS
from chatops.load.result import RunResult
from chatops.load.scenario import Scenario
from chatops.load.share import Share
from chatops.load.sizing import processes_needed
from chatops.load.target import Target
from chatops.load.totals import Totals

_LEAD_S = 0.5
_ENDING_S = 10.0


def processes_for(scenario: Scenario, most: int | None = None) -> int:
    """How many processes a scenario needs, up to the cores that there are."""
    cores = most if most is not None else len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    deliveries = scenario.offered_deliveries_per_s * max(1.0, scenario.peak)
    return min(processes_needed(scenario.clients, deliveries), cores, scenario.identity_count)


async def run(
    scenario: Scenario,
    target: Target,
    *,
    processes: int,
    events: Callable[[Progress], None],
    stop: asyncio.Event,
    discard: Discard | None = None,
    prices: Prices | None = None,
    wishes: Wishes | None = None,
) -> RunResult:
    """Run one load test in so many processes; otherwise as `chatops.load.alone.run`."""
    if processes == 1:
        return await alone.run(
            scenario, target, events=events, stop=stop, discard=discard, prices=prices, wishes=wishes
        )
    wishes = wishes or Wishes()
    name = secrets.token_hex(4)
    front = Front(
        scenario,
        name,
        target,
        events=events,
        stop=stop,
        discard=discard,
        prices=prices or Prices(),
        wishes=wishes,
    )
    shares = [Share(index, processes, scenario.identity_count) for index in range(processes)]
    assignments = [
        Assignment(
            scenario=scenario,
            run=name,
            target=target,
            share=share,
            known=share.identities_of(wishes.known),
            events=wishes.folder / f"{EVENTS}-{index}" if wishes.folder is not None else None,
            replay=wishes.replay,
        )
        for index, share in enumerate(shares)
    ]
    children = _Children(assignments)
    fleet = Fleet(len(assignments), children.send, lead_s=_LEAD_S)
    return await conduct(front, children, assignments[0].share, fleet)


class _Children:
    """The spawned processes and the pipes to them."""

    def __init__(self, assignments: Sequence[Assignment]) -> None:
        self._assignments = assignments
        self._processes: list[BaseProcess] = []
        self._mailboxes: list[Mailbox] = []
        self._fleet: Fleet | None = None

    async def start(self, fleet: Fleet) -> None:
        """Start them all; what they say goes to the fleet."""
        self._fleet = fleet
        context = multiprocessing.get_context("spawn")
        for index, assignment in enumerate(self._assignments):
            here, there = context.Pipe()
            process = context.Process(target=_child, args=(there, assignment), name=f"chatops-{index}", daemon=True)
            process.start()
            there.close()  # so that its end shows here
            self._processes.append(process)
            self._mailboxes.append(Mailbox(here, partial(self._heard, fleet, index)))

    def send(self, index: int, message: ToProcess) -> None:
        """Send a message to a process."""
        if index < len(self._mailboxes):
            self._mailboxes[index].send(message)

    async def end(self) -> None:
        """Wait until they have ended, and see to it that they do."""
        await asyncio.to_thread(self._end)

    def report(self, _: Totals) -> None:
        """There is only this machine."""

    def _end(self) -> None:
        if self._fleet is not None and not self._fleet.over:
            for process in self._processes:
                process.kill()  # somebody is in a hurry
        for mailbox in self._mailboxes:
            mailbox.close()
        for process in self._processes:
            process.join(_ENDING_S)
            if process.is_alive():
                process.kill()
                process.join()

    def _heard(self, fleet: Fleet, index: int, message: FromProcess | None) -> None:
        if message is not None:
            fleet.received(index, message)
            return
        process = self._processes[index]
        process.join(1)
        fleet.lose(index, how_it_ended(process.exitcode))


def _child(connection: "Connection[Any, Any]", assignment: Assignment) -> None:
    """A process of the run. Ctrl-C and its kin reach it too, but what to do then is the front's to say."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    asyncio.run(serve(connection, assignment))
