"""A hand puts a mug on a mat, in kitchens and with mugs that look different: seen from above, small pictures."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any, Literal

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.core.task import Task
from imitari.envs._batched import BatchedWorld, State

STATE, TOP = "observation.state", "observation.images.top"
SPEED, LIMIT = 0.12, 45  # distance a step at full action on the table [-1, 1]^2; steps of an episode
GRASP, MAT = 0.22, 0.28  # how near the hand must be to the mug, the mug to the mat's middle
VIEW = 1.15  # how far the camera above the table sees to either side
TRAINING, HELD_OUT = 32, 16  # looks to learn from, and others to be tried in
GRAIN, CLUTTER = 5, 2  # cells a side of a table's texture; things that lie about, at most
COMMON = 1 << 20  # number of the look that others are like
LOOK = 0x100C  # keeps what things look like apart from where they lie

Axis = Literal["pair", "environment", "object"]


@dataclass(frozen=True)
class Kitchen:
    """What an environment looks like.

    Attributes:
        texture: (GRAIN, GRAIN, 3) brightness of the table. light: (3,) what all colours are multiplied by.
        mat: (3,) its colour. clutter: (CLUTTER, 4) colour and radius (0: not there) of what lies about.
        camera: (3,) how far it stands to the side, and turned (rad).
    """

    texture: Array
    light: Array
    mat: Array
    clutter: Array
    camera: Array


@dataclass(frozen=True)
class Mug:
    """What an object looks like: colour (3,), radius, corners (0: round), where its handle is (rad)."""

    colour: Array
    radius: Array
    corners: Array
    handle: Array


@cache
def kitchen(number: int, variety: float = 1.0) -> Kitchen:
    """Kitchen number so and so, nearer to the common one the smaller the variety."""
    own, common = _kitchen(number), _kitchen(COMMON)
    return replace(own, **{key: _between(common, own, key, variety) for key in ("texture", "light", "mat", "camera")})


@cache
def mug(number: int, variety: float = 1.0) -> Mug:
    """As `kitchen`; corners and handle are its own at any variety."""
    own, common = _mug(number), _mug(COMMON)
    return replace(own, **{key: _between(common, own, key, variety) for key in ("colour", "radius")})


def _between(common: Any, own: Any, key: str, share: float) -> Array:
    first, last = getattr(common, key), getattr(own, key)
    return last if share == 1 else np.asarray(first + share * (last - first))


def _kitchen(number: int) -> Kitchen:
    rng = np.random.default_rng([LOOK, 1, number])
    base, grain = _colour(rng, 0.0, 0.5), rng.uniform(5, 35)
    texture = base + rng.uniform(-grain, grain, (GRAIN, GRAIN, 1)) + rng.uniform(-grain, grain, (GRAIN, GRAIN, 3)) / 2
    light = rng.uniform(0.75, 1.1) * (1 + rng.uniform(-0.08, 0.08, 3))
    there = np.arange(CLUTTER) < rng.integers(0, CLUTTER + 1)
    clutter = np.array([[*_colour(rng, 0.0, 1.0), rng.uniform(0.1, 0.2)] for _ in range(CLUTTER)]) * there[:, None]
    camera = np.array([*rng.uniform(-0.1, 0.1, 2), rng.uniform(-0.15, 0.15)])
    return Kitchen(texture, light, _colour(rng, 0.3, 1.0), clutter, camera)


def _mug(number: int) -> Mug:
    rng = np.random.default_rng([LOOK, 2, number])
    corners = rng.choice([0, 4, 5, 6])
    angle = rng.uniform(0, 2 * np.pi)
    return Mug(_colour(rng, 0.3, 1.0), np.asarray(rng.uniform(0.19, 0.25)), np.asarray(corners), np.asarray(angle))


def _colour(rng: np.random.Generator, dull: float, bright: float) -> Array:
    """(3,) of any hue, its saturation from `dull` to `bright`."""
    hue = colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(dull, bright), rng.uniform(0.35, 0.95))
    return 255 * np.array(hue)


def ids() -> list[str]:
    return ["pair", "environment", "object"]


@dataclass(frozen=True)
class MugTask(Task):
    """The task, which knows what every start looks like."""

    looks: tuple[int, ...] = ()
    variety: float = 1.0

    def look(self, seed: int) -> tuple[int, int]:
        """(environment, object) of a start: starts go through all looks in turn."""
        number = self.looks[seed % len(self.looks)]
        axis = self.name.partition("/")[2]
        return (number if axis != "object" else 0), (number if axis != "environment" else 0)

    def about(self, seed: int) -> dict[str, Any]:
        environment, thing = self.look(seed)
        return {**super().about(seed), "environment": environment, "object": thing}


def task(name: str, pixels: int = 32, held_out: bool = False, only: int | None = None, variety: float = 1.0) -> Task:
    """`pair`: every environment with a mug of its own; `environment`: one mug in all; `object`: all mugs in one.

    Observed are the picture, the hand's place and whether it is closed. Reward, a third each: the hand is at the mug,
    it holds it, the mug stands on the mat and is let go, which ends it.

    Args:
        pixels: side of the picture.
        held_out: environments and mugs that demonstrations never show.
        only: this one of them alone.
        variety: how far tables, mats, mugs, light and cameras are from common ones; 1: as drawn.
    """
    looks = range(TRAINING, TRAINING + HELD_OUT) if held_out else range(TRAINING)
    if only is not None:
        if not 0 <= only < len(looks):
            raise UserError(f"--only is {only}: there are {len(looks)}, from 0")
        looks = looks[only : only + 1]
    state = Feature((3,), names=("hand_x", "hand_y", "closed"))
    action = Feature((3,), names=("velocity_x", "velocity_y", "grip"), low=(-1.0,) * 3, high=(1.0,) * 3)
    spec = Spec({STATE: state, TOP: Feature((pixels, pixels, 3), "uint8", "image")}, action)
    made = MugTask(
        f"mugs/{name}", spec, LIMIT, lambda count: Mugs(count, spec, pixels, made), Hand,
        description=(__doc__ or "").split("\n")[0], looks=tuple(looks), variety=variety,
    )  # fmt: skip
    return made


class Mugs(BatchedWorld):
    """State: `hand`, `mug`, `mat_at` (B, 2); `held`, `reached`, `grasped` (B,); `clutter_at` (B, CLUTTER, 2); and what
    everything looks like: the fields of `Kitchen`, of `Mug` with `mug_` before them, and what `still` gives."""

    def __init__(self, count: int, spec: Spec, pixels: int, made: MugTask) -> None:
        super().__init__(count, spec, LIMIT)
        self.pixels, self.made = pixels, made

    def begin(self, seed: int) -> State:
        environment, thing = self.made.look(seed)
        state = self.start(np.random.default_rng(seed))
        state |= {one.name: getattr(kitchen(environment, self.made.variety), one.name) for one in fields(Kitchen)}
        state |= {f"mug_{one.name}": getattr(mug(thing, self.made.variety), one.name) for one in fields(Mug)}
        unmoved = still({key: value[None] for key, value in state.items()}, self.pixels)
        return state | {key: value[0] for key, value in unmoved.items()}

    def start(self, rng: np.random.Generator) -> State:
        places = _apart(rng, 2 + CLUTTER)
        flag = np.zeros((), bool)
        return {
            "hand": rng.uniform(-0.7, 0.7, 2), "mug": places[0], "mat_at": places[1], "clutter_at": places[2:],
            "held": flag, "reached": flag, "grasped": flag,
        }  # fmt: skip

    def observe(self, state: State) -> Obs:
        seen = np.column_stack([state["hand"], state["held"]]).astype(np.float32)
        return {STATE: seen, TOP: self.picture(state, self.pixels)}

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        action = np.clip(action.astype(np.float64), -1, 1)
        closed = action[:, 2] > 0
        hand = np.clip(state["hand"] + SPEED * action[:, :2], -1, 1)
        near = np.linalg.norm(hand - state["mug"], axis=1) < GRASP
        holds = closed & (state["held"] | near)
        let_go = state["held"] & ~closed
        mug = np.where(state["held"][:, None], hand, state["mug"])
        placed = let_go & (np.linalg.norm(mug - state["mat_at"], axis=1) < MAT)
        reached, grasped = state["reached"] | near, state["grasped"] | holds
        stages = [reached & ~state["reached"], grasped & ~state["grasped"], placed]
        reward = np.sum(stages, axis=0) / 3
        after = {**state, "hand": hand, "mug": mug, "held": holds, "reached": reached, "grasped": grasped}
        return after, reward, placed, placed

    def picture(self, state: State, side: int) -> Array:
        return drawn(state if side == self.pixels else {**state, **still(state, side)}, side)


def _apart(rng: np.random.Generator, count: int) -> Array:
    """(count, 2) places of which no two are near each other."""
    places: list[Array] = []
    while len(places) < count:
        place = rng.uniform(-0.75, 0.75, 2)
        if all(np.linalg.norm(place - other) > 0.6 for other in places):
            places.append(place)
        elif rng.random() < 0.01:
            places.clear()  # what lies badly may leave no room for the rest
    return np.array(places)


# ---------------------------------------------------------------- what is seen


def still(state: State, side: int) -> State:
    """What does not change in an episode: `seen` (B, P, 2), places that the P = side^2 pixels show, and `still`
    (B, P, 3), the picture of table, things that lie about and mat (rings)."""
    state = {key: value.astype(np.float32) for key, value in state.items()}
    at = seen_points(state["camera"], side)
    image = _texture(state["texture"], at)
    pixel = 2 * VIEW / side
    for number in range(CLUTTER):
        thing = state["clutter"][:, number]
        image = _over(image, _far(at, state["clutter_at"][:, number]), thing[:, 3], thing[:, :3], pixel)
    mat = _far(at, state["mat_at"])
    for size, shade in ((0.4, 1.0), (0.28, 0.3), (0.15, 1.0)):
        image = _over(image, mat, np.full(len(mat), size, np.float32), shade * state["mat"], pixel)
    return {"seen": at, "still": image}


def drawn(state: State, side: int) -> Array:
    """uint8 (B, side, side, 3): over what is still the mug (a rim, a dark hole, a handle) and the hand (a white cross,
    closed when it holds)."""
    state = {key: value.astype(np.float32, copy=False) for key, value in state.items()}
    at, image, pixel = state["seen"], state["still"], 2 * VIEW / side
    colour, radius = state["mug_colour"], state["mug_radius"]
    side_way = np.stack([np.cos(state["mug_handle"]), np.sin(state["mug_handle"])], 1)
    image = _over(image, _far(at, state["mug"] + side_way * radius[:, None]), 0.5 * radius, colour, pixel)
    image = _over(image, _polygon(at - state["mug"][:, None], state["mug_corners"]), radius, colour, pixel)
    image = _over(image, _far(at, state["mug"]), 0.55 * radius, np.full((len(at), 3), 15.0, np.float32), pixel)
    image = _hand(image, at - state["hand"][:, None], state["held"], pixel)
    image = image * state["light"][:, None]
    return np.clip(image, 0, 255).astype(np.uint8).reshape(len(at), side, side, 3)


def seen_points(camera: Array, side: int) -> Array:
    """(B, side^2, 2), rows from the top."""
    axis = ((np.arange(side) + 0.5) * 2 / side - 1) * VIEW
    x, y = np.meshgrid(axis, -axis)
    flat = np.stack([x.ravel(), y.ravel()], 1)
    cos, sin = np.cos(camera[:, 2]), np.sin(camera[:, 2])
    turn = np.stack([np.stack([cos, -sin], 1), np.stack([sin, cos], 1)], 1)
    return np.einsum("pd,bed->bpe", flat.astype(np.float32), turn) + camera[:, None, :2]


def _far(at: Array, place: Array) -> Array:
    return _length(at - place[:, None])


def _length(way: Array) -> Array:
    """(B, P, 2) to (B, P); several times faster than `np.linalg.norm` over so short an axis."""
    x, y = way[..., 0], way[..., 1]
    return np.sqrt(x * x + y * y)


def _polygon(way: Array, corners: Array) -> Array:
    """(B, P): as a distance from the middle, but equal along the edges of a regular polygon (corners 0: a circle)."""
    angle = np.arctan2(way[..., 1], way[..., 0])
    wedge = 2 * np.pi / np.maximum(corners, 1)[:, None]
    edge = np.cos(np.mod(angle, wedge) - wedge / 2)
    return _length(way) * np.where(corners[:, None] > 0, edge, 1.0)


def _over(image: Array, far: Array, size: Array, colour: Array, pixel: float) -> Array:
    """The picture with a shape of one colour (B, 3) over it, where `far` (B, P) is below `size` (B,); soft edges."""
    cover = np.clip((size[:, None] - far) / pixel + 0.5, 0, 1) * (size > 0)[:, None]
    return image + cover[..., None] * (colour[:, None] - image)


def _hand(image: Array, way: Array, held: Array, pixel: float) -> Array:
    x, y = np.abs(way[..., 0]), np.abs(way[..., 1])
    along, across = np.maximum(x, y), np.minimum(x, y)
    width = np.where(held, 0.12, 0.06)[:, None].astype(np.float32)
    for reach, grow, shade in ((0.24, 0.05, 0.0), (0.19, 0.0, 250.0)):  # a black rim and what is white inside it
        cover = np.clip((reach - along) / pixel + 0.5, 0, 1) * np.clip((width + grow - across) / pixel + 0.5, 0, 1)
        image = image + cover[..., None] * (shade - image)
    return image


def _texture(texture: Array, at: Array) -> Array:
    """(B, P, 3): the cells of the table, interpolated."""
    place = np.clip((at + 1.3) / 2.6, 0, 1) * (GRAIN - 1)
    low = np.minimum(place.astype(np.int64), GRAIN - 2)
    share = place - low
    rows = np.arange(len(texture))[:, None]
    x, y, (u, v) = low[..., 0], low[..., 1], np.moveaxis(share, 2, 0)[..., None]
    upper = (1 - u) * texture[rows, y, x] + u * texture[rows, y, x + 1]
    lower = (1 - u) * texture[rows, y + 1, x] + u * texture[rows, y + 1, x + 1]
    return (1 - v) * upper + v * lower


@dataclass
class Hand:
    """Scripted expert: to the mug, closes, to the mat, opens. It knows where things are; its way trembles."""

    world: Any
    tremble: float = 0.15

    def reset(self, count: int, seed: int = 0) -> np.random.Generator:
        return np.random.default_rng([seed, 0x3A])

    def act(self, obs: Obs, memory: np.random.Generator) -> tuple[Array, np.random.Generator]:
        state = self.world.state
        aim = np.where(state["held"][:, None], state["mat_at"], state["mug"])
        way = aim - state["hand"]
        far = np.linalg.norm(way, axis=1, keepdims=True)
        velocity = way / np.maximum(far, SPEED) + self.tremble * memory.standard_normal(way.shape)
        there = far[:, 0] < 0.08
        grip = np.where(state["held"], np.where(there, -1.0, 1.0), np.where(there, 1.0, -1.0))
        velocity *= ~there[:, None]
        return np.clip(np.column_stack([velocity, grip]), -1, 1).astype(np.float32), memory
