"""Pictures of a data set's page: the law of what more data is worth, scores of episodes, steps kept and left out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from imitari.core.episode import Array
from imitari.evaluate._plots import WIDTH, Scale, svg
from imitari.evaluate.power_law import PowerLaw

ROWS = 40  # episodes that are drawn, evenly chosen


def law_plot(law: PowerLaw, seeds: Sequence[Sequence[float]], across: str) -> str:
    """Gap against amount, both logarithmic: means as dots, training seeds as rings, the line, and where `more` leads.

    Args:
        law: the fit.
        seeds: gaps of the training seeds at each amount.
        across: what the amounts are of.
    """
    height, left, right, top, bottom = 260, 70, 30, 16, 44
    tiny = min(gap for gap in law.gaps if gap > 0) / 4 if any(law.gaps) else 1e-3
    last = law.sizes[-1] + law.more
    values = [max(tiny, value) for row in [law.gaps, *seeds] for value in row] + [law.at(law.sizes[0]), law.at(last)]
    x = Scale(math.log10(law.sizes[0]), math.log10(last), left, WIDTH - right)
    y = Scale(math.log10(min(values)) - 0.05, math.log10(max(values)) + 0.05, height - bottom, top)

    def at(size: float, gap: float) -> tuple[float, float]:
        return x(math.log10(size)), y(math.log10(max(tiny, gap)))

    parts = [svg(WIDTH, height, "law")]
    for gap in _decades(min(values), max(values)):
        level = at(last, gap)[1]
        parts.append(f'<line class="grid" x1="{left}" x2="{WIDTH - right}" y1="{level:.1f}" y2="{level:.1f}"/>')
        parts.append(f'<text class="left" x="{left - 6}" y="{level + 4:.1f}">{gap:g}</text>')
    parts += [f'<text class="tick" x="{at(size, 1)[0]:.1f}" y="{height - 24}">{size}</text>' for size in law.sizes]
    parts.append(f'<text class="tick" x="{WIDTH / 2:.0f}" y="{height - 4}">{escape(across)}</text>')
    (begin, high), (end, low) = at(law.sizes[0], law.at(law.sizes[0])), at(law.sizes[-1], law.at(law.sizes[-1]))
    parts.append(_line(begin, high, end, low))
    parts.append(_line(end, low, *at(last, law.at(last)), dash=' stroke-dasharray="5 4"'))
    for size, row in zip(law.sizes, seeds, strict=True):
        parts += [_dot(*at(size, gap), 3.5, "none") for gap in row]
    for size, gap in zip(law.sizes, law.gaps, strict=True):
        parts.append(_dot(*at(size, gap), 5, "var(--arm-0)", f"{size}: {gap:.3g} missing"))
    return "".join(parts) + "</svg>"


def _line(x1: float, y1: float, x2: float, y2: float, dash: str = "") -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="var(--arm-0)" stroke-width="1.8"{dash}/>'


def _dot(x: float, y: float, radius: float, fill: str, title: str = "") -> str:
    what = f"<title>{escape(title)}</title>" if title else ""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{fill}" stroke="var(--arm-0)">{what}</circle>'


def _decades(low: float, high: float) -> list[float]:
    steps = [
        factor * 10.0**power
        for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for factor in (1, 2, 5)
    ]
    return [step for step in steps if low <= step <= high] or [high]


def score_bars(values: Array, good: Array, name: str) -> str:
    """One bar an episode, from the best to the worst; those of `good` (E,) bool are filled.

    Args:
        values: (E,) scores in the order of the bars, NaN where there is none.
        good: whether the episode is among the best.
        name: of the score.
    """
    height, left, base = 150, 56, 126
    told = values[~np.isnan(values)]
    if not len(told):
        return ""
    y = Scale(min(0.0, float(told.min())), float(told.max()) or 1.0, base, 12)
    width = (WIDTH - left) / len(values)
    parts = [svg(WIDTH, height, "scores"), f'<text class="left" x="{left - 6}" y="18">{told.max():.3g}</text>']
    parts.append(f'<text class="left" x="{left - 6}" y="{base}">{min(0.0, float(told.min())):.3g}</text>')
    for place, (value, best) in enumerate(zip(values.tolist(), good.tolist(), strict=True)):
        if math.isnan(value):
            continue
        edge, tall = y(value), max(0.5, base - y(value))
        fill = "var(--arm-0)" if best else "var(--neither)"
        parts.append(
            f'<rect x="{left + place * width:.2f}" y="{edge:.1f}" width="{max(0.4, width * 0.86):.2f}" '
            f'height="{tall:.1f}" fill="{fill}"><title>{escape(name)} {value:.4g}</title></rect>'
        )
    parts.append(
        f'<text class="tick" x="{WIDTH / 2:.0f}" y="{height - 4}">episodes by {escape(name)}, best first</text>'
    )
    return "".join(parts) + "</svg>"


def kept_rows(keep: Array, lengths: Array) -> str:
    """One row an episode over its steps: kept ones filled, others pale. At most `ROWS` episodes, evenly chosen.

    Args:
        keep: (N,) bool of all steps, episode by episode.
        lengths: (E,) steps of each episode.
    """
    ends = np.cumsum(lengths)
    chosen = np.unique(np.linspace(0, len(lengths) - 1, min(ROWS, len(lengths))).round().astype(int))
    left, tall, gap = 56, 9, 3
    longest = int(lengths.max())
    parts = [svg(WIDTH, len(chosen) * (tall + gap) + 4, "kept")]
    for row, number in enumerate(chosen.tolist()):
        top, mine = row * (tall + gap), keep[ends[number] - lengths[number] : ends[number]]
        parts.append(f'<text class="left" x="{left - 6}" y="{top + tall:.0f}">{number}</text>')
        edges = np.concatenate([[0], np.flatnonzero(np.diff(mine.astype(np.int8))) + 1, [len(mine)]])
        for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            x, wide = left + begin / longest * (WIDTH - left), (end - begin) / longest * (WIDTH - left)
            fill, what = ("var(--arm-0)", "kept") if mine[begin] else ("var(--neither)", "left out")
            parts.append(
                f'<rect x="{x:.2f}" y="{top}" width="{wide:.2f}" height="{tall}" fill="{fill}">'
                f"<title>episode {number}, steps {begin} to {end - 1}: {what}</title></rect>"
            )
    return "".join(parts) + "</svg>"
