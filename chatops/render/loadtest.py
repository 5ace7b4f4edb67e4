"""A load test's progress and result, for people; 80 columns are enough."""

from collections.abc import Iterator

from chatops.load.generator import Verdict
from chatops.load.progress import Progress
from chatops.load.result import RunResult
from chatops.load.scenario import Scenario
from chatops.load.statistics import Percentiles
from chatops.render.output import Output

_STYLES = {Verdict.VALID: "1;32", Verdict.PARTIAL: "1;33", Verdict.NOT_VALID: "1;31"}
_LATENCIES = (
    ("delivery", "delivery, from due"),
    ("delivery_from_send", "delivery, from sent"),
    ("ack", "acknowledged, from due"),
)
_STAGES = (("identity", "identity"), ("credentials", "credentials"), ("connect", "connect"), ("subscribe", "subscribe"))


def scenario_line(scenario: Scenario) -> str:
    """What is about to happen, in one line."""
    return (
        f"{scenario.clients:,} guests in {scenario.room_count:,} rooms ({scenario.spread.value}), "
        f"{scenario.offered_posts_per_s:,.4g} posts/s, {scenario.offered_deliveries_per_s:,.4g} deliveries/s expected, "
        f"{scenario.warm_up_s + scenario.duration_s:g} s"
    )


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


def result_lines(out: Output, result: RunResult) -> Iterator[str]:
    """The figures of a run as lines for standard output."""
    counts, scenario = result.counts, result.scenario
    failed = f", {result.join_failed:,} failed" if result.join_failed else ""
    yield f"joined       {result.joined:,} of {scenario.clients:,} guests in {result.joined_in_s:.2f} s{failed}"
    yield (
        f"posts        {counts.due:,} due, {counts.sent:,} sent, {counts.acknowledged:,} acknowledged, "
        f"{counts.failed:,} failed"
    )
    yield (
        f"deliveries   {counts.expected:,} expected, {counts.received:,} received, {counts.lost:,} lost, "
        f"{counts.duplicate:,} duplicate, {counts.reordered:,} reordered"
    )
    yield ""
    yield f"{'':<24}{'p50':>9}{'p90':>9}{'p99':>9}{'p99.9':>9}{'max':>9}"
    for key, words in _LATENCIES:
        if key in result.latency:
            yield _row(words, result.latency[key])
    yield _row("join, whole", result.join)
    for key, words in _STAGES:
        if key in result.join_stages:
            yield _row(f"  {words}", result.join_stages[key])
    yield ""
    yield from _causes(result)
    health = result.health
    yield (
        f"generator    {health.cpu:.0%} of a core, timers {health.lag_ms_p99:.1f} ms late at p99, "
        f"{health.rss_mb:,.0f} MB"
    )
    yield f"cost         ${result.cost_metered:,.4f} metered, ${result.cost_predicted:,.4f} predicted (AWS, us-east-1)"
    yield from (f"warning      {warning}" for warning in result.warnings)
    verdict = out.styled(result.verdict.value, _STYLES[result.verdict])
    yield f"verdict      {verdict}{': ' + '; '.join(result.reasons) if result.reasons else ''}"


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


def _row(words: str, found: Percentiles) -> str:
    figures = (found.p50, found.p90, found.p99, found.p999, found.max)
    return f"{words:<24}" + "".join(f"{duration(figure):>9}" for figure in figures)


def _causes(result: RunResult) -> Iterator[str]:
    for kind, causes in result.failures.items():
        for cause, count in sorted(causes.items(), key=lambda item: -item[1])[:5]:
            yield f"failed       {count:,} x {kind}: {cause}"
