"""Single gymnasium environments stepped together: seeds one each, finished ones frozen and not stepped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv

from imitari.core.episode import Array, Obs
from imitari.core.spec import Spec
from imitari.envs._batched import space


class Adapter(Protocol):
    """How one suite's environment speaks our names."""

    def observe(self, env: gym.Env[Any, Any], raw: Any) -> Obs:
        """The environment's observation under our names, one value each."""
        ...

    def succeeded(self, env: gym.Env[Any, Any], info: dict[str, Any], terminated: bool, reward: float) -> bool:
        """The environment's own verdict on the episode so far."""
        ...


class Lockstep(VectorEnv):  # pyright: ignore[reportMissingTypeArgument]
    """A `World` of separate environments.

    Args:
        make: () -> one environment.
        count: how many; made on first use.
        spec: of one step.
        limit: steps until truncation.
        adapter: names and success of the suite.
        end_at_success: an episode terminates at success even where the suite would go on.
    """

    def __init__(
        self,
        make: Callable[[], gym.Env[Any, Any]],
        count: int,
        spec: Spec,
        limit: int,
        adapter: Adapter,
        *,
        end_at_success: bool = True,
        seed_env: Callable[[gym.Env[Any, Any], int], Any] | None = None,
    ) -> None:
        super().__init__()
        self.num_envs, self.spec_of_step, self.limit, self.adapter = count, spec, limit, adapter
        self.end_at_success = end_at_success
        self._seed_env = seed_env or (lambda env, seed: env.reset(seed=seed)[0])
        self.envs = [make() for _ in range(count)]
        self.single_observation_space = gym.spaces.Dict({key: space(feature) for key, feature in spec.obs.items()})
        self.single_action_space = space(spec.action)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Obs, dict[str, Any]]:
        seeds: Sequence[int] = (
            seed if isinstance(seed, (list, tuple, range)) else range(seed or 0, (seed or 0) + self.num_envs)
        )
        self.raw = [self._seed_env(env, int(one)) for env, one in zip(self.envs, seeds, strict=True)]
        first = [self.adapter.observe(env, raw) for env, raw in zip(self.envs, self.raw, strict=True)]
        self._obs = {key: np.stack([one[key] for one in first]) for key in self.spec_of_step.obs}
        self._clock = np.zeros(self.num_envs, np.int64)
        self._terminated, self._truncated = np.zeros(self.num_envs, bool), np.zeros(self.num_envs, bool)
        self._success = np.zeros(self.num_envs, bool)
        return self._copy(), {"success": self._success.copy()}

    def restart(self, which: Array, seeds: Sequence[int]) -> Obs:
        begun = np.flatnonzero(which)
        for number, seed in zip(begun.tolist(), seeds, strict=True):
            self.raw[number] = self._seed_env(self.envs[number], int(seed))
            for key, value in self.adapter.observe(self.envs[number], self.raw[number]).items():
                self._obs[key][number] = value
        self._clock[begun] = 0
        self._terminated[begun] = self._truncated[begun] = self._success[begun] = False
        return {key: value[begun] for key, value in self._obs.items()}

    def step(self, actions: Any) -> tuple[Obs, Array, Array, Array, dict[str, Any]]:
        reward = np.zeros(self.num_envs, np.float32)
        for number in np.flatnonzero(~(self._terminated | self._truncated)):
            reward[number] = self._step_one(int(number), actions[number])
        flags = self._terminated.copy(), self._truncated.copy()
        return self._copy(), reward, *flags, {"success": self._success.copy()}

    def _step_one(self, number: int, action: Array) -> float:
        env = self.envs[number]
        given = int(action[0]) if self.spec_of_step.action.kind == "choice" else action
        raw, reward, terminated, truncated, info = env.step(given)
        self.raw[number] = raw
        for key, value in self.adapter.observe(env, raw).items():
            self._obs[key][number] = value
        self._clock[number] += 1
        success = self.adapter.succeeded(env, info, bool(terminated), float(reward))
        self._success[number] |= success
        self._terminated[number] = bool(terminated) or (success and self.end_at_success)
        late = truncated or self._clock[number] >= self.limit
        self._truncated[number] = late and not self._terminated[number]
        return float(reward)

    def _copy(self) -> Obs:
        return {key: value.copy() for key, value in self._obs.items()}

    def render(self) -> Any:
        """uint8 (B, height, width, 3)."""
        return np.stack([np.asarray(env.render()) for env in self.envs])

    def close_extras(self, **kwargs: Any) -> None:
        for env in self.envs:
            env.close()
