"""`chatops loadtest --repeat`: the same scenario several times, and how its figures spread."""

import dataclasses
from typing import TYPE_CHECKING, Any

import typer

from chatops.cli.loadtest_run import Request
from chatops.cli.loadtest_series import Series
from chatops.cli.loadtest_target import say_who_stays
from chatops.errors import ExitCode, ThresholdError, UsageError

if TYPE_CHECKING:
    from chatops.load.repeats import Repeats


def repeat(request: Request, count: int) -> None:
    """Run a scenario `count` times and show how its figures spread.

    Each run has a seed of its own, the scenario's and those after it, so that chance is part of the spread.

    Raises:
        UsageError: all of them together are predicted to cost more than `--max-cost`.
        ThresholdError: a run did not keep a threshold.
    """
    from chatops.load.repeats import Repeats
    from chatops.render.loadtest_repeat import repeat_line, repeats_lines

    out, scenario = request.out, request.scenario
    series = Series(request)
    predicted = count * series.plan(scenario).cost_usd
    if request.max_cost is not None and predicted > request.max_cost and not request.force:
        raise UsageError(
            f"{count} repeats are predicted to cost ${predicted:,.4f}, over --max-cost {request.max_cost:g}",
            "repeat less often or shorter, or insist with --force",
        )
    say_who_stays(out, request.place, scenario)
    documents: list[dict[str, Any]] = []
    interrupted = False
    try:
        while len(documents) < count and not interrupted:
            each = dataclasses.replace(scenario, seed=scenario.seed + len(documents))
            documents.append(series.run(each, series.plan(each)).document())
            interrupted = series.interrupted
            out.note(repeat_line(len(documents), count, documents[-1]))
    except KeyboardInterrupt:
        interrupted = True
        out.note(f"interrupted after {len(documents)} of {count} runs")
    finally:
        series.discard()
    found = Repeats(count, tuple(documents))
    if out.json_mode:
        out.document(found.document())
    else:
        out.lines(repeats_lines(out, found))
    _end(found, interrupted=interrupted)


def _end(found: "Repeats", *, interrupted: bool) -> None:
    """Exit as the worst of the runs demands."""
    if interrupted:
        raise typer.Exit(int(ExitCode.INTERRUPTED))
    if len(found.counted) < len(found.runs):
        raise typer.Exit(int(ExitCode.NOT_VALID))
    if found.broken:
        raise ThresholdError(f"Not kept: {', '.join(found.broken)}", "see the figures above, and each run's report")
    if any(run["verdict"] != "valid" or run["clients"]["failed"] for run in found.runs):
        raise typer.Exit(int(ExitCode.PARTLY_DONE))
