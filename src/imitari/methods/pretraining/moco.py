"""MoCo: an encoder that recognises a picture, changed otherwise, among the others of the batch.

1. A frame is changed twice at random. Queries come from encoder, projector and predictor, keys from slow copies of the
   first two.
2. The loss is the symmetric InfoNCE: each query is to find the key of its own frame among those of the whole batch
   (times twice the temperature).
3. `--temporal K` takes the second version from the frame up to K steps later.
Chen, Xie & He 2021, "An Empirical Study of Training Self-Supervised Vision Transformers" (MoCo v3; there is no queue).
Differs from it: a small convolutional network, AdamW with small batches, gentler changes of pictures (see byol).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from imitari.core.batch import Batch
from imitari.core.spec import Spec
from imitari.learn.learner import Lagged, Learner
from imitari.learn.method import Schedule
from imitari.learn.pretraining import (
    RESNET_18,
    Pretrainer,
    Pretraining,
    collapse,
    covariance,
    head,
    info_nce,
    two_frames,
)
from imitari.nets.distortion import Distortion


@dataclass(frozen=True)
class Moco(Pretraining):
    temporal: int = 0  # steps that the second frame may be later; 0: the same frame
    temperature: float = 0.2  # of the softmax over the batch
    projection: int = 64  # width of what is compared
    inner: int = 256  # width of projector and predictor
    beta: float = 0.99  # decay of the slow copy at the beginning; 1 at the end
    shift: float = 0.1  # random move of pictures, as a share of the side
    scale: float = 0.2  # random zoom, as a share of the size
    colour: float = 0.4  # random brightness, contrast and saturation
    grey: float = 0.2  # share of pictures that lose their colours
    batch: int = 128  # frames a batch
    steps: int = 4_000  # optimiser steps
    lr: float = 1e-3  # peak learning rate
    weight_decay: float = 1e-6  # decoupled weight decay on matrices
    schedule: Schedule = "cosine"  # constant or cosine
    warmup: int = 200  # steps of linear increase of the rate

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {},
        "paper": {**RESNET_18, "projection": 256, "inner": 4096, "scale": 0.5, "batch": 1024},
    }
    smoke: ClassVar[dict[str, Any]] = {
        "steps": 30, "batch": 8, "channels": (4, 8), "embedding": 16, "projection": 8, "inner": 16, "warmup": 0,
    }  # fmt: skip

    @property
    def offsets(self) -> Sequence[int]:
        return range(1 + self.temporal)

    def learner(self, spec: Spec) -> Learner:
        return Contrast(self, spec)


class Contrast(Pretrainer):
    """Encoder, projector, predictor; slow copies of the first two."""

    def __init__(self, method: Moco, spec: Spec) -> None:
        super().__init__(method, spec)
        self.method = method
        self.projector = head(self.encoder.width, method.inner, method.projection)
        self.predictor = head(method.projection, method.inner, method.projection)
        self.slow = Lagged(nn.Sequential(self.encoder, self.projector), 1 - method.beta)
        self.distort = Distortion(method.shift, method.scale, method.colour, method.grey)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        self.slower([self.slow], self.method.beta)
        first, second = two_frames(self.frames(batch))
        both = torch.cat([self.distort(first), self.distort(second)]).flatten(0, 1)
        seen = self.encoder(both).float()
        with torch.no_grad():
            key = self.slow(both).float().chunk(2)
        query = self.predictor(self.projector(seen)).chunk(2)
        temperature = self.method.temperature
        loss = info_nce(query[0], key[1], temperature) + info_nce(query[1], key[0], temperature)
        return {"contrast_loss": 2 * temperature * loss, **collapse(seen.detach(), covariance(seen.detach()))}
