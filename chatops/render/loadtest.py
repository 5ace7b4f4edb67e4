"""A load test's plan, progress and result, for people; 80 columns are enough.

A result is read from its JSON document, so that a recorded run is shown as a fresh one is.
"""

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from chatops.chat.text import safe_text
from chatops.load.generator import Verdict
from chatops.load.preflight import Preflight
from chatops.load.progress import Progress
from chatops.load.scenario import Scenario
from chatops.render.output import Output

_STYLES = {Verdict.VALID.value: "1;32", Verdict.PARTIAL.value: "1;33", Verdict.NOT_VALID.value: "1;31"}
_LATENCIES = (
    ("delivery", "delivery, from due"),
    ("delivery_from_send", "delivery, from sent"),
    ("ack", "acknowledged, from due"),
)
_PARTS = {"transport": "TCP, TLS", "upgrade": "WebSocket", "connack": "CONNACK"}
_WHOLE = {"post": " (whole run)"}  # the headline's posts are those of the steady window
_STAGES = ("identity", "credentials", "connect", "subscribe", "first_message")
_FIGURES = ("p50", "p90", "p99", "p999", "p9999", "max")
_WIDTH = 79


def scenario_line(scenario: Scenario) -> str:
    """What is about to happen, in one line; in two where the figures are very large."""
    seconds = scenario.warm_up_s + scenario.duration_s
    return textwrap.fill(
        f"{_count(scenario.clients, 'guest')} in {_count(scenario.room_count, 'room')} ({scenario.spread.value}), "
        f"{_rate(scenario.offered_posts_per_s, 'post', 'posts')}, "
        f"{_rate(scenario.offered_deliveries_per_s, 'delivery', 'deliveries')} expected, "
        f"{f'{seconds:.3g} s' if seconds < 1000 else span(seconds)}",
        _WIDTH,
    )


def plan_lines(plan: Preflight) -> Iterator[str]:
    """What a run will ask for."""
    quotas = plan.quotas

    def row(name: str, wanted: str, quota: float | None) -> str:
        return f"{name:<22} {wanted:>18}" + (f"   of {quota:,.0f}" if quota is not None else "")

    def pace(value: float | None) -> str:
        return "unpaced" if value is None else per_second(value)

    yield row("guests", f"{plan.clients:,}", quotas.connections)
    yield row("identities", f"{plan.identities:,}", None)
    yield row("rooms", f"{plan.rooms:,}", None)
    yield row("fullest room", f"{plan.fullest_room:,}", None)
    yield row("GetId", pace(plan.get_id), quotas.identities)
    yield row("connects", pace(plan.connects), quotas.connects)
    yield row("ramp", span(plan.ramp_s), None)
    yield row("load", span(plan.load_s), None)
    yield row("publishes in", pace(plan.publishes_in), quotas.publishes_in)
    yield row("publishes out", pace(plan.publishes_out), quotas.publishes_out)
    yield row("busiest connection", pace(plan.busiest_connection), 100 if quotas.per_connection else None)
    yield row("bytes out", f"{plan.bytes_out / 1024:,.0f} KiB/s", None)
    yield row("cost", f"${plan.cost_usd:,.4f}", None)
    yield from wrapped("quotas", [quotas.source])
    yield from wrapped("warning", plan.warnings)
    yield from wrapped("refused", plan.refusals)


def progress_line(progress: Progress) -> str:
    """How a run stands, in one line of at most 80 columns."""
    line = f"{progress.stage.value:<8} {progress.elapsed_s:5.1f} s  joined {progress.joined:,}"
    if progress.join_failed:
        line += f" (failed {progress.join_failed:,})"
    if progress.deliveries:
        line += f"  {progress.deliveries_per_s:,.0f} deliveries/s"
    if progress.p50_ms is not None and progress.p99_ms is not None:
        line += f"  p50 {duration(progress.p50_ms)} p99 {duration(progress.p99_ms)}"
    if progress.lost:
        line += f"  lost {progress.lost:,}"
    return line


def result_lines(out: Output, document: Mapping[str, Any]) -> Iterator[str]:
    """The figures of a run as lines for standard output."""
    clients, posts, deliveries = document["clients"], document["posts"], document["deliveries"]
    failed = f", {clients['failed']:,} failed" if clients["failed"] else ""
    joined = f"{clients['joined']:,} of {clients['asked']:,} guests"
    yield f"joined       {joined} in {document['join']['seconds']:.2f} s{failed}"
    yield (
        f"posts        {posts['due']:,} due, {posts['sent']:,} sent, {posts['acknowledged']:,} acknowledged, "
        f"{posts['failed']:,} failed"
    )
    yield (
        f"deliveries   {deliveries['expected']:,} expected, {deliveries['received']:,} received, "
        f"{deliveries['lost']:,} lost,"
    )
    yield f"             {deliveries['duplicate']:,} duplicate, {deliveries['reordered']:,} reordered" + "".join(
        f", {deliveries.get(name, 0):,} {words}"
        for name, words in (("late", "late"), ("ambiguous", "ambiguous"), ("unexpected", "unexpected"))
        if deliveries.get(name)
    )
    for name, words in (
        ("lost_at_disconnect", "at a lost connection"),
        ("lost_over_rate", "in seconds over 100 messages to a connection"),
    ):
        if deliveries.get(name):
            yield f"             {deliveries[name]:,} of the lost {words}"
    yield from _reconnects(document)
    yield from _expiry(document)
    yield from _drift(document)
    yield ""
    yield f"{'':<24}{'p50':>9}{'p90':>9}{'p99':>9}{'p99.9':>9}{'p99.99':>9}{'max':>9}"
    latency, stages = document["latency_ms"], document["join"].get("stages_ms", {})
    parts = document["join"].get("connect_parts_ms", {})
    for key, words in (*_LATENCIES, ("join", "join, whole")):
        if key in latency:
            yield _row(words, latency[key])
    for key in _STAGES:
        if key in stages:
            yield _row(f"  {key.replace('_', ' ')}", stages[key])
        if key == "connect":
            yield from (_row(f"    {_PARTS.get(part, part)}", found) for part, found in parts.items())
    yield ""
    yield from _causes(document)
    generator, cost = document["generator"], document["cost_usd"]
    yield (
        f"generator    {generator['cpu']:.0%} of a core, timers {generator['lag_ms_p99']:.1f} ms late at p99, "
        f"{generator['rss_mb']:,.0f} MB"
    )
    if len(generator.get("processes", ())) > 1:
        yield f"             (the busiest of {len(generator['processes'])} processes; the memory of all)"
    yield from _machines(document)
    yield f"cost         ${cost['metered']:,.4f} metered, ${cost['predicted']:,.4f} predicted (AWS, us-east-1)"
    yield from _thresholds(out, document)
    yield from wrapped("warning", document.get("warnings", ()))
    verdict = str(document["verdict"])
    yield f"verdict      {out.styled(safe_text(verdict), _STYLES.get(verdict, '1'))}"
    yield from wrapped("", document.get("reasons", ()))


