"""Table tops under a rod that follows a desired position: what the tasks of D3IL (arXiv 2402.14606) have in common.

World frame as there: metres, x forward, y to the side. An action is the CHANGE of the desired position; observations
begin with the desired position before it and where the rod is. The arm, its controller and what it weighs are left out:
the rod covers a fixed share of its way to the desired position in each step of 35 ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.envs._batched import BatchedWorld, State

STATE, TOP = "observation.state", "observation.images.top"
ROD = 0.01  # its radius
LAG = 0.5  # share of the way to the desired position that is covered in a step
STEP = 0.1  # largest change of the desired position in a coordinate; people make about a tenth of it
LOW, HIGH = np.array([0.2, -0.45, 0.03]), np.array([0.85, 0.55, 0.3])  # where the desired position may be
PATIENCE = 0.03  # farther from its plan than this, a hand looks where on it it is

Colour = tuple[int, int, int]
Angle = Literal["tan", "sin_cos"]


def table_spec(names: Sequence[str], axes: int = 2, pixels: int | None = None) -> Spec:
    """`observation.state`: desired position, position, then `names`; the action is (axes,).

    Args:
        pixels: also a picture from above of this side.
    """
    own = [f"{what}_{axis}" for what in ("desired", "rod") for axis in "xyz"[:axes]]
    obs = {STATE: Feature((2 * axes + len(names),), names=(*own, *names))}
    if pixels:
        obs[TOP] = Feature((pixels, pixels, 3), "uint8", "image")
    moves = tuple(f"move_{axis}" for axis in "xyz"[:axes])
    return Spec(obs, Feature((axes,), names=moves, unit="m", low=(-STEP,) * axes, high=(STEP,) * axes))


class TableWorld(BatchedWorld):
    """State: `desired` and `rod` (B, axes), `seed` of the start (B,), and what a world adds.

    Args:
        start_at: of rod and desired position.
        repeats: starts s with the same s // repeats are equal but for the noise of whoever acts.
        pixels: side of the observed picture; None: no picture.

    Raises:
        UserError: when repeats is less than 1.
    """

    def __init__(
        self, count: int, spec: Spec, limit: int, start_at: Sequence[float], repeats: int, pixels: int | None
    ) -> None:
        super().__init__(count, spec, limit)
        check_repeats(repeats)
        self.start_at, self.repeats, self.pixels = np.asarray(start_at), repeats, pixels

    def scene(self, rng: np.random.Generator) -> State:
        """What lies on one table besides the rod."""
        raise NotImplementedError

    def begin(self, seed: int) -> State:
        scene = self.scene(np.random.default_rng(seed // self.repeats))
        return {**scene, "desired": self.start_at, "rod": self.start_at, "seed": np.asarray(seed)}

    def seen(self, state: State) -> list[Array]:
        """Columns (B, ...) of `observation.state` behind desired position and rod."""
        return []

    def observe(self, state: State) -> Obs:
        obs = {STATE: np.column_stack([state["desired"], state["rod"], *self.seen(state)]).astype(np.float32)}
        if self.pixels:
            obs[TOP] = self.picture(state, self.pixels)
        return obs

    def wanted(self, state: State, action: Array) -> Array:
        """The new desired position (B, axes): the last desired one, not the measured one, and the action."""
        axes = len(self.start_at)
        moved = state["desired"] + np.clip(action.astype(np.float64), -STEP, STEP)
        return np.clip(moved, LOW[:axes], HIGH[:axes])

    def shapes(self, state: State) -> list[tuple[Array, Colour]]:
        """Polygons (B, corners, 2) with their colours, from the back to the front."""
        return []

    def discs(self, state: State) -> list[tuple[Array, float, Colour]]:
        """(middle (B, 2), radius, colour) in front of the polygons, below the rod."""
        return []

    def picture(self, state: State, side: int) -> Array:
        """From above, y to the right, x downwards; whoever stands behind the arm sees it turned upside down."""
        grid = _grid(side)
        image = np.full((len(state["rod"]), side, side, 3), 235, np.uint8)
        for corners, colour in self.shapes(state):
            image[_inside(grid, corners)] = colour
        for middle, radius, colour in [*self.discs(state), (state["rod"][:, :2], ROD, (40, 40, 40))]:
            image[((grid - middle[:, None, None]) ** 2).sum(-1) < max(radius, 0.5 / side) ** 2] = colour
        return image


def check_repeats(repeats: int) -> None:
    if repeats < 1:
        raise UserError(f"repeats is {repeats}: it must be at least 1")


def covered(state: State, desired: Array, share: float = LAG) -> Array:
    """Where the rod (B, axes) is after it has covered `share` of its way to the desired position."""
    return state["rod"] + share * (desired - state["rod"])


def squares(middle: Array, yaw: Array, half: float) -> Array:
    """Corners (..., 4, 2) of squares around middles (..., 2), turned by yaw (...)."""
    cos, sin = half * np.cos(yaw), half * np.sin(yaw)
    along, across = np.stack([cos, sin], -1), np.stack([-sin, cos], -1)
    corners = [along + across, across - along, -along - across, along - across]
    return middle[..., None, :] + np.stack(corners, -2)


def yaw_names(block: str, angle: Angle) -> list[str]:
    """Names of the columns in which a block's yaw is observed."""
    return [f"{block}_tan"] if angle == "tan" else [f"{block}_sin", f"{block}_cos"]


