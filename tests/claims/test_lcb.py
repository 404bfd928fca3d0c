"""The claim about pessimism: its data is composed as it says, and its derived numbers are what their words say."""

from __future__ import annotations

import numpy as np
import pytest

from imitari.claims.lcb import SIZES, Condition, among_the_best, at_least_times, demos_of, instance, recorded, slope


def test_the_bandit_is_played_by_the_expert_so_often() -> None:
    mdp = instance("bandit", (1000, 0))
    steps = recorded(Condition("bandit", 60, 40_000), mdp, mdp.optimal(), np.random.default_rng(0))
    best = mdp.reward.argmax(1)
    assert (steps.action == best[steps.state]).mean() == pytest.approx(0.6, abs=0.02)
    others = np.bincount((steps.action - best[steps.state]) % 10, minlength=10)[1:] / len(steps)
    np.testing.assert_allclose(others, 0.4 / 9, atol=0.006)
    np.testing.assert_allclose(np.bincount(steps.state, minlength=20) / len(steps), mdp.start, atol=0.02)
    assert steps.reward[steps.action == best[steps.state]].mean() == pytest.approx(0.75, abs=0.02)
    assert (steps.after == 20).all()


def test_the_grid_is_a_mixture_of_occupancy_and_uniform_pairs() -> None:
    mdp = instance("grid", (1000, 0))
    plan = mdp.optimal()
    steps = recorded(Condition("grid", 50, 200_000), mdp, plan, np.random.default_rng(0))
    shares = np.bincount(steps.state * 4 + steps.action, minlength=256).reshape(64, 4) / len(steps)
    np.testing.assert_allclose(shares, 0.5 * mdp.occupancy(plan.policy) + 0.5 / 256, atol=0.002)
    assert (mdp.transition[steps.state, steps.action, steps.after] > 0).all()


def test_every_seed_and_start_has_an_instance_and_data_of_its_own() -> None:
    seen = [instance(world, numbers) for world in ("bandit", "grid") for numbers in ((0, 1), (0, 2), (1, 1))]  # type: ignore[arg-type]
    prints = set()
    for number, mdp in enumerate(seen):
        condition = Condition("bandit" if number < 3 else "grid", 50, 100)
        prints.add(demos_of(condition, mdp, mdp.optimal(), (0, number)).fingerprint())
    assert len(prints) == 6
    again = instance("grid", (0, 1))
    np.testing.assert_array_equal(again.transition, seen[3].transition)
    assert not np.array_equal(seen[3].transition, seen[4].transition)


def test_derived_numbers() -> None:
    assert slope(95, -0.9).of(7 * np.array(SIZES) ** -1.25) == pytest.approx(-1.25)
    assert slope(95, -0.9).of(np.array([1.0, 0.1, 0.01, 0.0])) > -5  # a loss of 0 counts as little, not as nothing
    assert at_least_times(4, "a", "b").of(np.array([1.0, 0.2])) == pytest.approx(0.2)
    near = among_the_best(90, 3000).of
    assert near(np.array([0.03, 0.001, 0.5])) == pytest.approx(-0.005)  # within 0.035
    assert near(np.array([0.13, 0.5, 0.1])) == pytest.approx(-0.02)  # within 1.5 times the better one
    assert near(np.array([0.2, 0.5, 0.1])) == pytest.approx(0.05)
