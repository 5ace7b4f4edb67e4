"""`chatops loadtest --plan`: what a run will ask for, and what it takes on AWS; then it stops."""

import re
from typing import TYPE_CHECKING, Any

from chatops.cli.loadtest_target import Place
from chatops.errors import UsageError
from chatops.render.output import Output

if TYPE_CHECKING:
    from chatops.load.preflight import Preflight
    from chatops.load.scenario import Scenario
    from chatops.load.sizing import Machine

KIND = "chatops loadtest plan"
SCHEMA = 1
MOST_CORES = 1024
MOST_GIB = 65_536

_MACHINE = re.compile(r"(\d{1,5})x(\d{1,5})")


def machine_of(text: str | None, *, plan_only: bool) -> "Machine":
    """Read `8x16`: cores and GiB of memory.

    Raises:
        UsageError: it is no machine, or there is no plan to count it in.
    """
    from chatops.load.sizing import Machine

    if text is None:
        return Machine()
    if not plan_only:
        raise UsageError("--machine says what --plan counts in", "add --plan, or leave it out")
    found = _MACHINE.fullmatch(text.strip())
    cores, memory = (int(found[1]), int(found[2])) if found else (0, 0)
    if not (1 <= cores <= MOST_CORES and 1 <= memory <= MOST_GIB):
        raise UsageError(
            f"--machine {text!r} is no machine", f"write cores x GiB, such as 8x16; up to {MOST_CORES}x{MOST_GIB}"
        )
    return Machine(cores, float(memory))


def show_plan(out: Output, place: Place, scenario: "Scenario", plan: "Preflight", machine: "Machine") -> None:
    """Print what a run will ask for, and what it takes on AWS."""
    from chatops.load.cost import Prices
    from chatops.load.scale import scale
    from chatops.render.loadtest import plan_lines
    from chatops.render.loadtest_scale import scale_lines

    found = scale(scenario, place.quotas, prices=Prices(), region=place.target.region, machine=machine)
    if out.json_mode:
        document: dict[str, Any] = {"schema": SCHEMA, "kind": KIND, **plan.document(), "scale": found.document()}
        out.document(document)
    else:
        out.lines([*plan_lines(plan), "", *scale_lines(found)])
