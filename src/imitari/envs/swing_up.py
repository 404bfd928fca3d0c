"""A pole hangs from a cart on a rail and must be swung up and held; what is seen of it can be numbers or a picture."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.core.task import Actor, Task, World
from imitari.envs._batched import State
from imitari.envs._swinging import Holder, SwingingWorld, Who, actor_named, lean, motion_of, stepped

# The cart-pole of the DeepMind control suite: SI units, the angle is 0 where the pole stands.
CART, POLE, RADIUS, LENGTH, GRAVITY, FORCE = 1.0, 0.1, 0.045, 1.0, 9.81, 10.0
RAIL_DAMPING, HINGE_DAMPING = 5e-4, 2e-6
RAIL, SOFTNESS, HARDNESS = 1.8, 0.08, 0.95  # the rail's end: where, its time constant, how much of it is obeyed
SPREAD = np.array([0.2, 0.5, 0.2, 0.5])  # deviations of a start from hanging still in the middle
TICK, REPEAT, LIMIT = 0.01, 4, 250  # seconds a tick, ticks a decision, decisions of an episode
STATE, PICTURE = "observation.state", "observation.images.side"
CENTRE = LENGTH / 2  # of the pole's mass
LEVER = POLE * CENTRE


def _inertia() -> float:
    """Of the pole about its hinge: a cylinder of length `LENGTH` with half a ball at either end, of one density."""
    tube, balls = RADIUS**2 * LENGTH, 4 / 3 * RADIUS**3
    round_share = balls / (tube + balls)
    middle = (1 - round_share) * (3 * RADIUS**2 + LENGTH**2) / 12
    ends = round_share * (0.4 * RADIUS**2 + LENGTH**2 / 4 + 3 / 8 * LENGTH * RADIUS)
    return POLE * (middle + ends + CENTRE**2)


INERTIA = _inertia()


def ids() -> list[str]:
    return ["state", "positions", "picture"]


def task(name: str, noise: float = 0.0, who: Who = "expert", pixels: int | None = None) -> Task:
    """The world and the reward of the control suite's cartpole-swingup, 250 decisions of four ticks each. Starts are
    spread wider than the suite's, so that a few demonstrations show more than one way up.

    `state`: place, cosine, sine, velocity and turning speed; `positions`: the first three; `picture`: a grey one.
    Reward: that of the suite at the end of each decision. Solved: the pole stands at the end, for a second or more.

    Args:
        noise: standard deviation of the error of each number that is observed, anew at every step.
        who: acts as the task's expert; "play" swings about and holds nothing, "random" holds random forces.
        pixels: side of the picture, 32 where it is not given.
    """
    if noise < 0:
        raise UserError(f"noise is {noise:g}: it must be at least 0")
    if name != "picture" and pixels is not None:
        raise UserError(f"--pixels is {pixels}: task 'swing_up/{name}' shows numbers; choose swing_up/picture")
    names = ("place", "cosine", "sine", "velocity", "turning")[: 5 if name == "state" else 3]
    side = pixels or 32
    feature = Feature((side, side, 1), "uint8", "image") if name == "picture" else Feature((len(names),), names=names)
    action = Feature((1,), names=("force",), low=(-1.0,), high=(1.0,))
    spec = Spec({PICTURE if name == "picture" else STATE: feature}, action)
    actors: dict[Who, Callable[[World], Actor]] = {"expert": Catcher, "play": Swinger, "random": Holder}
    return Task(
        f"swing_up/{name}",
        spec,
        LIMIT,
        lambda count: CartPole(count, spec, LIMIT, noise),
        actor_named(who, actors),
        success_ends=False,
        description=(__doc__ or "").split("\n")[0],
    )


# ---------------------------------------------------------------- physics


def accelerations(angle: Array, velocity: Array, turning: Array, force: Array) -> tuple[Array, Array]:
    """Of the cart (m/s^2) and of the pole (rad/s^2), given the force on the cart (N); all (B,)."""
    cosine, sine = np.cos(angle), np.sin(angle)
    push = force - RAIL_DAMPING * velocity + LEVER * sine * turning**2
    twist = LEVER * GRAVITY * sine - HINGE_DAMPING * turning
    inner = LEVER * cosine
    determinant = (CART + POLE) * INERTIA - inner**2
    return (INERTIA * push - inner * twist) / determinant, ((CART + POLE) * twist - inner * push) / determinant


def buffered(place: Array, angle: Array, velocity: Array, turning: Array, force: Array) -> Array:
    """`force` with that of the rail's soft ends: beyond them the cart is drawn back, critically damped."""
    beyond = np.maximum(np.abs(place) - RAIL, 0)
    if not beyond.any():
        return force
    side = np.sign(place)
    free, _ = accelerations(angle, velocity, turning, force)
    outwards, speed = side * free, side * velocity
    rate = 1 / (HARDNESS * SOFTNESS)
    wanted = -2 * rate * speed - rate**2 * beyond
    mobility = INERTIA / ((CART + POLE) * INERTIA - (LEVER * np.cos(angle)) ** 2)
    back = np.maximum(HARDNESS * (outwards - wanted) / mobility, 0)
    return np.where(beyond > 0, force - side * back, force)


