"""A point reaches a goal on a square, which people do in several ways; on one of the tasks a pillar stands between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.core.task import Task
from imitari.envs._batched import BatchedWorld, State
from imitari.envs._plane import BLUE, GREEN, Disc, drawn

SIDE = 3.0  # of the square
SPEED = 0.1  # distance a step at a full action, in each direction
REACH = 0.1  # of the goal
LIMITS = {"open": 50, "pillar": 70}
LOW, HIGH = 1.0, 2.0  # edges of the pillar, in x and in y
CLEAR = 0.25  # distance that people keep from the pillar
GOAL, WIDE = np.array([2.6, 1.5]), 0.2  # middle and half the side of the square in which goals behind the pillar lie
LOWER = 0.7  # share of the height of all starts that is the low part
MIDDLE = 0.5 * (LOW + HIGH)
STARTS = ((0.0, 0.75), (0.4, 2.25))  # corners of the box in which starts before the pillar lie
LEAST = 0.5  # distance of start and goal
STATE = "observation.state"
Style = Literal["straight", "up_then_right", "right_then_up", "over", "under"]
Part = Literal["all", "low"]
STYLES: dict[str, tuple[Style, ...]] = {
    "open": ("straight", "up_then_right", "right_then_up"),
    "pillar": ("over", "under"),
}
GREY = (170, 170, 170)
DISCS = (Disc("goal", REACH, GREEN), Disc("position", 0.06, BLUE))


def ids() -> list[str]:
    return list(LIMITS)


def task(name: str, style: Style | None = None, part: Part = "all") -> Task:
    """The two small worlds of Gandhi, Karamcheti, Liao & Sadigh 2022 ("Eliciting Compatible Demonstrations").

    `open`: start and goal anywhere on [0, 3]^2, 50 steps. `pillar`: start in [0, 0.4] x [0.75, 2.25], goal around
    (2.6, 1.5), the pillar [1, 2]^2 between them, 70 steps; touching it ends the episode. An action is a velocity, at
    most 0.1 a step in each direction.

    Args:
        style: how the scripted person goes. open: straight (the default), up_then_right or right_then_up, which take
            one direction after the other. pillar: over (the default) or under it, by people who go straight where
            nothing is in the way.
        part: "low": starts (and, without a pillar, goals) only in the lower 0.7 of where they lie.
    """
    style = style or STYLES[name][0]
    if style not in STYLES[name]:
        raise UserError(f"style is '{style}': in reach2d/{name} choose {' or '.join(STYLES[name])}")
    if part not in ("all", "low"):
        raise UserError(f"part is '{part}': choose all or low")
    box = (-1.0, -1.0), (1.0, 1.0)
    action = Feature((2,), names=("velocity_x", "velocity_y"), low=box[0], high=box[1])
    spec = Spec({STATE: Feature((4,), names=("x", "y", "goal_x", "goal_y"))}, action)
    pillar = name == "pillar"
    return Task(
        f"reach2d/{name}",
        spec,
        LIMITS[name],
        lambda count: Reach2D(count, spec, LIMITS[name], pillar, part),
        lambda world: Person(style),
        description=(__doc__ or "").split("\n")[0],
        behaviours=("over", "under") if pillar else (),
    )


class Reach2D(BatchedWorld):
    """State: `position` and `goal` (B, 2), `side` (B,) on which it passed the pillar, or -1.

    Reward: 1 at the goal, which ends the episode; the pillar ends it too."""

    def __init__(self, count: int, spec: Spec, limit: int, pillar: bool, part: Part) -> None:
        super().__init__(count, spec, limit)
        self.pillar = pillar
        self.low, self.high = np.array(STARTS if pillar else ((0.0, 0.0), (SIDE, SIDE)))
        if part == "low":
            self.high[1] = self.low[1] + LOWER * (self.high[1] - self.low[1])

    def start(self, rng: np.random.Generator) -> State:
        while True:
            position, goal = rng.uniform(self.low, self.high, (2, 2))
            if self.pillar:
                goal = GOAL + rng.uniform(-WIDE, WIDE, 2)
            if np.linalg.norm(position - goal) >= LEAST:
                return {"position": position, "goal": goal, "side": np.array(-1)}

    def observe(self, state: State) -> Obs:
        return {STATE: np.concatenate([state["position"], state["goal"]], 1).astype(np.float32)}

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        before = state["position"]
        position = np.clip(before + SPEED * np.clip(action, -1, 1), 0, SIDE)
        hit = crosses(before, position, LOW, HIGH) if self.pillar else np.zeros(len(action), bool)
        there = (np.linalg.norm(state["goal"] - position, axis=1) < REACH) & ~hit
        passes = self.pillar & (before[:, 0] < MIDDLE) & (position[:, 0] >= MIDDLE)
        side = np.where(passes, (position[:, 1] < MIDDLE).astype(np.int64), state["side"])
        after = {"position": position, "goal": state["goal"], "side": side}
        return after, there.astype(np.float32), there | hit, there

    def behaviour(self, state: State) -> Array | None:
        return state["side"] if self.pillar else None

    def picture(self, state: State, side: int) -> Array:
        image = drawn(DISCS, state, side, (0.0, SIDE))
        if self.pillar:
            first, last = int(side * LOW / SIDE), int(side * HIGH / SIDE)
            image[:, side - last : side - first, first:last] = GREY
        return image


def crosses(start: Array, end: Array, low: float, high: float) -> Array:
    """(B,) whether the straight way from `start` to `end` (B, 2) meets the square [low, high]^2 (slab by slab)."""
    way = end - start
    with np.errstate(divide="ignore", invalid="ignore"):
        first, second = (low - start) / way, (high - start) / way
    still = way == 0
    inside = (start >= low) & (start <= high)
    enters = np.where(still, np.where(inside, -np.inf, np.inf), np.minimum(first, second)).max(1)
    leaves = np.where(still, np.where(inside, np.inf, -np.inf), np.maximum(first, second)).min(1)
    return (enters <= leaves) & (enters <= 1) & (leaves >= 0)


def blocked(start: Array, goal: Array) -> Array:
    """(B,) whether somebody who keeps clear of the pillar cannot go straight."""
    return crosses(start, goal, LOW - CLEAR + 0.05, HIGH + CLEAR - 0.05)


def along_axes(position: Array, goal: Array, first: int) -> Array:
    """Actions (B, 2): one direction (0: x, 1: y) until the goal is level, then the other."""
    way = goal - position
    action = np.clip(way / SPEED, -1, 1)
    level = np.abs(way[:, first]) < 0.5 * SPEED
    action[:, 1 - first] *= level
    return action


def towards(position: Array, aim: Array) -> Array:
    """Actions (B, 2): straight, at a length of at most 1."""
    way = aim - position
    return way / np.maximum(np.linalg.norm(way, axis=1, keepdims=True), SPEED)


@dataclass
class Person:
    """Goes in one style; where the pillar is in the way, over two way-points beyond its corners."""

    style: Style

    def reset(self, count: int, seed: int = 0) -> dict[str, Any]:
        return {"stage": None}

    def act(self, obs: Obs, memory: dict[str, Any]) -> tuple[Array, dict[str, Any]]:
        position, goal = np.split(obs[STATE].astype(np.float64), 2, axis=1)
        if self.style == "straight":
            return towards(position, goal).astype(np.float32), memory
        if self.style in ("up_then_right", "right_then_up"):
            return along_axes(position, goal, int(self.style == "up_then_right")).astype(np.float32), memory
        lane = HIGH + CLEAR if self.style == "over" else LOW - CLEAR
        corners = np.array([[LOW, lane], [HIGH, lane]])
        if memory["stage"] is None:
            memory["stage"] = np.where(blocked(position, goal), 0, len(corners))
        for number, corner in enumerate(corners):
            near = np.linalg.norm(corner - position, axis=1) < 0.5 * SPEED
            memory["stage"] += (memory["stage"] == number) & near
        aims = [*np.broadcast_to(corners[:, None], (2, *goal.shape)), goal]
        aim = np.stack(aims)[memory["stage"], np.arange(len(goal))]
        return towards(position, aim).astype(np.float32), memory