def yaw_columns(yaw: Array, angle: Angle) -> list[Array]:
    """Yaws (B,) as they are observed: their tangent, which is without bound at 90 degrees, or sine and cosine."""
    return [np.tan(yaw)] if angle == "tan" else [np.sin(yaw), np.cos(yaw)]


def _grid(side: int) -> Array:
    at = (np.arange(side) + 0.5) / side
    x, y = np.meshgrid(LOW[0] + at * (HIGH[0] - LOW[0]), LOW[1] + at * (HIGH[1] - LOW[1]), indexing="ij")
    return np.stack([x, y], -1)[None]


def _inside(grid: Array, corners: Array) -> Array:
    """(B, side, side) whether points (1, side, side, 2) lie in convex polygons (B, N, 2), counterclockwise."""
    inside = np.ones((len(corners), *grid.shape[1:3]), bool)
    for number in range(corners.shape[1]):
        here, there = corners[:, number], corners[:, (number + 1) % corners.shape[1]]
        edge, way = (there - here)[:, None, None], grid - here[:, None, None]
        inside &= edge[..., 0] * way[..., 1] - edge[..., 1] * way[..., 0] >= 0
    return inside


def smooth(rng: np.random.Generator, steps: int, span: float) -> Array:
    """(steps,) noise of deviation about one that changes over `span` steps."""
    knots = rng.standard_normal(int(steps / span) + 4)
    at = np.arange(steps) / span
    near = at.astype(int)
    share = (1 - np.cos(np.pi * (at - near))) / 2
    return (1 - share) * knots[near] + share * knots[near + 1]


class Follower:
    """A hand that goes along a plan of desired positions which is drawn anew for every start.

    Args:
        plans: (world's state) -> (B, N, axes).
    """

    def __init__(self, world: Any) -> None:
        self.world = world

    def plans(self, state: State) -> Array:
        raise NotImplementedError

    def reset(self, count: int, seed: int = 0) -> dict[str, Any]:
        return {"plan": self.plans(self.world.state), "at": np.zeros(count, np.int64)}

    def act(self, obs: Obs, memory: dict[str, Any]) -> tuple[Array, dict[str, Any]]:
        plan, every = memory["plan"], np.arange(len(memory["at"]))
        desired = obs[STATE][:, : plan.shape[2]].astype(np.float64)
        lost = np.linalg.norm(plan[every, memory["at"]] - desired, axis=1) > PATIENCE
        if lost.any():  # somebody else has acted
            nearest = np.linalg.norm(plan - desired[:, None], axis=2).argmin(1)
            memory["at"] = np.where(lost, nearest, memory["at"])
        memory["at"] = np.minimum(memory["at"] + 1, plan.shape[1] - 1)
        way = plan[every, memory["at"]] - desired
        return np.clip(way, -PATIENCE, PATIENCE).astype(np.float32), memory
