"""Bootstrap intervals: differences from paired starts, the interquartile mean, the probability of improvement.

Differences are ``b - a``. All draws come from a generator made from `seed`, so a report can be reproduced.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from imitari.evaluate.intervals import Interval, check_level

Floats = NDArray[np.float64]


def paired_bootstrap(a: ArrayLike, b: ArrayLike, level: float = 0.95, draws: int = 4000, seed: int = 0) -> Interval:
    """Percentile interval of mean(b) - mean(a) for two fixed policies run from the same starts.

    Args:
        a, b: one number a start, shape (starts,): success, return, progress.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1 or first.size < 2:
        raise ValueError(f"a {first.shape} and b {second.shape} must be one number for each of the same starts")
    difference = second - first
    means = _weights(np.random.default_rng(seed), difference.size, draws) @ difference
    return _percentiles(float(difference.mean()), means, level)


def hierarchical_bootstrap(
    a: ArrayLike, b: ArrayLike, level: float = 0.95, draws: int = 2000, seed: int = 0
) -> Interval:
    """Percentile interval of mean(b) - mean(a), resampling the training seeds of each arm and the shared starts.

    Beware of few seeds: three seeds resampled show two thirds of their variance, and no Student quantile makes up for
    it. Simulated coverage of the "95 %" interval with 3 seeds x 100 starts is 0.93 at a seed sd of 0.1 and 0.85 at
    0.2. Use it from about ten seeds on; `intervals.crossed_interval` keeps its level with three.

    Args:
        a, b: outcomes (seeds, starts), the same starts in the same order; seed numbers may differ.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(f"a {first.shape} and b {second.shape} must be (seeds, starts) with the same starts")
    generator = np.random.default_rng(seed)
    by_start = _weights(generator, first.shape[1], draws)
    means = np.zeros(draws)
    for table, sign in ((first, -1.0), (second, 1.0)):
        by_seed = _weights(generator, table.shape[0], draws)
        means += sign * np.einsum("dn,dn->d", by_seed @ table, by_start)
    return _percentiles(float(second.mean() - first.mean()), means, level)


def interquartile_mean(scores: ArrayLike) -> float:
    """Mean of the middle half of all `scores` (any shape): robust to outliers, steadier than the median.

    A quarter of the sorted scores, rounded down, is left out at each end. Source: Agarwal et al. 2021, section 4.3.
    """
    flat = np.sort(np.asarray(scores, dtype=np.float64), axis=None)
    if flat.size == 0:
        raise ValueError("the interquartile mean needs at least one score")
    cut = flat.size // 4
    return float(flat[cut : flat.size - cut].mean())


def iqm(scores: ArrayLike, level: float = 0.95, draws: int = 2000, seed: int = 0) -> Interval:
    """Interquartile mean with a bootstrap interval stratified by task: seeds are resampled within each task.

    Args:
        scores: (seeds, tasks), or (seeds,) for one task.
    """
    table = _score_table(scores)
    resampled = _stratified(np.random.default_rng(seed), table, draws)
    flat = np.sort(resampled.reshape(draws, -1), axis=1)
    cut = flat.shape[1] // 4
    return _percentiles(interquartile_mean(table), flat[:, cut : flat.shape[1] - cut].mean(axis=1), level)


def probability_of_improvement(
    a: ArrayLike, b: ArrayLike, level: float = 0.95, draws: int = 2000, seed: int = 0
) -> Interval:
    """Chance that a random run of `b` beats a random run of `a` on the same task, averaged over tasks.

    Ties count half.

    Args:
        a, b: scores (seeds, tasks), or (seeds,) for one task; the same tasks, seed numbers may differ.

    Source: Agarwal et al. 2021, section 4.3 (the Mann-Whitney statistic of each task).
    """
    first, second = _score_table(a), _score_table(b)
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"a has {first.shape[1]} tasks and b {second.shape[1]}: compare the same tasks")
    wins = np.heaviside(second[:, None, :] - first[None, :, :], 0.5)
    generator = np.random.default_rng(seed)
    weights_b = _weights(generator, second.shape[0], draws * second.shape[1]).reshape(draws, second.shape[1], -1)
    weights_a = _weights(generator, first.shape[0], draws * first.shape[1]).reshape(draws, first.shape[1], -1)
    means = np.einsum("dti,ijt,dtj->dt", weights_b, wins, weights_a, optimize=True).mean(axis=1)
    return _percentiles(float(wins.mean()), means, level)


def _weights(generator: np.random.Generator, count: int, draws: int) -> Floats:
    """Share of each of `count` units in each resample, shape (draws, count), rows sum to 1."""
    return generator.multinomial(count, np.full(count, 1.0 / count), size=draws) / count


def _score_table(scores: ArrayLike) -> Floats:
    table = np.asarray(scores, dtype=np.float64)
    table = table[:, None] if table.ndim == 1 else table
    if table.ndim != 2 or table.size == 0:
        raise ValueError(f"scores have shape {table.shape}, but must be (seeds, tasks) or (seeds,)")
    return table


def _stratified(generator: np.random.Generator, table: Floats, draws: int) -> Floats:
    """Resamples (draws, seeds, tasks), each task's seeds drawn on their own."""
    rows = generator.integers(table.shape[0], size=(draws, *table.shape))
    return np.take_along_axis(table[None], rows, axis=1)


def _percentiles(estimate: float, means: Floats, level: float) -> Interval:
    check_level(level)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(estimate, float(low), float(high), level)
