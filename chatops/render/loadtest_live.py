"""A run while it goes on: a small table on a terminal, twice a second; a line for each stage elsewhere.

rich draws on a thread of its own from the latest figures, so that the engine's thread only hands them over.
"""

import sys
from collections.abc import Callable
from typing import Any

from chatops.load.generator import INVALID_CPU, INVALID_LAG_MS, WARN_CPU, WARN_LAG_MS
from chatops.load.progress import Progress, Stage
from chatops.load.scenario import Scenario
from chatops.render.loadtest import duration, progress_line
from chatops.render.output import Output

_PER_S = 2
_LAG_MS = (WARN_LAG_MS, INVALID_LAG_MS)
_CPU = (WARN_CPU, INVALID_CPU)


class LiveView:
    """Shows progress on standard error; a context manager whose value takes each `Progress`."""

    def __init__(self, out: Output, scenario: Scenario) -> None:
        self._out = out
        self._scenario = scenario
        self._latest: Progress | None = None
        self._stage = ""
        self._live: Any = None

    def __enter__(self) -> Callable[[Progress], None]:
        if sys.stderr.isatty() and not self._out.quiet:
            from rich.console import Console  # noqa: PLC0415  (60 ms that only a terminal needs)
            from rich.live import Live  # noqa: PLC0415

            self._live = Live(
                get_renderable=self._table,
                console=Console(file=sys.stderr, highlight=False),
                refresh_per_second=_PER_S,
                transient=True,
            )
            self._live.start()
        return self._take

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def _take(self, progress: Progress) -> None:
        self._latest = progress
        if self._live is None and progress.stage.value != self._stage:
            self._out.note(progress_line(progress))
        self._stage = progress.stage.value

    def _table(self) -> Any:
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        table = Table.grid(padding=(0, 2))
        for name, value, style in live_rows(self._latest, self._scenario):
            table.add_row(Text(name, "dim"), Text(value, style))
        return table


def live_rows(progress: Progress | None, scenario: Scenario) -> list[tuple[str, str, str]]:
    """Name, value and style of each line of the live view."""
    if progress is None:
        return [("phase", "starting", "")]
    joined = f"{progress.joined:,} of {scenario.clients:,}"
    if progress.join_failed:
        joined += f", {progress.join_failed:,} failed"
    rows = [
        ("phase", f"{progress.stage.value}, {progress.elapsed_s:.0f} s", "bold"),
        ("joined", joined, "red" if progress.join_failed else ""),
    ]
    if progress.stage is not Stage.JOINING:
        rows += [
            ("posts", f"{progress.posts_per_s:,.0f}/s, {progress.posts_sent:,} so far", ""),
            ("deliveries", f"{progress.deliveries_per_s:,.0f}/s, {progress.deliveries:,} so far", ""),
            ("latency", f"p50 {duration(progress.p50_ms)}, p99 {duration(progress.p99_ms)} (last second)", ""),
            ("lost", f"{progress.lost:,}", "red" if progress.lost else ""),
            ("errors", f"{progress.errors:,}", "red" if progress.errors else ""),
            ("cost", f"${progress.cost_usd:,.4f} so far", ""),
        ]
    style = _worst(progress.cpu, _CPU, progress.lag_ms_p99, _LAG_MS)
    health = f"{progress.cpu:.0%} of a core, timers {progress.lag_ms_p99:.1f} ms late at p99"
    rows.append(("generator", f"{health}, {progress.queue_max:,} in the queue at most", style))
    return rows


def _worst(cpu: float, cpu_limits: tuple[float, float], lag: float, lag_limits: tuple[float, float]) -> str:
    if cpu > cpu_limits[1] or lag > lag_limits[1]:
        return "bold red"
    return "yellow" if cpu > cpu_limits[0] or lag > lag_limits[0] else "green"
