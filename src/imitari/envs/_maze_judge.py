"""A judge for the point mazes: actions are tried in the simulator, the clean controller drives on, all is put back."""

from __future__ import annotations

from typing import Any

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.task import World
from imitari.envs._rendering import import_mujoco
from imitari.envs._robotics_experts import MazeGuide
from imitari.envs._single import GOAL, STATE

REACH = 0.45  # of the goal, as the suite has it


class Rehearsal:
    """Q_ref(s, a) = -(1 + T(s')), T the steps that the controller needs from s'; at most the episode's limit.

    Args:
        world: a point maze; its simulators are moved and put back exactly.
    """

    def __init__(self, world: World) -> None:
        self.world: Any = world
        self.guide = MazeGuide(world)
        self.mujoco = import_mujoco()

    def reference(self, obs: Obs) -> Array:
        return self.guide.act(obs, None)[0]

    def values(self, obs: Obs, actions: Array) -> Array:
        """(N, B, 2) to (N, B), in steps."""
        return np.array(
            [
                [self._one(env, obs[GOAL][number], one[number]) for number, env in enumerate(self.world.envs)]
                for one in actions
            ]
        )

    def _one(self, env: Any, goal: Array, action: Array) -> float:
        point = env.unwrapped.point_env
        kind = self.mujoco.mjtState.mjSTATE_INTEGRATION
        state = np.zeros(self.mujoco.mj_stateSize(point.model, kind))
        self.mujoco.mj_getState(point.model, point.data, state, kind)
        step = 0
        try:
            while step < self.world.limit:
                place = point.step(action)[0]
                step += 1
                if np.linalg.norm(place[:2] - goal) <= REACH:
                    break
                action = self.guide.act({STATE: place[None], GOAL: goal[None]}, None)[0][0]
        finally:
            self.mujoco.mj_setState(point.model, point.data, state, kind)
            self.mujoco.mj_forward(point.model, point.data)
            self.mujoco.mj_setState(point.model, point.data, state, kind)
        return -float(step)
