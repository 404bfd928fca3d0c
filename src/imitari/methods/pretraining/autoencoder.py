"""Autoencoder: an encoder from whose vector the picture can be drawn again, whole or where patches were hidden.

1. The encoder gives one vector; a decoder of transposed convolutions draws the frame from it.
2. The loss is the mean squared error of all pixels, in [-1, 1].
3. `--masked 0.75` hides that share of square patches from the encoder, and only they count in the loss.
Hinton & Salakhutdinov 2006; step 3 after He et al. 2022, "Masked Autoencoders Are Scalable Vision Learners", of which
it keeps the task but not the transformer that leaves hidden patches out: they are grey here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from imitari.core.batch import Batch
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.learn.learner import Learner
from imitari.learn.method import Schedule
from imitari.learn.pretraining import RESNET_18, Pretrainer, Pretraining, collapse, covariance
from imitari.nets.frames import pixels

GREY = 128


@dataclass(frozen=True)
class Autoencoder(Pretraining):
    masked: float = 0.0  # share of patches that are hidden from the encoder
    patch: int = 8  # side of a patch in pixels
    batch: int = 64  # frames a batch
    steps: int = 4_000  # optimiser steps
    lr: float = 1e-3  # peak learning rate
    weight_decay: float = 1e-6  # decoupled weight decay on matrices
    schedule: Schedule = "cosine"  # constant or cosine
    warmup: int = 200  # steps of linear increase of the rate

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {},
        "paper": {**RESNET_18, "masked": 0.75, "patch": 16, "lr": 1.5e-4, "weight_decay": 0.05},
    }
    smoke: ClassVar[dict[str, Any]] = {"steps": 30, "batch": 8, "channels": (4, 8), "embedding": 16, "warmup": 0}

    def __post_init__(self) -> None:
        if not 0 <= self.masked < 1:
            raise UserError(f"masked is {self.masked}: it must be at least 0 and below 1")

    def learner(self, spec: Spec) -> Learner:
        return Redrawing(self, spec)


class Redrawing(Pretrainer):
    """Encoder and decoder."""

    def __init__(self, method: Autoencoder, spec: Spec) -> None:
        super().__init__(method, spec)
        self.method = method
        channels, height, width = self.encoder.maps
        self.inlet = nn.Linear(self.encoder.width, channels * height * width)
        sizes = [channels, *reversed(method.channels), method.channels[0]]
        layers: list[nn.Module] = [nn.Unflatten(1, (channels, height, width))]
        for number in range(1, len(sizes)):
            layers += [
                nn.ConvTranspose2d(sizes[number - 1], sizes[number], 4, 2, 1, bias=False),
                nn.BatchNorm2d(sizes[number]),
                nn.ReLU(inplace=True),
            ]
        self.decoder = nn.Sequential(*layers, nn.Conv2d(sizes[-1], self.encoder.shape[2], 3, 1, 1))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        frames = self.frames(batch).flatten(0, 1)
        hidden = self.hidden(frames)
        shown = frames if hidden is None else frames.masked_fill(hidden[..., None], GREY)
        seen = self.encoder(shown).float()
        error = (self.drawn(seen) - pixels(frames).float()) ** 2
        loss = error.mean() if hidden is None else (error.mean(1) * hidden).sum() / hidden.sum()
        return {"pixel_loss": loss, **collapse(seen.detach(), covariance(seen.detach()))}

    def drawn(self, seen: Tensor) -> Tensor:
        """Vectors (N, D) to frames (N, channels, height, width) in [-1, 1]."""
        height, width = self.encoder.shape[:2]
        frame = self.decoder(functional.relu(self.inlet(seen))).float()
        return frame[:, :, :height, :width]  # halving rounds up, so that the last rows may lie outside

    def hidden(self, frames: Tensor) -> Tensor | None:
        """(N, height, width) which pixels are hidden: the same number of patches in every frame; None: nothing is."""
        if not self.method.masked:
            return None
        height, width = frames.shape[1:3]
        patch = self.method.patch
        rows, columns = -(-height // patch), -(-width // patch)
        count = round(self.method.masked * rows * columns)
        rank = torch.rand(len(frames), rows * columns).argsort(1).argsort(1)
        grid = (rank < count).view(-1, rows, columns).to(frames.device)
        return grid.repeat_interleave(patch, 1).repeat_interleave(patch, 2)[:, :height, :width]
