"""A load test in this one process."""

import asyncio
import secrets
from collections.abc import Callable

from chatops.load.cost import Prices
from chatops.load.engine import Engine
from chatops.load.front import Discard, Front, Wishes
from chatops.load.joining import MakeClient, Probe, Vendor
from chatops.load.message import HEADER_BYTES
from chatops.load.progress import Progress
from chatops.load.recording import EVENTS, Recorder
from chatops.load.result import RunResult
from chatops.load.scenario import Scenario
from chatops.load.swarm import Swarm
from chatops.load.target import Target
from chatops.mqtt.guests import Guests
from chatops.mqtt.handshake_probe import HandshakeProbe
from chatops.mqtt.swarm_client import SwarmNetwork, SwarmOptions


async def run(
    scenario: Scenario,
    target: Target,
    *,
    events: Callable[[Progress], None],
    stop: asyncio.Event,
    discard: Discard | None = None,
    prices: Prices | None = None,
    wishes: Wishes | None = None,
) -> RunResult:
    """Run one load test.

    Args:
        scenario: what to do.
        target: where.
        events: told how the run stands, on the event loop's thread; it must return quickly.
        stop: set it to end the run early; it drains and still reports.
        discard: deletes the identities that the run made; called at the end, always. They stay when it is None.
        prices: what AWS charges.
        wishes: thresholds, identities to reuse, a recording.

    Raises:
        ChatopsError: nobody could join; the error says why the first one could not.
    """
    swarm = Swarm(scenario, secrets.token_hex(4), asyncio.get_running_loop())
    network = swarm_network(swarm, target)
    async with Guests(target.cognito_url, target.pool_id, connections=target.calls_at_once) as vendor:
        return await run_swarm(
            swarm,
            target,
            vendor,
            network.client,
            probe=HandshakeProbe(target.address, target.region),
            events=events,
            stop=stop,
            discard=discard,
            prices=prices,
            wishes=wishes,
        )


def swarm_network(swarm: Swarm, target: Target) -> SwarmNetwork:
    """The network of a swarm's clients."""
    return SwarmNetwork(
        target.address,
        target.region,
        arrived=swarm.books.arrivals.append,
        events=swarm,
        options=SwarmOptions(keep_bytes=HEADER_BYTES),
    )


async def run_swarm(
    swarm: Swarm,
    target: Target,
    vendor: Vendor,
    make_client: MakeClient,
    *,
    probe: Probe | None = None,
    events: Callable[[Progress], None],
    stop: asyncio.Event,
    discard: Discard | None = None,
    prices: Prices | None = None,
    wishes: Wishes | None = None,
) -> RunResult:
    """Run one load test with clients and credentials from elsewhere; otherwise as `run`."""
    wishes = wishes or Wishes()
    recorder = Recorder(wishes.folder / EVENTS) if wishes.folder is not None else None
    engine = Engine(
        swarm,
        target,
        vendor,
        make_client,
        stop=stop,
        known=swarm.share.identities_of(wishes.known),
        probe=probe,
        recorder=recorder,
        replay=wishes.replay,
    )
    front = Front(
        swarm.scenario,
        swarm.run,
        target,
        events=events,
        stop=stop,
        discard=discard,
        prices=prices or Prices(),
        wishes=wishes,
    )
    telling = asyncio.create_task(front.tell_regularly(lambda: (engine.totals, (engine.part,))))
    finished, recorded = False, None
    try:
        await engine.run()
        finished = True
    finally:
        if recorder is not None:
            recorded = await asyncio.to_thread(recorder.close)
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
        if not finished or (not engine.joining.joined and not stop.is_set()):
            await front.discard_only(engine.totals)
    if not engine.joining.joined and not stop.is_set():
        raise await engine.nobody_joined()
    return await front.finish(engine.totals, (engine.part,), recorded=(recorded,) if recorded is not None else ())
