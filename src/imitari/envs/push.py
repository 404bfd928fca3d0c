"""A round pusher brings a small T-shaped block into a ring, on a table whose texture is another in every episode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.spec import Feature, Spec
from imitari.core.task import Task
from imitari.envs._batched import BatchedWorld, State

STATE, TOP = "observation.state", "observation.images.top"
LIMIT = 150
SPEED = 0.05  # largest distance a step; the table is [-1, 1]^2
SUBSTEPS = 4
PUSHER = 0.1  # its radius
DISC = 0.084  # radius of the discs that the block consists of
LEVER = 0.165  # length that relates torque to force in the block's friction with the table
RING = 0.445  # radius of the mark
MARK = np.array([0.0, -0.45])  # its middle
EDGE = 0.92  # how far block and pusher may go
SOLVED = 0.95  # coverage
GRAIN = 8  # cells a side of the texture
PLAIN = 125.0  # brightness of a table without one

Texture = Literal["none", "episode", "frame"]

# The bar and the stem of the T, about the centre of their mass.
OFFSETS = np.array([(-0.165, 0.099), (0.0, 0.099), (0.165, 0.099), (0.0, -0.066), (0.0, -0.231)])
AROUND = np.array([(0.0, 0.0), *((np.cos(turn), np.sin(turn)) for turn in np.arange(0, 6) * np.pi / 3)]) * 0.8 * DISC


def ids() -> list[str]:
    return [""]


def task(name: str = "", pixels: int | None = None, texture: Texture = "episode", limit: int = LIMIT) -> Task:
    """Reward: the share of the block inside the ring; solved, and ended, at 0.95. The action is where the pusher heads.

    Args:
        pixels: also observe a picture from above of this side; the block is then a quarter of it wide.
        texture: of the table: "none", a random one for each "episode", or for each "frame" (a screen that flickers).
        limit: steps of an episode at most.
    """
    names = ("pusher_x", "pusher_y", "block_x", "block_y", "block_angle")
    high = (1.0, 1.0, 1.0, 1.0, 2 * np.pi)
    state = Feature((5,), names=names, low=(-1.0, -1.0, -1.0, -1.0, 0.0), high=high, periodic=(4,))
    obs = {STATE: state}
    if pixels:
        obs[TOP] = Feature((pixels, pixels, 3), "uint8", "image")
    spec = Spec(obs, Feature((2,), names=("target_x", "target_y"), low=(-1.0, -1.0), high=(1.0, 1.0)))
    return Task(
        "push",
        spec,
        limit,
        lambda count: Push(count, spec, pixels, texture, limit),
        Hand,
        description=(__doc__ or "").split("\n")[0],
    )


class Push(BatchedWorld):
    """State: `pusher` (B, 2), `block` (B, 2), `angle` (B,), `texture` (B, 1 or limit + 1, GRAIN, GRAIN, 3).

    Contact is quasi-static and without friction: the pusher moves the block along the contact's normal as far as it
    overlaps it, and turns it as the limit surface of its friction with the table says (an ellipsoid with `LEVER`;
    Goyal, Ruina & Papadopoulos 1991).
    """

    def __init__(self, count: int, spec: Spec, pixels: int | None, texture: Texture, limit: int) -> None:
        super().__init__(count, spec, limit)
        self.pixels, self.texture = pixels, texture

    def start(self, rng: np.random.Generator) -> State:
        block = rng.uniform((-0.45, 0.1), (0.45, 0.5))
        pusher = rng.uniform((-0.3, -0.7), (0.3, -0.4))
        return {
            "pusher": pusher,
            "block": block,
            "angle": np.asarray(rng.uniform(0, 2 * np.pi)),
            "clock": np.zeros((), np.int64),
            "texture": self.textures(rng),
        }

    def textures(self, rng: np.random.Generator) -> Array:
        """(1 or limit + 1, GRAIN, GRAIN, 3): mostly grey, a little coloured."""
        count = {"none": 0, "episode": 1, "frame": self.limit + 1}[self.texture]
        if not count:
            return np.full((1, GRAIN, GRAIN, 3), PLAIN, np.float32)
        grey = rng.uniform(-50, 50, (count, GRAIN, GRAIN, 1)) + rng.uniform(-20, 20, (count, GRAIN, GRAIN, 3))
        return (PLAIN + grey).astype(np.float32)

    def observe(self, state: State) -> Obs:
        angle = np.mod(state["angle"], 2 * np.pi)
        obs = {STATE: np.column_stack([state["pusher"], state["block"], angle]).astype(np.float32)}
        if self.pixels:
            obs[TOP] = self.picture(state, self.pixels)
        return obs

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        pusher, block, angle = state["pusher"], state["block"], state["angle"]
        way = np.clip(action.astype(np.float64), -1, 1) - pusher
        move = way / np.maximum(1.0, np.linalg.norm(way, axis=1, keepdims=True) / SPEED) / SUBSTEPS
        for _ in range(SUBSTEPS):
            pusher = np.clip(pusher + move, -EDGE, EDGE)
            for _ in range(2):  # of several discs that are touched, the deepest first
                block, angle = pushed(pusher, block, angle)
            block = np.clip(block, -EDGE, EDGE)
            depth, normal = contact(pusher, block, angle)
            pusher = pusher - np.maximum(depth, 0)[:, None] * normal  # what cannot give way holds the pusher back
        after = {**state, "pusher": pusher, "block": block, "angle": angle, "clock": state["clock"] + 1}
        covered = coverage(block, angle)
        solved = covered >= SOLVED
        return after, covered, solved, solved

    def picture(self, state: State, side: int) -> Array:
        """uint8 (B, side, side, 3), smooth at the edges, so that a block of few pixels shows its place and angle."""
        grain = _stretch(side)
        texture = state["texture"]
        texture = texture[np.arange(len(texture)), state["clock"] % texture.shape[1]]
        image = np.einsum("sg,bghc,th->bstc", grain, texture, grain, optimize=True)
        axis = ((np.arange(side) + 0.5) * 2 / side - 1).astype(np.float32)
        discs = placed(OFFSETS, state["block"], state["angle"]).astype(np.float32)
        bar, stem, pusher = discs[:, :3], discs[:, 3:], state["pusher"].astype(np.float32)[:, None]
        ring = 0.03 - np.abs(_distance(MARK[None, None].astype(np.float32), axis) - RING)
        for inside, colour in (
            (ring, (245, 245, 245)),
            (DISC - _distance(bar, axis), (220, 30, 40)),
            (DISC - _distance(stem, axis), (250, 200, 30)),
            (PUSHER - _distance(pusher, axis), (30, 60, 230)),
        ):
            cover = np.clip(inside * (side / 2) + 0.5, 0, 1)[..., None]
            image += cover * (np.asarray(colour, np.float32) - image)
        return np.clip(image, 0, 255).astype(np.uint8)


def placed(points: Array, block: Array, angle: Array) -> Array:
    """Points (P, 2) of the block where it lies: (B, P, 2)."""
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    x, y = points[:, 0], points[:, 1]
    return block[:, None] + np.stack([cos * x - sin * y, sin * x + cos * y], -1)


def contact(pusher: Array, block: Array, angle: Array) -> tuple[Array, Array]:
    """How deep the pusher overlaps the disc that it overlaps most (B,), and the direction towards that disc (B, 2)."""
    way = placed(OFFSETS, block, angle) - pusher[:, None]
    distance = np.linalg.norm(way, axis=2)
    nearest = distance.argmin(1)
    every = np.arange(len(nearest))
    least = np.maximum(distance[every, nearest], 1e-9)
    return PUSHER + DISC - least, way[every, nearest] / least[:, None]


def pushed(pusher: Array, block: Array, angle: Array) -> tuple[Array, Array]:
    """Block (B, 2) and angle (B,) after the deepest overlap is gone.

    A force along the normal n at the arm r moves the block by k n and turns it by k (r x n) / LEVER^2; k is such that
    the point of contact moves along n by the depth.
    """
    depth, normal = contact(pusher, block, angle)
    arm = pusher + PUSHER * normal - block
    torque = arm[:, 0] * normal[:, 1] - arm[:, 1] * normal[:, 0]
    moved = np.maximum(depth, 0) / (1 + (torque / LEVER) ** 2)
    return block + moved[:, None] * normal, angle + moved * torque / LEVER**2


def coverage(block: Array, angle: Array) -> Array:
    """Share of the block inside the ring (B,), by points of its discs."""
    points = (OFFSETS[:, None] + AROUND).reshape(-1, 2)
    return (np.linalg.norm(placed(points, block, angle) - MARK, axis=2) < RING).mean(1)


def _distance(points: Array, axis: Array) -> Array:
    """Of every pixel to the nearest of the points (B, P, 2): (B, side, side), rows from the top."""
    across = (axis - points[..., :1]) ** 2
    along = (-axis - points[..., 1:]) ** 2
    return np.sqrt((along[..., :, None] + across[..., None, :]).min(1))


def _stretch(side: int) -> Array:
    """(side, GRAIN) linear interpolation of the texture's cells."""
    at = (np.arange(side) + 0.5) * GRAIN / side - 0.5
    weight = np.maximum(0, 1 - np.abs(at.clip(0, GRAIN - 1)[:, None] - np.arange(GRAIN)))
    return weight.astype(np.float32)


