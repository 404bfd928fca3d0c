"""Statistics of features, an episode at a time and pooled over episodes, in the form that LeRobot stores them."""

from __future__ import annotations

from typing import Any

import numpy as np

from imitari.core.episode import Array

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
PICTURES = 100
"""Frames of an episode that its picture statistics are taken from, evenly spaced."""

Stats = dict[str, Array]


def of_numbers(values: Array) -> Stats:
    """Of one episode. values: (T, ...); every statistic has the shape of one row, `count` is (1,)."""
    flat = values.astype(np.float64)
    return _of(flat, len(values))


def of_nothing(shape: tuple[int, ...]) -> Stats:
    """Of an episode in which a feature of this shape is unknown throughout: zeros, of a count of 0."""
    return {**_of(np.zeros((1, *shape)), 0)}


def of_pictures(frames: Array) -> Stats:
    """Of one episode, a channel at a time and scaled to [0, 1]: (C, 1, 1). frames: (n, height, width, C) uint8."""
    # 256 counts hold all there is to know about the values of a channel.
    channels = [np.bincount(frames[..., channel].reshape(-1), minlength=256) for channel in range(frames.shape[-1])]
    parts = [_of_counts(counts) for counts in channels]
    stats = {key: np.array([part[key] for part in parts]).reshape(-1, 1, 1) / 255.0 for key in parts[0]}
    return stats | {"count": np.array([len(frames)])}


def _of_counts(counts: Array) -> dict[str, float]:
    values, total = np.arange(256), counts.sum()
    mean = float((counts * values).sum() / total)
    present, ends = np.flatnonzero(counts), np.cumsum(counts)
    stats = {"min": float(present[0]), "max": float(present[-1]), "mean": mean}
    stats["std"] = float(np.sqrt((counts * (values - mean) ** 2).sum() / total))
    for key, level in QUANTILES.items():
        at = level * (total - 1)
        low, high = np.searchsorted(ends, [int(at), int(np.ceil(at))], side="right")
        stats[key] = float(low + (high - low) * (at - int(at)))
    return stats


def sampled(length: int) -> Array:
    """Which frames of an episode stand for all."""
    return np.unique(np.linspace(0, length - 1, min(length, PICTURES)).astype(np.int64))


class Pool:
    """Statistics over all episodes, from those of each.

    Quantiles are means of the episodes' quantiles, weighted by their lengths, as LeRobot has them.
    """

    def __init__(self) -> None:
        self._low: Array | None = None
        self._high: Array | None = None
        self._count = 0
        self._nothing: Stats | None = None
        self._sums: dict[str, Array] = {}

    def add(self, stats: Stats) -> None:
        count = int(stats["count"][0])
        if count == 0:
            self._nothing = stats
            return
        self._low = stats["min"] if self._low is None else np.minimum(self._low, stats["min"])
        self._high = stats["max"] if self._high is None else np.maximum(self._high, stats["max"])
        # Chan's update keeps the spread exact where the mean is large beside it.
        mean, spread = self._sums.get("mean", 0.0), self._sums.get("spread", 0.0)
        total = self._count + count
        with np.errstate(invalid="ignore"):
            delta = stats["mean"] - mean
            self._sums["mean"] = mean + delta * (count / total)
            self._sums["spread"] = spread + stats["std"] ** 2 * count + delta**2 * (self._count * count / total)
        for key in QUANTILES:
            self._sums[key] = self._sums.get(key, 0.0) + stats[key] * count
        self._count = total

    def result(self) -> Stats:
        if self._low is None and self._nothing is not None:
            return self._nothing
        assert self._low is not None
        assert self._high is not None
        stats = {"min": self._low, "max": self._high, "mean": self._sums["mean"]}
        stats["std"] = np.sqrt(self._sums["spread"] / self._count)
        stats["count"] = np.array([self._count])
        return stats | {key: self._sums[key] / self._count for key in QUANTILES}


def to_json(stats: Stats) -> dict[str, Any]:
    return {key: value.tolist() for key, value in stats.items()}


def _of(flat: Array, count: int) -> Stats:
    # float32 sums of many equal values drift, hence double throughout.
    with np.errstate(invalid="ignore"):  # infinities are the business of the doctor
        stats: Stats = {"min": flat.min(0), "max": flat.max(0), "mean": flat.mean(0), "std": flat.std(0)}
        stats["count"] = np.array([count])
        levels = np.quantile(flat, list(QUANTILES.values()), axis=0)
    return stats | dict(zip(QUANTILES, levels, strict=True))
