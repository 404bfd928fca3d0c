"""The quick parts give the numbers of the suites' own."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

pytest.importorskip("gymnasium_robotics")
pytest.importorskip("metaworld")


def test_quaternions_are_scipys() -> None:
    from scipy.spatial.transform import Rotation as Slow

    from imitari.envs._quick import Rotation

    rng = np.random.default_rng(0)
    turns = [Slow.from_quat(rng.normal(size=4)).as_matrix() for _ in range(200)]
    special = [np.eye(3), np.diag([1.0, -1.0, -1.0]), np.diag([-1.0, 1.0, -1.0]), np.diag([-1.0, -1.0, 1.0])]
    for matrix in [*turns, *special]:
        np.testing.assert_allclose(
            Rotation.from_matrix(matrix).as_quat(), Slow.from_matrix(matrix).as_quat(), atol=1e-12
        )


def test_the_maze_steps_like_the_suites_own() -> None:
    from imitari.envs import task_named

    task = task_named("robotics/PointMaze_Medium-v3")
    quick, plain = task.make(1).envs[0], task.make(1).envs[0]  # pyright: ignore[reportAttributeAccessIssue]
    plain.step = importlib.import_module("gymnasium_robotics.envs.maze.point_maze").PointMazeEnv.step.__get__(plain)
    rng = np.random.default_rng(0)
    quick.reset(seed=3)
    plain.reset(seed=3)
    action = np.zeros(2)
    for number in range(200):
        if number % 20 == 0:
            action = rng.uniform(-1.5, 1.5, 2).astype(np.float32)
        own, other = quick.step(action), plain.step(action)
        for key, value in other[0].items():
            np.testing.assert_array_equal(own[0][key], value)
        assert own[1:4] == other[1:4]
        assert own[4]["success"] == other[4]["success"]


def test_meta_world_uses_the_quick_rotation() -> None:
    from imitari.envs import task_named
    from imitari.envs._quick import Rotation

    task_named("metaworld/reach-v3").make(1)
    module = importlib.import_module("metaworld.envs.sawyer_reach_v3")
    assert module.Rotation is Rotation
