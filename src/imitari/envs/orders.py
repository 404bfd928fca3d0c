"""Fetch things from a floor that is lit in the colour of the one wanted next: seen from above, a wrong one ends it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.core.task import Task, World
from imitari.envs._batched import BatchedWorld, State

VIEW = "observation.images.view"
SIDE = 5  # cells of the floor
SEEN = 2 * SIDE - 1  # cells a side of the picture: the whole floor from anywhere on it
COLOURS = np.array([(235, 70, 70), (80, 220, 90), (90, 120, 255), (245, 220, 70), (225, 90, 235), (90, 230, 240)])
GREY = 150  # light when all is fetched
THINGS = len(COLOURS)  # that lie about, one of each colour
LIGHT = 0.45, 0.35  # brightness of the floor's cells, one and the next, as a share of the colour
MOVES = np.array([(0, -1), (1, 0), (0, 1), (-1, 0)])  # (x, y), y downwards
TAKE = len(MOVES)
PATIENCE = 15  # steps for each thing of an order


def ids() -> list[str]:
    return [str(length) for length in range(1, THINGS + 1)]


def task(name: str, pixels: int = 5 * SEEN, limit: int | None = None) -> Task:
    """The picture shows the whole floor with the picker in its middle. Moves are up, right, down and left; the last
    choice takes what lies here. Reward 1 / n for each of the n things of an order.

    Args:
        name: things of an order, 1 to 6.
        pixels: side of the picture, at least 27.
        limit: steps; default: 15 for each thing of the order.
    """
    if pixels < 3 * SEEN:
        raise UserError(f"--pixels is {pixels}: {SEEN} cells a side are drawn with at least {3 * SEEN}")
    choices = Feature((1,), "int64", "choice", names=("do",), low=(0.0,), high=(float(TAKE),))
    spec = Spec({VIEW: Feature((pixels, pixels, 3), "uint8", "image")}, choices)
    length = int(name)
    steps = limit or PATIENCE * length
    return Task(
        f"orders/{name}",
        spec,
        steps,
        lambda count: Orders(count, spec, steps, length),
        Picker,
        description=(__doc__ or "").split("\n")[0],
    )


class Orders(BatchedWorld):
    """State: `at` (B, 2) cell of the picker; `cells` (B, THINGS, 2) and `colours` (B, THINGS) of the things, those of
    the order first; `done` (B,) how many were fetched."""

    def __init__(self, count: int, spec: Spec, limit: int, length: int) -> None:
        super().__init__(count, spec, limit)
        self.length = length

    def start(self, rng: np.random.Generator) -> State:
        cells = rng.choice(SIDE * SIDE, 1 + THINGS, replace=False)
        at, *others = np.stack([cells % SIDE, cells // SIDE], 1)
        return {"at": at, "cells": np.stack(others), "colours": rng.permutation(THINGS), "done": np.array(0)}

    def observe(self, state: State) -> Obs:
        return {VIEW: self.picture(state, self.spec_of_step.obs[VIEW].shape[0])}

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        chosen = action.reshape(-1).astype(np.int64)
        takes, done = chosen == TAKE, state["done"]
        step = np.where(takes[:, None], 0, MOVES[np.minimum(chosen, TAKE - 1)])
        at = np.clip(state["at"] + step, 0, SIDE - 1)
        here = (state["cells"] == state["at"][:, None]).all(2) & lying(done)
        right = takes & here[np.arange(len(chosen)), wanted(done)]
        wrong = takes & here.any(1) & ~right
        solved = done + right >= self.length
        return {**state, "at": at, "done": done + right}, right / self.length, solved | wrong, solved

    def picture(self, state: State, side: int) -> Array:
        """The floor in the colour of what is wanted, things brighter, white corners about the picker, black around."""
        every, cell = np.arange(len(state["at"])), side // SEEN
        corner = SIDE - 1 - state["at"]  # (x, y) in the picture of the floor's first cell
        x, y = (corner[:, axis, None] + np.arange(SIDE) for axis in (0, 1))
        light = np.array(LIGHT)[np.add.outer(np.arange(SIDE), np.arange(SIDE)) % 2]
        more = (state["done"] < self.length)[:, None]
        lit = np.where(more, COLOURS[state["colours"][every, wanted(state["done"])]], GREY)
        below = np.zeros((len(every), SEEN, SEEN, 3), np.uint8)
        below[every[:, None, None], y[:, :, None], x[:, None, :]] = light[..., None] * lit[:, None, None]
        above = np.zeros_like(below)
        where, which = np.nonzero(lying(state["done"]))
        spot = corner[where] + state["cells"][where, which]
        above[where, spot[:, 1], spot[:, 0]] = COLOURS[state["colours"][where, which]]
        drawn = np.zeros((len(every), side, side, 3), np.uint8)
        whole = drawn[:, : cell * SEEN, : cell * SEEN]
        whole[:] = np.where(inside(cell) & enlarged((above > 0).max(3, keepdims=True), cell), *(
            enlarged(one, cell) for one in (above, below)))  # fmt: skip
        for row, column in np.ndindex(2, 2):
            first = (SIDE - 1) * cell
            whole[:, first + row * (cell - 1), first + column * (cell - 1)] = 255
        return drawn


def wanted(done: Array) -> Array:
    """Number of the thing to be fetched next (B,), the last one when there is none."""
    return np.minimum(done, THINGS - 1)


def lying(done: Array) -> Array:
    """(B, THINGS) which have not been fetched."""
    return np.arange(THINGS) >= done[:, None]


def enlarged(cells: Array, times: int) -> Array:
    """(B, H, W, C) to (B, times H, times W, C)."""
    return cells.repeat(times, 1).repeat(times, 2)


@cache
def inside(cell: int) -> Array:
    """(SEEN cell, SEEN cell, 1) which pixels of a cell a thing covers: all but its edge."""
    edge = np.arange(SEEN * cell) % cell
    covered = (edge > 0) & (edge < cell - 1)
    return np.logical_and.outer(covered, covered)[..., None]


@dataclass
class Picker:
    """Scripted expert: goes the shortest way to the thing that is wanted, along one axis or the other by chance."""

    world: World

    def reset(self, count: int, seed: int = 0) -> np.random.Generator:
        return np.random.default_rng(seed)

    def act(self, obs: Obs, memory: Any) -> tuple[Array, Any]:
        state = cast(Orders, self.world).state
        every = np.arange(len(state["at"]))
        way = state["cells"][every, wanted(state["done"])] - state["at"]
        axis = ((way != 0) * memory.random(way.shape)).argmax(1)
        forward = way[every, axis] > 0
        move = np.where(axis == 0, np.where(forward, 1, 3), np.where(forward, 2, 0))
        return np.where((way == 0).all(1), TAKE, move)[:, None], memory