def ticked(motion: Array, force: Array, seconds: float = TICK) -> Array:
    """`motion` (4, B): place, angle, velocity, turning, after one Runge-Kutta step of fourth order."""

    def slope(at: Array) -> Array:
        place, angle, velocity, turning = at
        total = buffered(place, angle, velocity, turning, force)
        return np.stack([velocity, turning, *accelerations(angle, velocity, turning, total)])

    return stepped(slope, motion, seconds)


def energy(angle: Array, turning: Array) -> Array:
    """Of the pole about its hinge (J), 0 where it stands still upright."""
    return 0.5 * INERTIA * turning**2 + LEVER * GRAVITY * (np.cos(angle) - 1)


def rewarded(place: Array, angle: Array, turning: Array, action: Array) -> Array:
    """Upright, near the middle, with little force and little speed: (B,), from 0 to 1."""
    fall = -2 * math.log(0.1)  # a Gaussian of the distance, 0.1 at the margin
    middle = np.exp(-0.5 * fall * (place / 2) ** 2)
    slow = np.exp(-0.5 * fall * (turning / 5) ** 2)
    calm = np.maximum(1 - action**2, 0)
    return (np.cos(angle) + 1) / 2 * (4 + calm) / 5 * (1 + slow) / 2 * (1 + middle) / 2


class CartPole(SwingingWorld):
    """State: `motion` (B, 4), see `ticked`, and what `SwingingWorld` adds."""

    def start(self, rng: np.random.Generator) -> State:
        motion = np.array([0.0, np.pi, 0.0, 0.0]) + SPREAD * rng.standard_normal(4)
        return self.begun(motion, rng, 5)

    def observe(self, state: State) -> Obs:
        if PICTURE in self.spec_of_step.obs:
            side = self.spec_of_step.obs[PICTURE].shape[0]
            return {PICTURE: drawn(state["motion"], side)[..., None]}
        place, angle, velocity, turning = state["motion"].T
        seen = np.stack([place, np.cos(angle), np.sin(angle), velocity, turning], 1).astype(np.float32)
        return {STATE: self.erring(seen, state)[:, : self.spec_of_step.obs[STATE].size]}

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        action = np.clip(action.astype(np.float64)[:, 0], -1, 1)
        motion = state["motion"].T
        for _ in range(REPEAT):
            motion = ticked(motion, FORCE * action)
        place, angle, _, turning = motion
        after, success = self.decided(state, motion, angle)
        return after, rewarded(place, angle, turning, action), np.zeros_like(success), success

    def picture(self, state: State, side: int) -> Array:
        return np.repeat(drawn(state["motion"], side)[..., None], 3, -1)


