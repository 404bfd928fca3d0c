"""Frames of whole videos: some moments of each, drawn at random, in the order of time."""

from __future__ import annotations

import numpy as np

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.episode import ACTION, Array

TIME = "time"  # extra of a batch: (B, n) number of the frame over the length of its video


class Moments:
    """Sample number e: `count` frames of episode e with the actions taken there, in order, each with what came before.

    Frames are drawn uniformly without replacement; of a video with fewer frames each is drawn before any is a second
    time. Batches hold observations (B, count * context, ...), the context of a frame side by side with the frame last,
    actions (B, count, ...) and `extra["time"]` (B, count) in [0, 1).

    Args:
        demos: where from.
        count: frames of a video.
        context: frames that end with the drawn one.
        stride: steps between these; before the first frame of the video stands the first.
    """

    def __init__(self, demos: Demos, count: int, context: int = 1, stride: int = 1) -> None:
        self.demos, self.count = demos, count
        self.before = np.arange(1 - context, 1) * stride

    def __len__(self) -> int:
        return len(self.demos)

    def gather(self, index: Array, rng: np.random.Generator) -> Batch:
        table, columns = self.demos.table, self.demos.columns
        start, length = table.start[index][:, None], table.length[index][:, None]
        step = self.drawn(length, rng)
        return Batch(
            obs={key: columns[key].take(start + self.seen(step)) for key in self.demos.spec.obs},
            action=columns[ACTION].take(start + step),
            extra={TIME: (step / length).astype(np.float32)},
        )

    def seen(self, step: Array) -> Array:
        """Steps (B, n) to the steps (B, n * context) of their contexts."""
        return np.maximum(step[..., None] + self.before, 0).reshape(len(step), -1)

    def drawn(self, length: Array, rng: np.random.Generator) -> Array:
        """(B, count) steps of videos of `length` (B, 1)."""
        place = np.arange(max(int(length.max()), self.count))
        turn, step = np.divmod(place, length)
        order = np.argsort(turn + rng.random(step.shape), axis=1)[:, : self.count]
        return np.sort(np.take_along_axis(step, order, 1), axis=1)
