"""Push-T: a round pusher brings a T-shaped block to its mark (gym-pusht, with human demonstrations)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.errors import UserError, missing_extra
from imitari.core.spec import Feature, Spec
from imitari.core.symmetry import Symmetry, reflection
from imitari.core.task import Task
from imitari.envs._lockstep import Lockstep

STATE, CORNERS, TOP = "observation.state", "observation.environment_state", "observation.images.top"
SIZE = 512.0  # px


def ids() -> list[str]:
    return [""]


def task(name: str = "", pixels: int | None = None, keypoints: bool = False, limit: int = 300) -> Task:
    """Reward min(coverage / 0.95, 1) a step; solved, and ended, at a coverage above 0.95.

    Args:
        pixels: also observe a picture from above of this side (96 in the published data).
        keypoints: also observe the eight corners of the block.
        limit: steps; 300 as in the published results.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pygame warns about pkg_resources
        try:
            from imitari.envs._pusht import Quick
        except ImportError as error:
            raise missing_extra("gym-pusht", "sim") from error
    spec = _spec(pixels, keypoints)
    return Task(
        "pusht",
        spec,
        limit,
        lambda count: PushT(Quick, count, spec, limit, Table(pixels, keypoints), seed_env=_start),
        description=(__doc__ or "").split("\n")[0],
        symmetries=(_mirror(),),
    )


def _mirror() -> Symmetry:
    """Reflection at the anti-diagonal, the axis of the mark: table, block and mark are their own mirror images."""
    swap, offset = np.array([[0.0, -1.0], [-1.0, 0.0]]), np.full(2, SIZE)
    state = reflection(2, swap, offset, angle=(-1.0, np.pi / 2))
    return Symmetry("mirror", {STATE: state}, reflection(1, swap, offset))


def _spec(pixels: int | None, keypoints: bool) -> Spec:
    names = ("agent_x", "agent_y", "block_x", "block_y", "block_angle")
    high = (SIZE,) * 4 + (2 * np.pi,)
    obs = {STATE: Feature((5,), names=names, unit="px, rad", low=(0.0,) * 5, high=high, periodic=(4,))}
    if keypoints:
        corners = tuple(f"corner{number}_{axis}" for number in range(8) for axis in "xy")
        obs[CORNERS] = Feature((16,), names=corners, unit="px", low=(0.0,) * 16, high=(SIZE,) * 16)
    if pixels:
        obs[TOP] = Feature((pixels, pixels, 3), "uint8", "image")
    action = Feature((2,), names=("target_x", "target_y"), unit="px", low=(0.0, 0.0), high=(SIZE, SIZE))
    return Spec(obs, action)


def _start(env: Any, seed: int) -> Array:
    env.reset(seed=seed)
    return env.state()


class PushT(Lockstep):
    """`reset(options={"state": (B, 5)})` starts at given states instead of seeded ones."""

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Obs, dict[str, Any]]:
        states = (options or {}).get("state")
        if states is None:
            return super().reset(seed=seed)
        if np.shape(states) != (self.num_envs, 5):
            raise UserError(f"start states have shape {np.shape(states)}: this world needs ({self.num_envs}, 5)")
        given, seeded = iter(np.asarray(states, np.float64)), self._seed_env
        self._seed_env = lambda env, seed: env.start_at(next(given))
        try:
            return super().reset(seed=0)
        finally:
            self._seed_env = seeded


@dataclass
class Table:
    """Our names for the environment's state, corners and picture."""

    pixels: int | None
    keypoints: bool

    def observe(self, env: Any, raw: Array) -> Obs:
        obs: Obs = {STATE: raw.astype(np.float32)}
        if self.keypoints:
            obs[CORNERS] = env.keypoints().astype(np.float32)
        if self.pixels:
            obs[TOP] = env.picture(self.pixels)
        return obs

    def succeeded(self, env: Any, info: dict[str, Any], terminated: bool, reward: float) -> bool:
        return bool(info["is_success"])
