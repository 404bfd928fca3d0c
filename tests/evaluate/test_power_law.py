"""The fit of a power law: exact on a law, its interval as honest as it says, and an answer in words."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from imitari.evaluate.intervals import Interval, crossed_mean_interval, interval_of_function
from imitari.evaluate.power_law import PowerLaw, fit

SIZES = (1, 2, 4, 8, 16)


def test_an_exact_law_is_found() -> None:
    gaps = [np.full((3, 10), 0.8 * size**-0.5) for size in SIZES]
    law = fit(SIZES, gaps, more=16)
    assert_allclose([law.exponent.estimate, law.factor, law.correlation], [-0.5, 0.8, -1.0])
    assert_allclose(law.worth.estimate, 0.8 * (16**-0.5 - 32**-0.5))
    assert_allclose(law.halving(), 4.0)
    assert_allclose(law.at(64), 0.1)
    assert law.clipped == ()


def test_the_line_is_that_of_least_squares() -> None:
    rng = np.random.default_rng(0)
    gaps = [rng.uniform(0.1, 1.0, (2, 30)) for _ in SIZES]
    law = fit(SIZES, gaps)
    means = [table.mean() for table in gaps]
    slope, offset = np.polyfit(np.log(SIZES), np.log(means), 1)
    assert_allclose([law.exponent.estimate, np.log(law.factor)], [slope, offset])
    assert_allclose(law.correlation, np.corrcoef(np.log(SIZES), np.log(means))[0, 1])


def test_a_linear_number_has_the_interval_of_its_own_table() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(3, 40)), rng.normal(size=(3, 40))
    found = interval_of_function([first, second], lambda means: 2 * means[0] - 3 * means[1])
    wanted = crossed_mean_interval(2 * first - 3 * second, limits=None)
    assert_allclose([found.estimate, found.low, found.high], [wanted.estimate, wanted.low, wanted.high], atol=1e-6)


def test_the_interval_covers_the_exponent() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(200):
        hard = rng.normal(0, 0.1, 50)  # starts that are hard at every amount
        gaps = [
            (rng.random((3, 50)) < np.clip(0.9 * size**-0.6 + hard + rng.normal(0, 0.03, (3, 1)), 0, 1)).astype(float)
            for size in SIZES
        ]
        found = fit(SIZES, gaps).exponent
        covered += found.low <= -0.6 <= found.high
    assert covered >= 180


def test_nothing_missing_is_taken_as_half_a_trial() -> None:
    gaps = [np.full((2, 10), 0.8 / size) for size in SIZES[:-1]] + [np.zeros((2, 10))]
    law = fit(SIZES, gaps)
    assert law.clipped == (16,)
    assert np.isfinite([law.exponent.estimate, law.worth.estimate]).all()
    assert fit(SIZES, [np.zeros((2, 10)) for _ in SIZES]).correlation == 0


def test_words() -> None:
    rng = np.random.default_rng(3)
    gaps = [(rng.random((5, 200)) < 0.9 * size**-0.5).astype(float) for size in SIZES]
    assert "more demonstrations are worth" in fit(SIZES, gaps).sentence()
    flat = [(rng.random((2, 20)) < 0.5).astype(float) for _ in SIZES]
    assert "cannot be said yet" in fit(SIZES, flat).sentence()
    with pytest.raises(ValueError, match="at least 3 ascending"):
        fit((1, 2), gaps[:2])


def test_how_many_times_as_much_is_a_plain_number() -> None:
    none = Interval(0.0, -1.0, 1.0)
    law = PowerLaw((10, 20), (0.5, 0.4), Interval(-0.15, -0.4, 0.1), 1.0, -0.9, none, 20)
    assert "; 100 times as many halve" in law.sentence()  # 2 ** (1 / 0.15) = 101.6
    assert "; more hardly help" in PowerLaw((10, 20), (0.5, 0.4), none, 1.0, -0.9, none, 20).sentence()
