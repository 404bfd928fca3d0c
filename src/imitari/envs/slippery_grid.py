"""A walk over a slippery grid with holes to a goal and again from the start: exactly solvable, for tabular methods."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from imitari.core.episode import Array
from imitari.core.tabular import TabularMDP
from imitari.core.task import Task
from imitari.envs._batched import State
from imitari.envs._tabular import TabularWorld, instance, optimal_expert, table_spec

OPEN = True  # any number names a layout of its own
SIDE, HOLES, SLIP, GAMMA, LIMIT = 8, 10, 0.2, 0.95, 100
WORTH = 0.62  # of the optimum from the start, at least: the easiest sixth of all layouts
START, GOAL = 0, SIDE * SIDE - 1
MOVES = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])  # up, right, down, left: (rows, columns)
SPEC = table_spec("cell", SIDE * SIDE, "move", len(MOVES))


def _neighbours() -> Array:
    """(64, 4) the cell that each move would lead to."""
    row, column = np.divmod(np.arange(SIDE * SIDE), SIDE)
    landing = np.clip(np.stack([row, column], 1)[:, None] + MOVES, 0, SIDE - 1)
    return landing[..., 0] * SIDE + landing[..., 1]


NEIGHBOURS = _neighbours()


def ids() -> list[str]:
    return [""]


def task(name: str = "") -> Task:
    """64 cells, observed as a number (row * 8 + column), and 4 moves; a walk of 100 steps over several rounds.

    Args:
        name: number of the layout of the holes; "" is layout 0.
    """
    layout = instance("slippery_grid", name)
    holes = hole_cells(layout)
    mdp = grid_mdp(holes)
    return Task(
        f"slippery_grid/{name}" if name else "slippery_grid",
        SPEC,
        LIMIT,
        lambda count: SlipperyGrid(count, mdp, holes),
        optimal_expert,
        success_ends=False,
        description=(__doc__ or "").split("\n")[0],
    )


@lru_cache(maxsize=1024)
def hole_cells(layout: int | tuple[int, ...], worth: float = WORTH) -> Array:
    """(10,) cells of the holes of a layout, drawn until the optimum is worth enough. Not to be written to.

    Args:
        layout: seed, or several numbers as one.
        worth: what the optimum must be worth from the start, in discounted goals; 0: the goal can be reached at all.
    """
    rng = np.random.default_rng([0x61D, *np.atleast_1d(layout).tolist()])
    between = np.arange(START + 1, GOAL)
    while True:
        holes = np.sort(rng.choice(between, HOLES, replace=False))
        if _reachable(holes) and (worth == 0 or grid_mdp(holes).optimal().value[START] >= worth):
            holes.setflags(write=False)
            return holes


def grid_mdp(holes: Array, gamma: float = GAMMA) -> TabularMDP:
    """The grid as a table.

    A move goes astray to either side with chance 0.1 each; a wall stops it. From a hole and from the goal every move
    leads back to the start, from the goal with reward 1.
    """
    cells = np.arange(SIDE * SIDE)
    chances = np.zeros((len(cells), len(MOVES), len(cells)))
    for turn, chance in ((0, 1 - SLIP), (1, SLIP / 2), (-1, SLIP / 2)):
        landing = np.roll(NEIGHBOURS, -turn, axis=1)
        np.add.at(chances, (cells[:, None], np.arange(len(MOVES)), landing), chance)
    back = np.append(holes, GOAL)
    chances[back] = np.eye(len(cells))[START]
    reward = np.zeros((len(cells), len(MOVES)))
    reward[GOAL] = 1.0
    return TabularMDP(chances, reward, gamma, np.eye(len(cells))[START])


def _reachable(holes: Array) -> bool:
    free = ~np.isin(np.arange(SIDE * SIDE), holes)
    reached = np.arange(SIDE * SIDE) == START
    while not reached[GOAL]:
        grown = reached | (reached[NEIGHBOURS].any(1) & free)
        if (grown == reached).all():
            return False
        reached = grown
    return True


class SlipperyGrid(TabularWorld):
    """Reward 1 at the goal; solved once it was received."""

    def __init__(self, count: int, mdp: TabularMDP, holes: Array) -> None:
        super().__init__(count, mdp, SPEC, LIMIT)
        self.holes = holes

    def picture(self, state: State, side: int) -> Array:
        """Cells from above: holes dark, goal green, the walker blue."""
        count = len(state["state"])
        colours = np.full((count, SIDE * SIDE, 3), 235, np.uint8)
        colours[:, self.holes], colours[:, GOAL] = (60, 60, 60), (60, 160, 80)
        colours[np.arange(count), state["state"]] = (40, 80, 200)
        nearest = np.arange(side) * SIDE // side
        return colours.reshape(count, SIDE, SIDE, 3)[:, nearest][:, :, nearest]
