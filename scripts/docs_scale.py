"""The tables of docs/scale.md, worked out by the same code as `chatops loadtest --plan`."""

from dataclasses import replace

from chatops.load import raises, sizing
from chatops.load.cost import Prices
from chatops.load.preflight import AccountQuotas
from chatops.load.scale import Scale, scale
from chatops.load.scenario import Scenario, Spread
from chatops.load.target import QUOTA_SHARE
from chatops.render.loadtest import figure, per_second, span
from chatops.render.loadtest_scale import shell_lines

SIZES = (10_000, 100_000, 1_000_000)
REGION = "us-east-1"
SHARED = 5_000
LIVELY = Scenario(clients=1, warm_up_s=0.0, duration_s=3600.0)
QUIET = replace(LIVELY, spread=Spread.EVEN, posts_per_s=0.01)


def scaled(scenario: Scenario, clients: int, identities: int | None = None) -> Scale:
    """One column of a table, at AWS's default quotas."""
    whole = replace(scenario, clients=clients, identities=identities)
    return scale(whole, AccountQuotas(), prices=Prices(), region=REGION)


def scale_parts() -> dict[str, str]:
    """All generated parts of docs/scale.md."""
    return {
        "sizes": sizes(),
        "joining": joining(),
        "spreads": spreads(),
        "raises": raises_table(),
        "commands": commands(),
        "constants": constants(),
    }


def sizes() -> str:
    """What the quiet scenario takes."""
    found = [scaled(QUIET, clients) for clients in SIZES]
    shared = [scaled(QUIET, clients, SHARED) for clients in SIZES]
    machine = found[0].sizing.machine
    rows = [
        ("processes", [figure(each.sizing.processes) for each in found]),
        (
            f"machines of {machine.cores} cores, {machine.memory_gib:g} GiB",
            [figure(each.sizing.machines) for each in found],
        ),
        ("source addresses", [figure(each.sizing.source_addresses) for each in found]),
        ("memory of a machine", [f"{each.sizing.memory_mb_a_machine / 1000:.1f} GB" for each in found]),
        ("posts in", [per_second(replace(QUIET, clients=clients).offered_posts_per_s) for clients in SIZES]),
        ("deliveries out", [per_second(_chosen(each)) for each in found]),
        ("joining, fresh identities", [f"{span(each.join_s)} ({each.slowest})" for each in found]),
        (f"joining, `--identities {SHARED}`", [f"{span(each.join_s)} ({each.slowest})" for each in shared]),
        ("credentials renewed, fresh", [per_second(each.renewals_per_s) for each in found]),
        ("AWS, for the hour", [f"${each.hour.usd:,.2f}" for each in found]),
        ("of it connectivity", [f"${each.hour.connectivity_usd:,.2f}" for each in found]),
        ("the front, at most", [f"{each.sizing.front.cores:.2f} cores" for each in found]),
        ("to the front, at most", [f"{each.sizing.front.bytes_per_s / 1e6:,.1f} MB/s" for each in found]),
        ("memory of the front", [f"{each.sizing.front.memory_mb:,.0f} MB" for each in found]),
        (
            "quotas to be raised, fresh / shared",
            [f"{len(a.raises)} / {len(b.raises)}" for a, b in zip(found, shared, strict=True)],
        ),
    ]
    return _table(["guests", *(f"{clients:,}" for clients in SIZES)], [[name, *cells] for name, cells in rows])


def joining() -> str:
    """Each stage of the joining, at our pace and at the whole quota."""
    columns = [scaled(QUIET, clients).joining for clients in SIZES]
    rows = []
    for place, stage in enumerate(columns[0]):
        pace = f"{per_second(stage.pace)} of {per_second(stage.quota)}" if stage.quota else "300/s a process"
        times = [column[place] for column in columns]
        whole = [f" ({span(each.count / each.quota)})" if each.quota else "" for each in times]
        rows.append(
            [stage.name, pace, *(f"{span(each.seconds)}{more}" for each, more in zip(times, whole, strict=True))]
        )
    return _table(["stage", "pace", *(f"{clients:,}" for clients in SIZES)], rows)


