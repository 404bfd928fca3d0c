"""Posteriors against closed forms and simulation."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from imitari.core.errors import UserError
from imitari.evaluate.intervals import beta_posterior
from imitari.evaluate.posterior import (
    completion_samples,
    over_tasks,
    shares,
    success_density,
    success_samples,
    summary_of,
)


def test_success_is_the_beta_posterior() -> None:
    found, exact = summary_of(success_samples(7, 10)), beta_posterior(7, 10)
    assert (found.estimate, found.low, found.high) == pytest.approx((8 / 12, exact.low, exact.high), abs=0.01)
    rates = np.linspace(0, 1, 2001)
    assert np.trapezoid(success_density(7, 10, rates), rates) == pytest.approx(1, abs=1e-3)
    assert rates[success_density(7, 10, rates).argmax()] == pytest.approx(0.7)


def test_completion_has_the_moments_of_its_dirichlet() -> None:
    completed = np.array([0, 0.5, 0.5, 1, 1, 1, 1])
    found = completion_samples(completed, shares(2), draws=200_000)
    weights = np.array([1 + 1, 1 + 2, 1 + 4])
    total, values = weights.sum(), np.array([0, 0.5, 1])
    mean = weights @ values / total
    variance = (weights / total @ values**2 - mean**2) / (total + 1)
    assert found.mean() == pytest.approx(mean, abs=2e-3)
    assert found.var() == pytest.approx(variance, rel=0.03)


def test_completion_of_one_question_is_success() -> None:
    found = completion_samples([1] * 6 + [0] * 4, (0, 1), draws=100_000)
    assert scipy.stats.kstest(found, scipy.stats.beta(7, 5).cdf).statistic < 0.01


def test_completion_that_cannot_be_is_refused() -> None:
    with pytest.raises(UserError, match="completion 0"):
        completion_samples([0.5, 0.4], shares(2))


def test_tasks_are_averaged_with_independent_posteriors() -> None:
    parts = [success_samples(k, 20, seed=k) for k in (4, 10, 18)]
    found = over_tasks(parts)
    assert found.mean() == pytest.approx(np.mean([5 / 22, 11 / 22, 19 / 22]), abs=3e-3)
    assert found.std() == pytest.approx(np.sqrt(sum(part.var() for part in parts)) / 3, rel=0.05)


def test_intervals_cover_as_often_as_they_say() -> None:
    # Exact coverage at each rate, averaged over a uniform prior, is the level.
    counts = np.arange(31)
    ends = [beta_posterior(k, 30) for k in range(31)]
    low, high = np.array([end.low for end in ends]), np.array([end.high for end in ends])
    rates = (np.arange(2000) + 0.5) / 2000
    chance = scipy.stats.binom.pmf(counts, 30, rates[:, None])
    covered = (chance * ((low <= rates[:, None]) & (rates[:, None] <= high))).sum(1)
    assert covered.mean() == pytest.approx(0.95, abs=2e-3)
