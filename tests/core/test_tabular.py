"""Exact planning on tables against enumeration, series, and the linear programme over occupancy measures."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.optimize import linprog

from imitari.core.errors import UserError
from imitari.core.tabular import TabularMDP


def random_mdp(seed: int, states: int = 4, actions: int = 3, ending: float = 0.0) -> TabularMDP:
    rng = np.random.default_rng(seed)
    transition = rng.dirichlet(np.full(states, 0.5), (states, actions)) * (
        1 - ending * rng.random((states, actions, 1))
    )
    return TabularMDP(transition, rng.normal(size=(states, actions)), 0.9, rng.dirichlet(np.ones(states)))


def series(mdp: TabularMDP, chances: np.ndarray, steps: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """(value, occupancy) summed step by step."""
    value = np.zeros(mdp.states)
    for _ in range(steps):
        value = (chances * (mdp.reward + mdp.gamma * np.einsum("sat,t->sa", mdp.transition, value))).sum(1)
    where, occupancy = mdp.start, np.zeros_like(mdp.reward)
    for step in range(steps):
        pairs = where[:, None] * chances
        occupancy += (1 - mdp.gamma) * mdp.gamma**step * pairs
        where = np.einsum("sa,sat->t", pairs, mdp.transition)
    return value, occupancy


@pytest.mark.parametrize("ending", [0.0, 0.7])
def test_value_and_occupancy_are_the_sums_that_define_them(ending: float) -> None:
    mdp = random_mdp(1, ending=ending)
    chances = np.random.default_rng(0).dirichlet(np.ones(3), 4)
    value, occupancy = series(mdp, chances)
    np.testing.assert_allclose(mdp.value(chances), value, atol=1e-9)
    np.testing.assert_allclose(mdp.occupancy(chances), occupancy, atol=1e-9)
    assert mdp.score(chances) == pytest.approx(float((occupancy * mdp.reward).sum()) / (1 - mdp.gamma))
    assert (mdp.occupancy(chances).sum() == pytest.approx(1)) == (ending == 0)


@pytest.mark.parametrize("seed", range(5))
def test_the_optimum_is_the_best_of_all_policies(seed: int) -> None:
    mdp = random_mdp(seed, ending=0.3 * (seed % 2))
    every = np.array([mdp.value(np.array(policy)) for policy in product(range(3), repeat=4)])
    plan = mdp.optimal()
    np.testing.assert_allclose(plan.value, every.max(0), atol=1e-9)
    np.testing.assert_allclose(mdp.value(plan.policy), plan.value, atol=1e-9)
    np.testing.assert_allclose(plan.action_value.max(1), plan.value, atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_the_optimum_solves_the_linear_programme_over_occupancy(seed: int) -> None:
    """max d . r subject to: what flows out of a state flows into it, or began there."""
    mdp = random_mdp(seed, states=7)
    out = np.repeat(np.eye(7), 3, axis=1)
    into = mdp.gamma * mdp.transition.reshape(21, 7).T
    found = linprog(-mdp.reward.reshape(-1), A_eq=out - into, b_eq=(1 - mdp.gamma) * mdp.start, bounds=(0, None))
    assert -found.fun / (1 - mdp.gamma) == pytest.approx(float(mdp.start @ mdp.optimal().value), abs=1e-8)
    np.testing.assert_allclose(mdp.occupancy(mdp.optimal().policy).reshape(-1), found.x, atol=1e-8)


def test_equal_actions_give_the_lowest() -> None:
    mdp = TabularMDP(np.zeros((2, 3, 2)), np.array([[1.0, 1.0, 0.0], [0.0, 2.0, 2.0]]), 0.5, np.array([1.0, 0.0]))
    assert mdp.optimal().policy.tolist() == [0, 1]


def test_next_states_come_with_their_chances() -> None:
    mdp = random_mdp(3, ending=0.8)
    state, action = np.full(40_000, 2), np.full(40_000, 1)
    after = mdp.after(state, action, (np.arange(40_000) + 0.5) / 40_000)
    shares = np.bincount(after, minlength=5) / 40_000
    np.testing.assert_allclose(shares[:4], mdp.transition[2, 1], atol=1e-4)
    assert shares[4] == pytest.approx(1 - mdp.transition[2, 1].sum(), abs=1e-4)
    closed = random_mdp(3)
    assert closed.after(state[:1], action[:1], np.array([np.nextafter(1, 0)]))[0] < 4


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"gamma": 1.0}, "gamma is 1.0"),
        ({"transition": np.full((2, 2, 2), 0.6)}, "transition holds a row"),
        ({"start": np.array([0.5, 0.4])}, "start is no distribution"),
        ({"reward": np.zeros((3, 2))}, "needs transition"),
    ],
)
def test_what_is_no_decision_process_is_refused(changes: dict[str, object], sentence: str) -> None:
    good: dict[str, object] = {
        "transition": np.full((2, 2, 2), 0.5), "reward": np.zeros((2, 2)), "gamma": 0.9, "start": np.array([1.0, 0.0]),
    }  # fmt: skip
    TabularMDP(**good)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=sentence):
        TabularMDP(**{**good, **changes})  # type: ignore[arg-type]
