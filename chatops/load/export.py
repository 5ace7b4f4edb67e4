"""A run for other programs: CSV, second by second, and JUnit XML, a test case a threshold."""

import csv
import io
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import quoteattr

from chatops.load.generator import Verdict

_COLUMNS = ("second", "due", "sent", "acknowledged", "failed", "deliveries", "p50", "p99", "max")
_UNITS = {"p50": "p50_ms", "p99": "p99_ms", "max": "max_ms"}


def as_csv(document: Mapping[str, Any]) -> str:
    """One row a second of the load, by when posts were due; latencies of deliveries from due, in milliseconds."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_UNITS.get(name, name) for name in _COLUMNS])
    for row in document.get("timeline", ()):
        writer.writerow([_plain(row.get(name)) for name in _COLUMNS])
    return text.getvalue()


def as_junit(document: Mapping[str, Any]) -> str:
    """A test suite: the verdict and each threshold."""
    verdict = str(document.get("verdict"))
    cases = [("the measurement is valid", verdict == Verdict.VALID.value, "; ".join(document.get("reasons", ())))]
    for each in document.get("thresholds", ()):
        measured = "not measured" if each["measured"] is None else f"measured {each['measured']:g}"
        cases.append((f"not {each['expression']}", bool(each["held"]), measured))
    failures = sum(not held for _, held, _ in cases)
    lines = ['<?xml version="1.0" encoding="UTF-8"?>']
    name = quoteattr(_xml(f"chatops loadtest {document.get('run', '')}"))
    seconds = float(document.get("seconds") or 0)
    lines.append(f'<testsuite name={name} tests="{len(cases)}" failures="{failures}" time="{seconds:.3f}">')
    for title, held, words in cases:
        opening = f'  <testcase classname="chatops.loadtest" name={quoteattr(_xml(title))}'
        lines.append(f"{opening}/>" if held else f"{opening}><failure message={quoteattr(_xml(words))}/></testcase>")
    lines.append("</testsuite>")
    return "\n".join(lines) + "\n"


def _plain(value: Any) -> Any:
    """Numbers as they are; nothing else belongs into the table (a spreadsheet could take text for a formula)."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else ""


def _xml(text: str) -> str:
    """Text without the characters that XML 1.0 cannot carry."""
    return "".join(c if c in "\t\n" or " " <= c < "\ud800" or "\ue000" <= c < "\ufffe" else "?" for c in text)
