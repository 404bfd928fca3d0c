"""The pattern of our own worlds: the state of all environments as arrays, stepped at once, finished ones frozen."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv

from imitari.core.episode import Array, Obs
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec

State = dict[str, Array]


class BatchedWorld(VectorEnv):  # pyright: ignore[reportMissingTypeArgument]
    """Freezing, time limit, seeding and spaces; a world adds four functions of its state arrays.

    Args:
        count: environments.
        spec: of one of them.
        limit: steps until truncation.
    """

    def __init__(self, count: int, spec: Spec, limit: int) -> None:
        super().__init__()
        self.num_envs, self.spec_of_step, self.limit = count, spec, limit
        self.single_observation_space = gym.spaces.Dict({key: space(feature) for key, feature in spec.obs.items()})
        self.single_action_space = space(spec.action)
        self.observation_space = gym.vector.utils.batch_space(self.single_observation_space, count)
        self.action_space = gym.vector.utils.batch_space(self.single_action_space, count)
        self.state: State = {}

    def start(self, rng: np.random.Generator) -> State:
        """The state of one environment, drawn from its own generator."""
        raise NotImplementedError

    def begin(self, seed: int) -> State:
        """The state of the environment whose start has this seed."""
        return self.start(np.random.default_rng(seed))

    def observe(self, state: State) -> Obs:
        """Observations name -> (B, ...)."""
        raise NotImplementedError

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        """(next state, reward (B,), terminated (B,), success (B,)) for all environments."""
        raise NotImplementedError

    def behaviour(self, state: State) -> Array | None:
        """(B,) number of the way in which each environment has been solved so far (`Task.behaviours`), -1 where none is
        known; None: the world knows of no ways."""
        return None

    def picture(self, state: State, side: int) -> Array:
        """uint8 (B, side, side, 3), for worlds that can be drawn."""
        raise UserError(f"{type(self).__name__} has no pictures: choose a task with a camera")

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Obs, dict[str, Any]]:
        seeds = seed if isinstance(seed, (list, tuple, range)) else range(seed or 0, (seed or 0) + self.num_envs)
        starts = [self.begin(int(one)) for one in seeds]
        self.state = {key: np.stack([start[key] for start in starts]) for key in starts[0]}
        self._clock = np.zeros(self.num_envs, np.int64)
        self._terminated, self._truncated = np.zeros(self.num_envs, bool), np.zeros(self.num_envs, bool)
        self._success = np.zeros(self.num_envs, bool)
        return self.observe(self.state), {"success": self._success.copy()}

    def restart(self, which: Array, seeds: Sequence[int]) -> Obs:
        starts = [self.begin(int(one)) for one in seeds]
        for key, value in self.state.items():
            self.state[key] = value.copy()
            self.state[key][which] = np.stack([start[key] for start in starts])
        self._clock[which] = 0
        self._terminated[which] = self._truncated[which] = self._success[which] = False
        return self.observe({key: value[which] for key, value in self.state.items()})

    def step(self, actions: Any) -> tuple[Obs, Array, Array, Array, dict[str, Any]]:
        running = ~(self._terminated | self._truncated)
        after, reward, terminated, success = self.advance(self.state, np.asarray(actions))
        for key, value in after.items():
            mask = running.reshape(-1, *[1] * (value.ndim - 1))
            self.state[key] = np.where(mask, value, self.state[key])
        self._clock += running
        self._success |= running & success
        self._terminated |= running & terminated
        self._truncated |= running & ~terminated & (self._clock >= self.limit)
        info: dict[str, Array] = {"success": self._success.copy()}
        behaviour = self.behaviour(self.state)
        if behaviour is not None:
            info["behaviour"] = behaviour
        flags = self._terminated.copy(), self._truncated.copy()
        return self.observe(self.state), np.where(running, reward, 0.0).astype(np.float32), *flags, info

    def render(self) -> Any:
        """uint8 (B, 96, 96, 3)."""
        return self.picture(self.state, 96)


def space(feature: Feature) -> gym.spaces.Space[Any]:
    """The gymnasium space of a feature."""
    if feature.kind == "image":
        return gym.spaces.Box(0, 255, feature.shape, np.uint8)
    if feature.kind == "text":
        return gym.spaces.Text(1 << 20, min_length=0, charset=string.printable)
    if feature.kind == "choice":
        return gym.spaces.MultiDiscrete([feature.choices])
    low = -np.inf if feature.low is None else np.asarray(feature.low, np.float32).reshape(feature.shape)
    high = np.inf if feature.high is None else np.asarray(feature.high, np.float32).reshape(feature.shape)
    return gym.spaces.Box(low, high, feature.shape, np.float32)
