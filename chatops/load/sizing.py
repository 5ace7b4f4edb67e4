"""How many processes, machines and source addresses a load takes, and what its front has to carry.

Arithmetic on measured constants. All of them were measured on two cores over loopback, none on AWS: they say how many
machines to begin with, and the run's own verdict (`generator`) says whether these were enough.
"""

from dataclasses import dataclass
from math import ceil

from chatops.load.generator import WARN_CPU

CLIENTS_A_PROCESS = 2_000
DELIVERIES_A_PROCESS = 15_000
"""Per second. What one process does without being the bottleneck itself; `docs/loadtest.md` has the measurements."""

CONNECTIONS_AN_ADDRESS = 60_000
"""A source address has 65,535 ports towards one destination address and port, the lowest 1,024 reserved.

AWS's gateway has several addresses, which would allow for more; nobody can tell how many, so none of that is counted.
Linux uses 28,232 of the ports unless `net.ipv4.ip_local_port_range` says otherwise.
"""

BYTES_A_CLIENT = 86 * 1024
"""Memory of a TLS connection with a shared context: 49 to 86 KiB were measured, the larger counts."""

BYTES_A_PROCESS = 68 * 2**20
"""A process of a load test with ten guests (Python, awscrt, this program), as `generator.processes` reports it."""

BYTES_A_CLIENT_ELSEWHERE = 107
"""Each process knows room and role of every guest of the run: 107 MB were measured for a million."""

CPU_A_DELIVERY_S = 39e-6
"""19 to 39 µs of CPU were measured for a delivery, the larger counts."""

CPU_A_CONNECT_S = 2e-3
"""1.4 to 2 ms of CPU were measured for a connect with TLS, the larger counts."""

MEMORY_SHARE = 0.75
"""The part of a machine's memory that is planned with; the rest is the system's and its buffers'."""

FRONT_S_A_PROCESS = 0.5e-3
FRONT_S_A_ROOM = 4e-6
FRONT_S_A_MESSAGE = 10e-6
"""CPU of the front: for a process's second of counts, for each room in it, and to hand one message on.

Measured: reading and merging took 0.7 ms with 50 rooms and 4.1 ms with 1,000, a message into a pipe 9 µs.
"""

FRONT_BYTES_A_PROCESS = 9_500
FRONT_BYTES_A_ROOM = 88
FRONT_BYTES_A_POST = 32
"""A process's second of counts on the wire, each room in it, and a post reported to a process with receivers for it."""

FRONT_BYTES_AN_IDENTITY = 110
FRONT_BYTES_A_TALLY = 490
FRONT_BYTES_A_SECOND = 500
"""What the front remembers, as measured: each identity, to delete it; each room, in each of `_TALLIES_A_ROOM` windows;
each second of the run, packed."""

_TALLIES_A_ROOM = 2  # warm-up and steady

