"""Hypothesis tests against scipy and exact enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats

from imitari.evaluate.significance import barnard, bonferroni, holm, mcnemar_exact, permutation_paired, welch_t


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (0, 5), (0, 6), (3, 12), (7, 7), (20, 41), (1, 0)])
def test_mcnemar_is_a_binomial_test(only_a: int, only_b: int) -> None:
    found = mcnemar_exact(only_a, only_b)
    expected = scipy.stats.binomtest(only_b, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert found.p_value == pytest.approx(expected)
    assert found.statistic == only_b - only_a


@pytest.mark.parametrize("discordant", [4, 9, 25])
@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_mcnemar_keeps_its_level(discordant: int, alpha: float) -> None:
    chances = scipy.stats.binom(discordant, 0.5).pmf(np.arange(discordant + 1))
    rejected = [mcnemar_exact(k, discordant - k).p_value <= alpha for k in range(discordant + 1)]
    assert float(chances @ rejected) <= alpha + 1e-12


def test_barnard() -> None:
    # Vaccine trial of 15 against 15 (worked example of scipy): one-sided p = 0.0341, statistic 1.894.
    found = barnard(7, 15, 12, 15)
    assert found.p_value == pytest.approx(2 * 0.0341, abs=2e-4)
    assert found.statistic == pytest.approx(1.894, abs=1e-3)
    assert barnard(12, 15, 7, 15).statistic == pytest.approx(-found.statistic)
    assert barnard(10, 10, 12, 12).p_value == 1.0
    assert barnard(0, 10, 0, 12).p_value == 1.0


def test_barnard_against_enumeration() -> None:
    trials_a, trials_b, seen = 8, 10, (2, 8)

    def score(x: int, y: int) -> float:
        pooled = (x + y) / (trials_a + trials_b)
        spread = np.sqrt(pooled * (1 - pooled) * (1 / trials_a + 1 / trials_b))
        return abs(y / trials_b - x / trials_a) / spread if spread > 0 else 0.0

    tables = list(itertools.product(range(trials_a + 1), range(trials_b + 1)))
    extreme = [t for t in tables if score(*t) >= score(*seen) - 1e-9]
    rates = np.linspace(0.001, 0.999, 999)
    chance = sum(
        scipy.stats.binom.pmf(x, trials_a, rates) * scipy.stats.binom.pmf(y, trials_b, rates) for x, y in extreme
    )
    found = barnard(seen[0], trials_a, seen[1], trials_b)
    assert found.p_value == pytest.approx(float(np.max(chance)), abs=1e-4)
    assert found.statistic == pytest.approx(score(*seen))


def test_welch() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.normal(0, 1, 12), generator.normal(0.8, 3, 30)
    expected = scipy.stats.ttest_ind(b, a, equal_var=False)
    found = welch_t(a, b)
    assert (found.statistic, found.p_value) == pytest.approx((expected.statistic, expected.pvalue))
    assert welch_t([1, 1], [1, 1]).p_value == 1.0
    assert welch_t([1, 1], [2, 2]).p_value == 0.0
    with pytest.raises(ValueError, match="at least 2"):
        welch_t([1], [1, 2])


def test_permutation_exact_and_sampled() -> None:
    generator = np.random.default_rng(1)
    a = generator.normal(size=9)
    b = a + generator.normal(0.6, 1, size=9)
    patterns = np.array(list(itertools.product([1, -1], repeat=9)))
    expected = np.mean(np.abs(patterns @ (b - a)) >= abs((b - a).sum()) - 1e-9)
    assert permutation_paired(a, b).p_value == pytest.approx(expected)
    a, b = generator.normal(size=(2, 40))
    sampled = permutation_paired(a, b + 0.4, draws=20_000)
    assert sampled.p_value == pytest.approx(scipy.stats.ttest_rel(b + 0.4, a).pvalue, abs=0.02)
    assert permutation_paired(np.zeros(50), np.ones(50), draws=999).p_value == pytest.approx(1 / 1000)
    assert permutation_paired(a, a).p_value == 1.0


def test_permutation_of_successes_is_mcnemar() -> None:
    a = np.array([1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0])
    b = np.array([1, 0, 1, 1, 1, 1, 1, 1, 1, 0, 1, 0])
    assert permutation_paired(a, b).p_value == pytest.approx(mcnemar_exact(1, 7).p_value)


def test_corrections() -> None:
    p = np.array([0.01, 0.04, 0.03, 0.005])
    assert bonferroni(p) == pytest.approx([0.04, 0.16, 0.12, 0.02])
    assert holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # R: p.adjust(p, "holm")
    assert np.all(holm(p) <= bonferroni(p))
    assert holm([]).size == 0
    assert bonferroni([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.1, 1.2])


def test_holm_keeps_the_family_wise_error() -> None:
    p = np.random.default_rng(2).random((4000, 6))
    wrong = np.mean([np.any(holm(row) <= 0.05) for row in p])
    assert wrong == pytest.approx(1 - (1 - 0.05 / 6) ** 6, abs=0.012)


def test_negative_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        mcnemar_exact(-1, 2)
    with pytest.raises(ValueError, match="impossible"):
        barnard(5, 4, 1, 4)
    with pytest.raises(ValueError, match="same starts"):
        permutation_paired([1, 2], [1, 2, 3])
