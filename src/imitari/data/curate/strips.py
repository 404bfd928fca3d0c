"""What was kept of each episode and what was left out, over time, as one strip an episode."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from imitari.core.demos import Demos
from imitari.core.episode import Array

KEPT, LEFT_OUT = "#9ecae1", "#404040"
MARKED = "#e6550d"
MOST = 60  # episodes shown


def strips(demos: Demos, keep: Array, marked: Array | None = None) -> Array:
    """(E, longest) of what is drawn: 0 behind the end of an episode, 1 kept, 2 left out, 3 and 4 the same where marked.

    Args:
        demos: any.
        keep: (N,) bool, in the order of `Demos.rows()`.
        marked: (N,) bool: steps that somebody says are extraneous.
    """
    length = demos.table.length
    inside = np.arange(int(length.max())) < length[:, None]
    picture = np.zeros(inside.shape, np.int64)
    picture[inside] = np.where(keep, 1, 2) + (0 if marked is None else 2 * marked.astype(np.int64))
    return picture


def draw_strips(demos: Demos, keep: Array, path: Path, title: str, marked: Array | None = None) -> None:
    """Writes a PNG: a row an episode (the first `MOST`), time to the right; marked steps orange, dark if left out."""
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    picture = strips(demos, keep, marked)[:MOST]
    colours = ["white", KEPT, LEFT_OUT, MARKED, "#7f2704"]
    figure = Figure(figsize=(9, 1.2 + 0.09 * len(picture)), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(picture, cmap=ListedColormap(colours), vmin=-0.5, vmax=4.5, aspect="auto", interpolation="nearest")
    axes.set(xlabel="step", ylabel="episode", title=title)
    words = ["kept", "left out", *([] if marked is None else ["extraneous, kept", "extraneous, left out"])]
    patches = [Patch(color=colour, label=word) for colour, word in zip(colours[1:], words, strict=False)]
    figure.legend(handles=patches, loc="outside lower center", ncols=len(words), fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, format="png")
