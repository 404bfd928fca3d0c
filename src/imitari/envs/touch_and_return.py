"""A point touches a target and comes back home: half way, only the past tells whether to go out or back."""

from __future__ import annotations

from typing import Any

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.spec import Spec
from imitari.core.task import Task
from imitari.envs._batched import State
from imitari.envs._plane import GREEN, GREY, REACH, SPEED, Disc, PlaneWorld, plane_spec

BEHIND = 0.5  # distance of the start behind home
LIMIT = 80


def ids() -> list[str]:
    return [""]


def task(name: str = "", pixels: int | None = None) -> Task:
    """Home in the middle, the start behind it, the target 0.7 to 1 before it. Whether it was touched is not observed.

    Args:
        pixels: also observe a top-down picture of this side.
    """
    spec = plane_spec("target", pixels)
    return Task(
        "touch_and_return",
        spec,
        LIMIT,
        lambda count: TouchAndReturn(count, spec, pixels),
        lambda world: People(),
        description=(__doc__ or "").split("\n")[0],
    )


class TouchAndReturn(PlaneWorld):
    """The mark is the target. State also: touched (B,). Reward: 0.5 at the touch, 0.5 back home, which ends it."""

    def __init__(self, count: int, spec: Spec, pixels: int | None) -> None:
        discs = (Disc((0.0, 0.0), REACH, GREY), Disc("mark", REACH, GREEN))
        super().__init__(count, spec, LIMIT, discs, pixels)

    def start(self, rng: np.random.Generator) -> State:
        angle, distance = rng.uniform(-np.pi / 4, np.pi / 4), rng.uniform(0.7, 1.0)
        target = distance * np.array([np.cos(angle), np.sin(angle)])
        return {
            "position": rng.uniform(-0.05, 0.05, 2) - (BEHIND, 0.0),
            "mark": target,
            "touched": np.zeros((), bool),
        }

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        position = self.moved(state["position"], action)
        touched = state["touched"] | (np.linalg.norm(position - state["mark"], axis=1) < REACH)
        back = touched & (np.linalg.norm(position, axis=1) < REACH)
        reward = 0.5 * (touched & ~state["touched"]) + 0.5 * back
        return {"position": position, "mark": state["mark"], "touched": touched}, reward, back, back


class People:
    """Scripted people of different pace who rest at the target for a moment, and then come back."""

    def reset(self, count: int, seed: int = 0) -> dict[str, Any]:
        rng = np.random.default_rng([seed, 0x70])
        pace, rest = rng.uniform(0.7, 1.0, count), rng.integers(0, 4, count)
        return {"pace": pace, "rest": rest, "touched": np.zeros(count, bool)}

    def act(self, obs: Obs, memory: dict[str, Any]) -> tuple[Array, dict[str, Any]]:
        position, target = np.split(obs["observation.state"].astype(np.float64), 2, axis=1)
        memory["touched"] = memory["touched"] | (np.linalg.norm(target - position, axis=1) < REACH / 2)
        rests = memory["touched"] & (memory["rest"] > 0)
        memory["rest"] = memory["rest"] - rests
        way = np.where(memory["touched"][:, None], 0.0, target) - position
        step = memory["pace"][:, None] * way / np.maximum(np.linalg.norm(way, axis=1, keepdims=True), SPEED)
        return np.where(rests[:, None], 0.0, step).astype(np.float32), memory
