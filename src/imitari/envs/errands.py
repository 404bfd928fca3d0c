"""A hand on a table carries coloured blocks to marks or onto each other: many tasks of the same few skills."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.core.task import Task
from imitari.envs._batched import State
from imitari.envs._plane import GREY, Colour, Disc, PlaneWorld, towards
from imitari.envs.mixed import mixed

STATE = "observation.state"
LIMIT = 80
BLOCKS: dict[str, Colour] = {"red": (220, 50, 50), "green": (60, 160, 80), "blue": (40, 80, 200)}
MARKS = ("ring", "square")
THINGS = (*BLOCKS, *MARKS)
BETWEEN = "between"  # the middle of the two marks
REGION = 0.7  # half the side of the square in which things lie
APART = 0.38  # least distance of two things at the start
GRASP = 0.14  # distance from the hand within which a block is grasped
PLACED = 0.18  # distance of a block from where it belongs
GRIP = 0.5  # how far the fingers move a step: 0 is open, 1 closed
MILESTONES = ("reached", "grasped", "brought", "placed")
# Twelve tasks to learn from; those that are not among them share their skills.
TWELVE = (
    "red-ring red-square green-ring green-square blue-ring red-between "
    "blue-between green-red blue-red red-green green-blue blue-green"
)
SETS = {"twelve": TWELVE.split()}


def ids() -> list[str]:
    pairs = [(block, goal) for block in BLOCKS for goal in (*THINGS, BETWEEN) if goal != block]
    return [*(f"{block}-{goal}" for block, goal in pairs), *SETS]


def task(name: str, pixels: int | None = None, region: float = 1.0) -> Task:
    """Reward: the share of the milestones (block reached, grasped, brought near, placed) passed up to now.

    Args:
        name: "<block>-<where to>", such as "red-ring", "red-blue" (onto it) or "red-between" (between ring and square);
            or "twelve" of them as one.
        pixels: also observe a picture from above of this side.
        region: factor on the square in which hand and things lie at the start.
    """
    if name in SETS:
        return mixed(f"errands/{name}", [task(one, pixels, region) for one in SETS[name]])
    if not 0.7 <= region <= 1.5:
        raise UserError(f"region {region:g}: the start region can be scaled from 0.7 to 1.5")
    block, goal = name.split("-")
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
        lambda count: Errands(count, spec, block, goal, region, pixels),
        lambda world: Carrier(block, goal),
        description=_words(block, goal),
    )


def _words(block: str, goal: str) -> str:
    if goal == BETWEEN:
        return f"carry the {block} block between the ring and the square"
    where = f"onto the {goal} block" if goal in BLOCKS else f"to the {goal}"
    return f"carry the {block} block {where}"


class Errands(PlaneWorld):
    """State: `position` of the hand (B, 2), `grip` (B,), every thing (B, 2), which block is `held` (B,), -1 for none,
    and the `passed` milestones (B,).

    A block is held from the moment when the fingers close within `GRASP` of it, and let go of when they open.
    """

    def __init__(self, count: int, spec: Spec, block: str, goal: str, region: float, pixels: int | None) -> None:
        marks = (Disc("ring", 0.12, GREY), Disc("square", 0.12, (190, 160, 60)))
        super().__init__(count, spec, LIMIT, (*marks, *(Disc(name, 0.07, BLOCKS[name]) for name in BLOCKS)), pixels)
        self.block, self.goal, self.region = block, goal, REGION * region

    def start(self, rng: np.random.Generator) -> State:
        places = apart(rng, len(THINGS) + 1, self.region)
        things = dict(zip(THINGS, places[1:], strict=True))
        return {"position": places[0], "grip": np.zeros(()), **things, "held": np.array(-1), "passed": np.array(0)}

    def observe(self, state: State) -> Obs:
        places = [state[thing] - state["position"] for thing in THINGS]
        obs = {STATE: np.column_stack([state["position"], state["grip"], *places]).astype(np.float32)}
        if self.pixels:
            obs["observation.images.top"] = self.picture(state, self.pixels)
        return obs

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        position = self.moved(state["position"], action[:, :2])
        grip = np.clip(state["grip"] + np.where(action[:, 2] > 0, GRIP, -GRIP), 0, 1)
        blocks = np.stack([state[name] for name in BLOCKS], 1)
        distance = np.linalg.norm(blocks - position[:, None], axis=2)
        nearest = distance.argmin(1)
        closes = (grip >= 1) & (state["grip"] < 1)
        takes = closes & (distance.min(1) < GRASP) & (state["held"] < 0)
        held = np.where(grip < 1, -1, np.where(takes, nearest, state["held"]))
        after: State = {**state, "position": position, "grip": grip, "held": held}
        for number, name in enumerate(BLOCKS):
            after[name] = np.where((held == number)[:, None], position, state[name])
        after["passed"] = self._passed(after)
        done = after["passed"] == len(MILESTONES)
        return after, after["passed"] / len(MILESTONES), done, done

    def _passed(self, state: State) -> Array:
        """Milestones up to now: each counts only after those before it."""
        mine = state["held"] == list(BLOCKS).index(self.block)
        there = np.linalg.norm(state[self.block] - aim_of(state, self.goal), axis=1) < PLACED
        reached = np.linalg.norm(state[self.block] - state["position"], axis=1) < GRASP
        passed = state["passed"].copy()
        for number, now in enumerate((reached, mine, mine & there, (state["held"] < 0) & there)):
            passed = np.where((passed == number) & now, number + 1, passed)
        return passed


def aim_of(state: State, goal: str) -> Array:
    """Where the block belongs, (B, 2)."""
    return (state["ring"] + state["square"]) / 2 if goal == BETWEEN else state[goal]


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

    block: str
    goal: str
    near: float = 0.04  # distance at which it closes or opens

    def reset(self, count: int, seed: int = 0) -> Array:
        """(B,) whether the block is carried."""
        return np.zeros(count, bool)

    def act(self, obs: Obs, memory: Array) -> tuple[Array, Array]:
        state = obs[STATE].astype(np.float64)
        grip = state[:, 2]
        things = {name: state[:, 3 + 2 * number : 5 + 2 * number] for number, name in enumerate(THINGS)}
        over = np.linalg.norm(things[self.block], axis=1)
        closed = grip >= 1
        carries = closed & (over < 1e-4)
        aim = np.where(carries[:, None], aim_of(things, self.goal), things[self.block])
        there = carries & (np.linalg.norm(aim, axis=1) < self.near)
        close = np.where(carries, ~there, (over < self.near) | ((grip > 0) & (over < GRASP) & ~closed))
        velocity = towards(np.zeros_like(aim), aim)
        return np.column_stack([velocity, np.where(close, 1.0, -1.0)]).astype(np.float32), carries