def drawn(motion: Array, side: int) -> Array:
    """Grey pictures uint8 (B, side, side) of motions (B, 4): the cart as a disc, the pole as a line, both with soft
    edges, so that the place between two pixels can be seen."""
    reach = RAIL + 0.5
    axis = ((np.arange(side) + 0.5) / side * 2 - 1) * reach
    x, y = axis[None, None, :], -axis[None, :, None]
    place, angle = motion[:, 0, None, None], motion[:, 1, None, None]
    along_x, along_y = np.sin(angle), np.cos(angle)
    share = np.clip((x - place) * along_x + y * along_y, 0, LENGTH)
    pole = np.hypot(x - place - share * along_x, y - share * along_y)
    pixel = 2 * reach / side
    line = np.clip(1.5 - pole / pixel, 0, 1)
    disc = np.clip((0.2 - np.hypot(x - place, y)) / pixel + 0.5, 0, 1)
    return (255 - 200 * np.maximum(line, 0.5 * disc)).astype(np.uint8)


# ---------------------------------------------------------------- who acts


@cache
def holding() -> Array:
    """(4,) gains of the linear quadratic regulator of the standing pole, for decisions of `REPEAT` ticks."""
    nudge = 1e-5
    still = np.zeros((4, 5))
    both = np.concatenate([still + nudge * np.eye(4, 5), still - nudge * np.eye(4, 5)], 1)
    force = np.zeros(10)
    force[4], force[9] = nudge, -nudge
    for _ in range(REPEAT):
        both = ticked(both, FORCE * force)
    slopes = (both[:, :5] - both[:, 5:]) / (2 * nudge)
    change, push = slopes[:, :4], slopes[:, 4:]
    cost, value = np.diag([1.0, 2.0, 0.1, 0.1]), np.eye(4)
    gains = np.zeros((1, 4))
    for _ in range(2000):
        gains = np.linalg.solve(0.3 + push.T @ value @ push, push.T @ value @ change)
        value = cost + change.T @ value @ (change - push @ gains)
    return gains[0]


def _centring(place: Array, velocity: Array) -> Array:
    """Acceleration that keeps the cart near the middle of the rail."""
    return -2.0 * place - 1.0 * velocity


@dataclass
class Catcher:
    """Scripted expert: gives the pole energy by pushing against its swing, and holds it linearly once it is up. It
    knows the true state, whatever is observed."""

    world: World

    def reset(self, count: int, seed: int = 0) -> None:
        return None

    def act(self, obs: Obs, memory: Any) -> tuple[Array, None]:
        place, angle, velocity, turning = motion_of(self.world)
        away = lean(angle)
        swing = 12.0 * energy(angle, turning) * turning * np.cos(angle) + _centring(place, velocity)
        pumped = np.clip((CART + POLE) * swing / FORCE, -1, 1)
        held = np.clip(-holding() @ np.stack([place, away, velocity, turning]), -1, 1)
        near = 1 / (1 + np.exp((np.abs(away) - 0.5) / 0.05))  # from one to the other without a jump
        return (near * held + (1 - near) * pumped)[:, None].astype(np.float32), None


@dataclass
class Swinger:
    """Plays: drives the pole to one random energy after another, around that of standing, by pushes of random strength;
    passes the upright and does not hold it."""

    world: World
    change: float = 0.1  # chance a decision of a new aim

    def reset(self, count: int, seed: int = 0) -> dict[str, Any]:
        rng = np.random.default_rng([seed, 0x51])
        return {"rng": rng, "aim": _aims(rng, count)}

    def act(self, obs: Obs, memory: dict[str, Any]) -> tuple[Array, dict[str, Any]]:
        place, angle, velocity, turning = motion_of(self.world)
        rng: np.random.Generator = memory["rng"]
        fresh = rng.random(len(place)) < self.change
        memory["aim"] = np.where(fresh, _aims(rng, len(place)), memory["aim"])
        target, strength, middle = memory["aim"]
        push = strength * np.sign((energy(angle, turning) - target) * turning * np.cos(angle))
        drift = 0.3 * _centring(place - middle, velocity)
        return np.clip(push + drift, -1, 1)[:, None].astype(np.float32), memory


def _aims(rng: np.random.Generator, count: int) -> Array:
    """(3, count): energy, strength of the pushes, place."""
    low, high, far = -0.3 * LEVER * GRAVITY, 0.1 * LEVER * GRAVITY, 0.5
    return np.stack([rng.uniform(low, high, count), rng.uniform(0, 1, count), rng.uniform(-far, far, count)])
