"""A picture of an episode: its frames as strips, its numbers as curves; in the terminal as lines of blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from imitari.core.demos import Demos
from imitari.core.episode import ACTION, REWARD, Array

BLOCKS = "▁▂▃▄▅▆▇█"
FRAMES = 8
DIMENSIONS = 12


def sparkline(values: Array, width: int = 40) -> str:
    """(T,) numbers as one line of blocks, from their least to their largest; not finite ones as a cross."""
    parts = np.array_split(np.asarray(values, np.float64), min(width, max(1, len(values))))
    means = np.array([part.mean() if np.isfinite(part).all() else np.nan for part in parts])
    good = means[np.isfinite(means)]
    low, span = (good.min(), np.ptp(good)) if len(good) else (0.0, 0.0)
    scaled = np.nan_to_num((means - low) / (span or 1.0)) * (len(BLOCKS) - 1)
    return "".join(BLOCKS[round(at)] if ok else "x" for at, ok in zip(scaled, np.isfinite(means), strict=True))


def curves(demos: Demos, number: int) -> dict[str, Array]:
    """Name -> (T, D) of the numeric observations, the action and the reward of one episode. Images are not read."""
    start, length = int(demos.table.start[number]), int(demos.table.length[number])
    keys = [key for key, feature in demos.spec.numbers.items() if feature.size]
    keys += [key for key in (ACTION, REWARD) if key in demos.columns and np.prod(demos.columns[key].shape[1:])]
    return {key: demos.columns[key].span(start, start + length).reshape(length, -1) for key in keys}


def draw(demos: Demos, number: int, path: Path, title: str) -> None:
    """Writes a PNG: a strip of frames for every camera, and one graph for every numeric column."""
    from matplotlib.figure import Figure

    shown = curves(demos, number)
    cameras = list(demos.spec.images)
    heights = [1.3] * len(cameras) + [1.6] * len(shown)
    figure = Figure(figsize=(10, 0.6 + sum(heights)), layout="constrained")
    figure.suptitle(title, fontsize=10)
    grid = figure.add_gridspec(len(heights) or 1, 1, height_ratios=heights or [1])
    for row, key in enumerate(cameras):
        _strip(figure.add_subplot(grid[row]), demos, number, key)
    for row, (key, values) in enumerate(shown.items(), len(cameras)):
        axes = figure.add_subplot(grid[row])
        axes.plot(values[:, :DIMENSIONS], linewidth=0.9)
        axes.set_ylabel(key.removeprefix("observation."), fontsize=8)
        axes.tick_params(labelsize=7)
        axes.margins(x=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, format="png")


def _strip(axes: Any, demos: Demos, number: int, key: str) -> None:
    start, length = int(demos.table.start[number]), int(demos.table.length[number])
    at = np.unique(np.linspace(0, length - 1, FRAMES).astype(np.int64))
    frames = demos.columns[key].take(start + at)
    border = np.full((*frames.shape[:2], 2, frames.shape[3]), 255, np.uint8)
    strip = np.concatenate(list(np.concatenate([frames, border], axis=2)), axis=1)
    axes.imshow(strip.squeeze(), cmap="gray" if strip.shape[-1] == 1 else None, aspect="equal")
    axes.set_title(f"{key.removeprefix('observation.images.')}: frames {', '.join(map(str, at))}", fontsize=8)
    axes.set_axis_off()
