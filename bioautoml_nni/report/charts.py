"""Charts as SVG for a page: colours come from the page's style, numbers stand in ``data-tip`` for hover and focus."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from markupsafe import Markup
from matplotlib.ticker import LogLocator, MaxNLocator

WIDTH, HEIGHT = 440, 280
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 12, 44
COLOURS = 8
"""Colours of the style, ``c0`` to ``c7``; further series have them again, dashed."""
MAX_COLUMNS = 60
"""Places along the x axis that can be pointed at."""
MAX_POINTS = 240
CELL = 30
LONGEST_NAME = 22


@dataclass(frozen=True)
class Series:
    """One line of a chart, or points with their spread.

    Attributes:
        x, y: numbers; a y that is not finite is a gap.
        points: draw marks alone.
        dots: draw marks on the line.
        spread: half the length of the bar through each mark.
        note: said of the whole series.
        tips: said of each mark, beside its numbers.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    points: bool = False
    dots: bool = False
    spread: Sequence[float] = ()
    note: str = ""
    tips: Sequence[str] = ()


@dataclass(frozen=True)
class Axis:
    """An axis: its label, and limits where the numbers do not decide them."""

    label: str
    low: float | None = None
    high: float | None = None
    whole: bool = False
    log: bool = False

    def limits(self, values: np.ndarray) -> tuple[float, float]:
        """Return where the axis starts and ends; some room around numbers that decide it."""
        found = values[np.isfinite(values)]
        low = float(found.min()) if self.low is None else self.low
        high = float(found.max()) if self.high is None else self.high
        if self.log:
            return low / 1.6, high * 1.6
        room = 0.0 if self.whole else 0.06 * (high - low) or 0.5
        return (low - room if self.low is None else low), (high + (room or 0) if self.high is None else high)

    def ticks(self, low: float, high: float) -> list[float]:
        """Return round numbers within the limits."""
        steps = (1.0,) if self.log and high > 200 * low else (1.0, 2.0, 5.0)  # more would overlap
        locator = LogLocator(subs=steps) if self.log else MaxNLocator(5, integer=self.whole)
        return [float(tick) for tick in locator.tick_values(low, high) if low - 1e-9 <= tick <= high + 1e-9]


@dataclass(frozen=True)
class _Frame:
    """Where numbers lie on the drawing."""

    x: tuple[float, float]
    y: tuple[float, float]
    log: bool

    def across(self, value: float) -> float:
        low, high, value = map(math.log, (*self.x, value)) if self.log else (*self.x, value)
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - low) / ((high - low) or 1)

    def up(self, value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - self.y[0]) / ((self.y[1] - self.y[0]) or 1)


def line_chart(series: Sequence[Series], x: Axis, y: Axis, title: str, guide: bool = False) -> Markup | None:
    """Return an SVG with its legend, or None if no series has a number.

    Args:
        title: what the chart shows, for those who cannot see it, too.
        guide: draw the diagonal, on which x and y are the same.
    """
    shown = [one for one in series if np.isfinite(np.asarray(one.y, dtype=float)).any()]
    if not shown:
        return None
    every_x = np.concatenate([np.asarray(one.x, dtype=float) for one in shown])
    every_y = np.concatenate([_ends(one) for one in shown])
    frame = _Frame(x.limits(every_x), y.limits(every_y), x.log)
    parts = [_grid(frame, x, y)]
    if guide:
        parts.append(_path([(0.0, 0.0), (1.0, 1.0)], frame, "guide"))
    parts += [_drawn(one, number, frame) for number, one in enumerate(shown)]
    parts += _columns(shown, frame, x) if _aligned(shown) else []
    legend = "".join(_entry(one, number) for number, one in enumerate(shown)) if len(shown) > 1 else ""
    return Markup(
        f'<div class="chart"><svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title, quote=True)}">{"".join(parts)}</svg><ul class="legend">{legend}</ul></div>'
    )


def _entry(series: Series, number: int) -> str:
    """Return a line of the legend."""
    note = f" <span>{escape(series.note)}</span>" if series.note else ""
    mark = '<svg viewBox="0 0 22 8" aria-hidden="true"><path class="line" d="M1 4H21"/></svg>'
    return f'<li class="{_style(number)}" data-series="{number}">{mark}{escape(series.name)}{note}</li>'


def _ends(series: Series) -> np.ndarray:
    y, spread = np.asarray(series.y, dtype=float), np.asarray(series.spread or 0.0, dtype=float)
    return np.concatenate([y - spread, y + spread])


def _style(number: int) -> str:
    return f"c{number % COLOURS}" + (" dashed" if number >= COLOURS else "")


