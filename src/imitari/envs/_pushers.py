"""Scripted hands that push blocks one after another: go round behind a block, then push, and again where it slips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.envs._batched import State
from imitari.envs._blocks import across, crossed, turned
from imitari.envs._table import LAG, ROD, STATE, smooth

ROOM = 0.008  # that a hand keeps from a block's corners
LONGEST = 1600  # steps for which waves are drawn; then they come again


@dataclass(frozen=True)
class Errand:
    """One block to one place.

    Attributes:
        block: its number.
        goal: (2,) where to.
        near: distance from there that is near enough.
        keep: distance from there up to which it may be moved later, before it has to be done again.
    """

    block: int
    goal: Array
    near: float
    keep: float


class Pusher:
    """A hand with a pace and waves of its own, drawn anew for every start.

    A world gives `half` and the errands of a start.

    Args:
        world: whose blocks and rod it sees.
    """

    half: float

    def __init__(self, world: Any) -> None:
        self.world = world
        self.reach = float(np.sqrt(2) * self.half + ROD + ROOM)  # from a block's middle, past its corners
        self.passing = 2.4 * self.half  # between the middles of two blocks that pass each other

    def errands(self, seed: int, block: Array) -> list[Errand]:
        """What is to be done, in this order, where the blocks (N, 2) lie."""
        raise NotImplementedError

    def reset(self, count: int, seed: int = 0) -> dict[str, Any]:
        state = self.world.state
        lists = [self.errands(int(one), block) for one, block in zip(state["seed"], state["block"], strict=True)]
        rngs = [np.random.default_rng([int(one), 0x9A]) for one in state["seed"]]
        return {
            "block": np.array([[errand.block for errand in one] for one in lists]),
            "goal": np.array([[errand.goal for errand in one] for one in lists]),
            "near": np.array([[(errand.near, errand.keep) for errand in one] for one in lists]),
            "done": np.zeros((count, len(lists[0])), bool),
            "at": np.zeros(count, np.int64),
            "pushes": np.zeros(count, bool),
            "side": np.array([rng.choice([-1.0, 1.0]) for rng in rngs]),
            "pace": np.stack([rng.uniform(0.009, 0.012) * np.exp(0.2 * smooth(rng, LONGEST, 15)) for rng in rngs]),
            "wave": np.stack([0.15 * smooth(rng, LONGEST, 10) for rng in rngs]),
            "clock": 0,
        }

    def act(self, obs: Obs, memory: dict[str, Any]) -> tuple[Array, dict[str, Any]]:
        state, every = self.world.state, np.arange(len(memory["at"]))
        desired, rod = obs[STATE][:, :2].astype(np.float64), state["rod"]
        self._next_errand(state, memory)
        at = memory["at"]
        number, goal = memory["block"][every, at], memory["goal"][every, at]
        block = state["block"][every, number]
        others = np.arange(state["block"].shape[1]) != number[:, None]
        forward, _ = around(block, goal, state["block"], others, self.passing, memory["side"])
        direction = self._direction(rod, block, forward, state["block"], memory)
        tick = memory["clock"] % LONGEST
        direction = turned(direction, memory["wave"][:, tick])
        memory["clock"] += 1
        # In steady motion the desired position is one step's length ahead of a rod that covers LAG of its way.
        ahead = memory["pace"][:, tick, None] * direction / LAG
        return np.clip(rod + ahead - desired, -0.03, 0.03).astype(np.float32), memory

    def _next_errand(self, state: State, memory: dict[str, Any]) -> None:
        """The first that is not done, or that something has undone."""
        lies = np.take_along_axis(state["block"], memory["block"][..., None], 1)
        left = np.linalg.norm(memory["goal"] - lies, axis=2)
        memory["done"] = left < np.where(memory["done"], memory["near"][..., 1], memory["near"][..., 0])
        at = np.where(memory["done"].all(1), memory["at"], memory["done"].argmin(1))
        memory["pushes"] &= at == memory["at"]
        memory["at"] = at

    def _direction(self, rod: Array, block: Array, forward: Array, blocks: Array, memory: dict[str, Any]) -> Array:
        """Where to move (B, 2): behind the block, and from there through it."""
        arm = rod - block
        distance = np.linalg.norm(arm, axis=1)
        off = np.arctan2(crossed(forward, -arm), -(forward * arm).sum(1))  # of the way through the middle
        memory["pushes"] = np.where(memory["pushes"], np.abs(off) < 0.5, np.abs(off) < 0.15) & (distance < 0.1)
        behind = block - (self.reach + 0.012) * forward
        aside = distance * np.sin(off)
        push = forward + np.clip(aside / 0.02, -0.7, 0.7)[:, None] * across(forward)
        way, side = around(rod, behind, blocks, np.ones(blocks.shape[:2], bool), self.reach, memory["side"])
        memory["side"] = side
        # Close to the place behind the block it goes there slowly.
        rest = np.linalg.norm(behind - rod, axis=1)
        way = way * np.minimum(1, 0.3 + rest / 0.03)[:, None]
        return np.where(memory["pushes"][:, None], push / np.linalg.norm(push, axis=1, keepdims=True), way)


def around(at: Array, goal: Array, blocks: Array, watched: Array, radius: float, side: Array) -> tuple[Array, Array]:
    """Directions (B, 2) from points (B, 2) to goals that keep `radius` from the watched of blocks (B, N, 2), and on
    which side (B,) they pass the one that is in the way: as before where both ways are as long.
    """
    way = goal - at
    length = np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-9)
    heading = way / length
    to = blocks - at[:, None]
    distance = np.linalg.norm(to, axis=2)
    # A goal beside a block can be reached.
    keep = np.minimum(radius, 0.98 * np.linalg.norm(blocks - goal[:, None], axis=2))
    toward = to / np.maximum(distance, 1e-9)[..., None]
    cone = np.arcsin(np.minimum(1, keep / np.maximum(distance, keep)))
    off = np.arctan2(crossed(toward, heading[:, None]), (toward * heading[:, None]).sum(2))
    before = (distance * np.cos(cone) < length) | (distance < keep)
    blocks_way = watched & (np.abs(off) < cone) & before & (distance < 4 * radius)
    far = np.where(blocks_way, distance, np.inf)
    nearest, every = far.argmin(1), np.arange(len(at))
    hit, angle = np.isfinite(far[every, nearest]), off[every, nearest]
    side = np.where(hit & (np.abs(angle) > 0.4), np.sign(angle), side)
    # Within the radius, a little outwards of the tangent.
    least = keep[every, nearest]
    inside = np.clip((least - distance[every, nearest]) / np.maximum(least, 1e-9), 0, 1)
    bend = cone[every, nearest] + 1.5 * inside
    tangent = turned(toward[every, nearest], side * bend)
    return np.where(hit[:, None], tangent, heading), side
