"""Posteriors of several policies as violins, in a PNG."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from imitari.evaluate.many import Ranking
from imitari.evaluate.posterior import success_density

POINTS = 400
HALF = 0.4  # of the width of a violin


def draw_violins(ranking: Ranking, path: Path) -> None:
    """Writes the Beta posterior of each policy's success: its shape, mean and 95 % interval, and its letters.

    Of task completion, which has no density in closed form, mean and interval alone.
    """
    from matplotlib.figure import Figure

    order = ranking.order()
    figure = Figure(figsize=(1.2 + 1.1 * len(order), 4), layout="constrained")
    axes = figure.add_subplot()
    rates = np.linspace(0, 1, POINTS)
    for place, number in enumerate(order):
        colour, found = f"C{number % 10}", ranking.posteriors[number]
        if ranking.metric == "success":
            density = success_density(ranking.successes[number], ranking.trials[number], rates)
            half = HALF * density / density.max()
            axes.fill_betweenx(rates, place - half, place + half, color=colour, alpha=0.35, linewidth=0)
        axes.vlines(place, found.low, found.high, color=colour, linewidth=1.5)
        axes.plot(place, found.estimate, "o", color=colour, markersize=5)
        axes.annotate(ranking.letters[number], (place, 1.02), ha="center", annotation_clip=False, fontweight="bold")
    axes.set_xticks(range(len(order)), [ranking.names[number] for number in order], rotation=30, ha="right")
    axes.set_ylim(0, 1)
    axes.set_ylabel(f"{ranking.metric} ({ranking.task})")
    axes.set_title("no common letter: they differ", fontsize=9, pad=18)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130, format="png")
