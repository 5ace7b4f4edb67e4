"""What a load test takes on AWS, for people; 80 columns are enough."""

import re
from collections.abc import Iterator

from chatops.load.raises import Fitting, Limit, Raise, plain
from chatops.load.scale import Scale, Spreading, Stage
from chatops.load.sizing import CONNECTIONS_AN_ADDRESS
from chatops.load.target import QUOTA_SHARE
from chatops.render.loadtest import figure, per_second, span, wrapped

_WIDTH = 79
_BEFORE_OPTION = re.compile(r" (?=--)")


def scale_lines(found: Scale) -> Iterator[str]:
    """All of it, under headings."""
    yield from wrapped("on AWS", [f"what follows is held against {found.quotas.source}"])
    yield ""
    yield "machines"
    yield from _machines(found)
    yield ""
    yield f"joining, paced at {QUOTA_SHARE:g} of the quotas"
    for stage in found.joining:
        yield _stage(stage, slowest=stage.name == found.slowest)
    if found.renewals_per_s:
        yield f"  {'then, renewed credentials':<39}{per_second(found.renewals_per_s):>16}"
    yield ""
    yield f"deliveries, by spread{'out':>21}{'fullest room':>16}{'a connection':>16}"
    for spreading in found.spreads:
        yield _spreading(spreading)
    yield ""
    yield "an hour at this rate"
    yield from _row("AWS", f"${found.hour.usd:,.2f}", f"${found.hour.messages_usd:,.2f} for messages")
    yield from _row("machines", f"{figure(found.hour.machine_hours)} h", "at their own price")
    yield ""
    yield "what AWS raises for nobody"
    for limit in found.limits:
        yield from _limit(limit)
    yield ""
    yield from _raises(found)
    if found.notes:
        yield ""
        yield from wrapped("note", found.notes)


def shell_lines(command: str, indent: str) -> Iterator[str]:
    """A command over several lines, broken before options, to be copied as it stands."""
    line = indent
    for part in _BEFORE_OPTION.split(command):
        if len(line) + len(part) + 3 > _WIDTH and line.strip():
            yield f"{line} \\"
            line = indent + "  "
        line += part if not line.strip() else f" {part}"
    yield line


def _row(name: str, value: str, more: str) -> Iterator[str]:
    yield from _fitted(f"  {name:<17} {value:>16}   {more}", 38)


def _fitted(line: str, indent: int) -> Iterator[str]:
    """A line, or several when it is too long."""
    if len(line) <= _WIDTH:
        yield line
        return
    end = line.rindex(" ", indent, _WIDTH)
    yield line[:end]
    yield from _fitted(" " * indent + line[end + 1 :], indent)


def _machines(found: Scale) -> Iterator[str]:
    sizing = found.sizing
    machine, front = sizing.machine, sizing.front
    kind = f"{machine.cores} cores, {machine.memory_gib:g} GiB; decided by {sizing.decided_by}"
    yield from _row("machines", figure(sizing.machines), kind)
    needs = f"for guests {figure(sizing.by_clients)}, for deliveries {figure(sizing.by_deliveries)}"
    yield from _row("processes", figure(sizing.processes), needs)
    yield from _row("source addresses", figure(sizing.source_addresses), f"{CONNECTIONS_AN_ADDRESS:,} connections each")
    process = f"a machine; {sizing.memory_mb_a_process:,.0f} MB a process"
    yield from _row("memory", f"{sizing.memory_mb_a_machine / 1000:,.1f} GB", process)
    yield from _row("received", f"{figure(sizing.megabits_a_machine)} Mbit/s", "a machine, without TLS and TCP")
    if front.processes > 1:
        traffic = f"{figure(front.bytes_per_s / 1e6)} MB/s, {figure(front.messages_per_s)} messages/s"
        yield from _row("front, at most", f"{front.cores:,.2f} cores", traffic)
        yield from _row("front's memory", f"{front.memory_mb / 1000:,.1f} GB", "identities, rooms and seconds in it")


def _stage(stage: Stage, *, slowest: bool) -> str:
    words = f"  {stage.name:<26}{stage.count:>10,} at{per_second(stage.pace):>16}{span(stage.seconds):>12}"
    return words + (" (slowest)" if slowest else "")


def _spreading(found: Spreading) -> str:
    name = f"{found.spread}, {found.rooms:,} room" + ("s" if found.rooms != 1 else "")
    marked = " (this)" if found.chosen else ""
    return (
        f"  {name:<23}{per_second(found.deliveries):>17}{found.fullest_room:>16,}"
        f"{per_second(found.busiest_connection):>13}{marked}"
    )


def _limit(limit: Limit) -> Iterator[str]:
    mark = "" if limit.held else "  EXCEEDED"
    yield f"  {limit.words:<35} {limit.code} {figure(limit.needed):>9} of {limit.most:,.0f}{mark}"
    if not limit.held:
        yield from wrapped("  instead", [limit.change])


def _ways(fits: Fitting) -> list[str]:
    ways = []
    if fits.rate_for_account is not None:
        ways.append(f"{fits.option} {plain(fits.rate_for_account)}")
    if fits.rooms_for_account is not None:
        ways.append(f"--spread even --rooms {fits.rooms_for_account}")
    return ways


def _raises(found: Scale) -> Iterator[str]:
    if not found.raises:
        yield "nothing has to be raised"
        return
    yield "to be raised, in this order: the first breaks first as guests are added"
    if not all(limit.held for limit in found.limits):
        yield "(change the scenario first: these are the figures of this one)"
    for place, each in enumerate(found.raises, 1):
        yield from _raise(place, each)
    ways = _ways(found.fitting)
    if ways:
        yield from wrapped("  or instead", [f"{', or '.join(ways)}, to publish within the quotas as they are"])


def _raise(place: int, each: Raise) -> Iterator[str]:
    times = figure(each.times)
    yield from _fitted(f"  {place}. {each.words}: needs {figure(each.needed)} of {figure(each.now)} (x {times})", 5)
    if each.command is None:
        yield "    more than Service Quotas can be asked for"
    else:
        yield from shell_lines(each.command, "    ")
