"""Time-contrastive network: an encoder for which near moments of one video are alike and far ones differ.

1. A window holds frames of one episode, `spread` steps apart, and for each a second frame `near` steps later: moments
   that are too near to be told apart.
2. Each frame is to find its near one among all frames of the window; that the negatives come from the same video leaves
   time, and not the scene, to tell them by (InfoNCE).
3. With several cameras, `--views yes` takes the same moment seen by the next camera as the near frame.
Sermanet et al. 2018, "Time-Contrastive Networks: Self-Supervised Learning from Video". Differs from it: InfoNCE over
the window in the place of triplets, small encoders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from imitari.core.batch import Batch
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.learn.learner import Learner
from imitari.learn.method import Schedule
from imitari.learn.pretraining import RESNET_18, Pretrainer, Pretraining, collapse, covariance, embed


@dataclass(frozen=True)
class TimeContrast(Pretraining):
    moments: int = 4  # of a window, to be told apart
    spread: int = 6  # steps between them
    near: int = 1  # steps to the frame that is alike
    views: bool = False  # alike is the same moment seen by the next camera
    temperature: float = 0.1  # of the softmax over the window
    batch: int = 32  # windows a batch
    steps: int = 4_000  # optimiser steps
    lr: float = 1e-3  # peak learning rate
    weight_decay: float = 1e-6  # decoupled weight decay on matrices
    schedule: Schedule = "cosine"  # constant or cosine
    warmup: int = 200  # steps of linear increase of the rate

    presets: ClassVar[dict[str, dict[str, Any]]] = {"small": {}, "paper": {**RESNET_18}}
    smoke: ClassVar[dict[str, Any]] = {
        "steps": 30, "batch": 8, "channels": (4, 8), "embedding": 16, "moments": 3, "spread": 3, "warmup": 0,
    }  # fmt: skip

    @property
    def offsets(self) -> Sequence[int]:
        moments = range(0, self.moments * self.spread, self.spread)
        return list(moments) if self.views else [at for moment in moments for at in (moment, moment + self.near)]

    def learner(self, spec: Spec) -> Learner:
        return Moments(self, spec)


class Moments(Pretrainer):
    """The encoder alone."""

    def __init__(self, method: TimeContrast, spec: Spec) -> None:
        super().__init__(method, spec)
        if method.views and len(self.cameras) < 2:
            raise UserError(f"--views yes needs several cameras, and there is {len(self.cameras)}: leave it out")
        self.method = method

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        seen = embed(self.encoder, self.frames(batch))
        if self.method.views:
            anchor, alike = seen, seen.roll(len(seen) // len(self.cameras), 0)
        else:
            anchor, alike = seen[:, ::2], seen[:, 1::2]
        terms = {"contrast_loss": self.told_apart(anchor, alike)}
        flat = seen.detach().flatten(0, 1)
        return {**terms, **collapse(flat, covariance(flat))}

    def told_apart(self, anchor: Tensor, alike: Tensor) -> Tensor:
        """InfoNCE within each of N windows: frames (N, T, D), of which the t-th of both belong together."""
        scores = functional.normalize(anchor, dim=-1) @ functional.normalize(alike, dim=-1).transpose(1, 2)
        right = torch.arange(scores.shape[1], device=scores.device).repeat(len(scores))
        return functional.cross_entropy((scores / self.method.temperature).flatten(0, 1), right)
