"""What the channel between the front of a load test and its engines on a Dask cluster costs.

    python benchmarks/loadtest_cluster.py [--seconds 30]

A local stack, a scheduler and a worker of two threads run in processes of their own. Measured are: a letter put into a
queue on the scheduler and taken out of it again; how well the scheduler's clock is known; and what the front takes in
and sends out while two engines post a hundred times a second, in small rooms and in large ones.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loadtest_processes import ROOT, target_of

import chatops.load.cluster_link as links
from chatops.environment import load
from chatops.load.cluster import run
from chatops.load.cluster_link import Letters, connected
from chatops.load.pacing import Arrivals
from chatops.load.scenario import Scenario, Spread
from chatops.load.target import Target

LETTER_BYTES = (2_000, 32_768, 1 << 20)
ROOMS = (20, 100)


class Counted(Letters):
    """Letters whose content is counted, whichever way it goes."""

    taken = put_in = 0

    async def take_all(self, most_s: float | None = None) -> list[Mapping[str, Any]]:
        """As it is, and counted."""
        found = await super().take_all(most_s)
        Counted.taken += sum(len(letter.get("data", b"")) for letter in found)
        return found

    async def put(self, letter: Mapping[str, Any], **more: float) -> None:
        """As it is, and counted."""
        Counted.put_in += len(letter.get("data", b""))
        await super().put(letter, **more)


async def channel(address: str) -> None:
    async with connected(address) as link:
        queue = await link.letters("benchmark")
        for size in LETTER_BYTES:
            took = []
            for _ in range(100):
                begun = time.perf_counter()
                await queue.put({"data": bytes(size)})
                await queue.take()
                took.append((time.perf_counter() - begun) * 1000)
            print(f"a letter of {size:>9,} bytes through a queue: median {statistics.median(took):.2f} ms")
        bounds = [(await link.compare_clocks()).bound_ns / 1e6 for _ in range(9)]
        print(f"the scheduler's clock is known within: median {statistics.median(bounds):.3f} ms")
        link.drop_queues()


async def traffic(address: str, target: Target, room: int, seconds: float) -> None:
    Counted.taken = Counted.put_in = 0
    scenario = Scenario(
        clients=2 * room,
        rooms=2,
        spread=Spread.EVEN,
        total_posts_per_s=100.0,
        arrivals=Arrivals.CONSTANT,
        warm_up_s=2,
        duration_s=seconds,
    )
    begun, cpu = time.monotonic(), time.process_time()
    result = await run(scenario, target, cluster=address, engines=2, events=lambda _: None, stop=asyncio.Event())
    span, spent = time.monotonic() - begun, time.process_time() - cpu
    print(
        f"rooms of {room:>3}: {result.counts.received / seconds:>7,.0f} deliveries/s, lost {result.counts.lost}; "
        f"the front took in {Counted.taken / span / 1000:.1f} KB/s, sent {Counted.put_in / span / 1000:.1f} KB/s, "
        f"used {spent / span:.1%} of a core",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    links.Letters = Counted  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "CHATOPS_RUNTIME_DIR": folder, "HOME": folder, "PYTHONPATH": str(ROOT)}
        command, dask = [sys.executable, "-m", "chatops.cli.app"], [sys.executable, "-m", "dask"]
        quiet = {"env": env, "cwd": folder, "stdout": subprocess.DEVNULL}
        file = Path(folder) / "scheduler.json"
        subprocess.run([*command, "local", "up", "-q", "--quotas", "none"], check=True, **quiet)
        started = [
            subprocess.Popen([*dask, *arguments, "--no-dashboard"], stderr=subprocess.DEVNULL, **quiet)
            for arguments in (
                ("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file)),
                ("worker", "--host", "127.0.0.1", "--scheduler-file", str(file), "--no-nanny", "--nthreads", "2"),
            )
        ]
        try:
            while not file.exists() or not file.read_text():
                time.sleep(0.1)
            time.sleep(2)
            address = str(json.loads(file.read_text())["address"])
            asyncio.run(channel(address))
            target = target_of(load(Path(folder) / "env", "local"))
            for room in ROOMS:
                asyncio.run(traffic(address, target, room, options.seconds))
        finally:
            for process in reversed(started):
                process.terminate()
                process.wait(60)
            subprocess.run([*command, "local", "down", "-q"], check=True, **quiet)


if __name__ == "__main__":
    main()
