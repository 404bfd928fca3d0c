"""Temporal cycle-consistency: a frame's soft nearest neighbour in another video leads back to the frame.

Dwibedi, Aytar, Tompson, Sermanet & Zisserman 2019, "Temporal Cycle-Consistency Learning", sections 3.2 and 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

CycleLoss = Literal["regression", "variance", "huber", "classification"]
VARIANCE_WEIGHT = 0.001  # of the log of the variance
HUBER = 0.1  # error at which a square becomes a line
SMOOTHING = 0.1  # share of the label that is spread over all frames


@dataclass(frozen=True)
class Cycles:
    """Ways of frames of B videos through other videos and back; P = B (B - 1) ordered pairs of videos.

    Attributes:
        logits: (P, n, n) of the frame of the first video to which a frame of it is led back.
        time: (P, n) of the frames of the first video.
    """

    logits: Tensor
    time: Tensor

    def predicted(self) -> tuple[Tensor, Tensor]:
        """(P, n) mean and variance of the time to which each frame is led back."""
        chance = self.logits.softmax(-1)
        mean = (chance * self.time[:, None]).sum(-1)
        return mean, (chance * (self.time[:, None] - mean[..., None]) ** 2).sum(-1)

    def error(self) -> Tensor:
        """Mean distance in time, as a share of the video, between a frame and where it is led back."""
        return (self.predicted()[0] - self.time).abs().mean()

    def loss(self, kind: CycleLoss) -> Tensor:
        """Mean over pairs and frames of one of: squared error of the time ("regression"); the same over the variance,
        with a penalty on its log ("variance"); Huber's error; cross-entropy of the frame ("classification")."""
        if kind == "classification":
            right = torch.arange(self.logits.shape[-1], device=self.logits.device).repeat(len(self.logits))
            return functional.cross_entropy(self.logits.flatten(0, 1), right, label_smoothing=SMOOTHING)
        mean, variance = self.predicted()
        if kind == "huber":
            return functional.huber_loss(mean, self.time, delta=HUBER)
        squared = (mean - self.time) ** 2
        if kind == "regression":
            return squared.mean()
        log = variance.clamp(min=1e-8).log()
        return (torch.exp(-log) * squared + VARIANCE_WEIGHT * log).mean()


def cycles(vectors: Tensor, time: Tensor, temperature: float) -> Cycles:
    """All ordered pairs of different videos at once.

    Args:
        vectors: (B, n, d) of n frames of each video; likeness is minus the squared distance over d * temperature.
        time: (B, n) of the frames.
        temperature: of both softmaxes.
    """
    count, _, size = vectors.shape
    vectors = vectors.float()
    flat = vectors.flatten(0, 1)
    scale = size * temperature
    there = (-_squared(flat, flat) / scale).unflatten(0, vectors.shape[:2]).unflatten(2, vectors.shape[:2])
    # [i, k, j, l]: frame l of video j, seen from frame k of video i
    met = torch.einsum("ikjl,jld->ijkd", there.softmax(-1), vectors)
    first, second = (~torch.eye(count, dtype=torch.bool, device=vectors.device)).nonzero(as_tuple=True)
    own = vectors[first]
    back = -_squared(met[first, second], own) / scale
    return Cycles(back, time.float()[first])


def _squared(one: Tensor, other: Tensor) -> Tensor:
    """Squared distances (..., k, d) and (..., m, d) to (..., k, m)."""
    lengths = (one**2).sum(-1)[..., :, None] + (other**2).sum(-1)[..., None, :]
    return (lengths - 2 * one @ other.transpose(-1, -2)).clamp(min=0)
