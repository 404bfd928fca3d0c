"""Parts of the simulator suites without their overhead: the same physics and the same numbers."""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np

from imitari.core.episode import Array


class Rotation:
    """In the place of scipy's, which costs far more than its arithmetic for one matrix: what Meta-World uses of it."""

    def __init__(self, matrix: Array) -> None:
        self._matrix = matrix

    @staticmethod
    def from_matrix(matrix: Array) -> Rotation:
        """(3, 3), a rotation."""
        return Rotation(matrix)

    def as_quat(self) -> Array:
        """(4,): x, y, z, w. The largest of the four is found first and the others from it (Shepperd 1978)."""
        (a, b, c), (d, e, f), (g, h, i) = self._matrix.tolist()
        trace = a + e + i
        largest = max(a, e, i, trace)
        if largest == trace and trace > max(a, e, i):
            quat = (h - f, c - g, d - b, 1 + trace)
        elif largest == a:
            quat = (1 - trace + 2 * a, d + b, g + c, h - f)
        elif largest == e:
            quat = (b + d, 1 - trace + 2 * e, h + f, c - g)
        else:
            quat = (c + g, f + h, 1 - trace + 2 * i, d - b)
        length = math.sqrt(sum(value * value for value in quat))
        return np.array([value / length for value in quat])


def quick_maze(env: Any) -> Any:
    """A point maze whose steps compute nothing that nobody reads (forces after the step, distances three times)."""
    mujoco = importlib.import_module("mujoco")
    inner, bound = env.point_env, 5.0
    model, data, frames = inner.model, inner.data, inner.frame_skip

    def step(action: Array) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        np.clip(data.qvel, -bound, bound, out=data.qvel)
        mujoco.mj_forward(model, data)
        data.ctrl[:] = np.clip(action, -1.0, 1.0)
        mujoco.mj_step(model, data, nstep=frames)
        place = data.qpos.copy()
        obs = {
            "observation": np.concatenate([place, data.qvel]),
            "achieved_goal": place,
            "desired_goal": env.goal.copy(),
        }
        reward = float(env.compute_reward(place, env.goal, {}))
        reached = math.dist(place, env.goal) <= 0.45
        env.update_goal(place)
        return obs, reward, reached and not env.continuing_task, False, {"success": reached}

    env.step = step
    return env
