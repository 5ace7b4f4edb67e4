"""`chatops loadtest --find-limit`: several runs, one answer."""

import dataclasses
from typing import TYPE_CHECKING

import typer

from chatops.cli.loadtest_run import Request
from chatops.cli.loadtest_series import Series
from chatops.cli.loadtest_target import say_who_stays
from chatops.errors import ExitCode, ThresholdError, UsageError
from chatops.render.output import Output

if TYPE_CHECKING:
    from chatops.load.find_limit import Found, Probe
    from chatops.load.result import RunResult


def search(request: Request) -> None:
    """Find and show the largest load that keeps the limits, with the scenario's own as the first.

    Raises:
        UsageError: there is nothing that could break, or nothing to step up.
        ThresholdError: not even the first load held.
    """
    from chatops.load.find_limit import Probe, ended, find_limit

    if not request.limits:
        raise UsageError(
            "--find-limit has nothing to watch", "say what must not happen: --fail-on 'delivery.p99>250ms'"
        )
    if not request.scenario.offered_posts_per_s:
        raise UsageError("Nobody posts in this scenario", "give --rate or --total-rate")
    say_who_stays(request.out, request.place, request.scenario)
    series = Series(dataclasses.replace(request, abort=False))

    made: list[Probe] = []

    def probe(posts_per_s: float) -> "Probe":
        made.append(_step(request, series, posts_per_s))
        return made[-1]

    try:
        found = find_limit(probe, request.scenario.offered_posts_per_s)
    except KeyboardInterrupt:
        series.interrupted = True
        found = ended(made)
    finally:
        series.discard()
    _show(request.out, found)
    _end(found, interrupted=series.interrupted)


def _step(request: Request, series: Series, posts_per_s: float) -> "Probe":
    from chatops.load.find_limit import Outcome, Probe

    scenario = dataclasses.replace(request.scenario, total_posts_per_s=posts_per_s)
    deliveries = scenario.offered_deliveries_per_s
    if series.interrupted:
        return Probe(posts_per_s, deliveries, Outcome.ENDED, "interrupted")
    plan = series.plan(scenario)
    if plan.refusals and not request.force:
        return Probe(posts_per_s, deliveries, Outcome.REFUSED, plan.refusals[0])
    return _judged(posts_per_s, deliveries, series.run(scenario, plan))


def _judged(posts_per_s: float, deliveries: float, result: "RunResult") -> "Probe":
    from chatops.load.find_limit import Outcome, Probe
    from chatops.load.generator import Verdict

    p99 = result.latency["delivery"].p99
    if result.interrupted:
        return Probe(posts_per_s, deliveries, Outcome.ENDED, "interrupted", p99)
    if result.verdict is Verdict.NOT_VALID:
        return Probe(posts_per_s, deliveries, Outcome.NOT_VALID, result.reasons[0], p99)
    broken = [threshold.expression for threshold in result.thresholds if not threshold.held]
    if broken:
        return Probe(posts_per_s, deliveries, Outcome.BROKEN, ", ".join(broken), p99)
    return Probe(posts_per_s, deliveries, Outcome.HELD, "", p99)


def _show(out: Output, found: "Found") -> None:
    from chatops.render.loadtest_limit import limit_lines

    if out.json_mode:
        out.document(found.document())
    else:
        out.lines(limit_lines(out, found))


def _end(found: "Found", *, interrupted: bool) -> None:
    """Exit as the search demands.

    Raises:
        ThresholdError: not even the first load held.
    """
    from chatops.load.find_limit import Outcome

    if interrupted or (found.stopped_by is Outcome.ENDED and found.probes[-1].outcome is Outcome.ENDED):
        raise typer.Exit(int(ExitCode.INTERRUPTED))
    if found.largest is not None:
        return
    last = found.probes[-1]
    if last.outcome is Outcome.NOT_VALID:
        raise typer.Exit(int(ExitCode.NOT_VALID))
    if last.outcome is Outcome.REFUSED:
        raise UsageError(last.words, "start with less, or insist with --force")
    raise ThresholdError(f"Not even the first load held: {last.words}", "start with less, with --rate or --total-rate")
