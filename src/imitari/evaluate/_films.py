"""Rollouts as pictures: the frames of a few episodes, packed into one image each that plays without a script."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imitari.core.episode import Array, Episode
from imitari.core.errors import UserError
from imitari.core.interaction import interact
from imitari.core.task import Actor, Task

FRAMES = 24
SIDE = 128


@dataclass(frozen=True)
class Film:
    """Attributes:
    start: seed of the start.
    success: as judged by the environment.
    steps: length of the episode.
    frames: uint8 (N, side, side, 3), evenly spread over the episode.
    """

    start: int
    success: bool
    steps: int
    frames: Array


def record(actor: Actor, task: Task, starts: Sequence[int]) -> list[Film]:
    """Films of an actor, one a start.

    Raises:
        Missing: no graphics library, with what to install.
        UserError: the task has no pictures.
    """
    cameras = list(task.spec.images)
    if not cameras:
        raise UserError(f"task '{task.name}' has no camera")
    world = task.make(len(starts))
    try:
        episodes = interact(actor, world, starts)
    finally:
        world.close()
    return [film_of(episode, cameras[0]) for episode in episodes]


def film_of(episode: Episode, camera: str) -> Film:
    """A few frames of a recorded episode."""
    frames = episode.obs[camera]
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(FRAMES, len(frames))).round().astype(int))
    return Film(int(episode.source["seed"]), bool(episode.success), len(episode), frames[chosen])


def strip_of(film: Film) -> bytes:
    """The frames side by side (JPEG)."""
    from PIL import Image

    row = np.concatenate(list(film.frames), axis=1)
    buffer = io.BytesIO()
    Image.fromarray(row).save(buffer, format="JPEG", quality=82)
    return buffer.getvalue()


def sprite(film: Film) -> str:
    """The frames side by side as a data URI."""
    return "data:image/jpeg;base64," + base64.b64encode(strip_of(film)).decode()
