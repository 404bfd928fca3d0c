"""A point drives past a round obstacle, left or right: the smallest task with two-sided demonstrations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.spec import Spec
from imitari.core.task import Task, World
from imitari.envs._batched import State
from imitari.envs._plane import GREEN, REACH, Disc, PlaneWorld, plane_spec, towards

RADIUS = 0.35  # of the obstacle at the origin
LIMIT = 60


def ids() -> list[str]:
    return [""]


def task(name: str = "", pixels: int | None = None) -> Task:
    """Start below, goal above, obstacle between them; touching it ends the episode.

    Args:
        pixels: also observe a top-down picture of this side.
    """
    spec = plane_spec("goal", pixels)
    return Task(
        "two_ways",
        spec,
        LIMIT,
        lambda count: TwoWays(count, spec, pixels),
        Guide,
        description=(__doc__ or "").split("\n")[0],
        behaviours=("left", "right"),
    )


class TwoWays(PlaneWorld):
    """Reward: progress to the goal, 1 at it, -1 at the obstacle. State also: on which `side` it passed (B,), or -1."""

    def __init__(self, count: int, spec: Spec, pixels: int | None) -> None:
        discs = (Disc((0.0, 0.0), RADIUS, (120, 120, 120)), Disc("mark", REACH, GREEN))
        super().__init__(count, spec, LIMIT, discs, pixels)

    def start(self, rng: np.random.Generator) -> State:
        position = np.array([rng.uniform(-0.1, 0.1), rng.uniform(-1.0, -0.8)])
        goal = np.array([rng.uniform(-0.1, 0.1), rng.uniform(0.8, 1.0)])
        return {"position": position, "mark": goal, "side": np.array(-1)}

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        position = self.moved(state["position"], action)
        hit = np.linalg.norm(position, axis=1) < RADIUS
        before, after = (np.linalg.norm(state["mark"] - point, axis=1) for point in (state["position"], position))
        arrived = (after < REACH) & ~hit
        reward = (before - after) + arrived - hit
        passes = (state["position"][:, 1] < 0) & (position[:, 1] >= 0)
        side = np.where(passes, (position[:, 0] > 0).astype(np.int64), state["side"])
        return {"position": position, "mark": state["mark"], "side": side}, reward, hit | arrived, arrived

    def behaviour(self, state: State) -> Array:
        return state["side"]


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
        return towards(position, aim), memory
