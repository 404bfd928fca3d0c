"""A point goes through a maze: round one wall with the goal to be held, or across many cells with a sparse reward."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.spec import Feature, Spec
from imitari.core.task import Task, World
from imitari.envs._batched import BatchedWorld, State

STEP = 0.5  # cells a step at full action
NOISE = 0.05  # standard deviation of a step, in cells
REACH = 0.5  # of the goal, in cells
HOLD = 10  # steps at the end of an episode that must be spent at the goal, where it is to be held
PIXELS = 96
WALL, FREE, GOAL, POINT = (120, 120, 120), (235, 235, 235), (60, 160, 80), (40, 80, 200)


@dataclass(frozen=True)
class Maze:
    """What tells two mazes apart.

    Attributes:
        rows: '#' wall, '.' free, 'S' free and a place to start from, 'G' the goal.
        limit: steps of an episode.
        hold: solved is who is at the goal in the last `HOLD` steps; False: reaching it solves and ends the episode.
    """

    rows: tuple[str, ...]
    limit: int
    hold: bool

    def cells(self, marks: str) -> Array:
        """(N, 2) row and column of the cells that bear one of the marks."""
        grid = np.array([list(row) for row in self.rows])
        return np.argwhere(np.isin(grid, list(marks)))


MAZES = {
    "detour": Maze(
        ("#########", "#SSSSSSS#", "#SSSSSSS#", "#.#####.#", "#.......#", "#...G...#", "#########"),
        70,
        True,
    ),
    "medium": Maze(
        ("########", "#S.##..#", "#..#...#", "##...###", "#..#...#", "#.#..#.#", "#...#.G#", "########"), 60, False
    ),
}  # fmt: skip


def ids() -> list[str]:
    return list(MAZES)


def task(name: str, play: bool = False) -> Task:
    """Observed is only the place (x to the right, y downwards, in cells); the goal never moves; actions are velocities.

    Args:
        play: start anywhere, as for data of somebody who was not after this goal.
    """
    maze = MAZES[name]
    position = Feature((2,), names=("x", "y"), unit="cells")
    action = Feature((2,), names=("velocity_x", "velocity_y"), low=(-1.0, -1.0), high=(1.0, 1.0))
    spec = Spec({"observation.state": position}, action)
    return Task(
        f"maze/{name}",
        spec,
        maze.limit,
        lambda count: PointMaze(count, spec, maze, play),
        Guide,
        success_ends=not maze.hold,
        description=(__doc__ or "").split("\n")[0],
    )


class PointMaze(BatchedWorld):
    """State: `position` (B, 2), `noise` of every step of the episode, steps done and steps at the goal without a break.

    A step that would end in a wall is not made. Reward: 1 a step at the goal.
    """

    def __init__(self, count: int, spec: Spec, maze: Maze, play: bool) -> None:
        super().__init__(count, spec, maze.limit)
        self.maze = maze
        self.wall = np.array([list(row) for row in maze.rows]) == "#"
        self.starts = maze.cells("S.G" if play else "S")
        self.goal = maze.cells("G")[0, ::-1] + 0.5

    def start(self, rng: np.random.Generator) -> State:
        cell = self.starts[rng.integers(len(self.starts))]
        return {
            "position": (cell[::-1] + rng.uniform(0.1, 0.9, 2)).astype(np.float32),
            "noise": rng.normal(0, NOISE, (self.limit, 2)),
            "clock": np.zeros((), np.int64),
            "stay": np.zeros((), np.int64),
        }

    def observe(self, state: State) -> Obs:
        return {"observation.state": state["position"].astype(np.float32)}

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        shaken = state["noise"][np.arange(self.num_envs), np.minimum(state["clock"], self.limit - 1)]
        position = self.moved(state["position"], STEP * np.clip(action.astype(np.float64), -1, 1) + shaken)
        there = np.linalg.norm(self.goal - position, axis=1) < REACH
        clock, stay = state["clock"] + 1, np.where(there, state["stay"] + 1, 0)
        success = (clock >= self.limit) & (stay >= HOLD) if self.maze.hold else there
        after = {**state, "position": position, "clock": clock, "stay": stay}
        return after, there.astype(np.float32), success & (not self.maze.hold), success

    def moved(self, position: Array, by: Array) -> Array:
        """Where points (B, 2) are after a movement (B, 2) that walls may stop. In float32, as it is observed: rounding
        must not put a point into a wall."""
        aim = position + by.astype(np.float32)
        return np.where(self.free(aim)[:, None], aim, position)

    def free(self, position: Array) -> Array:
        """(B,) whether points (B, 2) are outside walls."""
        column, row = np.floor(position).astype(np.int64).T
        return ~self.wall[row, column]

    def picture(self, state: State, side: int) -> Array:
        height, width = self.wall.shape
        axes = (np.arange(side) + 0.5) / side
        grid = np.stack(np.meshgrid(axes * width, axes * height), -1)
        column, row = grid[..., 0].astype(np.int64), grid[..., 1].astype(np.int64)
        scene = np.where(self.wall[row, column][..., None], WALL, FREE).astype(np.uint8)
        scene[((grid - self.goal) ** 2).sum(-1) < REACH**2] = GOAL
        image = np.repeat(scene[None], self.num_envs, 0)
        image[((grid[None] - state["position"][:, None, None]) ** 2).sum(-1) < 0.3**2] = POINT
        return image


class _Way:
    """Shortest ways between cells: `step[target, cell]` is the next cell, cells numbered as `cells`."""

    def __init__(self, maze: Maze) -> None:
        self.cells = maze.cells("S.G")
        self.number = np.full((len(maze.rows), len(maze.rows[0])), -1)
        self.number[tuple(self.cells.T)] = np.arange(len(self.cells))
        self.step = np.stack([self._towards(target) for target in range(len(self.cells))])

    def _towards(self, target: int) -> Array:
        """(cells,) the next cell of a shortest way to `target`, by breadth-first search from there."""
        after = np.full(len(self.cells), -1)
        after[target] = target
        queue = deque([target])
        while queue:
            here = queue.popleft()
            for move in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                there = int(self.number[tuple(self.cells[here] + move)])
                if there >= 0 and after[there] < 0:
                    after[there] = here
                    queue.append(there)
        return after

    def action(self, position: Array, target: Array) -> Array:
        """Velocities (B, 2) that lead points (B, 2) along the way to the middle of cells `target` (B,)."""
        column, row = np.floor(position).astype(np.int64).T
        aim = self.cells[self.step[target, self.number[row, column]]][:, ::-1] + 0.5
        way = aim - position
        return (way / np.maximum(np.linalg.norm(way, axis=1, keepdims=True), STEP)).astype(np.float32)

    def at(self, position: Array, target: Array) -> Array:
        """(B,) whether points are near the middle of their target."""
        return np.linalg.norm(self.cells[target][:, ::-1] + 0.5 - position, axis=1) < STEP


@cache
def _way(maze: Maze) -> _Way:
    return _Way(maze)


@dataclass
class Guide:
    """Scripted expert: from cell to cell along a shortest way to the goal, and stays there."""

    world: World

    def reset(self, count: int, seed: int = 0) -> None:
        return None

    def act(self, obs: Obs, memory: Any) -> tuple[Array, None]:
        maze: Maze = self.world.maze  # pyright: ignore[reportAttributeAccessIssue]
        way, goal = _way(maze), maze.cells("G")[0]
        position = obs["observation.state"].astype(np.float64)
        return way.action(position, np.full(len(position), way.number[tuple(goal)])), None


@dataclass
class CellToCell:
    """Goes along shortest ways to one random cell after another: knows the maze and is after no particular goal.

    Args:
        name: of the maze.
    """

    name: str

    def reset(self, count: int, seed: int = 0) -> dict[str, Any]:
        rng = np.random.default_rng([seed, 0xCE])
        return {"rng": rng, "target": rng.integers(len(_way(MAZES[self.name]).cells), size=count)}

    def act(self, obs: Obs, memory: dict[str, Any]) -> tuple[Array, dict[str, Any]]:
        way = _way(MAZES[self.name])
        position = obs["observation.state"].astype(np.float64)
        fresh = memory["rng"].integers(len(way.cells), size=len(position))
        memory["target"] = np.where(way.at(position, memory["target"]), fresh, memory["target"])
        return way.action(position, memory["target"]), memory


@dataclass
class Drifter:
    """A random walk whose steps resemble the ones before: moves about without knowing the maze.

    Args:
        keep: share of the last velocity that remains.
    """

    keep: float = 0.9

    def reset(self, count: int, seed: int = 0) -> dict[str, Any]:
        rng = np.random.default_rng([seed, 0xD1])
        return {"rng": rng, "velocity": rng.standard_normal((count, 2))}

    def act(self, obs: Obs, memory: dict[str, Any]) -> tuple[Array, dict[str, Any]]:
        push = memory["rng"].standard_normal(memory["velocity"].shape)
        memory["velocity"] = self.keep * memory["velocity"] + np.sqrt(1 - self.keep**2) * push
        return np.clip(memory["velocity"], -1, 1).astype(np.float32), memory
