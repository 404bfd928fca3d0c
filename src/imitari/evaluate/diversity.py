"""Behaviour diversity: does a policy keep the different ways of solving a task that its demonstrations show?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from imitari.core.outcome import Outcome

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Diversity:
    """Diversity over the behaviours of successful rollouts.

    Attributes:
        entropy: mean over starts of the entropy to base (number of behaviours): 0 one behaviour, 1 all equally often.
        per_start: the entropy of each start (starts,); NaN where no rollout succeeded.
        successes: successful rollouts of each start (starts,). Few successes make entropy meaningless: show both.
        ceiling: the largest entropy that this number of rollouts a start could have shown.
    """

    entropy: float
    per_start: Floats
    successes: Counts
    ceiling: float


def behaviour_counts(behaviour: ArrayLike, success: ArrayLike, behaviours: int) -> Counts:
    """How often each behaviour was seen in successful rollouts of each start, shape (starts, behaviours).

    Args:
        behaviour: index of each rollout's behaviour, whole numbers (starts, rollouts); ignored where it failed.
        success: whether the rollout solved the task (starts, rollouts).
        behaviours: how many behaviours the task has.
    """
    index, solved = np.asarray(behaviour), np.asarray(success, dtype=bool)
    if index.ndim != 2 or index.shape != solved.shape:
        raise ValueError(f"behaviour {index.shape} and success {solved.shape} must both be (starts, rollouts)")
    if behaviours < 2:
        raise ValueError(f"diversity needs at least 2 possible behaviours, got {behaviours}")
    seen = index[solved].astype(np.int64)
    if seen.size and (seen.min() < 0 or seen.max() >= behaviours):
        raise ValueError(f"a successful rollout has a behaviour outside 0..{behaviours - 1}")
    starts = np.nonzero(solved)[0]
    flat = np.bincount(starts * behaviours + seen, minlength=index.shape[0] * behaviours)
    return flat.reshape(index.shape[0], behaviours).astype(np.int64)


def behaviour_entropy(
    behaviour: ArrayLike, success: ArrayLike, behaviours: int, unsolved: Literal["zero", "drop"] = "zero"
) -> Diversity:
    """Conditional behaviour entropy: the mean over starts of the normalised entropy of successful behaviours.

    For a task with one start pass arrays of shape (1, rollouts). A deterministic policy scores 0 by construction.

    Args:
        behaviour, success, behaviours: as in `behaviour_counts`.
        unsolved: what a start without any success adds to the mean: "zero" (D3IL's Aligning and Pushing) or nothing,
            "drop" (Sorting and Stacking). With "drop" and no success at all the entropy is NaN.

    Source: D3IL (arXiv 2402.14606), section on behaviour entropy.
    """
    counts = behaviour_counts(behaviour, success, behaviours)
    successes = counts.sum(axis=1)
    share = counts / np.maximum(successes, 1)[:, None]
    logs = np.log(share, out=np.zeros_like(share), where=share > 0)
    per_start = np.where(successes > 0, np.abs((share * logs).sum(axis=1)) / math.log(behaviours), np.nan)
    used = np.nan_to_num(per_start) if unsolved == "zero" else per_start[successes > 0]
    rollouts = np.asarray(behaviour).shape[1]
    entropy = float(used.mean()) if used.size else math.nan
    return Diversity(entropy, per_start, successes, _ceiling(rollouts, behaviours))


@dataclass(frozen=True)
class Shown:
    """The ways in which some rollouts solved a task, start by start.

    Attributes:
        behaviour, success: (starts, rollouts); a rollout that is missing, or was solved in no known way, is no success.
        behaviours: how many ways there are.
        unknown: solved rollouts without a known way: they enter no entropy.
    """

    behaviour: Counts
    success: NDArray[np.bool_]
    behaviours: int
    unknown: int

    def entropy(self, unsolved: Literal["zero", "drop"] = "zero") -> Diversity:
        return behaviour_entropy(self.behaviour, self.success, self.behaviours, unsolved)

    def counts(self) -> Counts:
        """How often each way was seen (behaviours,)."""
        return behaviour_counts(self.behaviour, self.success, self.behaviours).sum(0)

    def facts(self, names: Sequence[str]) -> dict[str, Any]:
        """For people and for JSON: what was seen of what there is, and how evenly.

        `entropy` counts a start without success as 0, `entropy_of_solved` leaves it out (None where all are such);
        `pooled` is that of the ways seen from all starts together.
        """
        zero, dropped, counts = self.entropy(), self.entropy("drop"), self.counts()
        return {
            "seen": int((counts > 0).sum()),
            "possible": self.behaviours,
            "entropy": zero.entropy,
            "pooled": _entropy(counts, self.behaviours),
            "entropy_of_solved": None if math.isnan(dropped.entropy) else dropped.entropy,
            "ceiling": zero.ceiling,
            "contexts": len(self.success),
            "contexts_solved": int((zero.successes > 0).sum()),
            "unknown": self.unknown,
            "counts": dict(zip(names, counts.tolist(), strict=True)),
        }


def _entropy(counts: Counts, base: int) -> float:
    share = counts[counts > 0] / max(1, counts.sum())
    return abs(float((share * np.log(share)).sum())) / math.log(base)


def shown(outcomes: Sequence[Outcome], behaviours: int, context: Callable[[int], int]) -> Shown:
    """Outcomes of one policy, put together by the state that they began in.

    Args:
        outcomes: in any order, at least one.
        behaviours: how many ways the task has.
        context: (start) -> number of the state that it begins in, see `Task.context`.
    """
    groups: dict[int, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(context(outcome.start), []).append(outcome)
    shape = len(groups), max(map(len, groups.values()))
    behaviour, success = np.full(shape, -1), np.zeros(shape, bool)
    for number, key in enumerate(sorted(groups)):
        rows = groups[key]
        behaviour[number, : len(rows)] = [row.behaviour for row in rows]
        success[number, : len(rows)] = [row.success for row in rows]
    known = success & (behaviour >= 0)
    return Shown(behaviour, known, behaviours, int((success & ~known).sum()))


def _ceiling(rollouts: int, behaviours: int) -> float:
    """Entropy of `rollouts` successes spread as evenly as whole numbers allow."""
    if rollouts == 0:
        return 0.0
    low, extra = divmod(rollouts, behaviours)
    shares = np.array([low + 1] * extra + ([low] * (behaviours - extra) if low else [])) / rollouts
    return max(0.0, float(-(shares * np.log(shares)).sum()) / math.log(behaviours))


def divergence_from_demos(
    behaviour: ArrayLike, success: ArrayLike, demo_frequency: ArrayLike, floor: float = 1e-12
) -> float:
    """Mean over solved starts of KL(policy's behaviours || the demonstrations'), to base (number of behaviours).

    0 means that the policy shows the behaviours as often as the demonstrations. NaN when no rollout succeeded.

    Args:
        behaviour, success: as in `behaviour_counts`.
        demo_frequency: how often each behaviour occurs in the demonstrations (behaviours,); counts or shares.
        floor: share given to a behaviour that no demonstration shows (D3IL's guard of the logarithm).
    """
    frequency = np.asarray(demo_frequency, dtype=np.float64).ravel()
    if frequency.size < 2 or np.any(frequency < 0) or frequency.sum() <= 0:
        raise ValueError("demo_frequency must hold one non-negative number for each of at least 2 behaviours")
    counts = behaviour_counts(behaviour, success, frequency.size)
    solved = counts[counts.sum(axis=1) > 0]
    if not len(solved):
        return math.nan
    share = solved / solved.sum(axis=1, keepdims=True)
    reference = np.log(np.maximum(frequency / frequency.sum(), floor))
    logs = np.log(share, out=np.zeros_like(share), where=share > 0)
    return float((share * (logs - reference)).sum(axis=1).mean()) / math.log(frequency.size)
