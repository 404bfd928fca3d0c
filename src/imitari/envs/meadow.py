"""A point on a plane goes to a goal: nothing is hard but the data, which may be wandering, hesitant or mixed."""

from __future__ import annotations

from typing import Any

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.spec import Feature, Spec
from imitari.core.task import Stateless, Task, World
from imitari.envs._batched import BatchedWorld, State

SPEED = 0.08  # distance a step at full action
REACH = 0.1  # of the goal
LIMIT = 60


def ids() -> list[str]:
    return [""]


def task(name: str = "", pixels: int | None = None) -> Task:
    """Start and goal anywhere on [-1, 1]^2, at least 0.8 apart.

    Args:
        pixels: also observe a top-down picture of this side.
    """
    obs = {"observation.state": Feature((4,), names=("x", "y", "goal_x", "goal_y"))}
    if pixels:
        obs["observation.images.top"] = Feature((pixels, pixels, 3), "uint8", "image")
    spec = Spec(obs, Feature((2,), names=("velocity_x", "velocity_y"), low=(-1.0, -1.0), high=(1.0, 1.0)))
    return Task(
        "meadow",
        spec,
        LIMIT,
        lambda count: Meadow(count, spec, pixels),
        expert,
        description=(__doc__ or "").split("\n")[0],
    )


class Meadow(BatchedWorld):
    """State: position (B, 2), goal (B, 2). Reward: 1 at the goal, which ends the episode, else 0."""

    def __init__(self, count: int, spec: Spec, pixels: int | None) -> None:
        super().__init__(count, spec, LIMIT)
        self.pixels = pixels

    def start(self, rng: np.random.Generator) -> State:
        while True:
            position, goal = rng.uniform(-1, 1, (2, 2))
            if np.linalg.norm(position - goal) >= 0.8:
                return {"position": position, "goal": goal}

    def observe(self, state: State) -> Obs:
        obs = {"observation.state": np.concatenate([state["position"], state["goal"]], 1).astype(np.float32)}
        if self.pixels:
            obs["observation.images.top"] = self.picture(state, self.pixels)
        return obs

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        position = np.clip(state["position"] + SPEED * np.clip(action, -1, 1), -1.2, 1.2)
        arrived = np.linalg.norm(state["goal"] - position, axis=1) < REACH
        return {"position": position, "goal": state["goal"]}, arrived.astype(np.float32), arrived, arrived

    def picture(self, state: State, side: int) -> Array:
        axis = np.linspace(-1.2, 1.2, side)
        grid = np.stack(np.meshgrid(axis, -axis), -1)[None]
        image = np.full((len(state["position"]), side, side, 3), 235, np.uint8)
        for key, radius, colour in (("goal", REACH, (60, 160, 80)), ("position", 0.08, (40, 80, 200))):
            image[((grid - state[key][:, None, None]) ** 2).sum(-1) < radius**2] = colour
        return image


def expert(world: World) -> Stateless:
    """Straight to the goal."""
    return Stateless(lambda obs: towards(obs["observation.state"][:, :2], obs["observation.state"][:, 2:]))


def towards(position: Array, aim: Array) -> Array:
    """Actions (B, 2) that lead from `position` (B, 2) straight to `aim` (B, 2), at full speed until it is near."""
    way = (aim - position).astype(np.float64)
    return (way / np.maximum(np.linalg.norm(way, axis=1, keepdims=True), SPEED)).astype(np.float32)


class Wanderer:
    """A demonstrator without skill: goes to one random place after another and reaches the goal by accident only."""

    def reset(self, count: int, seed: int = 0) -> dict[str, Any]:
        rng = np.random.default_rng([seed, 0x3A])
        return {"rng": rng, "aim": rng.uniform(-1.1, 1.1, (count, 2))}

    def act(self, obs: Obs, memory: dict[str, Any]) -> tuple[Array, dict[str, Any]]:
        position = obs["observation.state"][:, :2]
        there = np.linalg.norm(memory["aim"] - position, axis=1) < SPEED
        fresh = memory["rng"].uniform(-1.1, 1.1, memory["aim"].shape)
        memory["aim"] = np.where(there[:, None], fresh, memory["aim"])
        return towards(position, memory["aim"]), memory


class Hesitant:
    """A demonstrator who stops short of the goal for a while, for no reason that can be seen, and then goes on.

    Args:
        pause: (least, most) steps that it stands still.
        distance: from the goal at which it stops.
    """

    def __init__(self, pause: tuple[int, int] = (5, 8), distance: float = 0.4) -> None:
        self.pause, self.distance = pause, distance

    def reset(self, count: int, seed: int = 0) -> Array:
        """Steps of standing still that are left, (B,)."""
        return np.random.default_rng([seed, 0x9E]).integers(self.pause[0], self.pause[1] + 1, count)

    def act(self, obs: Obs, memory: Array) -> tuple[Array, Array]:
        position, goal = np.split(obs["observation.state"].astype(np.float64), 2, axis=1)
        stands = (np.linalg.norm(goal - position, axis=1) < self.distance) & (memory > 0)
        return np.where(stands[:, None], 0.0, towards(position, goal)).astype(np.float32), memory - stands
