"""A point drives past a round obstacle, left or right: the smallest task with two-sided demonstrations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.spec import Feature, Spec
from imitari.core.task import Task, World
from imitari.envs._batched import BatchedWorld, State

RADIUS = 0.35  # of the obstacle at the origin
SPEED = 0.08  # distance a step at full action
REACH = 0.1  # of the goal
LIMIT = 60


def ids() -> list[str]:
    return [""]


def task(name: str = "", pixels: int | None = None) -> Task:
    """Start below, goal above, obstacle between them; touching it ends the episode.

    Args:
        pixels: also observe a top-down picture of this side.
    """
    obs = {"observation.state": Feature((4,), names=("x", "y", "goal_x", "goal_y"))}
    if pixels:
        obs["observation.images.top"] = Feature((pixels, pixels, 3), "uint8", "image")
    spec = Spec(obs, Feature((2,), names=("velocity_x", "velocity_y"), low=(-1.0, -1.0), high=(1.0, 1.0)))
    return Task(
        "two_ways",
        spec,
        LIMIT,
        lambda count: TwoWays(count, spec, pixels),
        Guide,
        description=(__doc__ or "").split("\n")[0],
    )


class TwoWays(BatchedWorld):
    """State: position (B, 2), goal (B, 2). Reward: progress to the goal, 1 at it, -1 at the obstacle."""

    def __init__(self, count: int, spec: Spec, pixels: int | None) -> None:
        super().__init__(count, spec, LIMIT)
        self.pixels = pixels

    def start(self, rng: np.random.Generator) -> State:
        position = np.array([rng.uniform(-0.1, 0.1), rng.uniform(-1.0, -0.8)])
        goal = np.array([rng.uniform(-0.1, 0.1), rng.uniform(0.8, 1.0)])
        return {"position": position, "goal": goal}

    def observe(self, state: State) -> Obs:
        obs = {"observation.state": np.concatenate([state["position"], state["goal"]], 1).astype(np.float32)}
        if self.pixels:
            obs["observation.images.top"] = self.picture(state, self.pixels)
        return obs

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        position = np.clip(state["position"] + SPEED * np.clip(action, -1, 1), -1.2, 1.2)
        hit = np.linalg.norm(position, axis=1) < RADIUS
        before, after = (np.linalg.norm(state["goal"] - point, axis=1) for point in (state["position"], position))
        arrived = (after < REACH) & ~hit
        reward = (before - after) + arrived - hit
        return {"position": position, "goal": state["goal"]}, reward, hit | arrived, arrived

    def picture(self, state: State, side: int) -> Array:
        axis = np.linspace(-1.2, 1.2, side)
        grid = np.stack(np.meshgrid(axis, -axis), -1)[None]

        def disc(centre: Array, radius: float) -> Array:
            return ((grid - centre[:, None, None]) ** 2).sum(-1) < radius**2

        image = np.full((len(state["position"]), side, side, 3), 235, np.uint8)
        image[disc(np.zeros_like(state["goal"]), RADIUS)] = (120, 120, 120)
        image[disc(state["goal"], REACH)] = (60, 160, 80)
        image[disc(state["position"], 0.08)] = (40, 80, 200)
        return image


@dataclass
class Guide:
    """Scripted expert: picks a side for the whole episode, keeps clear of the obstacle, then heads for the goal."""

    world: World

    def reset(self, count: int, seed: int = 0) -> Array:
        return np.random.default_rng(seed).choice([-1.0, 1.0], count)

    def act(self, obs: Obs, memory: Any) -> tuple[Array, Any]:
        state = obs["observation.state"].astype(np.float64)
        position, goal = state[:, :2], state[:, 2:]
        beside = np.stack([memory * (RADIUS + 0.2), np.zeros(len(memory))], 1)
        passed = position[:, 1] > -0.02
        aim = np.where(passed[:, None], goal, beside)
        way = aim - position
        distance = np.linalg.norm(way, axis=1, keepdims=True)
        return (way / np.maximum(distance, SPEED)).astype(np.float32), memory
