"""Seeing a run of several processes through, whatever carries them."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from chatops.load.cluster_report import ClusterReport
from chatops.load.fleet import Fleet
from chatops.load.front import Front
from chatops.load.protocol import ToProcess
from chatops.load.result import RunResult
from chatops.load.share import Share
from chatops.load.totals import Totals


class Carrier(Protocol):
    """What starts the processes of a run and carries messages to and from them."""

    def send(self, index: int, message: ToProcess) -> None:
        """Send a message to a process; must not block, and ignores processes that are gone."""

    async def start(self, fleet: Fleet) -> None:
        """Start them all; what they say goes to the fleet."""

    async def end(self) -> None:
        """Wait until they have ended, and see to it that they do."""

    def report(self, totals: Totals) -> ClusterReport | None:
        """What there is to say of the machines, once all is over; None when there is only this one."""


async def conduct(front: Front, carrier: Carrier, share: Share, fleet: Fleet) -> RunResult:
    """Start the processes and see the run through.

    Args:
        share: of any of the processes.

    Raises:
        ChatopsError: nobody could join.
    """
    telling = asyncio.create_task(front.tell_regularly(lambda: (fleet.totals, fleet.parts)))
    done = False
    try:
        await carrier.start(fleet)
        await fleet.finished(front.stop)
        done = True
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
        await carrier.end()
        if not done or (not fleet.totals.joining.joined and not front.stop.is_set()):
            await front.discard_only(fleet.totals)
    if not fleet.totals.joining.joined and not front.stop.is_set():
        raise fleet.why_nobody_joined()
    return await front.finish(
        fleet.totals,
        fleet.parts,
        partial=fleet.lost_words(_words_for(share, front.scenario.clients)),
        cluster=carrier.report(fleet.totals),
        recorded=fleet.recorded,
    )


def clients_words(share: Share, clients: int, index: int) -> str:
    """The clients of one process, for people: `its 250 clients (1, 3, 5 … 499)`."""
    carried = [client for client in range(clients) if share.of(client) == index]
    named = ", ".join(str(client) for client in carried[:3])
    rest = f" … {carried[-1]}" if len(carried) > 3 else ""
    return f"its {len(carried):,} clients ({named}{rest})"


def _words_for(share: Share, clients: int) -> Callable[[int], str]:
    return lambda index: clients_words(share, clients, index)