_HANDED_OVER_A_S = 4  # posts are handed over four times a second: `chatops.load.protocol.POSTS_S`


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine of the fleet, an assumption to be replaced: 8 cores with 2 GiB each, and one source address."""

    cores: int = 8
    memory_gib: float = 16.0


@dataclass(frozen=True, slots=True)
class Load:
    """What a fleet has to carry. Rates are per second, at the load's peak.

    Attributes:
        bytes_out: what all guests together receive, without TLS and TCP.
        seconds: how long the load lasts.
    """

    clients: int
    rooms: int
    posts: float
    deliveries: float
    bytes_out: float
    identities: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Front:
    """What the front of a run carries: it follows from processes, rooms and rates, and hardly from how long it lasts.

    Attributes:
        processes: each sends a second's counts every second.
        messages_per_s: reports of posts that it hands on, at most.
        bytes_per_s: what it receives, at most.
        cores: its CPU, at most; over `WARN_CPU` it may be the bottleneck.
        memory_mb: its own, with identities, rooms and seconds; a hundred thousand differences would be some 12 MB more.
    """

    processes: int
    messages_per_s: float
    bytes_per_s: float
    cores: float
    memory_mb: float


@dataclass(frozen=True, slots=True)
class Sizing:
    """The fleet for a load. Megabytes are of 1,000,000 bytes.

    Attributes:
        by_clients, by_deliveries: processes that either would take; the larger counts.
        machines: of the kind given, `decided_by` cores, memory or source addresses.
        source_addresses: at least so many; each machine is counted with one of its own.
        memory_mb_a_process, memory_mb_a_machine: with everybody connected.
        cpu_cores: what deliveries take of all cores together, at most.
        joins_per_s: how many guests the processes can connect.
        megabits_a_machine: what each machine receives per second, without TLS and TCP.
    """

    machine: Machine
    processes: int
    by_clients: int
    by_deliveries: int
    machines: int
    decided_by: str
    source_addresses: int
    memory_mb_a_process: float
    memory_mb_a_machine: float
    cpu_cores: float
    joins_per_s: float
    megabits_a_machine: float
    front: Front


def processes_needed(clients: int, deliveries_per_s: float) -> int:
    """How many processes these guests and deliveries take."""
    return max(1, ceil(clients / CLIENTS_A_PROCESS), ceil(deliveries_per_s / DELIVERIES_A_PROCESS))


def size(load: Load, machine: Machine) -> Sizing:
    """The fleet for a load; more guests, posts or deliveries never take fewer machines."""
    processes = processes_needed(load.clients, load.deliveries)
    memory = processes * (BYTES_A_PROCESS + load.clients * BYTES_A_CLIENT_ELSEWHERE) + load.clients * BYTES_A_CLIENT
    usable = MEMORY_SHARE * machine.memory_gib * 2**30
    addresses = ceil(load.clients / CONNECTIONS_AN_ADDRESS)
    wanted = {"cores": ceil(processes / machine.cores), "memory": ceil(memory / usable), "addresses": addresses}
    decided_by = max(wanted, key=wanted.__getitem__)
    machines = wanted[decided_by]
    return Sizing(
        machine=machine,
        processes=processes,
        by_clients=ceil(load.clients / CLIENTS_A_PROCESS),
        by_deliveries=ceil(load.deliveries / DELIVERIES_A_PROCESS),
        machines=machines,
        decided_by=decided_by,
        source_addresses=addresses,
        memory_mb_a_process=memory / processes / 1e6,
        memory_mb_a_machine=memory / machines / 1e6,
        cpu_cores=load.deliveries * CPU_A_DELIVERY_S,
        joins_per_s=processes * WARN_CPU / CPU_A_CONNECT_S,
        megabits_a_machine=load.bytes_out * 8 / machines / 1e6,
        front=_front(load, processes),
    )


def _front(load: Load, processes: int) -> Front:
    remembered = (
        load.identities * FRONT_BYTES_AN_IDENTITY
        + load.rooms * _TALLIES_A_ROOM * FRONT_BYTES_A_TALLY
        + load.seconds * FRONT_BYTES_A_SECOND
    )
    memory_mb = (BYTES_A_PROCESS + remembered) / 1e6
    if processes == 1:  # it is its own front
        return Front(1, 0.0, 0.0, 0.0, memory_mb)
    # A process tells of a room in which one of its guests heard something within the second.
    rooms = processes * min(load.rooms, load.clients / processes, load.deliveries / processes)
    # A post is reported once to each other process with receivers for it; those of a quarter second go together.
    receivers = load.deliveries / load.posts if load.posts else 0.0
    reports = load.posts * min(processes - 1, receivers)
    messages = min(reports, _HANDED_OVER_A_S * processes * (processes - 1))
    return Front(
        processes=processes,
        messages_per_s=messages,
        bytes_per_s=processes * FRONT_BYTES_A_PROCESS + rooms * FRONT_BYTES_A_ROOM + reports * FRONT_BYTES_A_POST,
        cores=processes * FRONT_S_A_PROCESS + rooms * FRONT_S_A_ROOM + messages * FRONT_S_A_MESSAGE,
        memory_mb=memory_mb,
    )
