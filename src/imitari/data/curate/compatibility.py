"""Which new demonstrations agree with what a policy already does: measure, filter, order, nearest demonstration.

Gandhi, Karamcheti, Liao & Sadigh 2022, "Eliciting Compatible Demonstrations for Multi-Human Imitation Learning". An
ensemble of policies of the first demonstrations says two things of a step: the error L of its action, and the novelty
N of its state. Where the state is familiar (N < eta) the action must agree (L <= lambda); what is done in a novel state
is useful, whatever it is. The numbers are in the policy's units, so both thresholds come from the first demonstrator's
own steps that the policy has not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imitari.core.demos import Demos
from imitari.core.episode import Array
from imitari.core.errors import UserError

WORST, AROUND = 3, 10  # clips of a rejected demonstration, and steps on both sides of each
CLEAR, FAR = 0.5, 1.5  # of lambda and eta: below and above which a step is "good", novel and yet predicted


@dataclass(frozen=True)
class Limits:
    """Attributes:
    error: lambda, above which an action contradicts.
    novelty: eta, from which on a state is novel.
    """

    error: float
    novelty: float

    @staticmethod
    def of(error: Array, novelty: Array, share: float) -> Limits:
        """The quantiles `share` of errors (NaN where unknown) and novelties (N,) of held-out steps of the first
        demonstrator."""
        told = error[~np.isnan(error)]
        return Limits(max(float(np.quantile(told, share)), 1e-12), float(np.quantile(novelty, share)))

    def compatibility(self, error: Array, novelty: Array) -> Array:
        """M in [0, 1] of steps (N,): 1 - min(L / lambda, 1) in familiar states, 1 in novel ones."""
        return np.where(novelty < self.novelty, 1 - np.minimum(error / self.error, 1), 1.0)

    def bad(self, error: Array, novelty: Array) -> Array:
        """(N,) bool: the steps that contradict in a familiar state, which the filter drops."""
        return (error > self.error) & (novelty < self.novelty)

    def good(self, error: Array, novelty: Array) -> Array:
        """(N,) bool: novel and yet predicted: informative."""
        return (error < CLEAR * self.error) & (novelty > FAR * self.novelty)


def parts_by_start(demos: Demos, count: int, seed: int = 0) -> list[Array]:
    """Numbers of the episodes in at most `count` parts, as many in each, whose episodes begin in other places.

    They are cut along the direction in which the first observations (their numbers, each brought to deviation 1) differ
    most. What an ensemble of the other parts says of a part is then said of states that it has not seen, and not only
    of demonstrations beside its own: else what is near the border of the first data would count as new. Where nothing
    differs, or nothing that is seen is a number, parts are drawn.
    """
    drawn = np.random.default_rng([seed, 0xF01D]).permutation(len(demos))
    begins = [demos.columns[key].take(demos.table.start).reshape(len(demos), -1) for key in demos.spec.numbers]
    if begins:
        values = np.concatenate(begins, 1).astype(np.float64)[drawn]
        values -= values.mean(0)
        values /= np.where(values.std(0) > 0, values.std(0), 1.0)
        direction = np.linalg.svd(values, full_matrices=False)[2][0]
        drawn = drawn[np.argsort(values @ direction, kind="stable")]
    return np.array_split(drawn, min(count, len(demos)))


def error_and_novelty(predicted: Array, action: Array) -> tuple[Array, Array]:
    """L and N (N,) of steps: the mean squared error over members and dimensions, and the members' standard deviation,
    mean over dimensions.

    Args:
        predicted: (members, N, A), in units in which actions lie in [-1, 1]; both are clipped to that.
        action: (N, A).
    """
    predicted, action = np.clip(predicted, -1, 1), np.clip(action, -1, 1)
    return ((predicted - action) ** 2).mean((0, 2)), predicted.std(0).mean(-1)


def order(demos: Demos, bad: Array, good: Array) -> Array:
    """Numbers of the episodes, the best first: by the number of bad steps, then by that of good ones, the more the
    better; `bad` and `good` (N,) bool of all steps."""
    owner = np.repeat(np.arange(len(demos)), demos.table.length)
    counts = [np.bincount(owner, flags, minlength=len(demos)) for flags in (bad, good)]
    return np.lexsort((-counts[1], counts[0]))


def within(demos: Demos, numbers: Array, steps: int) -> Array:
    """The first of the episodes `numbers` that together have at most `steps` steps, at least one."""
    total = np.cumsum(demos.table.length[numbers])
    return numbers[: max(1, int((total <= steps).sum()))]


def accepted(demos: Demos, bad: Array, most: int = 2) -> Array:
    """(E,) bool: successful, with at most `most` bad steps. An episode that does not say that it succeeded is not
    accepted, because short failures have few bad steps."""
    owner = np.repeat(np.arange(len(demos)), demos.table.length)
    return (np.bincount(owner, bad, minlength=len(demos)) <= most) & (demos.table.success == 1)


def worst(error: Array, bad: Array, most: int = WORST, around: int = AROUND) -> list[tuple[int, int]]:
    """(first, last + 1) of clips around the bad steps of one episode with the largest errors (T,), the worst first."""
    chosen = np.flatnonzero(bad)
    chosen = chosen[np.argsort(-error[chosen], kind="stable")][:most]
    return [(max(0, int(step) - around), min(len(error), int(step) + around + 1)) for step in chosen]


def shown(demos: Demos, error: Array, count: int = 5, share: float = 0.8, seed: int = 0) -> Array:
    """Numbers of demonstrations to show a new person: `count` drawn among the `share` of lowest mean error (N,)."""
    owner = np.repeat(np.arange(len(demos)), demos.table.length)
    mean = np.bincount(owner, error, minlength=len(demos)) / np.maximum(demos.table.length, 1)
    best = np.argsort(mean, kind="stable")[: max(1, round(share * len(demos)))]
    return np.random.default_rng([seed, 0x5407]).permutation(best)[:count]


# ---------------------------------------------------------------- dynamic time warping


def warped_distances(path: Array, others: Sequence[Array]) -> Array:
    """(K,) dynamic-time-warping distances of a path (T, D) to others (T_k, D): the least sum of Euclidean distances
    over monotone alignments that join both beginnings and both ends.

    All others are aligned together, diagonal by diagonal.

    Raises:
        UserError: when a path is empty.
    """
    if not len(path) or not all(len(other) for other in others):
        raise UserError("a path without steps has no distance to another: drop empty episodes")
    width = max(len(other) for other in others)
    padded = np.stack([np.concatenate([other, np.repeat(other[-1:], width - len(other), 0)]) for other in others])
    cost = np.linalg.norm(path[None, :, None] - padded[:, None], axis=-1)  # (K, T, width)
    total = np.full((len(others), len(path) + 1, width + 1), np.inf)
    total[:, 0, 0] = 0
    for diagonal in range(len(path) + width - 1):
        i = np.arange(max(0, diagonal - width + 1), min(len(path), diagonal + 1))
        j = diagonal - i
        before = np.minimum(np.minimum(total[:, i, j + 1], total[:, i + 1, j]), total[:, i, j])
        total[:, i + 1, j + 1] = cost[:, i, j] + before
    return total[np.arange(len(others)), len(path), [len(other) for other in others]]


def nearest_demonstration(path: Array, demos: Demos, key: str = "observation.state") -> int:
    """Number of the demonstration whose observations are nearest to `path` (T, D) by dynamic time warping."""
    others = [episode.obs[key].reshape(episode.rows, -1).astype(np.float64) for episode in demos]
    return int(np.argmin(warped_distances(path.reshape(len(path), -1).astype(np.float64), others)))
