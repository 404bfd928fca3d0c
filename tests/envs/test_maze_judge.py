"""The judge of the point mazes: it says what the controller then needs, and leaves the simulator as it was."""

from __future__ import annotations

import numpy as np
import pytest

from imitari.envs import task_named


def test_the_judge_tells_what_follows_and_leaves_no_trace() -> None:
    pytest.importorskip("gymnasium_robotics")
    task = task_named("robotics/PointMaze_UMaze-v3")
    assert task.judge_for is not None
    watched, alone = task.make(2), task.make(2)
    judge, expert = task.judge_for(watched), task.expert(alone)
    obs, _ = watched.reset(seed=[3, 4])
    same, _ = alone.reset(seed=[3, 4])
    rng = np.random.default_rng(0)
    for _ in range(12):
        action = rng.uniform(-1, 1, (2, 2)).astype(np.float32)
        judge.values(obs, action[None])
        obs, *_ = watched.step(action)
        same, *_ = alone.step(action)
    for key, value in obs.items():
        np.testing.assert_array_equal(value, same[key])
    action = rng.uniform(-1, 1, (2, 2)).astype(np.float32)
    [value] = judge.values(obs, action[None])
    needed, done = np.zeros(2), np.zeros(2, bool)
    while not done.all():
        same, _, terminated, truncated, _ = alone.step(action)
        needed += ~done
        done |= terminated | truncated
        action, _ = expert.act(same, None)
    np.testing.assert_array_equal(-value, needed)
