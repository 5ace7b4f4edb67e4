"""Several runs of one `chatops loadtest`: they share identities and a budget, and each has a folder of its own."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from chatops.cli.interrupts import undisturbed
from chatops.cli.loadtest_run import Outputs, Request, write_outputs
from chatops.errors import ChatopsError

if TYPE_CHECKING:
    from chatops.load.preflight import Preflight
    from chatops.load.result import RunResult
    from chatops.load.scenario import Scenario


class Series:
    """The runs of one command. The identities of the first serve all of them; `discard` deletes them at the end.

    Attributes:
        interrupted: no further run is wanted.
    """

    def __init__(self, request: Request) -> None:
        self.interrupted = False
        self._request = request
        self._identities: list[str] = []
        self._spent = 0.0
        self._number = 0

    def plan(self, scenario: "Scenario") -> "Preflight":
        """The preflight of the next run, with what is left of `--max-cost`."""
        most = self._request.max_cost
        return self._request.place.preflight(scenario, None if most is None else most - self._spent)

    def run(self, scenario: "Scenario", plan: "Preflight") -> "RunResult":
        """Run one, write it to the next folder (`01`, `02` …), and keep its identities for the others."""
        from chatops.load.front import Wishes
        from chatops.load.run_folder import prepare, release

        request = self._request
        self._number += 1
        whole = request.outputs.folder
        folder = whole / f"{self._number:02}" if whole is not None else None
        made = prepare(folder, plan) if folder is not None else False
        wishes = Wishes(
            request.limits,
            abort=request.abort,
            known=tuple(self._identities),
            keep=self._keep,
            folder=folder,
            replay=request.rhythm,
        )
        try:
            result = request.run(request.out, request.place, scenario, wishes)
        except (ChatopsError, KeyboardInterrupt):
            if folder is not None:
                release(folder, made=made)
            raise
        self._spent += result.cost_metered
        shared = replace(result.identities, kept=0, shared=result.identities.kept)
        result = replace(result, identities=shared)
        with undisturbed(request.out.note, "writing the report") as presses:
            write_outputs(request.out, request.place, plan, result, Outputs(folder))
        self.interrupted = result.interrupted or presses.count > 0
        return result

    def _keep(self, identities: Sequence[str]) -> None:
        self._identities = list(dict.fromkeys([*self._identities, *identities]))

    def discard(self) -> None:
        """Delete the identities that the runs shared."""
        discard = self._request.place.discard()
        if discard is None or not self._identities:
            return

        async def deletion() -> None:
            await discard(self._identities)

        try:
            with undisturbed(self._request.out.note, "deleting the identities"):
                asyncio.run(deletion())
        except ChatopsError as error:
            self._request.out.note(f"the {len(self._identities):,} identities stay in the pool: {error.problem}")
