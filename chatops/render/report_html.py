"""The HTML report of a run: one file, no network, no script; light and dark by the reader's setting.

Everything that a gateway, an environment or a room name could have put into the run is escaped, and a content policy
in the page forbids it to load or run anything.
"""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from chatops.chat.text import safe_text
from chatops.load.distribution import Distribution
from chatops.load.generator import INVALID_LAG_MS, WARN_CPU, Verdict
from chatops.load.run_folder import distribution_of
from chatops.render.loadtest import duration
from chatops.render.report_svg import Axis, Series, bar_chart, line_chart

_MOST_ROOMS = 200
_SHORT = 26  # characters: a room of a load test, a figure with its unit
_PERCENTS = (0.0, 10, 25, 50, 75, 90, 95, 97.5, 99, 99.5, 99.75, 99.9, 99.95, 99.99, 99.995, 99.999)
_TICKS = (0.0, 50, 90, 99, 99.9, 99.99, 99.999)
_CURVES = (
    ("delivery", "delivery, from due"),
    ("delivery_from_send", "delivery, from sent"),
    ("ack", "acknowledged, from due"),
)
_MOODS = {Verdict.VALID.value: "good", Verdict.PARTIAL.value: "warn", Verdict.NOT_VALID.value: "bad"}
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_SECONDS = Axis("seconds since the load began", lambda value: f"{value:g}")
_TIME = Axis("latency", duration, logarithmic=True)
_RATE = Axis("per second", lambda value: f"{value:,.0f}")


def report_page(document: Mapping[str, Any]) -> str:
    """The page of a run's document."""
    timeline = [row for row in document.get("timeline", ()) if isinstance(row, Mapping)]
    sections = (
        _head(document),
        _tiles(document),
        _section("Thresholds", _thresholds(document)),
        _section("How guests joined", _funnel(document)),
        _section("Latency over time", _latency_over_time(timeline)),
        _section("Latency distribution", _distribution(document)),
        _section("Latency", _latency_table(document)),
        _section("Posts and deliveries over time", _rates(timeline)),
        _section("Where every delivery went", _ledger(document)),
        _section("Came back", _reconnects(document)),
        _section("Failures and disconnects", _failures(document)),
        _section("The generator itself", _health(document)),
        _section("Machines", _machines(document)),
        _section("Cost", _cost(document)),
        _section("Rooms", _rooms(document)),
        _section("The run", _about(document)),
    )
    style = files("chatops.render").joinpath("report_style.css").read_text(encoding="utf-8")
    title = _text(f"Load test {document.get('run', '')}")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{style}</style></head>\n'
        f"<body>{''.join(sections)}</body></html>\n"
    )


def _text(value: object) -> str:
    return escape(safe_text(str(value)))


