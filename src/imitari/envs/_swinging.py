"""What worlds of something that hangs, is swung up and held have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from imitari.core.episode import Array
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.core.task import Actor, World
from imitari.envs._batched import BatchedWorld, State

Who = Literal["expert", "play", "random"]
UPRIGHT, HOLD = 0.95, 25  # cosine from which it counts as up; decisions at the end that it must be up


def stepped(slope: Callable[[Array], Array], motion: Array, seconds: float) -> Array:
    """`motion` (D, B) after one Runge-Kutta step of fourth order along `slope`."""
    first = slope(motion)
    second = slope(motion + seconds / 2 * first)
    third = slope(motion + seconds / 2 * second)
    fourth = slope(motion + seconds * third)
    return motion + seconds / 6 * (first + 2 * second + 2 * third + fourth)


def lean(angle: Array) -> Array:
    """Angle from standing, from -pi to pi."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


class SwingingWorld(BatchedWorld):
    """State: `motion` (B, D) of the world; `errors` of every observation of the episode; decisions made (`clock`) and
    those since which it stands (`stay`).

    Args:
        noise: standard deviation of the error of each number that is observed.
    """

    def __init__(self, count: int, spec: Spec, limit: int, noise: float) -> None:
        super().__init__(count, spec, limit)
        self.noise = noise

    def begun(self, motion: Array, rng: np.random.Generator, seen: int) -> State:
        """The state of one environment that observes `seen` numbers."""
        errors = rng.standard_normal((self.limit + 1, seen)).astype(np.float32)
        return {"motion": motion, "errors": errors, "clock": np.zeros((), np.int64), "stay": np.zeros((), np.int64)}

    def erring(self, seen: Array, state: State) -> Array:
        """Observed numbers (B, N) with their errors."""
        if not self.noise:
            return seen
        return seen + np.float32(self.noise) * state["errors"][np.arange(len(seen)), state["clock"]]

    def decided(self, state: State, motion: Array, angle: Array) -> tuple[State, Array]:
        """The state after a decision that led to `motion` (D, B), and whether it stands at the end, for long enough."""
        clock = np.minimum(state["clock"] + 1, self.limit)
        stay = np.where(np.cos(angle) > UPRIGHT, state["stay"] + 1, 0)
        after = {"motion": motion.T, "errors": state["errors"], "clock": clock, "stay": stay}
        return after, (clock >= self.limit) & (stay >= HOLD)


# ---------------------------------------------------------------- who acts


def motion_of(world: Any) -> Array:
    """(D, B) the true motion, whatever is observed."""
    return world.state["motion"].T


def actor_named(who: Who, actors: dict[Who, Callable[[World], Actor]]) -> Callable[[World], Actor]:
    """Who acts as the task's expert."""
    if who not in actors:
        raise UserError(f"who is '{who}': choose {', '.join(actors)}")
    return actors[who]


@dataclass
class Holder:
    """Random pushes, each held for a decision or a few."""

    world: World
    change: float = 0.75  # chance a decision of a new push

    def reset(self, count: int, seed: int = 0) -> dict[str, Any]:
        rng = np.random.default_rng([seed, 0x52])
        return {"rng": rng, "force": rng.uniform(-1, 1, count)}

    def act(self, obs: Any, memory: dict[str, Any]) -> tuple[Array, dict[str, Any]]:
        rng: np.random.Generator = memory["rng"]
        count = len(memory["force"])
        memory["force"] = np.where(rng.random(count) < self.change, rng.uniform(-1, 1, count), memory["force"])
        return memory["force"][:, None].astype(np.float32), memory
