"""Carrying a load test out: interrupts, the live view, what goes to disk, what the exit code says."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from chatops.cli.context import Selection
from chatops.cli.loadtest_target import Discard, Place, find_place, say_who_stays
from chatops.environment import Environment
from chatops.errors import ConfigurationError, ExitCode, ThresholdError
from chatops.render.output import Output

if TYPE_CHECKING:
    from chatops.load.front import Wishes
    from chatops.load.preflight import Preflight
    from chatops.load.progress import Progress
    from chatops.load.replay import Replay
    from chatops.load.result import RunResult
    from chatops.load.scenario import Scenario
    from chatops.load.thresholds import Limit


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where a run is written to, beside standard output."""

    folder: Path | None = None
    csv: Path | None = None
    junit: Path | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for, as a single run, repeats and the search for the limit take it.

    Attributes:
        run: runs one load test, as `execute` does.
        rhythm: a recorded rhythm to post in.
    """

    out: Output
    place: Place
    scenario: "Scenario"
    run: "Callable[..., RunResult]"
    rhythm: "Replay | None" = None
    limits: "tuple[Limit, ...]" = ()
    abort: bool = False
    force: bool = False
    max_cost: float | None = None
    outputs: Outputs = Outputs()


def run_load(
    out: Output, selection: Selection, environment: Environment, scenario: "Scenario", profile: str | None = None
) -> "RunResult":
    """Run a load test against an environment, its progress on standard error; nothing is written to disk."""
    place = find_place(selection, environment, profile)
    say_who_stays(out, place, scenario)
    return execute(out, place, scenario)


def execute(
    out: Output,
    place: Place,
    scenario: "Scenario",
    wishes: "Wishes | None" = None,
    *,
    processes: int | None = None,
    cluster: str | None = None,
) -> "RunResult":
    """Run it, drain at the first Ctrl-C and report, end at the second (see `chatops.cli.interrupts`).

    Args:
        processes: how many carry the clients; None is what the scenario needs, up to the cores.
        cluster: the address of the scheduler whose workers carry them; None is this machine.
    """
    import asyncio

    from chatops.cli.interrupts import draining, ending
    from chatops.render.loadtest import scenario_line
    from chatops.render.loadtest_live import LiveView

    start = _on_cluster(cluster, processes) if cluster is not None else _here(scenario, processes)
    out.note(scenario_line(scenario))

    async def load(show: "Callable[[Progress], None]") -> "RunResult":
        stop = asyncio.Event()
        with draining(stop, out.note):
            return await start(scenario, place.target, events=show, stop=stop, discard=discard, wishes=wishes)

    deletes = place.discard()
    discard = Counted(deletes) if deletes is not None else None
    try:
        with LiveView(out, scenario) as show:
            result = asyncio.run(load(show))
    except (asyncio.CancelledError, KeyboardInterrupt):
        ending()
        kept = wishes is not None and wishes.keep is not None
        out.note("ended without a report" + ("" if kept else f"; {_left_behind(discard)}"))
        raise KeyboardInterrupt from None
    if place.target.address.tls and _may_be_throttled(result):
        out.note("CloudWatch will know in some minutes whether AWS throttled it: chatops report throttles RUN")
    if result.identities.problem:
        out.note(f"the {result.identities.made:,} identities stay in the pool: {result.identities.problem}")
    return result


class Counted:
    """Deletes identities as another function does, and remembers how many."""

    def __init__(self, discard: Discard) -> None:
        self._discard = discard
        self.deleted = 0

    async def __call__(self, identity_ids: Sequence[str]) -> int:
        """Delete them, and return how many that were."""
        deleted = await self._discard(identity_ids)
        self.deleted += deleted
        return deleted


def _left_behind(discard: Counted | None) -> str:
    if discard is None:
        return "the identities that it made stay in the pool"
    return f"{discard.deleted:,} identities deleted"


def _may_be_throttled(result: "RunResult") -> bool:
    from chatops.load.books import NO_ANSWER

    return bool(result.failures["post"].get(NO_ANSWER) or any(phase.counts.lost for phase in result.phases))


def _here(scenario: "Scenario", processes: int | None) -> "Callable[..., Awaitable[RunResult]]":
    from chatops.load.processes import processes_for, run

    return partial(run, processes=processes or processes_for(scenario))


def _on_cluster(cluster: str, engines: int | None) -> "Callable[..., Awaitable[RunResult]]":
    try:
        from chatops.load.cluster import run
    except ModuleNotFoundError as error:
        raise missing_extra(error) from None
    return partial(run, cluster=cluster, engines=engines)


def missing_extra(error: ModuleNotFoundError) -> Exception:
    """What to say when Dask is not there; the error itself when something else is missing."""
    if (error.name or "").partition(".")[0] not in {"dask", "distributed"}:
        return error
    return ConfigurationError(
        "--cluster needs Dask, which is not installed", "install the extra: pip install 'chatops[cluster]'"
    )


def write_outputs(
    out: Output,
    place: Place,
    plan: "Preflight",
    result: "RunResult",
    outputs: Outputs,
) -> None:
    """Write all that is asked for: the folder with its report, and exports.

    Raises:
        ConfigurationError: something cannot be written.
    """
    from chatops.cli.report_files import write_export, write_report
    from chatops.load.run_folder import Setting, run_document, write_run

    address = place.target.address
    setting = Setting(place.environment.name, place.target.region, f"{address.host}:{address.port}", plan)
    document = run_document(result, setting)
    if outputs.folder is not None:
        write_run(outputs.folder, document)
        out.note(f"report: {write_report(outputs.folder, document)}")
    for recorded in result.recorded:
        if recorded.problem:
            out.note(f"{recorded.file} is not complete: {recorded.problem}")
    for format_name, path in (("csv", outputs.csv), ("junit", outputs.junit)):
        if path is not None:
            write_export(document, format_name, path)


def show_result(out: Output, result: "RunResult") -> None:
    """Print the result."""
    from chatops.render.loadtest import result_lines

    document = result.document()
    if out.json_mode:
        out.document(document)
    else:
        out.lines(result_lines(out, document))


def end(result: "RunResult") -> None:
    """Exit as the result demands; what is wrong has been printed.

    Raises:
        ThresholdError: thresholds were not met.
    """
    from chatops.load.generator import Verdict

    if result.interrupted:
        raise typer.Exit(int(ExitCode.INTERRUPTED))
    if result.verdict is Verdict.NOT_VALID:
        raise typer.Exit(int(ExitCode.NOT_VALID))
    broken = [threshold.expression for threshold in result.thresholds if not threshold.held]
    if broken:
        raise ThresholdError(f"Not kept: {', '.join(broken)}", "see the figures above, and the report")
    if result.verdict is Verdict.PARTIAL or result.join_failed:
        raise typer.Exit(int(ExitCode.PARTLY_DONE))
