"""`chatops loadtest --find-limit`: several runs, one answer."""

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import typer

from chatops.cli.loadtest_run import Outputs, execute, write_outputs
from chatops.cli.loadtest_target import Place, say_who_stays
from chatops.errors import ChatopsError, ExitCode, ThresholdError, UsageError
from chatops.render.output import Output

if TYPE_CHECKING:
    from chatops.load.find_limit import Found, Probe
    from chatops.load.result import RunResult
    from chatops.load.scenario import Scenario
    from chatops.load.thresholds import Limit


def search(
    out: Output,
    place: Place,
    scenario: "Scenario",
    limits: "tuple[Limit, ...]",
    *,
    max_cost: float | None,
    force: bool,
    outputs: Outputs,
    processes: int | None = None,
    cluster: str | None = None,
) -> None:
    """Find and show the largest load that keeps the limits, with the scenario's own as the first.

    The identities of the first run serve all of them and are deleted at the end.

    Raises:
        UsageError: there is nothing that could break, or nothing to step up.
        ThresholdError: not even the first load held.
    """
    from chatops.load.find_limit import find_limit

    if not limits:
        raise UsageError(
            "--find-limit has nothing to watch", "say what must not happen: --fail-on 'delivery.p99>250ms'"
        )
    if not scenario.offered_posts_per_s:
        raise UsageError("Nobody posts in this scenario", "give --rate or --total-rate")
    say_who_stays(out, place, scenario)
    run = partial(execute, processes=processes, cluster=cluster)
    steps = _Steps(out, place, scenario, limits, max_cost=max_cost, force=force, outputs=outputs, run=run)
    try:
        found = find_limit(steps.probe, scenario.offered_posts_per_s)
    finally:
        steps.discard()
    _show(out, found)
    _end(found)


class _Steps:
    def __init__(
        self,
        out: Output,
        place: Place,
        scenario: "Scenario",
        limits: "tuple[Limit, ...]",
        *,
        max_cost: float | None,
        force: bool,
        outputs: Outputs,
        run: "Callable[..., RunResult]",
    ) -> None:
        self._out = out
        self._place = place
        self._scenario = scenario
        self._limits = limits
        self._max_cost = max_cost
        self._force = force
        self._outputs = outputs
        self._run = run
        self._identities: list[str] = []
        self._spent = 0.0
        self._number = 0

    def probe(self, posts_per_s: float) -> "Probe":
        """Run one step."""
        from chatops.load.cost import Prices
        from chatops.load.find_limit import Outcome, Probe
        from chatops.load.front import Wishes
        from chatops.load.preflight import preflight
        from chatops.load.run_folder import prepare

        scenario = dataclasses.replace(self._scenario, total_posts_per_s=posts_per_s)
        deliveries = scenario.offered_deliveries_per_s
        left = None if self._max_cost is None else self._max_cost - self._spent
        plan = preflight(scenario, self._place.target.rates, self._place.quotas, prices=Prices(), max_cost=left)
        if plan.refusals and not self._force:
            return Probe(posts_per_s, deliveries, Outcome.REFUSED, plan.refusals[0])
        self._number += 1
        folder = self._outputs.folder / f"{self._number:02}" if self._outputs.folder is not None else None
        if folder is not None:
            prepare(folder, plan)
        wishes = Wishes(self._limits, known=tuple(self._identities), keep=self._keep, folder=folder)
        result = self._run(self._out, self._place, scenario, wishes)
        self._spent += result.cost_metered
        write_outputs(self._out, self._place, plan, result, Outputs(folder))
        return _judged(posts_per_s, deliveries, result)

    def _keep(self, identities: Sequence[str]) -> None:
        self._identities = list(dict.fromkeys([*self._identities, *identities]))

    def discard(self) -> None:
        """Delete the identities that the steps shared."""
        discard = self._place.discard()
        if discard is None or not self._identities:
            return

        async def deletion() -> None:
            await discard(self._identities)

        try:
            asyncio.run(deletion())
        except ChatopsError as error:
            self._out.note(f"the {len(self._identities):,} identities stay in the pool: {error.problem}")


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


def _end(found: "Found") -> None:
    """Exit as the search demands.

    Raises:
        ThresholdError: not even the first load held.
    """
    from chatops.load.find_limit import Outcome

    if found.stopped_by is Outcome.ENDED and found.probes[-1].outcome is Outcome.ENDED:
        raise typer.Exit(int(ExitCode.INTERRUPTED))
    if found.largest is not None:
        return
    last = found.probes[-1]
    if last.outcome is Outcome.NOT_VALID:
        raise typer.Exit(int(ExitCode.NOT_VALID))
    if last.outcome is Outcome.REFUSED:
        raise UsageError(last.words, "start with less, or insist with --force")
    raise ThresholdError(f"Not even the first load held: {last.words}", "start with less, with --rate or --total-rate")