def _grid(frame: _Frame, x: Axis, y: Axis) -> str:
    parts = []
    for tick in x.ticks(*frame.x):
        at = f"{frame.across(tick):.1f}"
        parts.append(f'<path class="rule" d="M{at} {TOP}V{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text class="x" x="{at}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{tick:g}</text>')
    for tick in y.ticks(*frame.y):
        at = f"{frame.up(tick):.1f}"
        parts.append(f'<path class="rule" d="M{LEFT} {at}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="y" x="{LEFT - 6}" y="{at}" dy=".35em" text-anchor="end">{tick:g}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f'<text class="label" x="{middle[0]}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x.label)}</text>')
    parts.append(
        f'<text class="label" transform="translate(13 {middle[1]}) rotate(-90)" text-anchor="middle">'
        f"{escape(y.label)}</text>"
    )
    return "".join(parts)


def _path(points: Sequence[tuple[float, float]], frame: _Frame, css: str, extra: str = "") -> str:
    steps: list[str] = []
    pen = "M"
    for x, y in points:
        if not (math.isfinite(x) and math.isfinite(y)):
            pen = "M"
            continue
        steps.append(f"{pen}{frame.across(x):.1f} {frame.up(y):.1f}")
        pen = "L"
    return f'<path class="{css}" d="{"".join(steps)}"{extra}/>'


def _drawn(series: Series, number: int, frame: _Frame) -> str:
    points = list(zip(map(float, series.x), map(float, series.y), strict=True))
    step = max(1, math.ceil(len(points) / MAX_POINTS))
    thin = [*points[::step], *([points[-1]] if (len(points) - 1) % step else [])]
    tip = _attribute(f"{series.name} {series.note}".strip())
    parts = []
    if not series.points:
        parts.append(_path(thin, frame, "line"))
        parts.append(_path(thin, frame, "reach", f' data-tip="{tip}"'))
    if series.points or series.dots:
        for place, (x, y) in enumerate(points):
            if math.isfinite(y):
                parts.append(_mark(series, place, x, y, frame))
    return f'<g class="{_style(number)}" data-series="{number}">{"".join(parts)}</g>'


def _mark(series: Series, place: int, x: float, y: float, frame: _Frame) -> str:
    bar, value = "", f"{y:.3f}"
    if series.spread:
        half = float(series.spread[place])
        bar = f'<path class="line" d="M{frame.across(x):.1f} {frame.up(y - half):.1f}V{frame.up(y + half):.1f}"/>'
        value += f" ± {half:.3f}"
    told = f"{series.name}: {value} at {x:.4g}" + (f"\n{series.tips[place]}" if series.tips else "")
    where = f'cx="{frame.across(x):.1f}" cy="{frame.up(y):.1f}" r="{4.5 if series.points else 3.5}"'
    return f'{bar}<circle class="dot" {where} tabindex="-1" data-tip="{_attribute(told)}"/>'


def _aligned(series: Sequence[Series]) -> bool:
    """Whether a place on the x axis has a number of every line, few enough to be read."""
    lines = [one for one in series if not one.points]
    return len(lines) == len(series) <= 6 and all(list(one.x) == list(series[0].x) for one in series)


def _columns(series: Sequence[Series], frame: _Frame, axis: Axis) -> list[str]:
    """Return invisible bars, one for each place on the x axis, which say the numbers there."""
    xs = [float(value) for value in series[0].x]
    step = max(1, math.ceil(len(xs) / MAX_COLUMNS))
    kept = range(0, len(xs), step)
    width = (WIDTH - LEFT - RIGHT) / max(1, len(kept) - 1)
    parts = []
    for place in kept:
        told = [f"{axis.label} {xs[place]:.4g}"]
        told += [f"{one.name}: {one.y[place]:.3f}" for one in series if math.isfinite(one.y[place])]
        at = frame.across(xs[place])
        tip = _attribute("\n".join(told))
        parts.append(
            f'<g class="column" tabindex="-1" data-tip="{tip}"><rect x="{at - width / 2:.1f}" y="{TOP}" '
            f'width="{width:.1f}" height="{HEIGHT - TOP - BOTTOM}"/><path d="M{at:.1f} {TOP}V{HEIGHT - BOTTOM}"/></g>'
        )  # fmt: skip
    return parts


def matrix_chart(counts: np.ndarray, classes: Sequence[str], title: str) -> Markup:
    """Return a confusion matrix (K, K), rows true, as SVG; cells that hold specimens can be chosen.

    A cell's strength is its share of the row. ``data-true`` and ``data-predicted`` name its classes.
    """
    side = 12 + 7 * max(len(_short(name)) for name in classes)
    edge = CELL * len(classes)
    parts = []
    for number, name in enumerate(classes):
        at = side + CELL * (number + 0.5)
        label = f"<title>{escape(name)}</title>{escape(_short(name))}"
        parts.append(f'<text class="row" x="{side - 8}" y="{at}" dy=".35em" text-anchor="end">{label}</text>')
        parts.append(f'<text class="head" transform="translate({at + 4} {side - 8}) rotate(-60)">{label}</text>')
    parts.append(f'<rect class="frame" x="{side}" y="{side}" width="{edge}" height="{edge}"/>')
    parts += [_cell(counts, int(row), int(column), classes, side) for row, column in np.argwhere(counts)]
    width, height = side + edge + int(0.55 * side), side + edge + 4
    return Markup(
        f'<svg xmlns="http://www.w3.org/2000/svg" class="matrix" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="group" aria-label="{escape(title, quote=True)}">{"".join(parts)}</svg>'
    )


def _cell(counts: np.ndarray, row: int, column: int, classes: Sequence[str], side: int) -> str:
    count, total = int(counts[row, column]), int(counts[row].sum())
    label, answer = escape(classes[row], quote=True), escape(classes[column], quote=True)
    what = "named rightly" if row == column else f"taken for {answer}"
    tip = f"{label} {what}: {count} of {total} ({count / total:.0%})"
    css = ("right" if row == column else "wrong") + (" full" if count / total > 0.55 else "")
    x, y = side + CELL * column, side + CELL * row
    return (
        f'<g class="cell {css}" data-true="{label}" data-predicted="{answer}" data-count="{count}" role="button" '
        f'aria-pressed="false" tabindex="-1" aria-label="{tip}" data-tip="{tip}"><rect x="{x}" y="{y}" width="{CELL}" '
        f'height="{CELL}" fill-opacity="{0.06 + 0.94 * count / total:.3f}"/><text x="{x + CELL / 2}" '
        f'y="{y + CELL / 2}" dy=".35em" text-anchor="middle">{count}</text></g>'
    )


def _attribute(text: str) -> str:
    """Return text for an attribute, whose line breaks XML would else take for spaces."""
    return escape(text, quote=True).replace("\n", "&#10;")


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
