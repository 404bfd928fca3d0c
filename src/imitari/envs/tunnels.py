"""Find the shortest way to a target through a maze that is seen whole; any size, every fifth seed a new maze."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.core.task import Task, World
from imitari.data.procedures import AGENT, BLANK, CHANNELS, LENGTH, MOVES, PLAN, STEP, TARGET, VALUE, WALL
from imitari.envs._batched import BatchedWorld, State

OPEN = True  # any side length
SIDES = (16, 24, 32)
OTHER = "-plan"  # behind a name: the other expert
LEAST, MOST = 7, 256  # side lengths: two by two corridors, and what a map may cost
PITCH = 3  # cells from corridor to corridor: two free, one wall
LOOPS = 0.1  # chance that a corridor is opened to one that is there already
SHARED = 5  # starts a maze: those of the seeds 5 n to 5 n + 4
MAP = "observation.map"


def ids() -> list[str]:
    return [*(str(side) for side in SIDES), f"13{OTHER}"]


def task(name: str, limit: int | None = None) -> Task:
    """The map is (side, side, 3): wall, target and agent as 0 or 1; a move is one of four. Reward 1 at the target.

    Args:
        name: cells a side, walls included; with "-plan" behind it the expert is `Backtracking` and not `BreadthFirst`.
        limit: steps; default: 50 up to a side of 16, 150 beyond.
    """
    digits = name.removesuffix(OTHER)
    side = int(digits) if digits.isdecimal() else 0
    if not LEAST <= side <= MOST:
        raise UserError(f"task 'tunnels/{name}' is unknown: give cells a side from {LEAST} to {MOST}, as in tunnels/16")
    spec = Spec(
        {MAP: Feature((side, side, len(CHANNELS)), "int8", "symbol")},
        Feature((1,), "int64", "choice", names=("move",), low=(0.0,), high=(float(len(MOVES) - 1),)),
    )
    steps = limit or (50 if side <= 16 else 150)
    return Task(
        f"tunnels/{name}",
        spec,
        steps,
        lambda count: Tunnels(count, spec, steps),
        Backtracking if name.endswith(OTHER) else BreadthFirst,
        description=(__doc__ or "").split("\n")[0],
    )


@lru_cache(maxsize=4096)
def layout(side: int, number: int) -> Array:
    """(side, side) bool, True at walls. Not to be written to.

    Corridors two cells wide are dug from corner to corner of a lattice, depth first in random order. A corridor that
    meets another one is opened to it with a small chance, so that there are a few loops.
    """
    rng = np.random.default_rng([0x70B, side, number])
    count = (side - 1) // PITCH
    wall = np.ones((side, side), bool)
    dug = np.zeros((count, count), bool)
    path: list[tuple[int, int, list[int]]] = []

    def enter(x: int, y: int) -> None:
        dug[x, y] = True
        wall[1 + PITCH * x : PITCH * (x + 1), 1 + PITCH * y : PITCH * (y + 1)] = False
        path.append((x, y, rng.permutation(len(MOVES)).tolist()))

    enter(0, 0)
    while path:
        x, y, left = path[-1]
        if not left:
            path.pop()
            continue
        dx, dy = MOVES[left.pop()].tolist()
        beyond = x + dx, y + dy
        if not (0 <= beyond[0] < count and 0 <= beyond[1] < count):
            continue
        if dug[beyond] and rng.random() >= LOOPS:
            continue
        first, last = (min(x, beyond[0]), min(y, beyond[1])), (max(x, beyond[0]), max(y, beyond[1]))
        wall[1 + PITCH * first[0] : PITCH * (last[0] + 1), 1 + PITCH * first[1] : PITCH * (last[1] + 1)] = False
        if not dug[beyond]:
            enter(*beyond)
    wall.setflags(write=False)
    return wall


def shortest_ways(wall: Array, target: Array) -> tuple[Array, Array]:
    """Breadth-first search from the target in all mazes at once.

    Args:
        wall: (B, W, W) bool, True all round.
        target: (B, W, W) bool.

    Returns:
        (B, W, W) the first of the moves that lead one step closer to the target, `BLANK` where there is none (walls,
        cells that cannot be reached, the target itself); (B, W, W) steps to the target, -1 where it cannot be reached.
    """
    move = np.full(wall.shape, BLANK, np.int8)
    distance = np.where(target, 0, -1).astype(np.int16)
    frontier, steps = target, 0
    while frontier.any():
        steps += 1
        closer = np.stack([np.roll(frontier, (-dx, -dy), (1, 2)) for dx, dy in MOVES.tolist()])
        frontier = closer.any(0) & ~wall & (distance < 0)
        move[frontier] = closer.argmax(0)[frontier]
        distance[frontier] = steps
    return move, distance


class Tunnels(BatchedWorld):
    """Walls stop a move; solved at the target, which ends the episode."""

    def begin(self, seed: int) -> State:
        rng = np.random.default_rng(seed)
        wall = layout(self.spec_of_step.obs[MAP].shape[0], seed // SHARED)
        free = np.argwhere(~wall)
        target, agent = free[rng.choice(len(free), 2, replace=False)]
        return {"wall": wall, "target": target, "agent": agent}

    def observe(self, state: State) -> Obs:
        every = np.arange(len(state["wall"]))
        seen = np.zeros((*state["wall"].shape, len(CHANNELS)), np.int8)
        seen[..., WALL] = state["wall"]
        seen[every, state["target"][:, 0], state["target"][:, 1], TARGET] = 1
        seen[every, state["agent"][:, 0], state["agent"][:, 1], AGENT] = 1
        return {MAP: seen}

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        beyond = state["agent"] + MOVES[action.reshape(-1).astype(np.int64)]
        stopped = state["wall"][np.arange(len(beyond)), beyond[:, 0], beyond[:, 1]]
        agent = np.where(stopped[:, None], state["agent"], beyond)
        there = (agent == state["target"]).all(1)
        return {**state, "agent": agent}, there.astype(np.float64), there, there

    def picture(self, state: State, side: int) -> Array:
        """From above, x to the right and y upwards: walls dark, target green, agent blue."""
        seen = self.observe(state)[MAP]
        colours = np.full((*seen.shape[:3], 3), 235, np.uint8)
        for channel, colour in ((WALL, (60, 60, 60)), (TARGET, (60, 160, 80)), (AGENT, (40, 80, 200))):
            colours[seen[..., channel] > 0] = colour
        nearest = np.arange(side) * seen.shape[1] // side
        return colours.transpose(0, 2, 1, 3)[:, ::-1][:, nearest][:, :, nearest]


@dataclass
class Searching:
    """What the experts share: they see the map, remember nothing, and log how they came to the latest moves."""

    world: World
    _trace: dict[str, Array] = field(default_factory=dict[str, Array])

    def reset(self, count: int, seed: int = 0) -> None:
        return None

    def trace(self) -> dict[str, Array]:
        return self._trace


class BreadthFirst(Searching):
    """Searches from the target until it comes upon the agent, then moves; logs which cells each round of the search
    reached, and the move that it wrote there."""

    def act(self, obs: Obs, memory: object) -> tuple[Array, None]:
        wall, target, agent = (obs[MAP][..., channel] > 0 for channel in (WALL, TARGET, AGENT))
        move, distance = shortest_ways(wall, target)
        length = np.maximum(distance[agent], 0)
        seen = (distance > 0) & (distance <= length[:, None, None])
        self._trace = {
            VALUE: np.where(seen, move, BLANK).astype(np.int8),
            STEP: np.where(seen, distance - 1, -1).astype(np.int16),
            LENGTH: length.astype(np.int16),
        }
        return np.maximum(move[agent], 0).astype(np.int64)[:, None], None


class Backtracking(Searching):
    """Searches from the agent until it comes upon the target, then goes back from there; logs the moves of the
    way back. The last one is the agent's own."""

    def act(self, obs: Obs, memory: object) -> tuple[Array, None]:
        wall, target, agent = (obs[MAP][..., channel] > 0 for channel in (WALL, TARGET, AGENT))
        count, side = len(wall), wall.shape[1]
        back, distance = shortest_ways(wall, agent)
        every, (x, y) = np.arange(count), np.argwhere(target)[:, 1:].T
        length = np.maximum(distance[every, x, y], 0)
        plan = np.full((count, side * side // 2), BLANK, np.int8)
        move = np.zeros(count, np.int64)
        for step in range(length.max(initial=0)):
            going = step < length
            turn = np.maximum(back[every, x, y], 0)
            x, y = np.where(going, np.stack([x, y]) + MOVES[turn].T, np.stack([x, y]))
            move = np.where(going, (turn + 2) % len(MOVES), move)
            plan[going, step] = move[going]
        self._trace = {PLAN: plan, LENGTH: length.astype(np.int16)}
        return move[:, None], None
