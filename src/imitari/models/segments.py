"""Regions of modes from where the stages of demonstrations lie, and which of many such explain trials best.

A segmentation says when each stage of a demonstration begins, and how far around it the stage's region reaches; what
lies farther belongs to the first mode. It has two numbers a mode, so that hundreds are tried in a second. The best ones
are where the guesses of a `ModeClassifier` begin; they are no part of the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imitari.core.episode import Array

REACH = (0.03, 0.5)  # of regions that are drawn, in shares of the largest coordinate
SHIFT, STRETCH = 0.05, 0.2  # deviations of a changed segmentation: of its beginnings, and of the logarithm of its reach
ROUNDS = 3  # of drawing: at random, then around the best so far


@dataclass(frozen=True)
class Segmentation:
    """Of a task with K modes.

    Attributes:
        begins: (K - 1,) when all modes but the first begin, in shares of the way, rising.
        reach: (K - 1,) how far from the demonstrations each of them still is.
    """

    begins: Array
    reach: Array

    def modes(self, when: Array, far: Array) -> Array:
        """Modes (...) of states by the share of the way at the demonstrated state next to them, and its distance."""
        mode = (np.asarray(when)[..., None] >= self.begins).sum(-1)
        within = far <= np.concatenate([[np.inf], self.reach])[mode]
        return np.where(within, mode, 0).astype(np.int8)

    def changed(self, rng: np.random.Generator) -> Segmentation:
        begins = self.begins + SHIFT * rng.standard_normal(len(self.begins))
        reach = self.reach * np.exp(STRETCH * rng.standard_normal(len(self.reach)))
        return Segmentation(np.sort(np.clip(begins, 0.0, 1.0)), reach)


class Demonstrated:
    """Where the way of demonstrations (B, T, D) leads by; T points each, at equal distances."""

    def __init__(self, paths: Array) -> None:
        from scipy.spatial import KDTree

        self.tree = KDTree(paths.reshape(-1, paths.shape[-1]))
        self.share = np.tile(np.linspace(0, 1, paths.shape[1]), len(paths))

    def beside(self, states: Array) -> tuple[Array, Array]:
        """Share of the way at the demonstrated states nearest to `states` (..., D), and their distance: (...) both."""
        far, number = self.tree.query(states)
        return self.share[number], np.asarray(far)


def explained(mode: Array, feasible: Sequence[Sequence[float]]) -> Array:
    """Whether paths are expected to succeed (B,), by the modes (B, T) of their points: from the first to the last mode
    without a forbidden step."""
    forbidden = np.asarray(feasible) < 0
    allowed = ~forbidden[mode[:, :-1], mode[:, 1:]].any(1)
    return allowed & (mode[:, 0] == 0) & (mode[:, -1] == len(forbidden) - 1)


def segmentations(
    shown: Demonstrated,
    trials: tuple[Array, Array],
    feasible: Sequence[Sequence[float]],
    count: int,
    keep: int,
    rng: np.random.Generator,
) -> list[Segmentation]:
    """The `keep` segmentations that explain trials best, of `count` random ones and as many around the best of these.

    Args:
        trials: paths (B, T, D) and whether each succeeded (B,).
        feasible: (K, K), negative where a step from mode i to mode j is forbidden.
    """
    paths, succeeded = trials
    modes, (when, far) = len(feasible), shown.beside(paths)
    low, high = np.log(np.asarray(REACH) * np.abs(paths).max())

    def right(one: Segmentation) -> float:
        said = explained(one.modes(when, far), feasible)
        return float((said[succeeded].mean() + (~said[~succeeded]).mean()) / 2)

    drawn = [
        Segmentation(np.sort(rng.random(modes - 1)), np.exp(rng.uniform(low, high, modes - 1))) for _ in range(count)
    ]
    best = _best(drawn, [right(one) for one in drawn], keep)
    for _ in range(ROUNDS - 1):
        drawn = [best[int(rng.integers(len(best)))][1].changed(rng) for _ in range(count // 2)]
        pool = [one for _, one in best] + drawn
        best = _best(pool, [value for value, _ in best] + [right(one) for one in drawn], keep)
    return [best[number % len(best)][1] for number in range(keep)]


def _best(pool: list[Segmentation], value: list[float], keep: int) -> list[tuple[float, Segmentation]]:
    return [(value[row], pool[row]) for row in np.argsort(-np.asarray(value), kind="stable")[:keep]]
