"""The doctor's findings, for people and for programs."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from chatops.chat.text import safe_text
from chatops.infra.doctor import Finding, State
from chatops.render.output import Output

# Words, not colours alone, tell states apart.
_STYLES = {State.OK: "32", State.WRONG: "1;31", State.FAILED: "1;33", State.SKIPPED: "2"}
_LONGEST_CHECK = 54


def findings_document(findings: Sequence[Finding]) -> dict[str, Any]:
    """`holds` (whether every expectation does) and `findings`, each with check, state, expected, actual, why, fix."""
    return {
        "holds": not any(finding.state in {State.WRONG, State.FAILED} for finding in findings),
        "findings": [{**asdict(finding), "state": finding.state.value} for finding in findings],
    }


def findings_lines(out: Output, findings: Sequence[Finding]) -> Iterator[str]:
    """A line a finding: state, check, expected, actual; below it, where something is wrong, why and the mending."""
    width = min(_LONGEST_CHECK, max((len(finding.check) for finding in findings), default=0))
    for finding in findings:
        state = out.styled(f"{finding.state.value:<7}", _STYLES[finding.state])
        actual = safe_text(finding.actual)
        if finding.state in {State.OK, State.SKIPPED}:
            yield f"{state} {safe_text(finding.check):<{width}}  {actual}"
            continue
        yield f"{state} {safe_text(finding.check):<{width}}  expected {safe_text(finding.expected)}, found {actual}"
        if finding.why:
            yield f"        why: {safe_text(finding.why)}"
        if finding.fix:
            yield f"        fix: {safe_text(finding.fix)}"
    wrong = sum(finding.state in {State.WRONG, State.FAILED} for finding in findings)
    skipped = sum(finding.state is State.SKIPPED for finding in findings)
    words = "every expectation holds" if not wrong else f"{wrong} of {len(findings)} expectations do not hold"
    yield f"{words}{f' ({skipped} not checked)' if skipped else ''}"
