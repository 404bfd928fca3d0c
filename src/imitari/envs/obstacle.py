"""A point drives around one round obstacle to the other corner of a square; its motion can be noisy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.core.task import Task
from imitari.envs._batched import BatchedWorld, State
from imitari.envs._plane import BLUE, GREEN, GREY, Disc, drawn

SPEED = 0.04  # distance a step at an action of length 1, in sides of the square
WIDEST = 5.0  # an action's number; far above 1, so that noise on actions is not cut
REACH = 0.03  # of the target
LIMIT = 100
STOP = 0.9  # share of the way to the contact at which the obstacle stops a motion
CORNER = 0.1  # side of the squares at (0, 0) and (1, 1) in which starts and targets lie
NEAREST = 0.5  # least distance of start and target where they lie anywhere
PASSED = 0.01  # distance of the way-point at which the expert turns to the target
STATE = "observation.state"
Side = Literal["above", "random"]
DISCS = (
    Disc("centre", "radius", GREY),
    Disc("target", REACH, GREEN),
    Disc("position", 0.02, BLUE),
)


def ids() -> list[str]:
    return [""]


def task(
    name: str = "", noise: float = 0.0, side: Side = "above", anywhere: bool = False, reach: float = REACH
) -> Task:
    """From near (0, 0) to near (1, 1) on the unit square, around a disc of radius 0.05 to 0.1 with its centre in
    [0.25, 0.75]^2, in at most 100 steps.

    The world of Belkhale, Cui & Sadigh 2023 ("Data Quality in Imitation Learning").

    Args:
        noise: standard deviation, in sides of the square, of what is added to every motion, whoever acts. To add the
            same to the actions instead, divide it by `SPEED`.
        side: the expert passes every obstacle above, or on a side that it draws for each episode.
        anywhere: starts and targets lie anywhere, at least 0.5 apart.
        reach: distance of the target that solves it.
    """
    if noise < 0:
        raise UserError(f"noise is {noise:g}: it must be at least 0")
    if side not in ("above", "random"):
        raise UserError(f"side is '{side}': choose above or random")
    names = ("x", "y", "target_x", "target_y", "obstacle_x", "obstacle_y", "radius")
    box = (WIDEST, WIDEST)
    action = Feature((2,), names=("velocity_x", "velocity_y"), low=(-WIDEST, -WIDEST), high=box)
    spec = Spec({STATE: Feature((7,), names=names)}, action)
    return Task(
        "obstacle",
        spec,
        LIMIT,
        lambda count: Obstacle(count, spec, noise, anywhere, reach),
        lambda world: Guide(side),
        description=(__doc__ or "").split("\n")[0],
    )


class Obstacle(BatchedWorld):
    """State: `position`, `target`, `centre` (B, 2), `radius` (B,), `push` (B, LIMIT, 2) what the world adds to each
    motion, `moment` (B,). Reward: 1 at the target, which ends the episode."""

    def __init__(self, count: int, spec: Spec, noise: float, anywhere: bool, reach: float) -> None:
        super().__init__(count, spec, LIMIT)
        self.noise, self.anywhere, self.reach = noise, anywhere, reach

    def start(self, rng: np.random.Generator) -> State:
        position, target = _ends(rng, self.anywhere)
        while True:
            centre, radius = rng.uniform(0.25, 0.75, 2), rng.uniform(0.05, 0.1)
            if min(np.linalg.norm(position - centre), np.linalg.norm(target - centre)) > radius + REACH:
                break
        push = self.noise * rng.standard_normal((LIMIT, 2))
        moment = np.zeros((), np.int64)
        state = {"position": position, "target": target, "centre": centre, "push": push, "moment": moment}
        return {**state, "radius": np.asarray(radius)}

    def observe(self, state: State) -> Obs:
        parts = [state["position"], state["target"], state["centre"], state["radius"][:, None]]
        return {STATE: np.concatenate(parts, 1).astype(np.float32)}

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        push = state["push"][np.arange(len(action)), np.minimum(state["moment"], LIMIT - 1)]
        wanted = SPEED * np.clip(action, -WIDEST, WIDEST) + push
        share = free_share(state["position"], wanted, state["centre"], state["radius"])
        position = np.clip(state["position"] + share[:, None] * wanted, 0, 1)
        there = np.linalg.norm(state["target"] - position, axis=1) < self.reach
        after = {**state, "position": position, "moment": state["moment"] + 1}
        return after, there.astype(np.float32), there, there

    def picture(self, state: State, side: int) -> Array:
        return drawn(DISCS, state, side, (0.0, 1.0))


def _ends(rng: np.random.Generator, anywhere: bool) -> tuple[Array, Array]:
    """Start and target."""
    if not anywhere:
        return rng.uniform(0, CORNER, 2), 1 - rng.uniform(0, CORNER, 2)
    while True:
        start, target = rng.uniform(0, 1, (2, 2))
        if np.linalg.norm(start - target) >= NEAREST:
            return start, target


def free_share(position: Array, motion: Array, centre: Array, radius: Array) -> Array:
    """(B,) what of straight motions (B, 2) is made: 1, or `STOP` of the way to a disc that is in the way."""
    offset = position - centre
    along = (motion * motion).sum(1)
    inward = (offset * motion).sum(1)
    gap = (offset * offset).sum(1) - radius**2
    under = inward**2 - along * gap
    meets = (under > 0) & (inward < 0) & (along > 0)
    contact = np.where(meets, (-inward - np.sqrt(np.maximum(under, 0))) / np.where(meets, along, 1), np.inf)
    return np.where((contact < 1) & meets, STOP * np.maximum(contact, 0), 1.0)


def waypoint(start: Array, centre: Array, side: Array) -> Array:
    """(B, 2) where to pass an obstacle: half way from its centre to the wall of the square, along the normal of the
    line from `start`; `side` (B,) 1 is to the left of that line, which is above it, and -1 to the right."""
    way = centre - start
    normal = np.stack([-way[:, 1], way[:, 0]], 1) * side[:, None]
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    with np.errstate(divide="ignore"):
        room = np.where(normal > 0, 1 - centre, centre) / np.abs(normal)
    return centre + 0.5 * room.min(1)[:, None] * normal


@dataclass
class Guide:
    """Scripted expert: straight to a way-point beside the obstacle, then straight to the target.

    It turns at the way-point, or where it was pushed past it: beyond the line through the way-point that stands square
    to its first way. So it neither skips the way-point nor comes back to it, with any noise.

    Args:
        side: on which it passes.
        speed: length of its actions while it is not nearer than that.
    """

    side: Side
    speed: float = 1.0

    def reset(self, count: int, seed: int = 0) -> dict[str, Any]:
        drawn_side = np.random.default_rng([seed, 0x51DE]).choice([-1.0, 1.0], count)
        return {"side": np.ones(count) if self.side == "above" else drawn_side, "aim": None}

    def act(self, obs: Obs, memory: dict[str, Any]) -> tuple[Array, dict[str, Any]]:
        state = obs[STATE].astype(np.float64)
        position, target = state[:, :2], state[:, 2:4]
        if memory["aim"] is None:
            memory["aim"] = waypoint(position, state[:, 4:6], memory["side"])
            memory["first"] = memory["aim"] - position
            memory["passed"] = np.zeros(len(state), bool)
        left = memory["aim"] - position
        memory["passed"] |= (np.linalg.norm(left, axis=1) < PASSED) | ((left * memory["first"]).sum(1) < 0)
        way = np.where(memory["passed"][:, None], target - position, left)
        length = np.maximum(np.linalg.norm(way, axis=1, keepdims=True), SPEED * self.speed)
        return (self.speed * way / length).astype(np.float32), memory
