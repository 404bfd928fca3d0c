"""A point goes through a chain of polygons in their order: entering one from the wrong side ends the episode.

polygons/3-0             three modes (outside, and two polygons), layout 0, starts near one place
polygons/3-0-disturbed   starts anywhere outside, and up to three jumps back outside on the way
polygons/3-0-replay      wrong steps spoil the success but end nothing; standing still does: to try changed paths
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.core.task import Task, World
from imitari.envs._batched import BatchedWorld, State
from imitari.plan.wavefront import CELLS, Wavefront, centres, widened

OPEN = True  # any number of a layout
EDGE = 8.0  # of the plane: [-EDGE, EDGE]^2
STEP = 0.1  # distance a step at full action
LIMIT = 500
GAP, CHANCE, JUMPS = 100, 0.03, 3  # of jumps: steps between two, chance a step, how many at most
CLEAR = 0.4  # distance that the expert keeps from polygons that it may not enter
NEAR = 0.5  # of the place where demonstrations start
REACH = 0.4  # of the middle of the last polygon
STILL = 1e-3  # length of an action
STREAM = 0x901
STATE = "observation.state"
KINDS = ("", "disturbed", "replay")
COLOURS = np.array([(235, 235, 235), (250, 220, 120), (240, 150, 140), (140, 190, 240), (150, 210, 150)], np.uint8)


def ids() -> list[str]:
    return [f"{modes}-0{kind}" for modes in (3, 4, 5) for kind in ("", "-disturbed", "-replay")]


def task(name: str) -> Task:
    """A chain of polygons.

    Args:
        name: number of modes (3, 4 or 5), a dash, any number of a layout; perhaps "-disturbed" or "-replay".
    """
    parts = name.split("-")
    if len(parts) not in (2, 3) or parts[0] not in ("3", "4", "5") or not parts[1].isdecimal():
        raise UserError(f"task 'polygons/{name}': write the number of modes (3 to 5) and of the layout, as in 3-0")
    kind = parts[2] if len(parts) == 3 else ""
    if kind not in KINDS:
        raise UserError(f"task 'polygons/{name}': '{kind}' is unknown, choose disturbed or replay")
    chain = layout(int(parts[0]), int(parts[1]))
    spec = Spec(
        {STATE: Feature((2,), names=("x", "y"), low=(-EDGE,) * 2, high=(EDGE,) * 2)},
        Feature((2,), names=("velocity_x", "velocity_y"), low=(-1.0,) * 2, high=(1.0,) * 2),
    )
    return Task(
        f"polygons/{name}",
        spec,
        LIMIT,
        lambda count: Polygons(count, spec, chain, kind),
        lambda world: Walker(chain),
        description=f"A point goes through {len(chain.polygons)} polygons in their order",
        follow_for=Follower if kind == "replay" else None,  # elsewhere failures end before their paths do
    )


# ---------------------------------------------------------------- where the modes are


@dataclass(frozen=True)
class Chain:
    """Convex quadrilaterals, each sharing an edge with the one before. Mode 0 is outside, mode i inside polygon i - 1.

    Attributes:
        polygons: (P, 4, 2) corners, against the clock; corners 0 and 1 of all but the first are the shared edge.
        start: (2,) where demonstrations begin.
    """

    polygons: Array
    start: Array

    @property
    def modes(self) -> int:
        return len(self.polygons) + 1

    @property
    def goal(self) -> Array:
        """(2,) the middle of the last polygon."""
        return self.polygons[-1].mean(0)

    def modes_of(self, points: Array) -> Array:
        """(..., 2) to the number of the mode (...)."""
        inside = np.stack([contains(polygon, points) for polygon in self.polygons])
        return np.asarray(np.where(inside.any(0), inside.argmax(0) + 1, 0))

    def entries(self, share: Array) -> Array:
        """Points (B, P, 2) through which to enter each polygon: its middle for the first, then a place on the shared
        edge, `share` (B, P) of the way along it."""
        middle = self.polygons.mean(1)
        a, b = self.polygons[:, 0], self.polygons[:, 1]
        on_edge = a + share[..., None] * (b - a)
        inwards = (middle - on_edge) / np.linalg.norm(middle - on_edge, axis=-1, keepdims=True)
        points = on_edge + 0.3 * inwards
        points[:, 0] = middle[0]
        return points

    def outside(self, rng: np.random.Generator) -> Array:
        """A random point (2,) of mode 0."""
        while True:
            point = rng.uniform(-EDGE, EDGE, 2)
            if self.modes_of(point) == 0:
                return point


def contains(polygon: Array, points: Array) -> Array:
    """Whether points (..., 2) lie in a convex polygon (N, 2) with its corners against the clock."""
    along = np.roll(polygon, -1, 0) - polygon
    away = points[..., None, :] - polygon
    return np.asarray((along[:, 0] * away[..., 1] - along[:, 1] * away[..., 0] >= 0).all(-1))


@cache
def layout(modes: int, number: int) -> Chain:
    """The layout of a number: the same for ever."""
    rng = np.random.default_rng([STREAM, modes, number])
    while True:
        polygons = [_first(rng)]
        for _ in range(modes - 2):
            polygons.append(_attached(polygons[-1], rng, first=len(polygons) == 1))
        if _sound(polygons):
            chain = Chain(np.stack(polygons), np.zeros(2))
            start = _start(chain, rng)
            if start is not None:
                return Chain(chain.polygons, start)


def _first(rng: np.random.Generator) -> Array:
    angle = np.deg2rad(rng.uniform(0, 360) + np.arange(4) * 90 + rng.uniform(-20, 20, 4))
    around = rng.uniform(1.4, 2.2, (4, 1)) * np.stack([np.cos(angle), np.sin(angle)], 1)
    return rng.uniform(-3.5, 3.5, 2) + around


def _attached(before: Array, rng: np.random.Generator, first: bool) -> Array:
    """A polygon on an edge of the one before, not on the edge that that one shares already."""
    edge = int(rng.integers(0 if first else 1, 4))
    b, a = before[edge], before[(edge + 1) % 4]
    along = b - a
    outwards = np.array([along[1], -along[0]]) / np.linalg.norm(along) * -1
    depth, skew = rng.uniform(1.8, 3.2, 2), rng.uniform(-0.3, 0.3, 2)
    return np.stack([a, b, b + depth[0] * outwards + skew[0] * along, a + depth[1] * outwards + skew[1] * along])


def _sound(polygons: list[Array]) -> bool:
    """Whether all are convex, within the plane, and apart but for the shared edges."""
    for polygon in polygons:
        along = np.roll(polygon, -1, 0) - polygon
        turn = along[:, 0] * np.roll(along[:, 1], -1) - along[:, 1] * np.roll(along[:, 0], -1)
        if (turn <= 0.3).any() or np.abs(polygon).max() > EDGE - 1 or np.linalg.norm(along, axis=1).min() < 1.2:
            return False
    cells = centres(160, EDGE)
    inside = [contains(polygon, cells) for polygon in polygons]
    for one in range(len(inside)):
        for two in range(one):
            apart = 0.0 if one - two == 1 else 0.8
            if (widened(inside[two], apart, EDGE) & inside[one]).any():
                return False
    return True


def _start(chain: Chain, rng: np.random.Generator) -> Array | None:
    """A place outside from which the first polygon is reached in a straight line that meets no other."""
    aim = chain.polygons[0].mean(0)
    for _ in range(200):
        point = rng.uniform(1 - EDGE, EDGE - 1, 2)
        line = point + np.linspace(0, 1, 100)[:, None] * (aim - point)
        around = point + NEAR * np.array([(1, 0), (-1, 0), (0, 1), (0, -1)])
        modes = chain.modes_of(line)
        if (modes < 2).all() and (chain.modes_of(around) == 0).all() and 3.0 < np.linalg.norm(point - aim) < 8.0:
            return point
    return None


# ---------------------------------------------------------------- the world


class Polygons(BatchedWorld):
    """Reward: 1 at the middle of the last polygon, which ends the episode, else 0.

    A step within a mode, to the next, to the one before, or from any polygon outside is right; every other is wrong.
    """

    def __init__(self, count: int, spec: Spec, chain: Chain, kind: str) -> None:
        super().__init__(count, spec, LIMIT)
        self.chain, self.kind = chain, kind

    def start(self, rng: np.random.Generator) -> State:
        disturbed = self.kind == "disturbed"
        near = self.chain.start + rng.uniform(-NEAR, NEAR, 2) / 2**0.5
        position = self.chain.outside(rng) if disturbed else near
        return {
            "position": position,
            "inside": np.array(0),
            "spoiled": np.array(False),
            "clock": np.array(0),
            "since": np.array(GAP),  # steps since the last jump
            "jumps": np.array(0 if disturbed else JUMPS),
            "chance": rng.random(LIMIT + 1) < CHANCE,
            "places": np.stack([self.chain.outside(rng) for _ in range(JUMPS)]),
        }

    def observe(self, state: State) -> Obs:
        return {STATE: state["position"].astype(np.float32)}

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        position = moved(state["position"], action)
        before, mode = state["inside"], self.chain.modes_of(position)
        wrong = (np.abs(mode - before) > 1) & (mode > 0)
        spoiled = state["spoiled"] | wrong
        if self.kind == "replay":
            ended = np.linalg.norm(action, axis=1) < STILL
            success = ended & (mode == self.chain.modes - 1) & ~spoiled
        else:
            success = (np.linalg.norm(position - self.chain.goal, axis=1) < REACH) & ~spoiled
            ended = success | wrong
        jump = self._jumps(state, mode) & ~ended
        place = np.minimum(state["jumps"], JUMPS - 1)
        position = np.where(jump[:, None], state["places"][np.arange(len(place)), place], position)
        after = {
            **state,
            "position": position,
            "inside": np.where(jump, 0, mode),
            "spoiled": spoiled,
            "clock": state["clock"] + 1,
            "since": np.where(jump, 0, state["since"] + 1),
            "jumps": state["jumps"] + jump,
        }
        return after, success.astype(np.float32), ended, success

    @staticmethod
    def _jumps(state: State, mode: Array) -> Array:
        rows = np.arange(len(mode))
        due = state["chance"][rows, np.minimum(state["clock"], LIMIT)]
        return due & (state["jumps"] < JUMPS) & (state["since"] >= GAP) & (mode > 0)

    def picture(self, state: State, side: int) -> Array:
        cells = centres(side, EDGE).transpose(1, 0, 2)[::-1]  # rows from the top
        background = COLOURS[self.chain.modes_of(cells)]
        image = np.repeat(background[None], len(state["position"]), 0)
        here = ((cells[None] - state["position"][:, None, None]) ** 2).sum(-1) < 0.3**2
        image[here] = (40, 40, 40)
        return image


def moved(position: Array, action: Array) -> Array:
    """Where points (B, 2) are after actions (B, 2), whose length counts up to 1."""
    length = np.linalg.norm(action, axis=-1, keepdims=True)
    return np.clip(position + STEP * action / np.maximum(length, 1.0), -EDGE, EDGE)


# ---------------------------------------------------------------- who acts in it


@dataclass
class Walker:
    """Scripted expert: around the other polygons to the first, then through the shared edges, somewhat shakily."""

    chain: Chain
    shake: float = 0.5

    def __post_init__(self) -> None:
        self.way = outside_way(self.chain)

    def reset(self, count: int, seed: int = 0) -> dict[str, Any]:
        rng = np.random.default_rng(seed)
        return {"rng": rng, "entries": self.chain.entries(rng.uniform(0.25, 0.75, (count, len(self.chain.polygons))))}

    def act(self, obs: Obs, memory: dict[str, Any]) -> tuple[Array, dict[str, Any]]:
        position = obs[STATE].astype(np.float64)
        mode = self.chain.modes_of(position)
        entries, last = memory["entries"], len(self.chain.polygons)
        aim = entries[np.arange(len(mode)), np.minimum(mode, last - 1)]
        aim = np.where(mode[:, None] == last, self.chain.goal, aim)
        aim = np.where(mode[:, None] == 0, self.way.next_points(position), aim)
        heading = aim - position
        heading /= np.maximum(np.linalg.norm(heading, axis=1, keepdims=True), STEP)
        drift = memory["rng"].standard_normal(heading.shape) * self.shake
        memory["drift"] = 0.9 * memory.get("drift", np.zeros_like(drift)) + 0.1 * drift
        return (heading + memory["drift"]).astype(np.float32), memory


def outside_way(chain: Chain) -> Wavefront:
    """From anywhere outside into the first polygon, clear of the others."""
    modes = chain.modes_of(centres(CELLS, EDGE))
    near = widened(modes > 1, CLEAR, EDGE)
    return Wavefront.to((modes == 1) & ~near, near, EDGE)


class Follower:
    """Takes points along given paths, as fast as it can; at a path's end it stays.

    Args:
        paths: (B, N, 2).
    """

    def __init__(self, world: World, paths: Array) -> None:
        gone = np.cumsum(np.linalg.norm(np.diff(paths, axis=1, prepend=paths[:, :1]), axis=2), 1)
        steps = STEP * np.arange(1, int(gone.max() / STEP) + 3)
        self.points = np.stack(
            [
                np.stack([np.interp(steps, far, path[:, axis]) for axis in range(2)], 1)
                for far, path in zip(gone, paths, strict=True)
            ]
        )

    def reset(self, count: int, seed: int = 0) -> int:
        return 0

    def act(self, obs: Obs, memory: int) -> tuple[Array, int]:
        aim = self.points[:, min(memory, self.points.shape[1] - 1)]
        return ((aim - obs[STATE]) / STEP).astype(np.float32), memory + 1
