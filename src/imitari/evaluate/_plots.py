"""Small SVG pictures for the report: drawn here, so that the page needs no other file and follows light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

COLOURS = 6  # arms beyond these repeat a colour; defined as --arm-0 .. in the style sheet
WIDTH = 760


@dataclass(frozen=True)
class Bar:
    """A value with its interval: one row of `intervals`.

    Attributes:
        label, note: left and right of the row.
        estimate, low, high: in the units of the axis.
        colour: number of the arm.
        dots: further values (one a training seed).
        mark: a value to draw a line at (a margin).
    """

    label: str
    note: str
    estimate: float
    low: float
    high: float
    colour: int = 0
    dots: tuple[float, ...] = ()
    mark: float | None = None


@dataclass(frozen=True)
class Curve:
    """One line of `curves`: (step, value) points of one training seed."""

    points: Sequence[tuple[float, float]]
    colour: int = 0
    dashed: bool = False
    name: str = ""
    style: str = field(default="", repr=False)


def intervals(bars: Sequence[Bar], low: float, high: float, unit: str = "", zero: bool = False) -> str:
    """Rows of dots with whiskers over a common axis.

    Args:
        bars: from top to bottom.
        low, high: ends of the axis.
        unit: behind the tick labels.
        zero: draw a line at 0.
    """
    left, right, row, top = 190, 150, 44, 8
    height = top + row * len(bars) + 30
    scale = Scale(low, high, left, WIDTH - right)
    parts = [svg(WIDTH, height, "intervals")]
    for tick in ticks(low, high):
        x = scale(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{height - 24}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{height - 8}">{tick:g}{unit}</text>')
    if zero:
        parts.append(f'<line class="zero" x1="{scale(0):.1f}" x2="{scale(0):.1f}" y1="{top}" y2="{height - 24}"/>')
    for number, bar in enumerate(bars):
        parts.append(_row(bar, scale, top + row * number + row / 2, left, right))
    return "".join(parts) + "</svg>"


def _row(bar: Bar, scale: Scale, y: float, left: int, right: int) -> str:
    colour = f"var(--arm-{bar.colour % COLOURS})"
    begin, end = scale(bar.low), scale(bar.high)
    parts = [
        f'<text class="label" x="{left - 14}" y="{y + 4:.1f}">{escape(_shortened(bar.label, 26))}</text>',
        f'<rect x="{begin:.1f}" y="{y - 7:.1f}" width="{max(1.5, end - begin):.1f}" height="14" rx="7" '
        f'fill="{colour}" opacity="0.28"/>',
        *(
            f'<circle cx="{scale(value):.1f}" cy="{y:.1f}" r="3" fill="none" stroke="{colour}" stroke-width="1.4"/>'
            for value in bar.dots
        ),
        f'<circle cx="{scale(bar.estimate):.1f}" cy="{y:.1f}" r="6" fill="{colour}"/>',
        f'<text class="note" x="{WIDTH - right + 14}" y="{y + 4:.1f}">{escape(bar.note)}</text>',
    ]
    if bar.mark is not None:
        x = scale(bar.mark)
        parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 18:.1f}" y2="{y + 18:.1f}"/>')
    return "".join(parts)


def curves(lines: Sequence[Curve], title: str, across: str = "step") -> str:
    """A panel of lines; the value axis is logarithmic where all values are positive and span more than 20 times."""
    width, height, left, right, top, bottom = 370, 210, 54, 14, 26, 34
    points = [point for line in lines for point in line.points]
    if not points:
        return ""
    values = [value for _, value in points]
    logarithmic = min(values) > 0 and max(values) / min(values) > 20

    def level(value: float) -> float:
        return math.log10(value) if logarithmic else value

    low, high = level(min(values)), level(max(values))
    margin = 0.05 * (high - low) or max(1e-9, abs(high) * 0.05)
    x = Scale(0, max(step for step, _ in points), left, width - right)
    y = Scale(low - margin, high + margin, height - bottom, top)
    parts = [svg(width, height, "curves"), f'<text class="title" x="{left}" y="15">{escape(title)}</text>']
    for tick in _levels(low - margin, high + margin, logarithmic):
        at = y(level(tick))
        parts.append(f'<line class="grid" x1="{left}" x2="{width - right}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="left" x="{left - 6}" y="{at + 4:.1f}">{tick:.3g}</text>')
    parts += [
        f'<text class="tick" x="{x(tick):.1f}" y="{height - 16}">{_thousands(tick)}</text>'
        for tick in ticks(0, max(step for step, _ in points), 4)
    ]
    parts.append(f'<text class="tick" x="{(left + width - right) / 2:.1f}" y="{height - 2}">{escape(across)}</text>')
    for line in lines:
        path = " ".join(f"{x(step):.1f},{y(level(value)):.1f}" for step, value in thinned(line.points))
        dash = ' stroke-dasharray="5 4"' if line.dashed else ""
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="var(--arm-{line.colour % COLOURS})" stroke-width="1.8"'
            f'{dash} opacity="0.85"><title>{escape(line.name)}</title></polyline>'
        )
    return "".join(parts) + "</svg>"


OUTCOMES = ("both", "first", "second", "neither")


def strip(kinds: Sequence[tuple[str, int]], first: int, second: int) -> str:
    """One cell a start, in the order given.

    Args:
        kinds: ("both" | "first" | "second" | "neither", start).
        first, second: colours of the two arms.
    """
    many = max(1, len(kinds))
    across = min(many, 100)
    size = WIDTH / across if across > 40 else min(18.0, WIDTH / across)
    fill = {
        "both": "var(--both)",
        "first": f"var(--arm-{first % COLOURS})",
        "second": f"var(--arm-{second % COLOURS})",
        "neither": "var(--neither)",
    }
    height = math.ceil(many / across) * (size + 5)
    parts = [svg(WIDTH, height, "strip")]
    for number, (kind, start) in enumerate(kinds):
        x, y = (number % across) * size, (number // across) * (size + 5)
        parts.append(
            f'<rect x="{x:.2f}" y="{y:.2f}" width="{size * 0.86:.2f}" height="{size + 1:.2f}" rx="1.5" '
            f'fill="{fill[kind]}"><title>start {start}: {kind}</title></rect>'
        )
    return "".join(parts) + "</svg>"


class Scale:
    def __init__(self, low: float, high: float, begin: float, end: float) -> None:
        self.low, self.begin = low, begin
        self.slope = (end - begin) / ((high - low) or 1.0)
        self.limits = min(begin, end), max(begin, end)

    def __call__(self, value: float) -> float:
        return min(self.limits[1], max(self.limits[0], self.begin + (value - self.low) * self.slope))


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers between the ends, about as many as asked for."""
    span = high - low
    if span <= 0 or not math.isfinite(span):
        return [low]
    step = 10.0 ** math.floor(math.log10(span / about))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= about * 1.4 or factor == 10)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 12) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _levels(low: float, high: float, logarithmic: bool) -> list[float]:
    if not logarithmic:
        return ticks(low, high, 4)
    return [10.0**power for power in range(math.ceil(low), math.floor(high) + 1)] or [10.0**low, 10.0**high]


def thinned(points: Sequence[tuple[float, float]], most: int = 240) -> list[tuple[float, float]]:
    """At most `most` points: means of neighbours, so that no spike is lost without a trace."""
    if len(points) <= most:
        return list(points)
    size = math.ceil(len(points) / most)
    groups = [points[begin : begin + size] for begin in range(0, len(points), size)]
    return [(group[-1][0], sum(value for _, value in group) / len(group)) for group in groups]


def _thousands(value: float) -> str:
    return f"{value / 1000:g}k" if abs(value) >= 1000 else f"{value:g}"


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else "…" + text[-(most - 1) :]


def svg(width: float, height: float, kind: str) -> str:
    return f'<svg class="{kind}" viewBox="0 0 {width:g} {height:g}" role="img" xmlns="http://www.w3.org/2000/svg">'
