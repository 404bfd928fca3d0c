"""A point touches a target and comes back home: half way, only the past tells whether to go out or back."""

from __future__ import annotations

from typing import Any

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.spec import Feature, Spec
from imitari.core.task import Task
from imitari.envs._batched import BatchedWorld, State

SPEED = 0.08  # distance a step at full action
REACH = 0.1  # of the target, and of home
BEHIND = 0.5  # distance of the start behind home
LIMIT = 80


def ids() -> list[str]:
    return [""]


def task(name: str = "", pixels: int | None = None) -> Task:
    """Home in the middle, the start behind it, the target 0.7 to 1 before it. Whether it was touched is not observed.

    Args:
        pixels: also observe a top-down picture of this side.
    """
    obs = {"observation.state": Feature((4,), names=("x", "y", "target_x", "target_y"))}
    if pixels:
        obs["observation.images.top"] = Feature((pixels, pixels, 3), "uint8", "image")
    spec = Spec(obs, Feature((2,), names=("velocity_x", "velocity_y"), low=(-1.0, -1.0), high=(1.0, 1.0)))
    return Task(
        "touch_and_return",
        spec,
        LIMIT,
        lambda count: TouchAndReturn(count, spec, pixels),
        lambda world: People(),
        description=(__doc__ or "").split("\n")[0],
    )


class TouchAndReturn(BatchedWorld):
    """State: position (B, 2), target (B, 2), touched (B,). Reward: 0.5 at the touch, 0.5 back home, which ends it."""

    def __init__(self, count: int, spec: Spec, pixels: int | None) -> None:
        super().__init__(count, spec, LIMIT)
        self.pixels = pixels

    def start(self, rng: np.random.Generator) -> State:
        angle, distance = rng.uniform(-np.pi / 4, np.pi / 4), rng.uniform(0.7, 1.0)
        target = distance * np.array([np.cos(angle), np.sin(angle)])
        return {
            "position": rng.uniform(-0.05, 0.05, 2) - (BEHIND, 0.0),
            "target": target,
            "touched": np.zeros((), bool),
        }

    def observe(self, state: State) -> Obs:
        obs = {"observation.state": np.concatenate([state["position"], state["target"]], 1).astype(np.float32)}
        if self.pixels:
            obs["observation.images.top"] = self.picture(state, self.pixels)
        return obs

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        position = np.clip(state["position"] + SPEED * np.clip(action, -1, 1), -1.2, 1.2)
        touched = state["touched"] | (np.linalg.norm(position - state["target"], axis=1) < REACH)
        back = touched & (np.linalg.norm(position, axis=1) < REACH)
        reward = 0.5 * (touched & ~state["touched"]) + 0.5 * back
        return {"position": position, "target": state["target"], "touched": touched}, reward, back, back

    def picture(self, state: State, side: int) -> Array:
        axis = np.linspace(-1.2, 1.2, side)
        grid = np.stack(np.meshgrid(axis, -axis), -1)[None]
        image = np.full((len(state["position"]), side, side, 3), 235, np.uint8)
        image[((grid - np.zeros((len(image), 1, 1, 2))) ** 2).sum(-1) < REACH**2] = (170, 170, 170)
        for key, radius, colour in (("target", REACH, (60, 160, 80)), ("position", 0.07, (40, 80, 200))):
            image[((grid - state[key][:, None, None]) ** 2).sum(-1) < radius**2] = colour
        return image


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
