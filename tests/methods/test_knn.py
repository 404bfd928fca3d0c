"""Nearest neighbours against brute force."""

from __future__ import annotations

import numpy as np
import pytest

from imitari.core.columns import ArrayColumn
from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.learn.run import Run
from imitari.methods.cloning.knn import NearestNeighbours


def test_action_is_the_softmax_weighted_mean_of_the_nearest(small_demos: Demos) -> None:
    k, temperature, key = 5, 0.3, "observation.state"
    demos = small_demos.keep(range(6))
    agent = NearestNeighbours(k=k, temperature=temperature, scaling="none").fit(demos, Run(show=False))
    rows = demos.rows()
    seen, taken = demos.columns[key].take(rows).astype(float), demos.columns["action"].take(rows).astype(float)
    at = np.random.default_rng(0).normal(size=(7, seen.shape[1])).astype(np.float32)
    action, _ = agent.act({key: at}, agent.reset(7))
    for number in range(7):
        distance = np.sqrt(((seen - at[number]) ** 2).sum(1))
        nearest = np.argsort(distance)[:k]
        weight = np.exp(-distance[nearest] / temperature)
        expected = (weight[:, None] * taken[nearest]).sum(0) / weight.sum()
        np.testing.assert_allclose(action[number], expected, atol=1e-4)


def test_choices_are_voted_on(grid_demos: Demos) -> None:
    key = next(iter(grid_demos.spec.obs))
    states = grid_demos.columns[key].take(np.arange(grid_demos.columns[key].shape[0]))
    fixed = grid_demos.with_columns({"action": ArrayColumn(states % 4)}, "action of the state")
    agent = NearestNeighbours(k=4, scaling="none").fit(fixed, Run(show=False))
    seen, count = np.unique(states[grid_demos.rows()], return_counts=True)
    often = seen[count >= 4]
    assert len(set(often % 4)) > 1
    action, _ = agent.act({key: often[:, None]}, agent.reset(len(often)))
    assert action[:, 0].tolist() == (often % 4).tolist()


def test_pictures_and_too_few_moments_are_refused(seen_demos: Demos, small_demos: Demos) -> None:
    with pytest.raises(UserError, match="--encoder"):
        NearestNeighbours().fit(seen_demos, Run(show=False))
    with pytest.raises(UserError, match="--k"):
        NearestNeighbours(k=10_000).fit(small_demos, Run(show=False))
