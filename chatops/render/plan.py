"""A plan, for people and for programs."""

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from chatops.infra.planner import Action, Plan, Step
from chatops.render.output import Output

_SIGNS = {Action.CREATE: ("+", "32"), Action.CHANGE: ("~", "33"), Action.KEEP: ("=", "2")}


def plan_document(plan: Plan) -> dict[str, Any]:
    """The plan as JSON: `environment`, `account`, `region` and `steps`."""
    return {
        "environment": plan.desired.name,
        "account": plan.desired.account,
        "region": plan.desired.region,
        "steps": [
            {"action": step.action.value, "resource": step.kind.value, "name": step.name, "reason": step.reason}
            for step in plan.steps
        ],
    }


def plan_lines(out: Output, plan: Plan) -> Iterator[str]:
    """The plan as lines for standard error: where, then a line a resource, then how documents change."""
    desired = plan.desired
    yield f"Account {desired.account}, Region {desired.region}, environment {desired.name}"
    for step in plan.steps:
        sign, style = _SIGNS[step.action]
        yield out.note_style(f"  {sign} {step.action.value:<6} {step.kind.value:<16} {step.name}: {step.reason}", style)
        yield from _difference(step)


def _difference(step: Step) -> Iterator[str]:
    if step.action is Action.KEEP or step.after is None:
        return
    if step.before is None:
        yield from (f"        {line}" for line in _text(step.after))
        return
    for line in difflib.unified_diff(_text(step.before), _text(step.after), lineterm="", n=1):
        if not line.startswith(("---", "+++", "@@")):
            yield f"      {line}"


def _text(document: Mapping[str, Any]) -> list[str]:
    return json.dumps(document, indent=2, ensure_ascii=False).splitlines()
