"""Files that a run's document becomes: the HTML report and the exports."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chatops.errors import ConfigurationError, UsageError

REPORT = "report.html"


def write_report(folder: Path, document: Mapping[str, Any]) -> Path:
    """Write a run's HTML report into its folder; returns the file.

    Raises:
        ConfigurationError: it cannot be written.
    """
    from chatops.render.report_html import report_page

    path = folder / REPORT
    write_text(path, report_page(document))
    return path


def exported(document: Mapping[str, Any], format_name: str) -> str:
    """A run in a format: csv, junit or html.

    Raises:
        UsageError: there is no such format.
    """
    from chatops.load.export import as_csv, as_junit
    from chatops.render.report_html import report_page

    writers = {"csv": as_csv, "junit": as_junit, "html": report_page}
    if format_name not in writers:
        raise UsageError(f"There is no format {format_name!r}", f"choose {', '.join(writers)}")
    return writers[format_name](document)


def write_export(document: Mapping[str, Any], format_name: str, path: Path) -> None:
    """Write a run in a format to a file.

    Raises:
        ConfigurationError: it cannot be written.
    """
    write_text(path, exported(document, format_name))


def check_export_path(path: Path) -> None:
    """Make sure beforehand that a file can be written.

    Raises:
        ConfigurationError: it cannot.
    """
    try:
        new = not os.path.lexists(path)
        with path.open("a", encoding="utf-8"):
            pass
        if new:  # a run that is then refused leaves nothing behind
            path.unlink()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}", "name another file") from None


def write_text(path: Path, text: str) -> None:
    """Write a file.

    Raises:
        ConfigurationError: it cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}", "name another file") from None
