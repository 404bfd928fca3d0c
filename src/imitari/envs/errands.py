"""A hand on a table grasps a block and carries it to one of five marks or between two: many tasks of shared skills."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.core.task import Task
from imitari.envs._batched import State
from imitari.envs._plane import Colour, Disc, PlaneWorld, towards
from imitari.envs.mixed import mixed

STATE = "observation.state"
LIMIT = 80
RED = (220, 50, 50)
BLOCK = "block"
MARKS: dict[str, Colour] = {
    "ring": (60, 160, 80),
    "square": (40, 80, 200),
    "star": (190, 160, 60),
    "cross": (150, 60, 170),
    "moon": (70, 170, 190),
}
THINGS = (BLOCK, *MARKS)
REGION = 0.65  # half the side of the square in which hand and things lie
APART = 0.36  # least distance of two of them at the start
GRASP = 0.18  # distance from the hand within which the block is grasped
PLACED = 0.24  # distance of the block from where it belongs
GRIP = 0.5  # how far the fingers move a step: 0 is open, 1 closed
MILESTONES = ("reached", "grasped", "brought", "placed")
# Three errands are not among the twelve, to be learned later.
LATER = ("star", "cross-moon", "ring-square")


def ids() -> list[str]:
    return [*_errands(), "twelve"]


def _errands() -> list[str]:
    return [*MARKS, *("-".join(pair) for pair in combinations(MARKS, 2))]


def task(name: str, pixels: int | None = None, region: float = 1.0) -> Task:
    """Reward: the share of the milestones (block reached, grasped, brought near, placed) passed up to now.

    Args:
        name: where to: a mark such as "ring", or the middle of two such as "ring-square"; or "twelve" of these as one.
        pixels: also observe a picture from above of this side.
        region: factor on the square in which hand and things lie at the start.
    """
    if name == "twelve":
        parts = [task(one, pixels, region) for one in _errands() if one not in LATER]
        return mixed(f"errands/{name}", parts)
    if not 0.8 <= region <= 1.5:
        raise UserError(f"region {region:g}: the start region can be scaled from 0.8 to 1.5")
    goal = tuple(name.split("-"))
    # Things are seen from the hand, as by a camera on it.
    names = ("hand_x", "hand_y", "grip", *(f"{thing}_{axis}" for thing in THINGS for axis in "xy"))
    obs = {STATE: Feature((len(names),), names=names)}
    if pixels:
        obs["observation.images.top"] = Feature((pixels, pixels, 3), "uint8", "image")
    action = Feature((3,), names=("velocity_x", "velocity_y", "close"), low=(-1.0,) * 3, high=(1.0,) * 3)
    spec = Spec(obs, action)
    return Task(
        f"errands/{name}",
        spec,
        LIMIT,
        lambda count: Errands(count, spec, goal, region, pixels),
        lambda world: Carrier(goal),
        description="carry the block "
        + (f"to the {name}" if len(goal) == 1 else f"between the {goal[0]} and the {goal[1]}"),
    )


class Errands(PlaneWorld):
    """State: `position` of the hand (B, 2), `grip` (B,), every thing (B, 2), whether the block is `held` (B,), and the
    number of milestones `passed` (B,).

    The block is held from the moment when the fingers close within `GRASP` of it, and let go of when they open.
    """

    def __init__(self, count: int, spec: Spec, goal: tuple[str, ...], region: float, pixels: int | None) -> None:
        discs = (*(Disc(name, 0.12, colour) for name, colour in MARKS.items()), Disc(BLOCK, 0.07, RED))
        super().__init__(count, spec, LIMIT, discs, pixels)
        self.goal, self.region = goal, REGION * region

    def start(self, rng: np.random.Generator) -> State:
        places = apart(rng, len(THINGS) + 1, self.region)
        things = dict(zip(THINGS, places[1:], strict=True))
        return {"position": places[0], "grip": np.zeros(()), **things, "held": np.array(False), "passed": np.array(0)}

    def observe(self, state: State) -> Obs:
        places = [state[thing] - state["position"] for thing in THINGS]
        obs = {STATE: np.column_stack([state["position"], state["grip"], *places]).astype(np.float32)}
        if self.pixels:
            obs["observation.images.top"] = self.picture(state, self.pixels)
        return obs

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        position = self.moved(state["position"], action[:, :2])
        grip = np.clip(state["grip"] + np.where(action[:, 2] > 0, GRIP, -GRIP), 0, 1)
        near = np.linalg.norm(state[BLOCK] - position, axis=1) < GRASP
        closed = grip >= 1
        held = closed & (state["held"] | (near & (state["grip"] < 1)))
        block = np.where(held[:, None], position, state[BLOCK])
        after: State = {**state, "position": position, "grip": grip, "held": held, BLOCK: block}
        after["passed"] = self._passed(after)
        done = after["passed"] == len(MILESTONES)
        return after, after["passed"] / len(MILESTONES), done, done

    def _passed(self, state: State) -> Array:
        """Milestones up to now: each counts only after those before it."""
        held = state["held"]
        there = np.linalg.norm(state[BLOCK] - aim_of(state, self.goal), axis=1) < PLACED
        reached = np.linalg.norm(state[BLOCK] - state["position"], axis=1) < GRASP
        passed = state["passed"].copy()
        for number, now in enumerate((reached, held, held & there, ~held & there)):
            passed = np.where((passed == number) & now, number + 1, passed)
        return passed


def aim_of(state: State, goal: tuple[str, ...]) -> Array:
    """Where the block belongs, (B, 2): at the mark, or in the middle of two."""
    return sum((state[mark] for mark in goal[1:]), state[goal[0]]) / len(goal)


def apart(rng: np.random.Generator, count: int, region: float) -> Array:
    """(count, 2) places in a square, no two nearer than `APART`."""
    while True:
        places = rng.uniform(-region, region, (count, 2))
        distance = np.linalg.norm(places[:, None] - places[None], axis=2) + 9 * np.eye(count)
        if distance.min() >= APART:
            return places


@dataclass
class Carrier:
    """Scripted expert: goes over the block, closes the fingers, goes where it belongs, opens them."""

    goal: tuple[str, ...]
    near: float = 0.04  # distance at which it closes or opens

    def reset(self, count: int, seed: int = 0) -> Array:
        """(B,) whether the block is carried."""
        return np.zeros(count, bool)

    def act(self, obs: Obs, memory: Array) -> tuple[Array, Array]:
        state = obs[STATE].astype(np.float64)
        grip = state[:, 2]
        things = {name: state[:, 3 + 2 * number : 5 + 2 * number] for number, name in enumerate(THINGS)}
        over = np.linalg.norm(things[BLOCK], axis=1)
        closed = grip >= 1
        carries = closed & (over < 1e-4)
        aim = np.where(carries[:, None], aim_of(things, self.goal), things[BLOCK])
        there = carries & (np.linalg.norm(aim, axis=1) < self.near)
        close = np.where(carries, ~there, (over < self.near) | ((grip > 0) & (over < GRASP) & ~closed))
        velocity = towards(np.zeros_like(aim), aim)
        return np.column_stack([velocity, np.where(close, 1.0, -1.0)]).astype(np.float32), carries
