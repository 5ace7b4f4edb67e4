"""Charts as SVG, written by hand: a report has six of them, and a charting library would be larger than all the rest.

Colours come from the page's style sheet (classes `s0` to `s5`), so that light and dark need one drawing only. All text
is escaped here.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 720, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 30, 12, 36
_TIGHT = 70  # labels nearer to the last one are left out on a phone, whose text is larger beside the drawing
_LEAST_SPAN = 1e-9
_NOTHING = '<p class="none">Nothing was measured.</p>'


@dataclass(frozen=True, slots=True)
class Series:
    """One line: points of (x, y), in order of x; a y of None leaves a gap."""

    name: str
    points: Sequence[tuple[float, float | None]]


@dataclass(frozen=True, slots=True)
class Axis:
    """How an axis is written.

    Attributes:
        text: writes one value.
        logarithmic: for values over several powers of ten.
        ticks: where to write; chosen by itself when empty.
    """

    title: str
    text: Callable[[float], str]
    logarithmic: bool = False
    ticks: tuple[float, ...] = ()


def line_chart(series: Sequence[Series], x: Axis, y: Axis, *, filled: bool = False) -> str:
    """Lines over a common x axis, with a legend."""
    points = [(px, py) for each in series for px, py in each.points if py is not None]
    if not points:
        return _NOTHING
    x_scale = _Scale(x, [px for px, _ in points], _LEFT, WIDTH - _RIGHT)
    y_scale = _Scale(y, [py for _, py in points], HEIGHT - _BOTTOM, _TOP, from_zero=not y.logarithmic)
    parts = [_frame(x_scale, y_scale)]
    for index, each in reversed(list(enumerate(series))):  # the first one on top
        for stretch in _stretches(each.points):
            path = " ".join(f"{x_scale.at(px):.1f},{y_scale.at(py):.1f}" for px, py in stretch)
            if len(stretch) == 1:
                px, py = stretch[0]
                parts.append(f'<circle class="s{index}" cx="{x_scale.at(px):.1f}" cy="{y_scale.at(py):.1f}" r="2.5"/>')
            elif filled and index == 0:
                base = HEIGHT - _BOTTOM
                ends = f"{x_scale.at(stretch[0][0]):.1f},{base} {path} {x_scale.at(stretch[-1][0]):.1f},{base}"
                parts.append(f'<polygon class="f{index}" points="{ends}"/>')
            parts.append(f'<polyline class="s{index}" points="{path}"/>')
    return f"{_legend([each.name for each in series])}{_svg(parts)}"


def bar_chart(rows: Sequence[tuple[str, float, str]]) -> str:
    """Horizontal bars: name, length, and the words beside it."""
    if not rows:
        return _NOTHING
    longest = max((value for _, value, _ in rows), default=0.0) or 1.0
    parts = []
    for name, value, words in rows:
        width = max(0.2, 100 * value / longest)
        parts.append(
            f'<span>{escape(name)}</span><svg viewBox="0 0 100 18" preserveAspectRatio="none" aria-hidden="true">'
            f'<rect class="b0" width="{width:.1f}" height="18"/></svg><span>{escape(words)}</span>'
        )
    return f'<div class="bars">{"".join(parts)}</div>'  # the text is HTML's, which does not shrink with the window


class _Scale:
    """Values to pixels."""

    def __init__(
        self, axis: Axis, values: Sequence[float], begin: float, end: float, *, from_zero: bool = False
    ) -> None:
        self.axis = axis
        self._begin, self._end = begin, end
        low, high = min(values), max(values)
        if axis.logarithmic:
            low = max(low, 1e-3)
            self.ticks = axis.ticks or _powers(low, max(high, low))
            low, high = min(low, self.ticks[0]), max(high, self.ticks[-1])
            self._low, self._span = math.log10(low), max(math.log10(high) - math.log10(low), 1e-9)
        else:
            low = min(low, 0.0) if from_zero else low
            self.ticks = axis.ticks or _even(low, high)
            low, high = min(low, self.ticks[0]), max(high, self.ticks[-1])
            self._low, self._span = low, max(high - low, 1e-9)

    def at(self, value: float) -> float:
        """The pixel of a value."""
        place = math.log10(max(value, 1e-3)) if self.axis.logarithmic else value
        return self._begin + (self._end - self._begin) * (place - self._low) / self._span


def _frame(x: _Scale, y: _Scale) -> str:
    parts = []
    for tick in y.ticks:
        at = y.at(tick)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="end" x="{_LEFT - 6}" y="{at + 4:.1f}">{escape(y.axis.text(tick))}</text>')
    written = -math.inf
    for tick in x.ticks:
        at = x.at(tick)
        tight = " tight" if at - written < _TIGHT else ""
        written = written if tight else at
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"/>')
        parts.append(
            f'<text class="mid{tight}" x="{at:.1f}" y="{HEIGHT - _BOTTOM + 15}">{escape(x.axis.text(tick))}</text>'
        )
    parts.append(f'<text class="end dim" x="{WIDTH - _RIGHT}" y="{HEIGHT - 4}">{escape(x.axis.title)}</text>')
    parts.append(f'<text class="dim" x="{_LEFT}" y="{HEIGHT - 4}">{escape(y.axis.title)}</text>')
    return "".join(parts)


def _svg(parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(parts)}</svg>'


def _legend(names: Sequence[str]) -> str:
    entries = "".join(f'<span><i class="k{index}"></i>{escape(name)}</span>' for index, name in enumerate(names))
    return f'<div class="legend">{entries}</div>'


def _stretches(points: Sequence[tuple[float, float | None]]) -> list[list[tuple[float, float]]]:
    """The points between gaps."""
    found: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is None:
            found.append([])
        else:
            found[-1].append((x, y))
    return [stretch for stretch in found if stretch]


def _even(low: float, high: float) -> tuple[float, ...]:
    """About five round values over a range."""
    span = high - low
    if span <= _LEAST_SPAN:
        return (low, low + 1)
    rough = span / 5
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first = math.floor(low / step)
    return tuple(step * index for index in range(first, math.ceil(high / step) + 1))


def _powers(low: float, high: float) -> tuple[float, ...]:
    """Powers of ten around a range, with their halves and fifths where there are few."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    last = max(last, first + 1)
    factors = (1, 2, 5) if last - first <= 2 else (1,)
    ticks = [factor * 10.0**power for power in range(first, last) for factor in factors]
    return tuple(tick for tick in (*ticks, 10.0**last) if low / 3 <= tick <= high * 3)[:12] or (low, high)
