"""The load test's engine against a gateway that lets everybody in, for `loadtest.py`: signs, posts, times, accounts.

python loadtest_chatops.py PORT CLIENTS ROOMS POSTS_PER_S SECONDS
"""

import asyncio
import json
import secrets
import sys
import tempfile
import time
from pathlib import Path

from chatops.load.alone import run_swarm
from chatops.load.front import Wishes
from chatops.load.message import HEADER_BYTES
from chatops.load.pacing import Arrivals
from chatops.load.scenario import Scenario, Spread
from chatops.load.swarm import Swarm
from chatops.load.target import Rates, Target
from chatops.mqtt.endpoint import GatewayAddress
from chatops.mqtt.guests import GuestCredentials
from chatops.mqtt.swarm_client import SwarmNetwork, SwarmOptions

REGION = "us-east-1"


class NoCognito:
    """Identities out of thin air, so that what is measured is posting and receiving."""

    async def new_identity(self) -> str:
        """Make one up."""
        return f"{REGION}:{secrets.token_hex(16)}"

    async def credentials(self, identity_id: str) -> GuestCredentials:
        """Make some up."""
        return GuestCredentials(identity_id, "ASIA" + "A" * 16, "secret", "token", time.time() + 3600)

    def forget(self, identity_id: str) -> None:
        """There is nothing to forget."""


async def run(port: int, scenario: Scenario, folder: Path) -> dict[str, float | int | str | None]:
    swarm = Swarm(scenario, secrets.token_hex(4), asyncio.get_running_loop())
    address = GatewayAddress("127.0.0.1", port, tls=False)
    options = SwarmOptions(keep_bytes=HEADER_BYTES)
    network = SwarmNetwork(address, REGION, arrived=swarm.books.arrivals.append, events=swarm, options=options)
    result = await run_swarm(
        swarm,
        Target(address, REGION, "", "", Rates()),
        NoCognito(),
        network.client,
        events=lambda _: None,
        stop=asyncio.Event(),
        wishes=Wishes(folder=folder),
    )
    steady = next(phase.seconds for phase in result.phases if phase.name == "steady")
    return {
        "received": result.counts.received,
        "posted": result.counts.sent,
        "lost": result.counts.lost,
        "seconds": steady,
        "cpu_s": result.health.cpu * steady,
        "rss_mb": result.health.rss_mb,
        "p50_ms": result.latency["delivery"].p50,
        "p99_ms": result.latency["delivery"].p99,
        "sent_p50_ms": result.latency["delivery_from_send"].p50,
        "verdict": result.verdict.value,
    }


def main() -> None:
    port, clients, rooms, rate, seconds = (int(text) for text in sys.argv[1:6])
    scenario = Scenario(
        clients=clients,
        rooms=rooms,
        spread=Spread.EVEN,
        total_posts_per_s=float(rate),
        arrivals=Arrivals.CONSTANT,
        warm_up_s=1.0,
        duration_s=float(seconds),
    )
    with tempfile.TemporaryDirectory() as folder:
        sys.stdout.write(json.dumps(asyncio.run(run(port, scenario, Path(folder)))) + "\n")


if __name__ == "__main__":
    main()
