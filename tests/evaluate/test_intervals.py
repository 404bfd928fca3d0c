"""Intervals against scipy, published worked examples, brute force and simulated coverage."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from imitari.evaluate.intervals import (
    Interval,
    beta_posterior,
    clopper_pearson,
    crossed_interval,
    crossed_mean_interval,
    newcombe,
    newcombe_paired,
    t_interval,
    tango,
    wilson,
)
from imitari.evaluate.resampling import (
    hierarchical_bootstrap,
    interquartile_mean,
    iqm,
    paired_bootstrap,
    probability_of_improvement,
)

COUNTS = [(0, 10), (1, 10), (5, 10), (10, 10), (81, 263), (15, 148), (1, 29), (0, 1), (1, 1)]


@pytest.mark.parametrize(("successes", "trials"), COUNTS)
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_one_rate_agrees_with_scipy(successes: int, trials: int, level: float) -> None:
    reference = scipy.stats.binomtest(successes, trials)
    for ours, method in ((wilson, "wilson"), (clopper_pearson, "exact")):
        expected = reference.proportion_ci(level, method=method)
        found = ours(successes, trials, level)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
        assert found.estimate == successes / trials
    posterior = scipy.stats.beta(1 + successes, 1 + trials - successes)
    found = beta_posterior(successes, trials, level)
    assert found.estimate == pytest.approx(posterior.mean())
    assert (found.low, found.high) == pytest.approx(posterior.interval(level))


def test_beta_posterior_without_data_is_the_prior() -> None:
    assert beta_posterior(0, 0).low == pytest.approx(0.025)
    assert beta_posterior(0, 0, prior=(2, 6)).estimate == pytest.approx(0.25)


def test_beta_interval_covers_when_rates_come_from_the_prior() -> None:
    # Averaged over a uniform rate, the chance that a count k of n occurs is 1 / (n + 1): coverage is exact.
    trials, posterior = 30, scipy.stats.beta
    covered = [
        posterior.cdf(i.high, 1 + k, 1 + trials - k) - posterior.cdf(i.low, 1 + k, 1 + trials - k)
        for k in range(trials + 1)
        for i in [beta_posterior(k, trials)]
    ]
    assert np.mean(covered) == pytest.approx(0.95)


def test_published_examples() -> None:
    # Newcombe 1998, Statistics in Medicine 17: 857-872 (single), 873-890 (56/70 against 48/80), 2635-2650 (paired)
    single = wilson(81, 263)
    assert (single.low, single.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    two = newcombe(48, 80, 56, 70)
    assert (two.low, two.high) == pytest.approx((0.0524, 0.3339), abs=6e-5)
    paired = newcombe_paired(36, 2, 12, 0)
    assert (paired.low, paired.high) == pytest.approx((0.0569, 0.3404), abs=5e-5)
    # Fagerland, Lydersen & Laake 2014: airway reactivity, 21 children (1, 1, 7, 12)
    both_ways = newcombe_paired(1, 7, 1, 12), tango(1, 7, 1, 12)
    assert (both_ways[0].low, both_ways[0].high) == pytest.approx((-0.507, -0.026), abs=5e-4)
    assert (both_ways[1].low, both_ways[1].high) == pytest.approx((-0.517, -0.026), abs=5e-4)


def _score_by_brute_force(only_a: int, only_b: int, trials: int, difference: float) -> float:
    """Tango's statistic with the restricted maximum likelihood found numerically."""

    def loss(p_a: float) -> float:
        p_b = p_a + difference
        rest = 1 - p_a - p_b
        parts = ((only_a, p_a), (only_b, p_b), (trials - only_a - only_b, rest))
        return -sum(count * math.log(max(p, 1e-300)) for count, p in parts if count)

    bounds = (max(0.0, -difference), (1 - difference) / 2)
    p_a = scipy.optimize.minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
    variance = trials * (2 * p_a + difference - difference**2)
    return (only_b - only_a - trials * difference) / math.sqrt(variance)


@pytest.mark.parametrize("pairs", [(10, 3, 9, 8), (1, 7, 1, 12), (40, 0, 5, 5), (20, 6, 6, 20)])
def test_tango_limits_are_where_the_score_test_rejects(pairs: tuple[int, int, int, int]) -> None:
    found = tango(*pairs)
    for limit, sign in ((found.low, 1), (found.high, -1)):
        statistic = _score_by_brute_force(pairs[1], pairs[2], sum(pairs), limit)
        assert statistic == pytest.approx(sign * 1.959964, abs=2e-3)


