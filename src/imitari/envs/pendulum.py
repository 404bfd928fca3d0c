"""A pendulum, too heavy for its motor, must be swung up and held; numbers tell its angle, and its speed or not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.core.task import Actor, Task, World
from imitari.envs._batched import State
from imitari.envs._swinging import Holder, SwingingWorld, Who, actor_named, lean, motion_of, stepped

# A rod of one metre on a hinge, all torques per moment of inertia; the angle (rad) is 0 where it stands.
GRAVITY, DAMPING = 1.5 * 9.81, 0.25  # rad/s^2 where it is level; 1/s
MOTOR = 0.5 * GRAVITY  # rad/s^2 at full torque: less than would lift it
SPREAD = np.array([0.5, 4.0])  # deviations of a start from hanging still: rad, rad/s
TICK, REPEAT, LIMIT = 0.0125, 6, 100  # seconds a tick, ticks a decision, decisions of an episode
NEAR = 0.3  # rad from standing at which the reward is 1 / e
LOW, HIGH = -0.3, 0.2  # energies below which play drives it, and above which play slows it
STATE = "observation.state"


def ids() -> list[str]:
    return ["state", "positions"]


def task(name: str, noise: float = 0.0, who: Who = "expert") -> Task:
    """Seven and a half seconds, 100 decisions. It hangs at the start and swings, mostly not far enough to turn over.

    `state`: cosine, sine and turning speed; `positions`: the first two. Reward: how near to standing it is, from 0 to 1
    and hardly any below the horizontal. Solved: it stands at the end, for nearly two seconds or more.

    Args:
        noise: standard deviation of the error of each number that is observed, anew at every step.
        who: acts as the task's expert; "play" drives it about and holds nothing, "random" holds random torques.
    """
    if noise < 0:
        raise UserError(f"noise is {noise:g}: it must be at least 0")
    names = ("cosine", "sine", "turning")[: 3 if name == "state" else 2]
    action = Feature((1,), names=("torque",), low=(-1.0,), high=(1.0,))
    spec = Spec({STATE: Feature((len(names),), names=names)}, action)
    actors: dict[Who, Callable[[World], Actor]] = {"expert": Catcher, "play": Driver, "random": Holder}
    return Task(
        f"pendulum/{name}",
        spec,
        LIMIT,
        lambda count: Pendulum(count, spec, LIMIT, noise),
        actor_named(who, actors),
        success_ends=False,
        description=(__doc__ or "").split("\n")[0],
    )


# ---------------------------------------------------------------- physics


def ticked(motion: Array, torque: Array, seconds: float = TICK) -> Array:
    """`motion` (2, B): angle and turning speed, after one Runge-Kutta step; `torque` (B,), full at 1."""

    def slope(at: Array) -> Array:
        angle, turning = at
        return np.stack([turning, GRAVITY * np.sin(angle) - DAMPING * turning + MOTOR * torque])

    return stepped(slope, motion, seconds)


def energy(angle: Array, turning: Array) -> Array:
    """In units of what lifts it from level to standing: 0 where it stands still, -2 where it hangs still."""
    return 0.5 * turning**2 / GRAVITY + np.cos(angle) - 1


class Pendulum(SwingingWorld):
    """State: `motion` (B, 2), see `ticked`, and what `SwingingWorld` adds."""

    def start(self, rng: np.random.Generator) -> State:
        motion = np.array([np.pi, 0.0]) + SPREAD * rng.standard_normal(2)
        return self.begun(motion, rng, 3)

    def observe(self, state: State) -> Obs:
        angle, turning = state["motion"].T
        seen = np.stack([np.cos(angle), np.sin(angle), turning], 1).astype(np.float32)
        return {STATE: self.erring(seen, state)[:, : self.spec_of_step.obs[STATE].size]}

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        torque = np.clip(action.astype(np.float64)[:, 0], -1, 1)
        motion = state["motion"].T
        for _ in range(REPEAT):
            motion = ticked(motion, torque)
        after, success = self.decided(state, motion, motion[0])
        return after, np.exp(-((lean(motion[0]) / NEAR) ** 2)), np.zeros_like(success), success


# ---------------------------------------------------------------- who acts


@dataclass
class Catcher:
    """Scripted expert: brings the pendulum to the energy of standing by torques along its swing or against it, and
    holds it linearly once it is up. It knows the true state, whatever is observed."""

    world: World

    def reset(self, count: int, seed: int = 0) -> None:
        return None

    def act(self, obs: Obs, memory: Any) -> tuple[Array, None]:
        angle, turning = motion_of(self.world)
        away = lean(angle)
        pumped = np.clip(-0.8 * energy(angle, turning) * turning, -1, 1)
        held = np.clip(-GRAVITY / MOTOR * (2.0 * away + 0.6 * turning), -1, 1)
        near = 1 / (1 + np.exp((np.abs(away) - 0.6) / 0.2))  # from one to the other without a jump
        return (near * held + (1 - near) * pumped)[:, None].astype(np.float32), None


@dataclass
class Driver:
    """Plays: torques along the swing or against it, of random strength, so that it passes the upright at all speeds,
    fast and slow, and is not held there; hanging low it is driven up, and where it turns over fast it is slowed."""

    world: World
    change: float = 0.2  # chance a decision of a new torque

    def reset(self, count: int, seed: int = 0) -> dict[str, Any]:
        rng = np.random.default_rng([seed, 0x51])
        return {"rng": rng, "aim": _aims(rng, count)}

    def act(self, obs: Obs, memory: dict[str, Any]) -> tuple[Array, dict[str, Any]]:
        angle, turning = motion_of(self.world)
        rng: np.random.Generator = memory["rng"]
        fresh = rng.random(len(angle)) < self.change
        memory["aim"] = np.where(fresh, _aims(rng, len(angle)), memory["aim"])
        has, strength = energy(angle, turning), np.abs(memory["aim"])
        along = np.where(has < LOW, strength, np.where(has > HIGH, -strength, memory["aim"]))
        push = along * np.sign(turning)
        return push[:, None].astype(np.float32), memory


def _aims(rng: np.random.Generator, count: int) -> Array:
    """(count,) torque along the swing."""
    return rng.uniform(-1, 1, count)
