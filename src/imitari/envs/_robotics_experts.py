"""Scripted experts for the point mazes and the Fetch arm: feedback laws without memory, so they can label any state."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.task import World
from imitari.envs._single import GOAL, STATE

STIFFNESS, DAMPING = 10.0, 1.5  # of the point's steering to the next cell
GAIN = 15.0  # hand speed an error of one metre asks for; 1 is the fastest
OPEN, CLOSE = 1.0, -1.0


@dataclass
class MazeGuide:
    """Walks along the shortest way through the cells of a point maze."""

    world: World

    def __post_init__(self) -> None:
        maze: Any = self.world.envs[0].unwrapped.maze  # pyright: ignore[reportAttributeAccessIssue]
        self.maze = maze
        self.free = {
            (row, column) for row, line in enumerate(maze.maze_map) for column, cell in enumerate(line) if cell != 1
        }
        self._next: dict[tuple[int, int], dict[tuple[int, int], tuple[int, int]]] = {}

    def reset(self, count: int, seed: int = 0) -> None:
        return None

    def act(self, obs: Obs, memory: Any) -> tuple[Array, None]:
        actions = [self._one(state, goal) for state, goal in zip(obs[STATE], obs[GOAL], strict=True)]
        return np.stack(actions).astype(np.float32), None

    def _one(self, state: Array, goal: Array) -> Array:
        place, speed = state[:2].astype(np.float64), state[2:4].astype(np.float64)
        here, there = self._cell(place), self._cell(goal)
        aim = goal
        if here != there:
            step = self._towards(there).get(here)
            if step is not None:
                aim = np.asarray(self.maze.cell_rowcol_to_xy(np.array(step)))
        return np.clip(STIFFNESS * (aim - place) - DAMPING * speed, -1, 1)

    def _cell(self, place: Array) -> tuple[int, int]:
        row, column = self.maze.cell_xy_to_rowcol(place)
        return int(row), int(column)

    def _towards(self, there: tuple[int, int]) -> dict[tuple[int, int], tuple[int, int]]:
        """Cell -> the next cell on the shortest way to `there`: breadth-first search from the goal."""
        if there not in self._next:
            steps, queue = {there: there}, deque([there])
            while queue:
                row, column = queue.popleft()
                for cell in ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)):
                    if cell in self.free and cell not in steps:
                        steps[cell] = (row, column)
                        queue.append(cell)
            self._next[there] = steps
        return self._next[there]


@dataclass
class Reacher:
    """Moves the hand straight to the goal."""

    world: World

    def reset(self, count: int, seed: int = 0) -> None:
        return None

    def act(self, obs: Obs, memory: Any) -> tuple[Array, None]:
        return np.stack([self.one(*pair) for pair in _pairs(obs)]), None

    def one(self, state: Array, goal: Array) -> Array:
        """(4,): hand velocity and gripper."""
        return _towards(state[:3], goal, OPEN)


class Picker(Reacher):
    """Above the block, down, close, carry: what to do follows from where hand, block and fingers are."""

    def one(self, state: Array, goal: Array) -> Array:
        hand, block, width = state[:3], state[3:6], float(state[9:11].sum())
        way = block - hand
        beside = float(np.linalg.norm(way[:2]))
        if np.linalg.norm(way) < 0.02:
            held = width < 0.055  # the block is 0.05 wide, the open gripper 0.1
            return _towards(hand, goal if held else block, CLOSE)
        if beside > 0.012 and way[2] > -0.06:
            over = block + np.array([0.0, 0.0, 0.09])
            return _towards(hand, over if beside < 0.05 or way[2] < -0.04 else [*hand[:2], over[2]], OPEN)
        return _towards(hand, [*block[:2], block[2] + (0.0 if beside < 0.012 else 0.07)], OPEN)


class Pusher(Reacher):
    """Behind the block as seen from the goal, down, then through it."""

    def one(self, state: Array, goal: Array) -> Array:
        hand, block = state[:3], state[3:6]
        rest = goal[:2] - block[:2]
        ahead = rest / max(float(np.linalg.norm(rest)), 1e-6)
        offset = hand[:2] - block[:2]
        along = float(offset @ ahead)
        across = offset - along * ahead
        in_line = along < -0.02 and np.linalg.norm(across) < 0.02
        low, high = block[2], block[2] + 0.07
        if in_line and hand[2] < low + 0.025:
            speed = min(1.0, 0.25 + 6.0 * float(np.linalg.norm(rest)))
            push = 0.05 * speed * ahead - 1.0 * across
            return _towards(hand, [*(hand[:2] + push), low], CLOSE)
        behind = block[:2] - 0.075 * ahead
        near = np.linalg.norm(hand[:2] - behind) < 0.02
        if not near and hand[2] < high - 0.02 and np.linalg.norm(offset) < 0.12:
            return _towards(hand, [*hand[:2], high + 0.02], CLOSE)
        return _towards(hand, [*behind, low if near else high], CLOSE)


def _pairs(obs: Obs) -> zip[tuple[Array, Array]]:
    return zip(obs[STATE].astype(np.float64), obs[GOAL].astype(np.float64), strict=True)


def _towards(hand: Array, aim: Any, gripper: float) -> Array:
    return np.array([*np.clip(GAIN * (np.asarray(aim) - hand), -1, 1), gripper], np.float32)
