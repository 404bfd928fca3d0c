"""Hypothesis tests for two policies, and the corrections when several pairs are tested.

All p-values are two-sided. The number of rollouts must be fixed beforehand: looking after every rollout and stopping at
the first p < 0.05 declares a difference between equal policies in about a third of experiments. To stop early, use
`imitari.evaluate.sequential`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from imitari.evaluate.intervals import check_counts, scipy_part

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Significance:
    """What a test found: its statistic (named in each function) and the two-sided p-value."""

    statistic: float
    p_value: float


def mcnemar_exact(only_a: int, only_b: int) -> Significance:
    """Exact McNemar test of two policies run from the same starts.

    Args:
        only_a, only_b: starts where only `a`, only `b` succeeded. Equal outcomes tell nothing about the difference.

    Returns:
        statistic = only_b - only_a; p = 1 when no start told them apart.
    """
    if only_a < 0 or only_b < 0:
        raise ValueError(f"discordant counts {only_a} and {only_b} must not be negative")
    discordant = only_a + only_b
    p_value = (
        1.0
        if discordant == 0
        else min(1.0, 2 * float(scipy_part("special").bdtr(min(only_a, only_b), discordant, 0.5)))
    )
    return Significance(float(only_b - only_a), p_value)


def barnard(successes_a: int, trials_a: int, successes_b: int, trials_b: int) -> Significance:
    """Barnard's exact unconditional test of two independent success rates (Barnard 1947; pooled score statistic).

    Returns:
        statistic = score of rate_b - rate_a; p = 1 when both policies always succeed or both always fail.
    """
    check_counts(successes_a, trials_a)
    check_counts(successes_b, trials_b)
    if successes_a + successes_b in (0, trials_a + trials_b):
        return Significance(0.0, 1.0)
    table = [[successes_b, successes_a], [trials_b - successes_b, trials_a - successes_a]]
    found = scipy_part("stats").barnard_exact(table, pooled=True)
    return Significance(float(found.statistic), min(1.0, float(found.pvalue)))


def welch_t(a: ArrayLike, b: ArrayLike) -> Significance:
    """Welch's t-test of mean(b) = mean(a) for independent values of unequal variance, such as task completion.

    Returns:
        statistic = t. Two constant samples give p = 1 when equal and p = 0 when not.
    """
    first, second = np.asarray(a, dtype=np.float64).ravel(), np.asarray(b, dtype=np.float64).ravel()
    if min(first.size, second.size) < 2:
        raise ValueError(f"Welch's test needs at least 2 values a side, got {first.size} and {second.size}")
    parts = [float(x.var(ddof=1)) / x.size for x in (first, second)]
    difference, variance = float(second.mean() - first.mean()), sum(parts)
    if variance == 0:
        return Significance(0.0, 1.0) if difference == 0 else Significance(float(np.copysign(np.inf, difference)), 0.0)
    freedom = variance**2 / (parts[0] ** 2 / (first.size - 1) + parts[1] ** 2 / (second.size - 1))
    statistic = difference / variance**0.5
    return Significance(statistic, 2 * float(scipy_part("special").stdtr(freedom, -abs(statistic))))


def permutation_paired(a: ArrayLike, b: ArrayLike, draws: int = 20_000, seed: int = 0) -> Significance:
    """Sign-flip permutation test of paired values, shape (starts,): is mean(b - a) zero?

    All sign patterns are enumerated up to 14 starts that differ; beyond, `draws` random ones are taken and the observed
    one is counted in, so that p is never 0 and never too small.

    Returns:
        statistic = mean(b - a).
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1 or first.size == 0:
        raise ValueError(f"a {first.shape} and b {second.shape} must be one number for each of the same starts")
    difference = second - first
    moved = difference[difference != 0]
    mean = float(difference.mean())
    if moved.size == 0:
        return Significance(0.0, 1.0)
    observed = abs(float(moved.sum()))
    threshold = observed - 1e-9 * float(np.abs(moved).sum())  # rounding must not turn a tie into a miss
    if moved.size <= 14:
        patterns = np.arange(2**moved.size, dtype=np.int64)[:, None]
        bits = np.bitwise_and(np.right_shift(patterns, np.arange(moved.size)), 1)
        signs: Floats = 1.0 - 2.0 * bits.astype(np.float64)
        return Significance(mean, float(np.mean(np.abs(signs @ moved) >= threshold)))
    return Significance(mean, (1 + _extreme_flips(moved, threshold, draws, seed)) / (draws + 1))


def _extreme_flips(moved: Floats, threshold: float, draws: int, seed: int) -> int:
    """How many of `draws` random sign patterns give an absolute sum >= `threshold`; in blocks to bound memory."""
    generator = np.random.default_rng(seed)
    block = max(1, 4_000_000 // moved.size)
    extreme = 0
    for start in range(0, draws, block):
        count = min(block, draws - start)
        signs = 1 - 2 * generator.integers(0, 2, size=(count, moved.size), dtype=np.int8)
        extreme += int(np.count_nonzero(np.abs(signs @ moved) >= threshold))
    return extreme


def bonferroni(p_values: ArrayLike) -> Floats:
    """P-values times their number, at most 1: compare with alpha to keep the family-wise error."""
    values = _checked(p_values)
    return np.minimum(1.0, values * values.size)


def holm(p_values: ArrayLike) -> Floats:
    """Holm's step-down adjusted p-values (Holm 1979), in the order given: as safe as Bonferroni, never weaker."""
    values = _checked(p_values)
    order = np.argsort(values, kind="stable")
    factors = values.size - np.arange(values.size)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * factors))
    return adjusted


def _checked(p_values: ArrayLike) -> Floats:
    values = np.asarray(p_values, dtype=np.float64).ravel()
    if values.size and not (np.all(values >= 0) and np.all(values <= 1)):
        raise ValueError("p-values must lie between 0 and 1")
    return values