def duration(milliseconds: float | None) -> str:
    """A duration in the unit that suits it."""
    if milliseconds is None:
        return "-"
    if milliseconds < 1:
        return f"{milliseconds * 1000:.0f} µs"
    if milliseconds < 100:
        return f"{milliseconds:.1f} ms"
    if milliseconds < 10_000:
        return f"{milliseconds:.0f} ms"
    return f"{milliseconds / 1000:.1f} s"


def figure(value: float) -> str:
    """A number with as many digits as matter."""
    for name, unit in (("billion", 1e9), ("million", 1e6)):
        if value >= 10 * unit:
            return f"{value / unit:,.0f} {name}" if value >= 1000 * unit else f"{value / unit:.4g} {name}"
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:,.3g}"


def per_second(value: float) -> str:
    """A rate with as many digits as matter."""
    if value >= 1000 or not value:
        return f"{figure(value)}/s"
    return f"{value:,.1f}/s" if value >= 1 else f"{value:,.2g}/s"


def span(seconds: float) -> str:
    """A time in the two units that suit it."""
    if seconds < 120:
        return f"{seconds:,.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60:,} h {minutes % 60} min"


def _row(words: str, found: Mapping[str, float | None]) -> str:
    return f"{words:<24}" + "".join(f"{duration(found.get(figure)):>9}" for figure in _FIGURES)


def _reconnects(document: Mapping[str, Any]) -> Iterator[str]:
    found = document.get("reconnects")
    if not found:
        return
    missed = document["deliveries"].get("missed", 0)
    yield f"came back    {found['returned']:,} of {found['left']:,} that left; {missed:,} deliveries missed meanwhile"
    storm = found["storm"]
    if storm["dropped"]:
        seconds = storm["seconds_until_99_percent_back"]
        words = "99 % were never back" if seconds is None else f"99 % were back after {seconds:.1f} s"
        yield f"storm        {storm['dropped']:,} dropped at once; {words}"


def _expiry(document: Mapping[str, Any]) -> Iterator[str]:
    found = (document.get("reconnects") or {}).get("expiry")
    if found and found["expired"]:
        seconds = found["seconds_until_99_percent_back"]
        words = "99 % were never back" if seconds is None else f"99 % were back after {seconds:.1f} s"
        yield f"expiry       {found['renewed']:,} of {found['expired']:,} got new credentials; {words}"


def _drift(document: Mapping[str, Any]) -> Iterator[str]:
    found = document.get("drift")
    if found and found["drifted"]:
        yield f"drift        {'; '.join(found['drifted'])}"


def _thresholds(out: Output, document: Mapping[str, Any]) -> Iterator[str]:
    for each in document.get("thresholds", ()):
        word = out.styled("held", "32") if each["held"] else out.styled("NOT KEPT", "1;31")
        measured = each["measured"]
        figure = "not measured" if measured is None else f"measured {measured:,.4g}"
        yield f"threshold    {word}: {safe_text(str(each['expression']))} ({figure})"


def _machines(document: Mapping[str, Any]) -> Iterator[str]:
    """Where the engines of a run on a cluster were."""
    cluster = document.get("cluster")
    if not cluster:
        return
    machines, between = cluster["machines"], cluster["between_machines"]
    engines = sum(len(carried) for machine in machines for carried in machine["workers"].values())
    yield safe_text(f"machines     {_count(engines, 'engine')} on {_count(len(machines), 'machine')}")
    if between["deliveries"] and between["timed"]:
        words = f"{between['deliveries']:,} deliveries between them, timed within {between['clock_error_ms']:.2g} ms"
        yield f"             {words}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _rate(value: float, one: str, several: str) -> str:
    return f"{figure(value)} {one if value == 1 else several}/s"


def _causes(document: Mapping[str, Any]) -> Iterator[str]:
    for kind, causes in document["failures"].items():
        for cause, count in sorted(causes.items(), key=lambda item: -item[1])[:5]:
            yield f"failed       {count:,} x {safe_text(kind)}: {safe_text(cause)}{_WHOLE.get(kind, '')}"


def wrapped(name: str, texts: Iterable[Any]) -> Iterator[str]:
    """Sentences beside a name, within the width."""
    for text in texts:
        yield from textwrap.wrap(safe_text(str(text)), _WIDTH, initial_indent=f"{name:<13}", subsequent_indent=" " * 13)
