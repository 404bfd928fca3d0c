"""A point on a plane goes to a goal: nothing is hard but the data, which may be wandering, hesitant or mixed."""

from __future__ import annotations

from typing import Any

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.spec import Spec
from imitari.core.task import Stateless, Task, World
from imitari.envs._batched import State
from imitari.envs._plane import GREEN, REACH, SPEED, Disc, PlaneWorld, plane_spec, towards

LIMIT = 60


def ids() -> list[str]:
    return [""]


def task(name: str = "", pixels: int | None = None) -> Task:
    """Start and goal anywhere on [-1, 1]^2, at least 0.8 apart.

    Args:
        pixels: also observe a top-down picture of this side.
    """
    spec = plane_spec("goal", pixels)
    return Task(
        "meadow",
        spec,
        LIMIT,
        lambda count: Meadow(count, spec, pixels),
        expert,
        description=(__doc__ or "").split("\n")[0],
    )


class Meadow(PlaneWorld):
    """Reward: 1 at the goal, which ends the episode, else 0."""

    def __init__(self, count: int, spec: Spec, pixels: int | None) -> None:
        super().__init__(count, spec, LIMIT, (Disc("mark", REACH, GREEN),), pixels)

    def start(self, rng: np.random.Generator) -> State:
        while True:
            position, goal = rng.uniform(-1, 1, (2, 2))
            if np.linalg.norm(position - goal) >= 0.8:
                return {"position": position, "mark": goal}

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        position = self.moved(state["position"], action)
        arrived = np.linalg.norm(state["mark"] - position, axis=1) < REACH
        return {"position": position, "mark": state["mark"]}, arrived.astype(np.float32), arrived, arrived


def expert(world: World) -> Stateless:
    """Straight to the goal."""
    return Stateless(lambda obs: towards(obs["observation.state"][:, :2], obs["observation.state"][:, 2:]))


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

    def __init__(self, pause: tuple[int, int] = (7, 10), distance: float = 0.4) -> None:
        self.pause, self.distance = pause, distance

    def reset(self, count: int, seed: int = 0) -> Array:
        """Steps of standing still that are left, (B,)."""
        return np.random.default_rng([seed, 0x9E]).integers(self.pause[0], self.pause[1] + 1, count)

    def act(self, obs: Obs, memory: Array) -> tuple[Array, Array]:
        position, goal = np.split(obs["observation.state"].astype(np.float64), 2, axis=1)
        stands = (np.linalg.norm(goal - position, axis=1) < self.distance) & (memory > 0)
        return np.where(stands[:, None], 0.0, towards(position, goal)).astype(np.float32), memory - stands
