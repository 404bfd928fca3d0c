"""A rod pushes two blocks onto two marks, either to either and in either order: four ways (D3IL's Pushing)."""

from __future__ import annotations

import numpy as np

from imitari.core.episode import Array
from imitari.core.spec import Spec
from imitari.core.task import Task
from imitari.envs._batched import State
from imitari.envs._blocks import swept
from imitari.envs._pushers import Errand, Pusher
from imitari.envs._table import LAG, Angle, Colour, TableWorld, squares, table_spec, yaw_columns, yaw_names

START = (0.525, -0.28)
LIMIT = 400
HALF = 0.03  # of a block's side
MARKS = np.array([(0.42, 0.30), (0.63, 0.30)])  # red, green
NEAR = 0.05  # of a mark: reached
ROOM = np.array([(0.4, -0.15), (0.5, 0.0)]), np.array([(0.55, -0.15), (0.65, 0.0)])  # of the red, the green block
# Way -> the pairs (block, mark) in their order.
ORDERS = (((0, 0), (1, 1)), ((1, 1), (0, 0)), ((0, 1), (1, 0)), ((1, 0), (0, 1)))
NAMES = ("rr-gg", "gg-rr", "rg-gr", "gr-rg")
COLOURS, PALE = ((200, 60, 60), (60, 160, 80)), ((240, 190, 190), (190, 230, 200))


def ids() -> list[str]:
    return [""]


def task(name: str = "", pixels: int | None = None, repeats: int = 1, angle: Angle = "tan", limit: int = LIMIT) -> Task:
    """Both blocks within 0.05 of different marks. The action changes where the rod is wanted.

    Args:
        pixels: also observe a picture from above of this side.
        repeats: starts s with the same s // repeats begin with the blocks at the same places.
        angle: how a block's yaw is observed: its tangent, which grows without bound at 90 degrees, or sine and cosine.
        limit: steps of an episode at most.
    """
    columns = [
        column for block in ("red", "green") for column in (f"{block}_x", f"{block}_y", *yaw_names(block, angle))
    ]
    spec = table_spec(columns, pixels=pixels)
    return Task(
        "pushing",
        spec,
        limit,
        lambda count: Pushing(count, spec, limit, repeats, pixels, angle),
        Hand,
        description=(__doc__ or "").split("\n")[0],
        behaviours=NAMES,
        repeats=repeats,
    )


class Pushing(TableWorld):
    """State also: `block` (B, 2, 2) and `yaw` (B, 2) of red and green, `first` (B,): the pair 2 block + mark that was
    completed first, `way` (B,) once it is solved. Reward: by how much the blocks came nearer to marks, 1 at the end.
    """

    def __init__(self, count: int, spec: Spec, limit: int, repeats: int, pixels: int | None, angle: Angle) -> None:
        super().__init__(count, spec, limit, START, repeats, pixels)
        self.angle: Angle = angle

    def scene(self, rng: np.random.Generator) -> State:
        return {
            "block": np.stack([rng.uniform(*room) for room in ROOM]),
            "yaw": rng.uniform(-np.pi / 2, np.pi / 2, 2),
            "first": np.array(-1),
            "way": np.array(-1),
        }

    def seen(self, state: State) -> list[Array]:
        return [
            column
            for block in range(2)
            for column in (state["block"][:, block], *yaw_columns(state["yaw"][:, block], self.angle))
        ]

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        desired = self.wanted(state, action)
        rod, block, yaw = swept(state["rod"], desired, LAG, state["block"], state["yaw"], HALF)
        done = completed(block)
        first, way = ordered(state["first"], state["way"], done)
        solved = (done[:, 0] & done[:, 3]) | (done[:, 1] & done[:, 2])
        reward = distance(state["block"]) - distance(block) + solved
        after = {**state, "desired": desired, "rod": rod, "block": block, "yaw": yaw, "first": first, "way": way}
        return after, reward, solved, solved

    def behaviour(self, state: State) -> Array:
        return state["way"]

    def shapes(self, state: State) -> list[tuple[Array, Colour]]:
        flat = np.zeros(len(state["rod"]))
        marks = [(squares(flat[:, None] + MARKS[mark], flat, NEAR), PALE[mark]) for mark in range(2)]
        blocks = [(squares(state["block"][:, one], state["yaw"][:, one], HALF), COLOURS[one]) for one in range(2)]
        return marks + blocks


def completed(block: Array) -> Array:
    """Blocks (B, 2, 2) to whether they are near marks (B, 4): red-red, red-green, green-red, green-green."""
    return (np.linalg.norm(block[:, :, None] - MARKS, axis=3) <= NEAR).reshape(-1, 4)


def ordered(first: Array, way: Array, done: Array) -> tuple[Array, Array]:
    """The pair that was completed first (B,), and the way (B,) where its complement now is too.

    A way is known of episodes in which the first pair stays: red to red and then red to green is none of the four.
    """
    now = np.where(done.any(1), done.argmax(1), -1)
    opened = np.where(first < 0, now, first)
    every = np.arange(len(done))
    both = done[every, opened] & done[every, 3 - np.maximum(opened, 0)] & (opened >= 0)
    code = np.array([0, 2, 3, 1])[opened]
    return opened, np.where(both & (way < 0), code, way)


def distance(block: Array) -> Array:
    """Mean distance (B,) of the blocks from the marks of the pairing that is nearer."""
    each = np.linalg.norm(block[:, :, None] - MARKS, axis=3)
    return np.minimum(each[:, 0, 0] + each[:, 1, 1], each[:, 0, 1] + each[:, 1, 0]) / 2


class Hand(Pusher):
    """Scripted people: the number of the start decides the way, so that all ways are shown equally often."""

    half = HALF

    def errands(self, seed: int, block: Array) -> list[Errand]:
        return [Errand(number, MARKS[mark], NEAR - 0.015, NEAR) for number, mark in ORDERS[seed % len(ORDERS)]]
