"""Flat gymnasium environments under our names: what the suites of single environments share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.core.task import Actor, Task, World
from imitari.envs._lockstep import Lockstep
from imitari.envs._rendering import Renderer, backend

STATE, GOAL, ACHIEVED = "observation.state", "observation.goal", "observation.achieved_goal"
FREE = "view"  # name of the image of the free camera


def action_feature(space: Any) -> Feature:
    """The feature of a gymnasium action space.

    Raises:
        UserError: for spaces other than flat boxes and discrete ones.
    """
    if isinstance(space, gym.spaces.Discrete) and int(space.start) == 0:
        return Feature((1,), "int64", "choice", low=(0,), high=(int(space.n) - 1,))
    if not isinstance(space, gym.spaces.Box) or len(space.shape) != 1:
        raise UserError(f"actions of kind {space} are not supported: choose a task with a flat box or discrete ones")
    low, high = (tuple(float(value) for value in bound) for bound in (space.low, space.high))
    bounded = bool(np.isfinite([*low, *high]).all())
    return Feature(tuple(space.shape), low=low if bounded else None, high=high if bounded else None)


def state_feature(space: Any) -> Feature:
    """The feature of a gymnasium observation space, flattened.

    Raises:
        UserError: for spaces other than boxes of numbers.
    """
    if not isinstance(space, gym.spaces.Box) or len(space.shape) > 2:
        raise UserError(f"observations of kind {space} are not supported: choose a task with flat numbers")
    return Feature((int(np.prod(space.shape)),))


def image_features(cameras: tuple[str | int, ...], pixels: int | None) -> dict[str, Feature]:
    """One image feature a camera; nothing without `pixels`."""
    if not pixels:
        return {}
    backend()
    return {image_key(camera): Feature((pixels, pixels, 3), "uint8", "image") for camera in cameras}


def image_key(camera: str | int) -> str:
    name = FREE if camera == -1 else camera
    return f"observation.images.{name}"


@dataclass
class Flat:
    """Box observations as `observation.state`, goal dictionaries as state and goal; images of MuJoCo cameras.

    Attributes:
        pixels: side of images, or None.
        cameras: names or numbers; -1 is the free camera.
        achieved: also observe the achieved goal.
        physics: environment -> (model, data).
    """

    pixels: int | None = None
    cameras: tuple[str | int, ...] = ()
    achieved: bool = False
    physics: Callable[[Any], tuple[Any, Any]] = lambda env: (env.unwrapped.model, env.unwrapped.data)
    _renderer: Renderer | None = dataclasses.field(default=None, repr=False)

    def observe(self, env: Any, raw: Any) -> Obs:
        if isinstance(raw, dict):
            obs: Obs = {STATE: flat(raw["observation"]), GOAL: flat(raw["desired_goal"])}
            if self.achieved:
                obs[ACHIEVED] = flat(raw["achieved_goal"])
        else:
            obs = {STATE: flat(raw)}
        if self.pixels:
            model, data = self.physics(env)
            self._renderer = self._renderer or Renderer(model, self.pixels)
            for camera in self.cameras:
                obs[image_key(camera)] = self._renderer.image(model, data, camera)
        return obs

    def succeeded(self, env: Any, info: dict[str, Any], terminated: bool, reward: float) -> bool:
        return bool(info.get("success", info.get("is_success", False)))


class Scored(gym.Wrapper):  # pyright: ignore[reportMissingTypeArgument]
    """Judges an episode by its return, at its end, where the environment has no verdict of its own.

    Args:
        env: the environment.
        limit: steps after which an episode ends.
        threshold: least return of a solved episode; None: none is.
    """

    def __init__(self, env: Any, limit: int, threshold: float | None) -> None:
        super().__init__(env)
        self.limit, self.threshold, self.total, self.steps = limit, threshold, 0.0, 0

    def reset(self, **kwargs: Any) -> Any:
        self.total, self.steps = 0.0, 0
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> Any:
        raw, reward, terminated, truncated, info = self.env.step(action)
        self.total, self.steps = self.total + float(reward), self.steps + 1
        over = terminated or truncated or self.steps >= self.limit
        if not {"success", "is_success"} & set(info):
            info = {**info, "success": over and self.threshold is not None and self.total >= self.threshold}
        return raw, reward, terminated, truncated, info


def flat(value: Any) -> Array:
    """float32 (n,)."""
    return np.asarray(value, np.float32).reshape(-1)


def single_task(
    name: str,
    make: Callable[[], Any],
    spec: Spec,
    limit: int,
    adapter: Callable[[], Flat],
    *,
    expert_for: Callable[[World], Actor] | None = None,
    end_at_success: bool = False,
    description: str = "",
) -> Task:
    """A task of separate environments made by `make`."""
    return Task(
        name,
        spec,
        limit,
        lambda count: Lockstep(make, count, spec, limit, adapter(), end_at_success=end_at_success),
        expert_for,
        success_ends=end_at_success,
        description=description,
    )
