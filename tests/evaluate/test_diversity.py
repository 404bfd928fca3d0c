"""Behaviour entropy against scipy, oracles and the two conventions for unsolved starts."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from imitari.evaluate.diversity import behaviour_counts, behaviour_entropy, divergence_from_demos


def test_agrees_with_scipy_and_counts_only_successes() -> None:
    generator = np.random.default_rng(0)
    behaviour, success = generator.integers(0, 6, (20, 16)), generator.random((20, 16)) < 0.6
    found = behaviour_entropy(behaviour, success, 6)
    for start in range(20):
        counts = np.bincount(behaviour[start][success[start]], minlength=6)
        assert found.per_start[start] == pytest.approx(scipy.stats.entropy(counts, base=6))
        assert found.successes[start] == counts.sum()
        assert np.array_equal(behaviour_counts(behaviour, success, 6)[start], counts)
    assert found.entropy == pytest.approx(found.per_start.mean())


def test_oracles_of_the_24_mode_task() -> None:
    every = np.tile(np.arange(24), 20)[None]
    assert behaviour_entropy(every, np.ones_like(every), 24).entropy == pytest.approx(1.0)
    drawn = np.random.default_rng(1).integers(0, 24, (1, 480))
    assert behaviour_entropy(drawn, np.ones_like(drawn), 24).entropy > 0.97
    single = behaviour_entropy(np.full((1, 480), 7), np.ones((1, 480)), 24)
    assert single.entropy == 0.0
    assert not math.copysign(1, single.entropy) < 0


def test_unsolved_starts() -> None:
    behaviour = np.array([[0, 1], [0, 1], [-1, 99]])  # what a failed rollout did is not looked at
    success = np.array([[1, 1], [1, 0], [0, 0]])
    zero, drop = (behaviour_entropy(behaviour, success, 2, rule) for rule in ("zero", "drop"))
    assert zero.entropy == pytest.approx(1 / 3)
    assert drop.entropy == pytest.approx(1 / 2)
    assert np.isnan(zero.per_start[2])
    assert list(zero.successes) == [2, 1, 0]
    assert math.isnan(behaviour_entropy(behaviour[2:], success[2:], 2, "drop").entropy)
    assert behaviour_entropy(behaviour[2:], success[2:], 2).entropy == 0.0


@pytest.mark.parametrize(("rollouts", "behaviours"), [(1, 4), (3, 20), (8, 2), (18, 6), (20, 20), (25, 20)])
def test_ceiling_is_reached_by_the_most_even_rollouts(rollouts: int, behaviours: int) -> None:
    even = (np.arange(rollouts) % behaviours)[None]
    found = behaviour_entropy(even, np.ones_like(even), behaviours)
    assert found.ceiling == pytest.approx(found.entropy)
    if rollouts <= behaviours:
        assert found.ceiling == pytest.approx(math.log(rollouts, behaviours))


def test_divergence_from_demos() -> None:
    behaviour = np.array([[0, 0, 1, 2], [1, 1, 1, 1], [2, 2, 2, 2]])
    success = np.array([[1, 1, 1, 1], [1, 0, 1, 1], [0, 0, 0, 0]])
    demos = np.array([6, 3, 1])
    expected = np.mean([scipy.stats.entropy([0.5, 0.25, 0.25], demos / 10, base=3), math.log(1 / 0.3, 3)])
    assert divergence_from_demos(behaviour, success, demos) == pytest.approx(expected)
    assert divergence_from_demos(np.array([[0, 0, 1, 2]]), np.ones((1, 4)), [2, 1, 1]) == pytest.approx(0.0)
    assert divergence_from_demos([[2, 2]], [[1, 1]], [1, 1, 0]) == pytest.approx(-math.log(1e-12, 3))
    assert math.isnan(divergence_from_demos(behaviour[2:], success[2:], demos))


def test_wrong_input() -> None:
    with pytest.raises(ValueError, match="outside"):
        behaviour_entropy([[0, 3]], [[1, 1]], 3)
    with pytest.raises(ValueError, match="starts, rollouts"):
        behaviour_entropy([0, 1], [1, 1], 3)
    with pytest.raises(ValueError, match="at least 2"):
        behaviour_entropy([[0]], [[1]], 1)
    with pytest.raises(ValueError, match="demo_frequency"):
        divergence_from_demos([[0]], [[1]], [0, 0])
