"""A point is brought close to a goal, and demonstrators wander off in between, fast and with something else in mind."""

from __future__ import annotations

from typing import Any

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.spec import Spec
from imitari.core.task import Task
from imitari.envs._batched import State
from imitari.envs._plane import BLUE, EDGE, GREEN, Disc, PlaneWorld, plane_spec

LIMIT = 100
SOFT = 0.6  # width of the edges in the picture: a place shows more finely than pixels are large
NEAR, THERE = 0.08, 0.04  # of the goal: solved, and ended
DETOUR = "detour"  # column: whether the step is extraneous; for evaluation only, no method may read it
TASK_SPEED = 0.3  # largest action of the task; a detour is made at the limit, 1
GAIN = 1.5  # of the task's action in the distance from the goal
OUT, BACK = 8, 5  # steps of a detour: away, and not quite back
SECTOR = (0.5 * np.pi, np.pi / 12)  # direction of the way out: middle, and the most that it differs from it
TURN = 17 / 18 * np.pi  # from the way out to the way back
CHANCE = 0.8  # that there is a second detour


def ids() -> list[str]:
    return [""]


def task(name: str = "", pixels: int | None = None, limit: int = LIMIT) -> Task:
    """Starts anywhere on the left, goals within a small square on the right; solved at 0.08 from it, ended at 0.04.

    The expert makes one or two detours an episode, at the limit of the action where the task needs 0.3 of it; the
    column `detour` says where, for evaluation only.

    Args:
        pixels: also observe a picture from above of this side.
        limit: steps of an episode at most.
    """
    spec = plane_spec("goal", pixels)
    return Task(
        "detours",
        spec,
        limit,
        lambda count: Detours(count, spec, limit, pixels),
        lambda world: Wanderer(),
        success_ends=False,
        description=(__doc__ or "").split("\n")[0],
    )


class Detours(PlaneWorld):
    """The mark is the goal. The reward is minus the distance from it, so that the best one tells how near it got."""

    def __init__(self, count: int, spec: Spec, limit: int, pixels: int | None) -> None:
        super().__init__(count, spec, limit, (Disc("mark", 0.3, GREEN),), pixels)
        self.discs = (self.discs[0], Disc("position", 0.2, BLUE))

    def start(self, rng: np.random.Generator) -> State:
        return {"position": rng.uniform((-0.6, -0.5), (-0.2, 0.35)), "mark": rng.uniform((0.2, -0.15), (0.35, 0.0))}

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        position = self.moved(state["position"], action)
        distance = np.linalg.norm(position - state["mark"], axis=1)
        return {**state, "position": position}, -distance, distance < THERE, distance < NEAR

    def picture(self, state: State, side: int) -> Array:
        """Soft at the edges, so that places show more finely than pixels are large."""
        axis = (np.arange(side) + 0.5) * (2 * EDGE / side) - EDGE
        image = np.full((len(state["position"]), side, side, 3), 235, np.float32)
        for disc in self.discs:
            place = state[str(disc.place)]
            across, along = (axis - place[:, :1]) ** 2, (-axis - place[:, 1:]) ** 2
            inside = disc.radius - np.sqrt(along[:, :, None] + across[:, None, :])
            cover = np.clip(inside / SOFT + 0.5, 0, 1)[..., None]
            image += cover * (np.asarray(disc.colour, np.float32) - image)
        return image.astype(np.uint8)


class Wanderer:
    """Scripted demonstrator: proportional control towards the goal, and one or two detours on the way.

    A detour begins when the distance from the goal has fallen to a share of the first one, drawn uniformly. It leads
    away within a narrow sector of directions and back another way, which ends elsewhere: the task is taken up there.
    """

    def reset(self, count: int, seed: int = 0) -> dict[str, Any]:
        rng = np.random.default_rng([seed, 0xDE7])
        share = rng.uniform(0.1, 1.0, (count, 2))
        share[rng.random(count) > CHANCE, 1] = -1.0  # never reached
        return {
            "share": -np.sort(-share, 1),  # of the first distance, at which the detours begin
            "away": SECTOR[0] + rng.uniform(-SECTOR[1], SECTOR[1], count),
            "done": np.zeros(count, np.int64),  # detours begun
            "clock": np.full(count, OUT + BACK),  # steps into the latest detour
            "first": np.zeros(0),
        }

    def act(self, obs: Obs, memory: dict[str, Any]) -> tuple[Array, dict[str, Any]]:
        position, goal = np.split(obs["observation.state"].astype(np.float64), 2, axis=1)
        way = goal - position
        distance = np.linalg.norm(way, axis=1)
        if not len(memory["first"]):
            memory["first"] = distance
        every, busy = np.arange(len(way)), memory["clock"] < OUT + BACK
        next_share = np.where(memory["done"] < 2, memory["share"][every, memory["done"] % 2], -1.0)
        begins = ~busy & (distance <= next_share * memory["first"])
        clock = np.where(begins, 0, memory["clock"])
        heading = memory["away"] + np.where(clock < OUT, 0.0, TURN)
        self._detour = busy | begins
        memory["done"], memory["clock"] = memory["done"] + begins, clock + self._detour
        aim = GAIN * way * np.minimum(1.0, TASK_SPEED / np.maximum(GAIN * distance, 1e-9))[:, None]
        stray = np.stack([np.cos(heading), np.sin(heading)], 1)
        return np.where(self._detour[:, None], stray, aim).astype(np.float32), memory

    def trace(self) -> dict[str, Array]:
        """Whether each environment is on a detour in this step (B,)."""
        return {DETOUR: self._detour}
