"""A rod brings a hollow box to a place and a direction, from inside or from outside: two ways (D3IL's Aligning)."""

from __future__ import annotations

import numpy as np

from imitari.core.episode import Array
from imitari.core.task import Task
from imitari.envs._aligners import Hand
from imitari.envs._batched import State
from imitari.envs._blocks import given_way, lever, touched, turned
from imitari.envs._table import LAG, ROD, Colour, TableWorld, covered, squares, table_spec

START = (0.525, -0.35, 0.25)
LIMIT = 400
HALF = 0.05  # of the box's side
WALL = 0.005  # thickness of its walls; not given by the source
TOP = 0.11  # height of its walls: a base of 0.02 and walls of 0.09
INNER = HALF - WALL - ROD  # how far from the middle the rod gets inside
ROOM, GOALS = np.array([(0.4, -0.25), (0.6, -0.1)]), np.array([(0.4, 0.2), (0.6, 0.35)])  # of box, of target
NEAR, TURNED = 0.018, 0.048  # from the target, in metres and in half turns
INSIDE = 0.051  # of the box's middle: the rod counts as inside
SUBSTEPS = 4
NAMES = ("inside", "outside")
WALLS: tuple[Colour, ...] = ((200, 60, 60), (60, 160, 80), (60, 90, 200), (220, 180, 40))


def ids() -> list[str]:
    return [""]


def task(name: str = "", pixels: int | None = None, repeats: int = 1, limit: int = LIMIT) -> Task:
    """Within 0.018 of the target and 0.048 half turns of its direction. The third action lets the rod in and out.

    Args:
        pixels: also observe a picture from above of this side.
        repeats: starts s with the same s // repeats begin with box and target at the same places.
        limit: steps of an episode at most.
    """
    pose = ("x", "y", "z", "qw", "qx", "qy", "qz")
    spec = table_spec([f"{what}_{axis}" for what in ("box", "target") for axis in pose], 3, pixels)
    return Task(
        "aligning",
        spec,
        limit,
        lambda count: Aligning(count, spec, limit, START, repeats, pixels),
        Hand,
        description=(__doc__ or "").split("\n")[0],
        behaviours=NAMES,
        repeats=repeats,
    )


class Aligning(TableWorld):
    """State also: `box` and `target` (B, 2), `yaw` and `aim` (B,), and whether the rod is between the walls, `within`.

    Above the walls the rod touches nothing; coming down on a wall it stays there. Reward: by how much the mean of both
    errors has become less, 1 at the end.
    """

    def scene(self, rng: np.random.Generator) -> State:
        return {
            "box": rng.uniform(*ROOM),
            "yaw": np.asarray(rng.uniform(-np.pi / 2, np.pi / 2)),
            "target": rng.uniform(*GOALS),
            "aim": np.asarray(rng.uniform(-np.pi / 2, np.pi / 2)),
            "within": np.array(False),
        }

    def seen(self, state: State) -> list[Array]:
        return [*_pose(state["box"], state["yaw"]), *_pose(state["target"], state["aim"])]

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        desired, after = self.wanted(state, action), dict(state)
        part = 1 - (1 - LAG) ** (1 / SUBSTEPS)
        for _ in range(SUBSTEPS):
            after = moved(after, covered(after, desired, part))
        after["desired"] = desired
        solved = aligned(after)
        reward = mean_distance(state) - mean_distance(after) + solved
        return after, reward, solved, solved

    def behaviour(self, state: State) -> Array:
        near = np.linalg.norm(state["rod"][:, :2] - state["box"], axis=1) < INSIDE
        return np.where(aligned(state), np.where(near, 0, 1), -1)

    def shapes(self, state: State) -> list[tuple[Array, Colour]]:
        target = squares(state["target"], state["aim"], HALF)
        hollow = squares(state["box"], state["yaw"], HALF - WALL)
        outer = squares(state["box"], state["yaw"], HALF)
        sides = [
            (np.stack([outer[:, one], outer[:, one - 3], hollow[:, one - 3], hollow[:, one]], 1), WALLS[one])
            for one in range(4)
        ]
        return [(target, (200, 215, 200)), (outer, (210, 200, 190)), *sides]


def moved(state: State, rod: Array) -> State:
    """The state after the rod has gone to `rod` (B, 3), and the box has given way."""
    box, yaw, low = state["box"], state["yaw"], rod[:, 2] < TOP
    enters = low & (state["rod"][:, 2] >= TOP)
    local = turned(rod[:, :2] - box, -yaw)
    beneath = np.abs(local).max(1) < INNER
    rests = enters & ~beneath & (touched(rod[:, :2], box, yaw, HALF)[0] > 0)  # on a wall
    rod = np.column_stack([rod[:, :2], np.where(rests, TOP, rod[:, 2])])
    low &= ~rests
    within = np.where(enters, beneath, state["within"]) & low
    way = rod[:, :2] - state["rod"][:, :2]
    for number in range(2):  # in a corner, two walls are touched
        depth, normal = contact(rod[:, :2], box, yaw, within)
        slip = (way * _left(normal)).sum(1) if number == 0 else np.zeros(len(way))
        arm = rod[:, :2] + ROD * normal - box
        shift, spin = given_way(np.where(low, depth, -1.0), normal, arm, slip, lever(HALF))
        box, yaw = box + shift, yaw + spin
    depth, normal = contact(rod[:, :2], box, yaw, within)
    held = rod[:, :2] - np.where(low, np.maximum(depth, 0), 0.0)[:, None] * normal
    return {**state, "rod": np.column_stack([held, rod[:, 2]]), "box": box, "yaw": yaw, "within": within}


def contact(rod: Array, box: Array, yaw: Array, within: Array) -> tuple[Array, Array]:
    """How deep rods (B, 2) overlap the wall that they overlap most (B,), and the direction into it (B, 2)."""
    local = turned(rod - box, -yaw)
    axis = np.abs(local).argmax(1)[:, None] == np.arange(2)
    out = turned(axis * np.sign(local), yaw)
    depth, normal = touched(rod, box, yaw, HALF)
    return np.where(within, np.abs(local).max(1) - INNER, depth), np.where(within[:, None], out, normal)


def _left(normal: Array) -> Array:
    return np.stack([-normal[:, 1], normal[:, 0]], 1)


def errors(state: State) -> tuple[Array, Array]:
    """Distance from the target (B,) in metres, and angle from its direction (B,) in half turns, as of quaternions."""
    turn = np.abs(np.mod(state["yaw"] - state["aim"] + np.pi, 2 * np.pi) - np.pi)
    return np.linalg.norm(state["box"] - state["target"], axis=1), turn / np.pi


def aligned(state: State) -> Array:
    """(B,) whether the box is where it belongs."""
    distance, turn = errors(state)
    return (distance <= NEAR) & (turn <= TURNED)


def mean_distance(state: State) -> Array:
    """Half of the sum of both errors (B,)."""
    return sum(errors(state), np.zeros(len(state["yaw"]))) / 2


def _pose(middle: Array, yaw: Array) -> list[Array]:
    """Columns of position (z is 0) and quaternion (w, x, y, z)."""
    none = np.zeros(len(yaw))
    return [middle, none, np.cos(yaw / 2), none, none, np.sin(yaw / 2)]