def spreads() -> str:
    """What a post reaches, by spread, at the default rate."""
    rows = []
    for clients in SIZES:
        for spreading in scaled(LIVELY, clients).spreads:
            limit = "" if spreading.busiest_connection <= 100 else " (over 100)"
            rows.append(
                [
                    f"{clients:,}",
                    f"{spreading.spread}, {spreading.rooms:,}",
                    f"{spreading.fullest_room:,}",
                    per_second(spreading.deliveries),
                    per_second(spreading.busiest_connection) + limit,
                ]
            )
    return _table(["guests", "spread, rooms", "fullest room", "deliveries out", "one connection"], rows)


def raises_table() -> str:
    """What is to be raised, in order."""
    rows = []
    for clients in SIZES:
        for identities, words in ((None, "fresh"), (SHARED, f"{SHARED:,}")):
            found = scaled(QUIET, clients, identities).raises
            for place, each in enumerate(found, 1):
                needs = [figure(each.needed), figure(each.now), figure(each.desired), f"x {figure(each.times)}"]
                rows.append([f"{clients:,}", words, str(place), f"{each.words} `{each.code}`", *needs])
            if not found:
                rows.append([f"{clients:,}", words, "", "nothing", "", "", "", ""])
    return _table(["guests", "identities", "", "quota", "needs", "default", "ask for", ""], rows)


def commands() -> str:
    """How to ask, for a million with shared identities."""
    found = scaled(QUIET, SIZES[-1], SHARED).raises
    return "\n".join(line for each in found for line in shell_lines(each.command or "", "    "))


def constants() -> str:
    """What everything follows from."""
    a_process = f"{sizing.FRONT_S_A_PROCESS * 1e3:g} ms, {sizing.FRONT_BYTES_A_PROCESS / 1000:g} kB"
    a_room = f"{sizing.FRONT_S_A_ROOM * 1e6:g} µs, {sizing.FRONT_BYTES_A_ROOM} bytes"
    rows = [
        ("guests a process", figure(sizing.CLIENTS_A_PROCESS), "measured; the larger of these two needs decides"),
        ("deliveries a process", f"{figure(sizing.DELIVERIES_A_PROCESS)}/s", "measured"),
        ("connections a source address", figure(sizing.CONNECTIONS_AN_ADDRESS), "65,535 ports, some of them taken"),
        ("memory of a process", f"{sizing.BYTES_A_PROCESS / 1e6:.0f} MB", "measured, with ten guests"),
        ("memory of a guest in its process", f"{sizing.BYTES_A_CLIENT / 1024:.0f} KiB", "measured: 49 to 86, TLS"),
        ("memory of a guest in all processes", f"{sizing.BYTES_A_CLIENT_ELSEWHERE} bytes each", "measured"),
        ("CPU of a delivery", f"{sizing.CPU_A_DELIVERY_S * 1e6:.0f} µs", "measured: 19 to 39"),
        ("CPU of a connect", f"{sizing.CPU_A_CONNECT_S * 1e3:.0f} ms", "measured: 1.4 to 2, TLS"),
        ("part of a core", f"{sizing.WARN_CPU:.0%}", "above it, a generator warns of itself"),
        ("part of a machine's memory", f"{sizing.MEMORY_SHARE:.0%}", "our choice"),
        ("part of a quota", f"{QUOTA_SHARE:.0%}", "our choice; the rest is the account's own traffic"),
        ("everybody in within", span(raises.JOIN_GOAL_S), "our choice: half of the credentials' hour"),
        ("the front: a process's second", a_process, "measured"),
        ("the front: a room in it", a_room, "measured"),
        ("the front: a message handed on", f"{sizing.FRONT_S_A_MESSAGE * 1e6:g} µs", "measured on a pipe"),
        ("the front: memory of an identity", f"{sizing.FRONT_BYTES_AN_IDENTITY} bytes", "measured"),
        ("the front: memory of a room", f"{2 * sizing.FRONT_BYTES_A_TALLY} bytes", "measured, in two windows"),
        ("the front: memory of a second", f"{sizing.FRONT_BYTES_A_SECOND} bytes", "measured, packed"),
    ]
    return _table(["constant", "value", "where from"], [list(row) for row in rows])


def _chosen(found: Scale) -> float:
    return next(each.deliveries for each in found.spreads if each.chosen)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in [head, *rows]]
    return "\n".join([lines[0], f"|{'---|' * len(head)}", *lines[1:]])