def test_paired_intervals_at_the_edges() -> None:
    assert tango(0, 12, 0, 0).low == -1.0
    assert tango(0, 0, 12, 0).high == 1.0
    same = tango(10, 0, 0, 10)
    assert -0.2 < same.low < 0 < same.high < 0.2
    for method, counts in itertools.product((tango, newcombe_paired), [(0, 0, 0, 9), (9, 0, 0, 0), (0, 5, 4, 0)]):
        found, mirrored = method(*counts), method(counts[0], counts[2], counts[1], counts[3])
        assert -1 <= found.low <= found.estimate <= found.high <= 1
        assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low), abs=1e-9)


def test_paired_intervals_cover_exactly_enumerated() -> None:
    trials, only_a, only_b = 30, 0.2, 0.35
    law = scipy.stats.multinomial(trials, [only_a, only_b, 0.3, 0.15])
    covered = {tango: 0.0, newcombe_paired: 0.0}
    for x, y in itertools.product(range(trials + 1), repeat=2):
        for both in range(trials + 1 - x - y):
            chance = float(law.pmf([x, y, both, trials - x - y - both])) if 3 <= both <= 16 else 0.0
            if chance > 1e-6:
                counts = (both, x, y, trials - x - y - both)
                for method in covered:
                    covered[method] += chance * ((only_b - only_a) in method(*counts))
    assert covered[tango] == pytest.approx(0.95, abs=0.02)
    assert covered[newcombe_paired] > 0.93


def test_t_interval_agrees_with_scipy() -> None:
    values = np.array([0.61, 0.55, 0.7, 0.42])
    expected = scipy.stats.ttest_1samp(values, 0.0).confidence_interval(0.9)
    found = t_interval(values, 0.9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_crossed_interval_is_welch_when_starts_do_not_matter() -> None:
    seeds_a, seeds_b = np.array([0.2, 0.4, 0.3]), np.array([0.9, 0.5, 0.6, 0.7])
    a, b = np.repeat(seeds_a[:, None], 8, axis=1), np.repeat(seeds_b[:, None], 8, axis=1)
    expected = scipy.stats.ttest_ind(seeds_b, seeds_a, equal_var=False).confidence_interval(0.95)
    found = crossed_interval(a, b, limits=None)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_crossed_interval_is_a_paired_t_when_seeds_do_not_matter() -> None:
    generator = np.random.default_rng(3)
    start_a, start_b = generator.normal(size=(2, 40))
    found = crossed_interval(np.tile(start_a, (3, 1)), np.tile(start_b, (3, 1)), limits=None)
    expected = scipy.stats.ttest_rel(start_b, start_a).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    single = crossed_mean_interval(np.tile(start_a, (3, 1)), limits=None)
    alone = scipy.stats.ttest_1samp(start_a, 0).confidence_interval(0.95)
    assert (single.low, single.high) == pytest.approx((alone.low, alone.high))


def test_crossed_interval_never_claims_certainty_and_stays_in_range() -> None:
    found = crossed_interval(np.zeros((3, 20)), np.ones((3, 20)))
    assert 0.8 < found.low < 1.0
    assert found.high == 1.0
    assert crossed_mean_interval(np.ones((3, 20))).low < 1.0
    wide = crossed_interval(np.eye(2, 2), 1 - np.eye(2, 2))
    assert (wide.low, wide.high) == (-1.0, 1.0)


def _arm(generator: np.random.Generator, shared: np.ndarray, seed_sd: float) -> np.ndarray:
    rates = 0.6 + generator.normal(0, seed_sd, (3, 1)) + shared + generator.normal(0, 0.2, shared.size)
    return (generator.random((3, shared.size)) < rates).astype(float)


@pytest.mark.parametrize("seed_sd", [0.0, 0.05, 0.1, 0.2])
def test_crossed_interval_covers_with_three_seeds(seed_sd: float) -> None:
    generator = np.random.default_rng(11)
    covered, repetitions = 0, 1200
    for _ in range(repetitions):
        shared = generator.normal(0, 0.2, 100)
        covered += 0.0 in crossed_interval(_arm(generator, shared, seed_sd), _arm(generator, shared, seed_sd))
    assert covered / repetitions >= 0.945


def test_bootstrap_of_three_seeds_undercovers_as_documented() -> None:
    generator = np.random.default_rng(12)
    covered, repetitions = 0, 300
    for _ in range(repetitions):
        shared = generator.normal(0, 0.2, 100)
        covered += 0.0 in hierarchical_bootstrap(_arm(generator, shared, 0.2), _arm(generator, shared, 0.2), draws=300)
    assert 0.78 < covered / repetitions < 0.92


def test_bootstraps_agree_with_normal_theory_when_there_is_plenty() -> None:
    generator = np.random.default_rng(4)
    a = generator.normal(size=400)
    b = a + 0.3 + 0.5 * generator.normal(size=400)
    expected = scipy.stats.ttest_rel(b, a).confidence_interval(0.95)
    found = paired_bootstrap(a, b)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.01)
    # Seeds and starts dominate: of pure noise within a run the bootstrap counts the variance three times.
    many_a, many_b = (
        generator.normal(0, 1, (60, 1)) + generator.normal(0, 1, 50) + generator.normal(0, 0.3, (60, 50)) for _ in "ab"
    )
    seeds, crossed = hierarchical_bootstrap(many_a, many_b), crossed_interval(many_a, many_b, limits=None)
    assert seeds.estimate == pytest.approx(crossed.estimate)
    assert 0.8 < seeds.width / crossed.width < 1.3
    assert paired_bootstrap(a, b, seed=1) == paired_bootstrap(a, b, seed=1)
    assert paired_bootstrap(a, b, seed=1) != paired_bootstrap(a, b, seed=2)


