"""BYOL: an encoder whose view of a picture predicts a slow copy's view of the same picture, changed otherwise.

1. A frame is changed twice at random (moved, scaled, colours). The encoder and a projector see one version, slow copies
   of both the other.
2. A predictor maps the first projection to the second; the loss is twice 1 - cosine, summed over both orders. No
   negatives: the slow copy and the predictor keep it from collapsing.
3. `--temporal K` takes the second version from the frame up to K steps later (BYOL-T).
Grill et al. 2020, "Bootstrap Your Own Latent", and for step 3 Cui et al. 2024 (DynaMo), who compare with it.
Differs from it: AdamW for LARS, small encoders and changes of pictures that suit them: no blur and no flips; crops are
moves and zooms whose outside repeats the border.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from imitari.core.batch import Batch
from imitari.core.spec import Spec
from imitari.learn.learner import Lagged, Learner
from imitari.learn.method import Schedule
from imitari.learn.pretraining import RESNET_18, Pretrainer, Pretraining, collapse, covariance, head, two_frames
from imitari.nets.distortion import Distortion


@dataclass(frozen=True)
class Byol(Pretraining):
    temporal: int = 0  # steps that the second frame may be later; 0: the same frame
    projection: int = 64  # width of what is predicted
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
        "paper": {**RESNET_18, "projection": 256, "inner": 4096, "beta": 0.996, "scale": 0.5, "batch": 256},
    }
    smoke: ClassVar[dict[str, Any]] = {
        "steps": 30, "batch": 8, "channels": (4, 8), "embedding": 16, "projection": 8, "inner": 16, "warmup": 0,
    }  # fmt: skip

    @property
    def offsets(self) -> Sequence[int]:
        return range(1 + self.temporal)

    def learner(self, spec: Spec) -> Learner:
        return Bootstrap(self, spec)


class Bootstrap(Pretrainer):
    """Encoder, projector, predictor; slow copies of the first two."""

    def __init__(self, method: Byol, spec: Spec) -> None:
        super().__init__(method, spec)
        self.method = method
        self.projector = head(self.encoder.width, method.inner, method.projection)
        self.predictor = head(method.projection, method.inner, method.projection)
        seen = nn.Sequential(self.encoder, self.projector)
        self.slow = Lagged(seen, 1 - method.beta)
        self.distort = Distortion(method.shift, method.scale, method.colour, method.grey)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        self.slower([self.slow], self.method.beta)
        first, second = two_frames(self.frames(batch))
        both = torch.cat([self.distort(first), self.distort(second)]).flatten(0, 1)
        seen = self.encoder(both).float()
        with torch.no_grad():
            wanted = self.slow(both).float().chunk(2)
        guessed = self.predictor(self.projector(seen)).float().chunk(2)
        loss = sum(
            (2 - 2 * functional.cosine_similarity(guess, aim.detach(), dim=1)).mean()
            for guess, aim in zip(guessed, reversed(wanted), strict=True)
        )
        return {"prediction_loss": torch.as_tensor(loss), **collapse(seen.detach(), covariance(seen.detach()))}
