"""Episodes of a saved agent: by this library, or as others evaluate, with gymnasium's vector or one at a time.

All sides load the same agent and meet the same starts. The others step the suites' own environments: gym-pusht's as it
comes; Meta-World's and the mazes' with the same repairs for MuJoCo 4 that this library needs.
"""

import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from _serve import serve, settings
from gymnasium.vector import SyncVectorEnv

from imitari.core.interaction import interact
from imitari.core.task import Task
from imitari.envs import task_named
from imitari.learn.agent import Agent

STATE, GOAL, TOP, CORNER = (
    "observation.state",
    "observation.goal",
    "observation.images.top",
    "observation.images.corner2",
)


class Judged(gym.Wrapper):
    """One of the suite's environments, which ends at success or at the limit and starts from a seed.

    Args:
        name: of the task.
        task: as this library makes it: names the limit, and how a start follows from a seed.
        pixels: side of the pictures of `render`; 0: none are drawn.
    """

    def __init__(self, name: str, task: Task, pixels: int) -> None:
        world: Any = task.make(1)
        self._seeded, self._limit, self._frames = world._seed_env, task.limit, None
        if name == "pusht":
            from gym_pusht.envs.pusht import PushTEnv

            super().__init__(PushTEnv(obs_type="state", observation_width=pixels, observation_height=pixels))
            self._seeded = lambda env, seed: env.reset(seed=seed)[0]
        else:
            super().__init__(world.envs[0])
            if pixels:
                from gymnasium.envs.mujoco.mujoco_rendering import MujocoRenderer

                inner = self.env.unwrapped
                self._frames = MujocoRenderer(
                    inner.model, inner.data, width=pixels, height=pixels, camera_name="corner2"
                )

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self._clock = 0
        return self._seeded(self.env, 0 if seed is None else seed), {}

    def step(self, action: Any) -> Any:
        raw, reward, terminated, truncated, info = self.env.step(action)
        self._clock += 1
        success = bool(info.get("is_success", info.get("success", False)))
        return raw, reward, terminated or success, truncated or self._clock >= self._limit, {"solved": success}

    def render(self) -> Any:
        if self._frames is not None:
            return self._frames.render("rgb_array")
        inner: Any = self.env.unwrapped
        return inner._get_img(inner._draw(), inner.observation_width, inner.observation_height)


def named(raw: Any, pictures: Any) -> dict[str, Any]:
    """A batch of a suite's observations under the agent's names."""
    if pictures is not None:
        frames = np.stack(pictures)
        return {TOP: frames, CORNER: frames}
    if isinstance(raw, dict):
        return {STATE: np.asarray(raw["observation"], np.float32), GOAL: np.asarray(raw["desired_goal"], np.float32)}
    return {STATE: np.asarray(raw, np.float32)}


def together(agent: Agent, vector: SyncVectorEnv, seeds: Sequence[int], pixels: int) -> list[bool]:
    """One batch of episodes, stepped until the last one has ended."""
    raw, _ = vector.reset(seed=list(seeds))
    memory, count = agent.reset(len(seeds)), len(seeds)
    solved, ended = np.zeros(count, bool), np.zeros(count, bool)
    while not ended.all():
        action, memory = agent.act(named(raw, vector.render() if pixels else None), memory)
        raw, _, terminated, truncated, info = vector.step(action)
        solved |= ~ended & np.asarray(info.get("solved", np.zeros(count, bool)), bool)
        ended |= terminated | truncated
    return solved.tolist()


def alone(agent: Agent, env: Judged, seed: int, pixels: int) -> bool:
    raw, _ = env.reset(seed=seed)
    memory = agent.reset(1)
    while True:
        batch = {key: np.asarray(value)[None] for key, value in raw.items()} if isinstance(raw, dict) else raw[None]
        action, memory = agent.act(named(batch, [env.render()] if pixels else None), memory)
        raw, _, terminated, truncated, info = env.step(action[0])
        if terminated or truncated:
            return info["solved"]


def main() -> None:
    warnings.simplefilter("ignore")
    given = settings()
    torch.set_num_threads(1)
    pixels, count = given["pixels"], given["together"]
    words = {"limit": given["limit"]} | ({"pixels": pixels} if pixels else {})
    task, agent = task_named(given["task"], **words), Agent.load(Path(given["agent"]))
    side: Any = task.make(count) if given["side"] == "ours" else None
    if given["side"] == "one":
        side = Judged(given["task"], task, pixels)
    elif given["side"] == "vector":
        plain = task_named(given["task"], limit=given["limit"])
        side = SyncVectorEnv([lambda: Judged(given["task"], plain, pixels)] * count, copy=False)

    def answer(seeds: list[int]) -> dict[str, Any]:
        began = time.perf_counter()
        if given["side"] == "one":
            solved = [alone(agent, side, seed, pixels) for seed in seeds]
        elif given["side"] == "vector":
            groups = [seeds[first : first + count] for first in range(0, len(seeds), count)]
            solved = [value for group in groups for value in together(agent, side, group, pixels)]
        else:
            groups = [seeds[first : first + count] for first in range(0, len(seeds), count)]
            solved = [episode.success for group in groups for episode in interact(agent, side, group, record=False)]
        return {"seconds": time.perf_counter() - began, "solved": [bool(value) for value in solved]}

    answer(list(range(900, 900 + (1 if given["side"] == "one" else count))))
    serve(answer)


main()