@dataclass
class Hand:
    """Scripted expert: goes round the block, on either side where both are as long, and pushes it towards the ring.

    Its actions carry a smooth disturbance, so that demonstrations show how to correct.
    """

    world: Any
    behind: float = 0.3  # distance from the block's middle at which it goes round
    ahead: float = 0.2  # how far from the pusher its aim is at most
    noise: float = 0.04  # deviation of the disturbance of its aim

    def reset(self, count: int, seed: int = 0) -> dict[str, Any]:
        rng = np.random.default_rng([seed, 0x9A5])
        return {"rng": rng, "side": rng.choice([-1.0, 1.0], count), "drift": np.zeros((count, 2))}

    def act(self, obs: Obs, memory: Any) -> tuple[Array, Any]:
        state = obs[STATE].astype(np.float64)
        pusher, block = state[:, :2], state[:, 2:4]
        forward = MARK - block
        forward /= np.maximum(np.linalg.norm(forward, axis=1, keepdims=True), 1e-9)
        arm = pusher - block
        along = (arm * forward).sum(1)
        across = arm - along[:, None] * forward
        aligned = (along < 0) & (np.linalg.norm(across, axis=1) < 0.06)
        push = self.ahead * forward - across
        aim = self._round(arm, forward, memory["side"]) - arm
        wanted = np.where(aligned[:, None], push, aim)
        wanted *= np.minimum(1.0, self.ahead / np.maximum(np.linalg.norm(wanted, axis=1, keepdims=True), 1e-9))
        fresh = memory["rng"].standard_normal(memory["drift"].shape)
        memory["drift"] = 0.8 * memory["drift"] + self.noise * 0.6 * fresh
        return np.clip(pusher + wanted + memory["drift"], -1, 1).astype(np.float32), memory

    def _round(self, arm: Array, forward: Array, side: Array) -> Array:
        """The next point (B, 2), from the block, of a way round it to where it is pushed from."""
        here = np.arctan2(arm[:, 1], arm[:, 0])
        there = np.arctan2(-forward[:, 1], -forward[:, 0])
        turn = np.mod(there - here + np.pi, 2 * np.pi) - np.pi
        either = np.abs(turn) > np.pi - 0.4
        turn = np.where(either, side * np.abs(turn), turn)
        next_turn = here + np.clip(turn, -0.6, 0.6)
        return self.behind * np.stack([np.cos(next_turn), np.sin(next_turn)], 1)
