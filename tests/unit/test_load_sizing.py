"""Sizing: hand-calculated fleets, and that more load never takes less of anything."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatops.load.processes import processes_for
from chatops.load.scenario import Scenario, Spread
from chatops.load.sizing import Load, Machine, processes_needed, size

LOADS = st.builds(
    Load,
    clients=st.integers(1, 5_000_000),
    rooms=st.integers(1, 5_000_000),
    posts=st.floats(0, 1e6),
    deliveries=st.floats(0, 1e9),
    bytes_out=st.floats(0, 1e12),
    identities=st.integers(1, 5_000_000),
    seconds=st.floats(0, 86_400),
)
MACHINES = st.builds(Machine, cores=st.integers(1, 256), memory_gib=st.floats(0.5, 1024))


def load(clients: int, *, posts: float = 0.0, deliveries: float = 0.0, rooms: int = 1) -> Load:
    return Load(clients, rooms, posts, deliveries, deliveries * 300, clients, 3600.0)


def test_a_million_guests_who_hardly_talk() -> None:
    found = size(load(1_000_000, posts=10_000.0, deliveries=100_000.0, rooms=100_000), Machine())
    assert (found.processes, found.by_clients, found.by_deliveries) == (500, 500, 7)
    assert (found.machines, found.decided_by) == (63, "cores")  # 500 / 8, rounded up
    assert found.source_addresses == 17  # 1,000,000 / 60,000, rounded up
    assert found.memory_mb_a_process == pytest.approx(68 * 1.048576 + 107 + 2000 * 86 * 1024 / 1e6)
    assert found.cpu_cores == pytest.approx(3.9)
    assert found.joins_per_s == pytest.approx(500 * 0.6 / 0.002)
    assert found.megabits_a_machine == pytest.approx(100_000 * 300 * 8 / 63 / 1e6)
    front = found.front
    # Ten hear each post, in nine other processes at most; 200 rooms of a process have a post in any one second.
    assert front.messages_per_s == pytest.approx(100_000)
    assert front.cores == pytest.approx(500 * 0.0005 + 500 * 200 * 4e-6 + 100_000 * 10e-6)
    assert front.bytes_per_s == pytest.approx(500 * 9_500 + 500 * 200 * 88 + 100_000 * 32)
    assert front.memory_mb == pytest.approx(68 * 1.048576 + 110 + 100_000 * 2 * 490 / 1e6 + 3600 * 500 / 1e6)


@pytest.mark.parametrize(
    ("clients", "deliveries", "processes"),
    [(1, 0.0, 1), (2_000, 15_000.0, 1), (2_001, 0.0, 2), (1, 15_000.1, 2), (10_000, 293_378.2, 20)],
)
def test_a_process_takes_2000_guests_or_15000_deliveries(clients: int, deliveries: float, processes: int) -> None:
    assert processes_needed(clients, deliveries) == processes


@pytest.mark.parametrize(
    ("clients", "machine", "machines", "decided_by"),
    [
        (10_000, Machine(4, 16), 2, "cores"),  # five processes
        (10_000, Machine(64, 0.5), 4, "memory"),  # 5 times 72.4 MB and 880.6 MB, of 402.7 MB a machine
        (240_000, Machine(1024, 1024), 4, "addresses"),  # 120 processes, and 60,000 connections each
    ],
)
def test_what_decides_how_many_machines(clients: int, machine: Machine, machines: int, decided_by: str) -> None:
    found = size(load(clients), machine)
    assert (found.machines, found.decided_by) == (machines, decided_by)


def test_one_process_has_no_front_to_report_to() -> None:
    front = size(load(100, posts=100.0, deliveries=1000.0), Machine()).front
    assert (front.cores, front.bytes_per_s, front.messages_per_s) == (0, 0, 0)


def test_reports_of_posts_are_bounded_by_pairs_of_processes() -> None:
    # One room of 6,000 in three processes: each quarter second, each process writes to two others.
    front = size(load(6_000, posts=1_000.0, deliveries=40_000.0), Machine()).front
    assert front.messages_per_s == 4 * 3 * 2
    assert front.bytes_per_s == pytest.approx(3 * 9_500 + 3 * 1 * 88 + 1_000 * 2 * 32)


@given(LOADS, MACHINES, st.integers(1, 1_000_000), st.floats(0, 1e9))
@settings(max_examples=300)
def test_more_load_never_takes_fewer_machines(before: Load, machine: Machine, guests: int, deliveries: float) -> None:
    after = Load(
        before.clients + guests,
        before.rooms,
        before.posts,
        before.deliveries + deliveries,
        before.bytes_out,
        before.identities,
        before.seconds,
    )
    less, more = size(before, machine), size(after, machine)
    for name in ("processes", "machines", "source_addresses", "cpu_cores", "joins_per_s"):
        assert getattr(less, name) <= getattr(more, name)
    assert less.machines * machine.cores >= less.processes
    assert less.machines >= less.source_addresses
    assert less.machines * machine.memory_gib * 2**30 / 1e6 >= less.machines * less.memory_mb_a_machine


@given(LOADS, st.integers(1, 128), st.integers(0, 128), st.floats(1, 512), st.floats(0, 512))
def test_larger_machines_are_never_more_of_them(
    found: Load, cores: int, more_cores: int, memory: float, more_memory: float
) -> None:
    larger = size(found, Machine(cores + more_cores, memory + more_memory))
    assert larger.machines <= size(found, Machine(cores, memory)).machines


@given(st.integers(1, 200_000), st.integers(0, 100_000), st.sampled_from([Spread.EVEN, Spread.ONE]))
def test_more_guests_in_the_same_rooms_never_take_fewer_processes(clients: int, more: int, spread: Spread) -> None:
    rooms = 1 if spread is Spread.ONE else min(clients, 50)
    fewer = Scenario(clients=clients, rooms=rooms, spread=spread, posts_per_s=0.001)
    larger = Scenario(clients=clients + more, rooms=rooms, spread=spread, posts_per_s=0.001)
    assert processes_for(fewer, 10**9) <= processes_for(larger, 10**9)
