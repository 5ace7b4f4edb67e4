"""A load test on the workers of a Dask cluster, as its front sees them.

The engines are the same as in several processes of one machine (`decisions/012`); here their messages pass through the
scheduler. The run's common clock is the scheduler's, from which every machine knows how far its own is.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping, Sequence

from chatops.errors import ConnectionFailedError, UsageError
from chatops.load.clocks import Reading
from chatops.load.cluster_crew import Crew
from chatops.load.cluster_link import BROKEN, Link, connected, quiet
from chatops.load.conduct import conduct
from chatops.load.cost import Prices
from chatops.load.fleet import Fleet
from chatops.load.front import Discard, Front, Wishes
from chatops.load.processes import processes_for
from chatops.load.progress import Progress
from chatops.load.protocol import Assignment
from chatops.load.result import RunResult
from chatops.load.roll_call import Presence, place
from chatops.load.scenario import Scenario
from chatops.load.share import Share
from chatops.load.target import Target
from chatops.load.totals import Totals

LEAD_S = 2.0
"""From the last join to the start; more where the scheduler is far away. Engines refuse a start that has passed."""

EVENTS_HOME_BYTES = 64 * 1024 * 1024
"""What all engines together bring home of their files of events: ten million deliveries and more."""

MOST_ENGINES = 256
WORKERS_WITHIN_S = 10.0
_LOOK_S = 0.5


async def run(
    scenario: Scenario,
    target: Target,
    *,
    cluster: str,
    engines: int | None,
    events: Callable[[Progress], None],
    stop: asyncio.Event,
    discard: Discard | None = None,
    prices: Prices | None = None,
    wishes: Wishes | None = None,
) -> RunResult:
    """Run one load test on a cluster; otherwise as `chatops.load.alone.run`.

    Args:
        cluster: the scheduler's address.
        engines: how many; None is what the scenario needs, up to the workers' threads.

    Raises:
        ConnectionFailedError: no scheduler, no workers, or too few.
        ConfigurationError: a worker runs another version, or none.
    """
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
    quiet()
    async with connected(cluster) as link:
        crew = await _crew(link, scenario, engines, front, stop)
        try:
            present = await _called(crew, link, stop)
            if present is None:
                return await front.finish(Totals(), ())
            assignments = assignments_for(front, present, crew.readings())
            crew.assign(assignments)
            front.timed_across = lambda totals: crew.report(totals).between.timed
            lead_s = LEAD_S + 4 * crew.own.bound_ns / 1e9
            fleet = Fleet(len(assignments), crew.send, lead_s=lead_s, now_ns=crew.now_ns)
            return await conduct(front, crew, assignments[0].share, fleet)
        finally:
            await crew.dismiss()


async def _crew(link: Link, scenario: Scenario, engines: int | None, front: Front, stop: asyncio.Event) -> Crew:
    """Place the engines on those workers that there are."""
    try:
        threads = await _threads(link, engines or processes_for(scenario, MOST_ENGINES), stop)
    except BROKEN as error:
        raise _gone(link, error) from None
    count = engines or processes_for(scenario, sum(threads.values()))
    return Crew(link, front.run, _placed(link, threads, count), known=tuple(threads), folder=front.wishes.folder)


async def _called(crew: Crew, link: Link, stop: asyncio.Event) -> tuple[Presence, ...] | None:
    try:
        return await crew.call_the_roll(stop)
    except BROKEN as error:
        raise _gone(link, error) from None


def _gone(link: Link, error: BaseException) -> ConnectionFailedError:
    more = "" if isinstance(error, OSError) else f" ({type(error).__name__}: {error})"
    return ConnectionFailedError(
        f"The scheduler at {link.address} went away before the start{more}", "see its log, and try again"
    )


def assignments_for(front: Front, present: Sequence[Presence], readings: Mapping[str, Reading]) -> list[Assignment]:
    """What each engine has to do. Engines of one machine get one reading of its clock, so that theirs agree exactly."""
    scenario, wishes, count = front.scenario, front.wishes, len(present)
    machines = tuple(presence.clock for presence in present)
    shares = [Share(index, count, scenario.identity_count, machines) for index in range(count)]
    return [
        Assignment(
            scenario=scenario,
            run=front.run,
            target=front.target,
            share=share,
            known=share.identities_of(wishes.known),
            replay=wishes.replay,
            ahead_ns=readings[presence.clock].ahead_ns,
            events_home=EVENTS_HOME_BYTES // count if wishes.folder is not None else None,
            punctual=True,
        )
        for share, presence in zip(shares, present, strict=True)
    ]


async def _threads(link: Link, wanted: int, stop: asyncio.Event) -> Mapping[str, int]:
    """The threads of each worker; waits for a moment while there are fewer than wanted, since workers take one to join.

    Raises:
        ConnectionFailedError: there is no worker.
    """
    end = time.monotonic() + WORKERS_WITHIN_S
    threads = await link.threads()
    while sum(threads.values()) < wanted and time.monotonic() < end and not stop.is_set():
        await asyncio.sleep(_LOOK_S)
        threads = await link.threads()
    if not threads:
        raise ConnectionFailedError(
            f"No worker has joined the scheduler at {link.address}", f"start some: `dask worker {link.address}`"
        )
    return threads


def _placed(link: Link, threads: Mapping[str, int], engines: int) -> tuple[str, ...]:
    """The worker of each engine.

    Raises:
        UsageError: they are more than the workers can carry.
    """
    if engines > (most := sum(threads.values())):
        raise UsageError(
            f"{engines} engines are more than the {most} threads of the {len(threads)} workers at {link.address}",
            f"start more workers, or ask for --processes {most}",
        )
    return place(threads, engines)