def test_interquartile_mean() -> None:
    generator = np.random.default_rng(5)
    for size in (1, 3, 4, 7, 30):
        scores = generator.normal(size=size)
        assert interquartile_mean(scores) == pytest.approx(scipy.stats.trim_mean(scores, 0.25))
    scores = generator.normal(size=(20, 3)) + np.array([0.0, 5.0, 10.0])
    found = iqm(scores)
    assert found.low < found.estimate < found.high
    assert found.estimate == pytest.approx(interquartile_mean(scores))
    # Stratified: tasks far apart add nothing to the spread, which stays that of 60 scores within tasks.
    assert found.width < 1.2
    constant = iqm(np.full((5, 2), 0.4))
    assert (constant.low, constant.high) == pytest.approx((0.4, 0.4))


def test_probability_of_improvement_is_mann_whitney() -> None:
    generator = np.random.default_rng(6)
    a, b = generator.integers(0, 6, (9, 2)).astype(float), generator.integers(1, 7, (7, 2)).astype(float)
    expected = np.mean([scipy.stats.mannwhitneyu(b[:, t], a[:, t]).statistic / 63 for t in range(2)])
    found = probability_of_improvement(a, b)
    assert found.estimate == pytest.approx(expected)
    assert found.low < expected < found.high <= 1
    sure = probability_of_improvement([0, 1], [2, 3])
    assert (sure.low, sure.estimate, sure.high) == pytest.approx((1, 1, 1))


def test_interval_membership() -> None:
    interval = Interval(0.5, 0.4, 0.7)
    assert 0.4 in interval
    assert interval.excludes(0.71)
    assert interval.width == pytest.approx(0.3)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: wilson(3, 2),
        lambda: wilson(0, 0),
        lambda: wilson(1, 2, level=1.0),
        lambda: newcombe_paired(0, 0, 0, 0),
        lambda: tango(1, -1, 2, 2),
        lambda: t_interval([0.5]),
        lambda: crossed_interval(np.zeros((1, 9)), np.zeros((3, 9))),
        lambda: crossed_interval(np.zeros((3, 8)), np.zeros((3, 9))),
        lambda: crossed_mean_interval(np.full((3, 9), np.nan)),
        lambda: paired_bootstrap([1, 2], [1, 2, 3]),
        lambda: hierarchical_bootstrap(np.zeros((3, 8)), np.zeros((3, 9))),
        lambda: interquartile_mean([]),
        lambda: probability_of_improvement(np.zeros((3, 2)), np.zeros((3, 1))),
    ],
)
def test_impossible_input_is_refused(wrong) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=r"\w"):
        wrong()
