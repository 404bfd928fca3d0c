"""Worlds of a point on a plane with one mark to go to: state, motion, picture; each world adds start and rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.spec import Feature, Spec
from imitari.envs._batched import BatchedWorld, State

SPEED = 0.08  # distance a step at full action
REACH = 0.1  # of a mark
EDGE = 1.2  # of the plane: [-EDGE, EDGE]^2

Colour = tuple[int, int, int]
GREY, GREEN, BLUE = (170, 170, 170), (60, 160, 80), (40, 80, 200)


@dataclass(frozen=True)
class Disc:
    """Something round in the picture: where and how large (keys of the state, or fixed), which colour."""

    place: str | tuple[float, float]
    radius: str | float
    colour: Colour


def plane_spec(mark: str, pixels: int | None) -> Spec:
    """Position and mark as `observation.state` (4,), optionally a picture from above; the action is a velocity (2,)."""
    obs = {"observation.state": Feature((4,), names=("x", "y", f"{mark}_x", f"{mark}_y"))}
    if pixels:
        obs["observation.images.top"] = Feature((pixels, pixels, 3), "uint8", "image")
    return Spec(obs, Feature((2,), names=("velocity_x", "velocity_y"), low=(-1.0, -1.0), high=(1.0, 1.0)))


class PlaneWorld(BatchedWorld):
    """State: `position` (B, 2) and `mark` (B, 2), and what a world adds.

    Args:
        discs: what is drawn, from the back to the front, besides the point itself.
        pixels: side of the observed picture; None: no picture.
    """

    def __init__(self, count: int, spec: Spec, limit: int, discs: tuple[Disc, ...], pixels: int | None) -> None:
        super().__init__(count, spec, limit)
        self.discs, self.pixels = (*discs, Disc("position", 0.08, BLUE)), pixels

    def observe(self, state: State) -> Obs:
        obs = {"observation.state": np.concatenate([state["position"], state["mark"]], 1).astype(np.float32)}
        if self.pixels:
            obs["observation.images.top"] = self.picture(state, self.pixels)
        return obs

    @staticmethod
    def moved(position: Array, action: Array) -> Array:
        """Where points (B, 2) are after actions (B, 2)."""
        return np.clip(position + SPEED * np.clip(action, -1, 1), -EDGE, EDGE)

    def picture(self, state: State, side: int) -> Array:
        return drawn(self.discs, state, side, (-EDGE, EDGE))


def drawn(discs: Sequence[Disc], state: State, side: int, edges: tuple[float, float]) -> Array:
    """uint8 (B, side, side, 3): discs over one another, seen from above, on the square between `edges`."""
    axis = np.linspace(*edges, side)
    grid = np.stack(np.meshgrid(axis, axis[::-1]), -1)[None]
    count = len(state["position"])
    image = np.full((count, side, side, 3), 235, np.uint8)
    for disc in discs:
        place = state[disc.place] if isinstance(disc.place, str) else np.broadcast_to(disc.place, (count, 2))
        radius = state[disc.radius] if isinstance(disc.radius, str) else np.full(count, disc.radius)
        image[((grid - place[:, None, None]) ** 2).sum(-1) < radius[:, None, None] ** 2] = disc.colour
    return image


def towards(position: Array, aim: Array) -> Array:
    """Actions (B, 2) that lead from `position` (B, 2) straight to `aim` (B, 2), at full speed until it is near."""
    way = (aim - position).astype(np.float64)
    return (way / np.maximum(np.linalg.norm(way, axis=1, keepdims=True), SPEED)).astype(np.float32)
