"""Deformed demonstrations against the formula written out; trials end as their paths do."""

from __future__ import annotations

import numpy as np
import pytest

from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.interaction import interact
from imitari.data.counterfactual import STATE, by_arc_length, deformed, replays
from imitari.envs import task_named


def test_points_lie_on_the_path_at_equal_distances() -> None:
    path = np.array([(0.0, 0.0), (3.0, 0.0), (3.0, 1.0)])
    found = by_arc_length([path, 2 * path], 5)
    np.testing.assert_allclose(found[0], [(0, 0), (1, 0), (2, 0), (3, 0), (3, 1)], atol=1e-12)
    np.testing.assert_allclose(found[1], 2 * found[0], atol=1e-12)


def test_a_deformation_is_a_pull_towards_one_place() -> None:
    paths = np.random.default_rng(0).normal(size=(300, 40, 2))
    low, high = np.array([-5.0, -6.0]), np.array([5.0, 6.0])
    after = deformed(paths, np.random.default_rng(1), low, high)
    rng = np.random.default_rng(1)
    first = rng.integers(0, 38, 300)
    last = first + 2 + (rng.random(300) * (38 - first)).astype(int)
    place = rng.uniform(low, high, (300, 2))
    assert (last - first >= 2).all()
    assert last.max() <= 39
    for number in range(0, 300, 17):
        a, c = first[number], (first[number] + last[number]) / 2
        for t in range(40):
            pull = np.exp(-5 * (t - c) ** 2 / (a - c) ** 2)
            expected = paths[number, t] + pull * (place[number] - paths[number, t])
            np.testing.assert_allclose(after[number, t], expected)


def test_trials_of_both_outcomes() -> None:
    task = task_named("polygons/3-1")
    world = task.make(3)
    demos = Demos.from_episodes(interact(task.expert(world), world, range(3)), task.spec)
    trial = task_named("polygons/3-1-replay")
    good, bad = replays(trial, demos, 20, seed=0)
    assert (len(good), len(bad)) == (20, 20)
    assert all(one.success for one in good)
    assert not any(one.success for one in bad)
    starts = np.stack([episode.obs[STATE][0] for episode in demos])
    for one in (*good, *bad):
        assert np.linalg.norm(starts - one.obs[STATE][0], axis=1).min() < 1e-6
    again, _ = replays(trial, demos, 20, seed=0)
    np.testing.assert_array_equal(again[7].action, good[7].action)


def test_a_task_that_follows_no_paths_is_refused() -> None:
    task = task_named("two_ways")
    world = task.make(1)
    demos = Demos.from_episodes(interact(task.expert(world), world, [0]), task.spec)
    with pytest.raises(UserError, match="follows no paths"):
        replays(task, demos, 5, seed=0)
