"""What is believed of a policy after its rollouts: posteriors of success and of task completion.

Success is a share, with a uniform Beta prior. Task completion takes one of finitely many values (shares of milestones),
with a uniform Dirichlet prior over how often each is taken. Source: LBM (arXiv 2507.05331), evaluation section.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from imitari.core.errors import UserError
from imitari.evaluate.intervals import Interval, check_counts, check_level, scipy_part

Floats = NDArray[np.float64]

DRAWS = 20_000


def success_density(successes: int, trials: int, at: ArrayLike) -> Floats:
    """Density of the posterior Beta(1 + successes, 1 + failures) of a success rate at the rates `at` (N,)."""
    check_counts(successes, trials)
    return scipy_part("stats").beta.pdf(np.asarray(at), 1 + successes, 1 + trials - successes)


def success_samples(successes: int, trials: int, draws: int = DRAWS, seed: int = 0) -> Floats:
    """(draws,) success rates drawn from their posterior Beta(1 + successes, 1 + failures)."""
    check_counts(successes, trials)
    return np.random.default_rng(seed).beta(1 + successes, 1 + trials - successes, draws)


def completion_samples(completed: ArrayLike, values: Sequence[float], draws: int = DRAWS, seed: int = 0) -> Floats:
    """(draws,) mean completions drawn from their posterior.

    Weights w of the possible values v are drawn from Dirichlet(1 + counts); what is given is sum_j w_j v_j.

    Args:
        completed: (N,) completion of each rollout.
        values: all that are possible, observed or not: k of m questions, for k = 0 .. m.

    Raises:
        UserError: when a completion is none of the values.
    """
    seen = np.asarray(completed, np.float64).ravel()
    support = np.unique(np.asarray(values, np.float64))
    if support.size < 2:
        raise UserError("task completion needs at least two possible values: give at least one milestone")
    nearest = np.abs(seen[:, None] - support).argmin(1)
    wrong = np.flatnonzero(np.abs(seen - support[nearest]) > 1e-6)
    if wrong.size:
        raise UserError(
            f"rollout {wrong[0]}: completion {seen[wrong[0]]:g} is none of the possible values "
            f"{', '.join(f'{value:g}' for value in support)}: give the number of milestones of the task"
        )
    counts = np.bincount(nearest, minlength=support.size)
    return np.random.default_rng(seed).dirichlet(1.0 + counts, draws) @ support


def shares(milestones: int) -> tuple[float, ...]:
    """The completions that are possible with so many milestones: 0, 1 / m, ..., 1."""
    return tuple(number / milestones for number in range(milestones + 1))


def over_tasks(samples: Sequence[Floats]) -> Floats:
    """(draws,) of the mean over tasks, from independent posteriors of each task, (draws,) each."""
    return np.mean(np.stack(samples), axis=0)


def summary_of(samples: Floats, level: float = 0.95) -> Interval:
    """Mean and equal-tailed interval of posterior samples."""
    check_level(level)
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(samples.mean()), float(low), float(high), level)