def _section(title: str, content: str) -> str:
    return f"<section><h2>{_text(title)}</h2>{content}</section>\n" if content else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are HTML already. Short ones are never broken: a table that is too wide scrolls within its box."""
    heads = "".join(
        f'<th class="n">{_text(name)}</th>' if len(name) <= _SHORT else f"<th>{_text(name)}</th>" for name in head
    )
    body = "".join(
        f"<tr>{''.join(f'<td class=n>{cell}</td>' if len(cell) <= _SHORT else f'<td>{cell}</td>' for cell in row)}</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><tr>{heads}</tr>{body}</table></div>'


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else _text(value)


def _head(document: Mapping[str, Any]) -> str:
    verdict = str(document.get("verdict"))
    reasons = "".join(f"<p>{_text(reason)}</p>" for reason in document.get("reasons", ()))
    warnings = "".join(f'<p class="dim">warning: {_text(warning)}</p>' for warning in document.get("warnings", ()))
    where = document.get("environment", {})
    started = float(document.get("started_at") or 0)
    when = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(started))
    return (
        f"<h1>Load test {_text(document.get('run', ''))}</h1>"
        f'<p class="dim">{when}, environment {_text(where.get("name", "?"))}, {_text(where.get("gateway", "?"))}, '
        f"{_text(where.get('region', '?'))}</p>"
        f'<div class="verdict {_MOODS.get(verdict, "warn")}"><b>{_text(verdict)}</b>{reasons}{warnings}</div>'
    )


def _tiles(document: Mapping[str, Any]) -> str:
    clients, deliveries = document["clients"], document["deliveries"]
    delivery = document["latency_ms"].get("delivery", {})
    tiles = (
        (f"{clients['joined']:,}", f"of {clients['asked']:,} guests joined"),
        (f"{deliveries['received']:,}", f"of {deliveries['expected']:,} deliveries"),
        (f"{deliveries['lost']:,}", "lost"),
        (duration(delivery.get("p50")), "delivery, p50 from due"),
        (duration(delivery.get("p99")), "delivery, p99 from due"),
        (f"${document['cost_usd']['metered']:,.4f}", "metered"),
    )
    return (
        '<div class="tiles">'
        + "".join(f"<div><b>{_text(figure)}</b>{_text(words)}</div>" for figure, words in tiles)
        + "</div>"
    )


def _thresholds(document: Mapping[str, Any]) -> str:
    rows = []
    for each in document.get("thresholds", ()):
        mood, word = ("good", "held") if each["held"] else ("bad", "not kept")
        measured = "not measured" if each["measured"] is None else f"{each['measured']:,.4g}"
        rows.append((_text(each["expression"]), _text(measured), f'<span class="{mood}">{word}</span>'))
    return _table(("fails when", "measured", ""), rows) if rows else ""


def _funnel(document: Mapping[str, Any]) -> str:
    """How many guests passed each stage."""
    left = int(document["clients"]["asked"])
    failures = document["failures"].get("join", {})
    stages = document["join"].get("stages_ms", {})
    rows: list[tuple[str, float, str]] = [("asked", float(left), f"{left:,}")]
    for stage in ("identity", "credentials", "connect", "subscribe"):
        left -= sum(count for cause, count in failures.items() if str(cause).startswith(f"{stage}:"))
        found = stages.get(stage, {})
        words = f"{left:,}   p50 {duration(found.get('p50'))}, p99 {duration(found.get('p99'))}"
        rows.append((stage, float(max(0, left)), words))
    joined = document["clients"]["joined"]
    rows.append(("joined", float(joined), f"{joined:,} in {document['join']['seconds']:.2f} s"))
    first = stages.get("first_message", {})
    heard = f"First message: p50 {duration(first.get('p50'))}, p99 {duration(first.get('p99'))} after the load began."
    return f'{bar_chart(rows)}<p class="dim">{_text(heard)}</p>{_connect_parts(document["join"])}'


def _connect_parts(join: Mapping[str, Any]) -> str:
    """What a connect is made of, as far as connects were taken apart."""
    parts, probes = join.get("connect_parts_ms", {}), join.get("probes")
    if not parts or not probes:
        return ""
    words = {"transport": "TCP and TLS", "upgrade": "upgrade to WebSocket", "connack": "CONNECT to CONNACK"}
    rows = [
        (_text(words.get(part, part)), *(_text(duration(found.get(key))) for key in ("p50", "p90", "max")))
        for part, found in parts.items()
    ]
    said = f"A connect taken apart, on {probes:,} connections made beside the guests' own:"
    return f'<p class="dim">{_text(said)}</p>{_table(("", "p50", "p90", "max"), rows)}'


def _latency_over_time(timeline: Sequence[Mapping[str, Any]]) -> str:
    series = [
        Series(words, [(float(row["second"]), row[key]) for row in timeline])
        for key, words in (("p50", "p50"), ("p99", "p99"), ("max", "max"))
    ]
    return line_chart(series, _SECONDS, _TIME)


def _distribution(document: Mapping[str, Any]) -> str:
    """Percentiles on a scale on which each nine takes as much room as the one before."""
    series = []
    for name, words in _CURVES:
        found = distribution_of(document, name)
        if found is not None and found.count:
            series.append(Series(words, _curve(found)))
    furthest = max((x for each in series for x, _ in each.points), default=0.0)
    shown = [percent for percent in _TICKS if percent <= 90 or _nines(percent) < furthest + 1]
    ticks = tuple(_nines(percent) for percent in shown)
    labels = dict(zip(ticks, shown, strict=True))
    axis = Axis("percentile", lambda value: f"{labels.get(value, 0):g} %", ticks=ticks)
    return line_chart(series, axis, _TIME)


def _curve(found: Distribution) -> list[tuple[float, float | None]]:
    count = found.count
    percents = [percent for percent in _PERCENTS if percent == 0 or count * (1 - percent / 100) >= 1]
    return [(_nines(percent), found.percentile_ms(percent)) for percent in percents]


def _nines(percent: float) -> float:
    return -math.log10(1 - percent / 100)


def _latency_table(document: Mapping[str, Any]) -> str:
    rows = [
        (
            _text(name.replace("_", " ")),
            *(_text(duration(found.get(key))) for key in ("p50", "p90", "p99", "p999", "p9999", "max")),
        )
        for name, found in document["latency_ms"].items()
    ]
    return _table(("", "p50", "p90", "p99", "p99.9", "p99.99", "max"), rows)


def _rates(timeline: Sequence[Mapping[str, Any]]) -> str:
    series = [
        Series(words, [(float(row["second"]), float(row[key])) for row in timeline])
        for key, words in (("deliveries", "deliveries"), ("due", "posts due"), ("failed", "posts failed"))
    ]
    return line_chart(series, _SECONDS, _RATE, filled=True)


def _ledger(document: Mapping[str, Any]) -> str:
    words = {
        "expected": "expected: subscribed all the time from due to acknowledged",
        "received": "received",
        "lost": "lost",
        "lost_at_disconnect": "of these, at a lost connection",
        "lost_over_rate": "of these, in a second with over 100 messages to a connection",
        "late": "late: after they had been given up",
        "duplicate": "duplicate (allowed at QoS 1)",
        "reordered": "reordered within a sender",
        "ambiguous": "ambiguous: the receiver came or went meanwhile",
        "ambiguous_received": "of these, received",
        "missed": "missed by those who were away",
        "unacknowledged_received": "received though the post was never acknowledged",
        "unexpected": "unexpected: wrong room or run, or not subscribed",
    }
    deliveries = document["deliveries"]
    rows = [(_text(text), _number(deliveries.get(name, 0))) for name, text in words.items() if name in deliveries]
    posts = document["posts"]
    head = ", ".join(f"{posts[name]:,} {name}" for name in ("due", "sent", "acknowledged", "failed"))
    return f"<p>Posts: {_text(head)}.</p>{_table(('deliveries', ''), rows)}"


def _reconnects(document: Mapping[str, Any]) -> str:
    found = document.get("reconnects")
    if not found:
        return ""
    storm, took = found["storm"], found["took_ms"]
    seconds = storm["seconds_until_99_percent_back"]
    rows = [
        ("left", _number(found["left"])),
        ("came back", _number(found["returned"])),
        ("coming back took, p50 and p99", _text(f"{duration(took.get('p50'))}, {duration(took.get('p99'))}")),
        ("dropped by the storm", _number(storm["dropped"])),
        ("until 99 % of them were back", "-" if seconds is None else _text(f"{seconds:.1f} s")),
    ]
    expiry = found.get("expiry") or {"expired": 0}
    if expiry["expired"]:
        back = expiry["seconds_until_99_percent_back"]
        rows += [
            ("credentials expired", _number(expiry["expired"])),
            ("got new ones", _number(expiry["renewed"])),
            ("until 99 % of them were back", "-" if back is None else _text(f"{back:.1f} s")),
        ]
    return _table(("", ""), rows)


def _failures(document: Mapping[str, Any]) -> str:
    rows = [
        (_text(kind), _text(cause), _number(count))
        for kind, causes in document["failures"].items()
        for cause, count in sorted(causes.items(), key=lambda item: -item[1])
    ]
    return _table(("what", "cause", "how often"), rows) if rows else '<p class="none">None.</p>'


def _health(document: Mapping[str, Any]) -> str:
    found = document["generator"]
    rows = [
        ("CPU, of one core", _text(f"{found['cpu']:.0%}"), f"warns over {WARN_CPU:.0%}"),
        ("timers late, p99", _text(duration(found["lag_ms_p99"])), f"invalid over {INVALID_LAG_MS:g} ms"),
        ("posts late, p99", _text(duration(found.get("slip_ms_p99"))), "invalid over 20 ms"),
        ("waiting for the books, at most", _text(f"{found.get('queue_max', 0):,} deliveries"), ""),
        ("memory", _text(f"{found['rss_mb']:,.0f} MB"), ""),
    ]
    processes = found.get("processes", ())
    if len(processes) > 1:
        rows += [
            (
                f"process {index}",
                _text(
                    f"{each['cpu']:.0%} CPU, timers {duration(each['lag_ms_p99'])} late, "
                    f"posts {duration(each['slip_ms_p99'])} late, {each['rss_mb']:,.0f} MB"
                ),
                "",
            )
            for index, each in enumerate(processes)
        ]
    return _table(("", "", ""), rows)


def _machines(document: Mapping[str, Any]) -> str:
    """Where the engines of a run on a cluster were, and how well their clocks agree."""
    cluster = document.get("cluster")
    if not cluster:
        return ""
    rows = [
        (
            _text(machine["host"]),
            _text(", ".join(machine["workers"])),
            _text(", ".join(str(engine) for carried in machine["workers"].values() for engine in carried)),
            _text(f"{machine['clock_error_ms']:.3g} ms" + ("" if machine["clock_checked_again"] else ", read once")),
        )
        for machine in cluster["machines"]
    ]
    between = cluster["between_machines"]
    words = f"{between['deliveries']:,} deliveries went between machines"
    if between["deliveries"]:
        words += " and are timed" if between["timed"] else ", are counted, and are not timed"
        words += f": two clocks agree within {between['clock_error_ms']:.3g} ms, their median is "
        words += duration(between["median_ms"])
    return (
        f"<p>Scheduler {_text(cluster['scheduler'])}. {_text(words)}.</p>"
        f"{_table(('machine', 'workers', 'engines', 'clock wrong by at most'), rows)}"
    )


def _cost(document: Mapping[str, Any]) -> str:
    found, usage = document["cost_usd"], document.get("usage", {})
    rows = []
    for name in ("predicted", "metered"):
        meters = usage.get(name, {})
        counts = (_number(meters.get(key, "")) for key in ("messages", "minutes"))
        rows.append((name, *counts, _text(f"${found[name]:,.4f}")))
    return _table(("AWS IoT Core, us-east-1", "messages of 5 KB", "connection minutes", "cost"), rows)


def _rooms(document: Mapping[str, Any]) -> str:
    rooms = [room for room in document.get("rooms", ()) if isinstance(room, Mapping)]
    worst = sorted(rooms, key=lambda room: (-room["lost"], -room["people"]))[:_MOST_ROOMS]
    if not worst:
        return ""
    columns = ("people", "expected", "received", "lost", "duplicate", "reordered")
    rows = [(_text(room["room"]), *(_number(room[name]) for name in columns)) for room in worst]
    more = f'<p class="dim">and {len(rooms) - len(worst):,} more</p>' if len(rooms) > len(worst) else ""
    count = f"{len(rooms):,} rooms, those with losses and the fullest first"
    return f"<details open><summary>{_text(count)}</summary>{_table(('room', *columns), rows)}{more}</details>"


def _about(document: Mapping[str, Any]) -> str:
    parts = {**document.get("made_with", {}), **{f"scenario: {k}": v for k, v in document["scenario"].items()}}
    events = document.get("events")
    if events:
        parts["events"] = ", ".join(f"{count:,} {name}" for name, count in events["rows"].items())
        parts["events are complete"] = "yes" if events["complete"] else f"no: {events['problem']}"
    rows = [(_text(name), _text(value)) for name, value in parts.items() if value not in (None, [], ())]
    return f"<details><summary>scenario, versions, machine</summary>{_table(('', ''), rows)}</details>"
