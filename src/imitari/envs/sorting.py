"""A rod pushes red and blue blocks into the trays of their colours, whose order is up to it (D3IL's Sorting)."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from imitari.core.episode import Array
from imitari.core.spec import Spec
from imitari.core.task import Task
from imitari.envs._batched import State
from imitari.envs._blocks import apart, swept
from imitari.envs._pushers import Errand, Pusher
from imitari.envs._table import LAG, Angle, Colour, TableWorld, squares, table_spec, yaw_columns, yaw_names

START = (0.525, -0.30)
LIMITS = {2: 500, 4: 700, 6: 1200}  # blocks -> steps
HALF = 0.03  # of a block's side
TRAYS = np.array([[(0.3, 0.22), (0.5, 0.41)], [(0.525, 0.22), (0.725, 0.41)]])  # low and high corner of red, blue
MARKS = np.array([(0.4, 0.32), (0.625, 0.32)])  # of blocks that enter in the same step the nearer one is first
# Corners of the cells in which blocks begin.
CELLS = np.array([[(x, y), (x + 0.1, y + 0.05)] for x in (0.4, 0.55) for y in (-0.15, -0.05, 0.05)])
COLOURS, PALE = ((200, 60, 60), (60, 90, 200)), ((240, 190, 190), (190, 200, 240))


def ids() -> list[str]:
    return [str(count) for count in LIMITS]


def task(
    name: str, pixels: int | None = None, repeats: int = 1, angle: Angle = "tan", limit: int | None = None
) -> Task:
    """Half of the blocks are red. Solved when each is in the tray of its colour; the way is the order of the colours.

    Args:
        pixels: also observe a picture from above of this side.
        repeats: starts s with the same s // repeats begin with the blocks at the same places.
        angle: how a block's yaw is observed: its tangent, which grows without bound at 90 degrees, or sine and cosine.
        limit: steps of an episode at most; None: 500, 700, 1200 by the number of blocks.
    """
    count, most = int(name), limit or LIMITS[int(name)]
    blocks = [f"{colour}{number}" for colour in ("red", "blue") for number in range(1, count // 2 + 1)]
    columns = [column for block in blocks for column in (f"{block}_x", f"{block}_y", *yaw_names(block, angle))]
    spec = table_spec(columns, pixels=pixels)
    return Task(
        f"sorting/{name}",
        spec,
        most,
        lambda together: Sorting(together, spec, most, count, repeats, pixels, angle),
        Hand,
        description=(__doc__ or "").split("\n")[0],
        behaviours=tuple("".join("rb"[colour] for colour in order) for order in orders(count)),
        repeats=repeats,
    )


def orders(blocks: int) -> list[tuple[int, ...]]:
    """All orders of the colours (0 red, 1 blue) of so many blocks: 2, 6, 20."""
    return [tuple(int(place not in red) for place in range(blocks)) for red in combinations(range(blocks), blocks // 2)]


class Sorting(TableWorld):
    """State also: `block` (B, X, 2) and `yaw` (B, X), the red ones first; `entered` (B, X): it was in its tray once;
    `order` (B,): the colours of those that were, as the digits of a binary number behind a leading 1. Reward: the share
    of blocks in their trays, as it changes.
    """

    def __init__(
        self, count: int, spec: Spec, limit: int, blocks: int, repeats: int, pixels: int | None, angle: Angle
    ) -> None:
        super().__init__(count, spec, limit, START, repeats, pixels)
        self.colour = np.arange(blocks) // (blocks // 2)
        self.angle: Angle = angle
        self.number_of = np.full(1 << (blocks + 1), -1)
        for number, order in enumerate(orders(blocks)):
            self.number_of[int("1" + "".join(map(str, order)), 2)] = number

    def scene(self, rng: np.random.Generator) -> State:
        cells = rng.permutation(CELLS)[: len(self.colour)]
        middle, yaw = rng.uniform(cells[:, 0], cells[:, 1]), rng.uniform(-np.pi / 2, np.pi / 2, len(cells))
        middle, yaw = apart(middle[None], yaw[None], HALF)
        return {
            "block": middle[0],
            "yaw": yaw[0],
            "entered": np.zeros(len(cells), bool),
            "order": np.array(1),
        }

    def seen(self, state: State) -> list[Array]:
        each = zip(state["block"].swapaxes(0, 1), state["yaw"].T, strict=True)
        return [column for block, yaw in each for column in (block, *yaw_columns(yaw, self.angle))]

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        desired = self.wanted(state, action)
        rod, block, yaw = swept(state["rod"], desired, LAG, state["block"], state["yaw"], HALF)
        inside = self.inside(block)
        entered, order = self.noted(state["entered"], state["order"], block, inside)
        solved: Array = np.all(inside, axis=1)
        reward = inside.mean(1) - self.inside(state["block"]).mean(1)
        moved = {"desired": desired, "rod": rod, "block": block, "yaw": yaw}
        return {**state, **moved, "entered": entered, "order": order}, reward, solved, solved

    def inside(self, block: Array) -> Array:
        """(B, X) whether the middles of blocks (B, X, 2) are in the trays of their colours."""
        trays = TRAYS[self.colour]
        return np.all((block > trays[:, 0]) & (block < trays[:, 1]), axis=2)

    def noted(self, entered: Array, order: Array, block: Array, inside: Array) -> tuple[Array, Array]:
        """`entered` (B, X) and `order` (B,) with the blocks that are inside now and never were before."""
        fresh = inside & ~entered
        if fresh.any():
            distance = np.linalg.norm(block - MARKS[self.colour], axis=2)
            for rank in np.argsort(distance, 1).T:
                comes = fresh[np.arange(len(rank)), rank]
                order = np.where(comes, 2 * order + self.colour[rank], order)
        return entered | fresh, order

    def behaviour(self, state: State) -> Array:
        return self.number_of[state["order"]]

    def shapes(self, state: State) -> list[tuple[Array, Colour]]:
        count = len(state["rod"])
        trays = [(np.repeat(_rectangle(*TRAYS[colour])[None], count, 0), PALE[colour]) for colour in range(2)]
        return trays + [
            (squares(state["block"][:, one], state["yaw"][:, one], HALF), COLOURS[colour])
            for one, colour in enumerate(self.colour)
        ]


def _rectangle(low: Array, high: Array) -> Array:
    return np.array([low, (high[0], low[1]), high, (low[0], high[1])])


class Hand(Pusher):
    """Scripted people: the number of the start decides the order of the colours, so that all are shown equally often.

    Of the blocks of a colour the one nearest to the trays goes first, and deepest.
    """

    half = HALF
    # From the middle of the tray, for the first, second and third block of a colour.
    places = np.array([(0.0, 0.045), (-0.05, -0.025), (0.05, -0.025)])

    def errands(self, seed: int, block: Array) -> list[Errand]:
        every = orders(len(block))
        waiting = [sorted(part, key=lambda one: block[one, 1]) for part in np.split(np.arange(len(block)), 2)]
        found: list[Errand] = []
        for colour in every[seed % len(every)]:
            place = len(block) // 2 - len(waiting[colour])
            goal = TRAYS[colour].mean(0) + self.places[place]
            found.append(Errand(int(waiting[colour].pop()), goal, 0.025, 0.045))
        return found
