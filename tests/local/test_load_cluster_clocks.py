"""Engines on machines whose clocks differ by an hour and more, and whose links are slow.

The machines are Linux namespaces with a network and a monotonic clock of their own. Where a machine forbids them, the
tests say so on the terminal; the estimate itself and what is withheld are proved without (tests/unit).
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from chatops.environment import Environment
from chatops.load.clocks import this_clock
from chatops.load.thresholds import parse
from chatops.render.loadtest import result_lines
from chatops.render.output import Output
from tests.local.away import inside, outside, unshare, why_not
from tests.local.cluster import cluster
from tests.local.harness import RunningStack
from tests.local.test_load_cluster import alone, ledger, load
from tests.local.test_load_processes import SCENARIO

AHEAD_S = 5000
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def permitted(capsys: pytest.CaptureFixture[str]) -> None:
    """Namespaces; says loudly when there are none."""
    found = why_not(network=True)
    if found is not None:
        with capsys.disabled():
            sys.stdout.write(f"\n*** NOT PROVED HERE: this machine permits no network and time namespaces ({found})\n")
        pytest.skip(f"no namespaces: {found}")


_COMPARE = """
import asyncio, json, sys
from chatops.load.clocks import this_clock
from chatops.load.cluster_link import connected

async def main():
    async with connected(sys.argv[1]) as link:
        reading = await link.compare_clocks()
        print(json.dumps([this_clock(), await link.clock(), reading.ahead_ns, reading.bound_ns]))

asyncio.run(main())
"""


@pytest.mark.usefixtures("permitted")
def test_a_clock_that_is_known_to_be_ahead_is_found_to_be(tmp_path: Path) -> None:
    with cluster(tmp_path / "cluster", workers=0) as made:
        for prefix, ahead_s in (([], 0), (unshare(network=False, monotonic_s=AHEAD_S), AHEAD_S)):
            command = [*prefix, sys.executable, "-c", _COMPARE, made.address]
            done = subprocess.run(command, capture_output=True, check=True, text=True, timeout=60)
            clock, schedulers, ahead_ns, bound_ns = json.loads(done.stdout)
            assert schedulers == this_clock()
            assert (clock == schedulers) is (ahead_s == 0)
            assert abs(ahead_ns + ahead_s * 10**9) <= bound_ns


@pytest.mark.usefixtures("permitted")
@pytest.mark.parametrize("slow", ["gateway", "scheduler"])
def test_deliveries_between_machines_are_counted_and_timed_as_far_as_clocks_agree(
    stack: RunningStack, chat: Environment, tmp_path: Path, slow: str
) -> None:
    """A slow way to the gateway makes latencies large enough to be timed; one to the scheduler makes clocks uncertain.

    The workers' own ports cannot be reached from anywhere: only the scheduler has to be.
    """
    ports = stack.stack.ports
    with cluster(tmp_path / "cluster", workers=1) as made:
        scheduler = int(made.address.rpartition(":")[2])
        doors = {port: tmp_path / f"{port}.door" for port in (scheduler, ports.control, ports.gateway)}
        delayed = {ports.gateway: 0.1} if slow == "gateway" else {scheduler: 0.05}
        for ahead_s in (AHEAD_S, 3 * AHEAD_S):
            prefix = [*unshare(network=True, monotonic_s=ahead_s), *inside(doors, delayed)]
            made.worker(prefix=prefix, env={"PYTHONPATH": str(ROOT)})
        with outside(doors):
            made.ready()
            limits = parse("delivery.p99>60s"), parse("lost>0")
            result = load(stack, chat, made, SCENARIO, 3, limits=limits)
    assert ledger(result) == ledger(alone(stack, chat, SCENARIO, 1))
    assert (result.counts.lost, result.counts.unexpected) == (0, 0)
    assert result.cluster is not None
    machines, between = result.cluster.machines, result.cluster.between
    assert len(machines) == 3
    assert all(machine.checked for machine in machines)
    assert 0 < between.deliveries < result.counts.received
    assert between.median_ms is not None
    timed = result.latency["delivery"].count
    shown = "\n".join(result_lines(Output(), result.document()))
    if slow == "gateway":
        assert between.timed
        assert timed == result.counts.received
        assert 100 - between.bound_ms <= between.median_ms < 60_000
        assert "deliveries between them, timed within" in shown
    else:
        assert not between.timed
        assert between.bound_ms >= 100  # half of a round trip over each of two slow links
        assert timed == result.counts.received - between.deliveries
        assert {second.p50 for second in result.timeline} == {None}
        assert any("counted but not timed" in warning for warning in result.warnings)
        assert "counted but not timed" in shown
    assert all(threshold.measured is not None for threshold in result.thresholds)
