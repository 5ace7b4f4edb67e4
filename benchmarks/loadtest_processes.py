"""One process of the load test against two, and what merging costs.

    python benchmarks/loadtest_processes.py [--repeats 3] [--rate 6000] [--seconds 8]

A whole local stack runs in a process of its own, without quotas. The same scenario, far beyond what the generator can
keep up with, is run with one process and with two, in turns; compared is how many deliveries a second were received,
timed and entered in the ledger, from the first until none was left. (The runs are "not valid", as they should be: this
asks for the generator's capacity, not for the service's latency.) On two cores the stack takes its share of one.

Then the front's work for eight processes: reading and merging a second's counts of each, of 25,000 deliveries.
"""

import argparse
import asyncio
import os
import pickle
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from chatops.environment import Environment, load
from chatops.load.pacing import Arrivals
from chatops.load.processes import run
from chatops.load.progress import Progress
from chatops.load.scenario import Scenario, Spread
from chatops.load.statistics import Window
from chatops.load.tally import Tally
from chatops.load.target import Rates, Target
from chatops.load.totals import Totals
from chatops.mqtt.endpoint import gateway_address

ROOT = Path(__file__).resolve().parent.parent
WORKERS = 8
DELIVERIES = 25_000


def capacity(target: Target, scenario: Scenario, processes: int) -> float:
    """Deliveries a second from the first to the last that is entered, however long after the load that is."""
    seen: list[tuple[float, int]] = []

    def events(progress: Progress) -> None:
        if progress.deliveries and (not seen or progress.deliveries != seen[-1][1]):
            seen.append((progress.elapsed_s, progress.deliveries))

    async def body() -> None:
        await run(scenario, target, processes=processes, events=events, stop=asyncio.Event())

    asyncio.run(body())
    (begin, before), (end, after) = seen[0], seen[-1]
    return (after - before) / (end - begin)


def second(rng: random.Random) -> Totals:
    """What one process counts in a second."""
    totals = Totals()
    for index in range(DELIVERIES):
        value = round(rng.lognormvariate(7, 0.6))
        totals.statistics.bin(Window.STEADY, index % 2).delivered(value, value - 50)
        if index % 10 == 0:
            totals.statistics.bin(Window.STEADY, 0).acknowledged(value, value - 50)
            totals.slip.record(value % 500)
    for room in range(50):
        totals.tallies[Window.STEADY, room] = Tally(due=50, sent=50, acknowledged=50, expected=500, received=500)
    return totals


def merging() -> None:
    rng = random.Random(1)  # noqa: S311
    deltas = [pickle.dumps(second(rng)) for _ in range(WORKERS)]
    front = Totals()
    reading, merged = [], []
    for _ in range(50):
        begun = time.perf_counter()
        read = [pickle.loads(delta) for delta in deltas]  # noqa: S301
        reading.append((time.perf_counter() - begun) * 1000)
        begun = time.perf_counter()
        for delta in read:
            front.merge(delta)
        merged.append((time.perf_counter() - begun) * 1000)
    size = statistics.mean(len(delta) for delta in deltas)
    print(f"a second of {WORKERS} processes, {DELIVERIES:,} deliveries and {size / 1024:.1f} KiB each:")
    print(f"merged in {statistics.median(merged):.2f} ms, read in {statistics.median(reading):.2f} ms")


def comparing(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "CHATOPS_RUNTIME_DIR": folder, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "chatops.cli.app"]
        subprocess.run(
            [*command, "local", "up", "-q", "--quotas", "none"],
            env=env,
            check=True,
            cwd=folder,
            stdout=subprocess.DEVNULL,
        )
        try:
            compare(target_of(load(Path(folder) / "env", "local")), options)
        finally:
            subprocess.run([*command, "local", "down", "-q"], env=env, check=True, cwd=folder)


def target_of(chat: Environment) -> Target:
    address = gateway_address(chat.gateway, chat.endpoints["gateway"])
    return Target(address, chat.region, chat.endpoints["aws"], chat.identity_pool_id, Rates.local())


def compare(target: Target, options: argparse.Namespace) -> None:
    scenario = Scenario(
        clients=500,
        rooms=20,
        spread=Spread.EVEN,
        total_posts_per_s=options.rate,
        arrivals=Arrivals.CONSTANT,
        warm_up_s=2,
        duration_s=options.seconds,
        drain_limit_s=60,
    )
    print(f"offered: {scenario.offered_deliveries_per_s:,.0f} deliveries/s")
    found: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(options.repeats):
        for processes, rates in found.items():
            rates.append(capacity(target, scenario, processes))
            print(f"  {processes} process{'es' if processes > 1 else '  '} {rates[-1]:>8,.0f} deliveries/s", flush=True)
    ratio = statistics.median(two / one for one, two in zip(found[1], found[2], strict=True))
    print(
        f"median: one {statistics.median(found[1]):,.0f}/s, two {statistics.median(found[2]):,.0f}/s; "
        f"median ratio of pairs {ratio:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rate", type=int, default=6000, help="posts per second of all; 25 deliveries each")
    parser.add_argument("--seconds", type=int, default=8)
    options = parser.parse_args()
    merging()
    comparing(options)


if __name__ == "__main__":
    main()
