"""A plan, for people and for programs."""

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from chatops.chat.text import safe_text
from chatops.infra.expectations import warnings_for
from chatops.infra.resources import Desired
from chatops.infra.steps import Action, Plan, Step
from chatops.render.output import Output

_SIGNS = {
    Action.CREATE: ("+", "32"),
    Action.CHANGE: ("~", "33"),
    Action.DELETE: ("-", "31"),
    Action.KEEP: ("=", "2"),
}
_STATES = {
    Action.CREATE: ("missing", "1;31"),
    Action.CHANGE: ("drifted", "1;33"),
    Action.DELETE: ("foreign", "1;31"),
    Action.KEEP: ("there", "32"),
}


_COUNTED = 600  # identities are counted up to here


def plan_document(plan: Plan) -> dict[str, Any]:
    """The plan as JSON: `environment`, `account`, `region` and `steps`."""
    return {
        "environment": plan.desired.name,
        "account": plan.desired.account,
        "region": plan.desired.region,
        "steps": [
            {
                "action": step.action.value,
                "resource": step.kind.value,
                "name": step.name,
                "reason": step.reason,
                "destructive": step.destructive,
                "before": step.before,
                "after": step.after,
            }
            for step in plan.steps
        ],
    }


def where(plan: Plan) -> str:
    """Which account a plan is for; an endpoint other than AWS's own is named, since it may be the embedded AWS."""
    desired = plan.desired
    url = (desired.endpoints or {}).get("aws")
    return f"account {desired.account}, Region {desired.region}{f', at {url}' if url else ''}"


def plan_lines(out: Output, plan: Plan, *, new_documents: bool = True) -> Iterator[str]:
    """The plan as lines: where, then a line a resource, then how documents change.

    Args:
        new_documents: whether documents that will be made are shown whole; changes of others always are.
    """
    yield f"Environment {plan.desired.name}: {where(plan)}"
    for step in plan.steps:
        sign, style = _SIGNS[step.action]
        words = safe_text(f"{step.kind.value:<16} {step.name}: {step.reason}")
        yield out.note_style(f"  {sign} {step.action.value:<6} {words}", style)
        if new_documents or step.action is not Action.CREATE:
            yield from _difference(step)


def warning_lines(out: Output, desired: Desired) -> Iterator[str]:
    """How the operator's own policy, where there is one, is broader or narrower than a chat needs."""
    if desired.policy is None:
        return
    warnings = warnings_for(desired.policy, region=desired.region, account=desired.account, prefix=desired.prefix)
    for warning in warnings:
        yield out.note_style(f"warning: with this policy {warning}", "33")


def status_document(plan: Plan, identities: int | None) -> dict[str, Any]:
    """What exists as JSON: each resource's state is there, drifted, missing or foreign."""
    return {
        "environment": plan.desired.name,
        "account": plan.desired.account,
        "region": plan.desired.region,
        "healthy": not plan.changes,
        "identities": identities,
        "resources": [
            {
                "resource": step.kind.value,
                "name": step.name,
                "state": _STATES[step.action][0],
                "reason": None if step.action is Action.KEEP else step.reason,
                "before": step.before,
                "after": step.after,
            }
            for step in plan.steps
        ],
    }


def status_lines(out: Output, plan: Plan, identities: int | None) -> Iterator[str]:
    """What exists as lines: a line a resource, and how documents drifted."""
    desired = plan.desired
    yield f"{desired.name}: {where(plan)}, gateway {desired.gateway}"
    for step in plan.steps:
        state, style = _STATES[step.action]
        why = "" if step.action is Action.KEEP else f": {step.reason}"
        yield f"  {out.styled(f'{state:<8}', style)} {safe_text(f'{step.kind.value:<16} {step.name}{why}')}"
        if step.before is not None:
            yield from _difference(step)
    if identities is not None:
        yield f"  identities so far: {identities:,}{' or more' if identities >= _COUNTED else ''}"


def _difference(step: Step) -> Iterator[str]:
    if step.action is Action.KEEP or step.after is None:
        return
    if step.before is None and step.action is Action.CREATE:
        yield from (f"        {line}" for line in _text(step.after))
        return
    before = _text(step.before) if step.before is not None else []
    for line in difflib.unified_diff(before, _text(step.after), lineterm="", n=1):
        if not line.startswith(("---", "+++", "@@")):
            yield f"      {line}"


def _text(document: Mapping[str, Any]) -> list[str]:
    return json.dumps(document, indent=2).splitlines()
