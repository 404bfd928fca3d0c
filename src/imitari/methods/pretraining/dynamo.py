"""DynaMo: an encoder of frames from the dynamics of videos alone, without actions, changed pictures or negatives.

1. The encoder f embeds every frame of a window: s_1 ... s_h. An inverse dynamics model q, a causal transformer, reads
   them; its output at t + 1 is a narrow latent z_t of what changed from t to t + 1.
2. A forward dynamics model p, another, reads (s_t, z_t) and predicts s_{t+1}; the loss is 1 - cosine to the embedding
   itself without its gradient (SimSiam) or to that of a slow copy of f.
3. The squares of the off-diagonal entries of the embeddings' covariance are added, so that dimensions differ.
Cui, Pan, Iyer, Haldar & Pinto 2024, "DynaMo: In-Domain Dynamics Pretraining for Visuo-Motor Control", and its published
code. Ablations: `--forward no` predicts the present embedding in the place of the next (how the paper's was made is
reconstructed), `--inverse no` leaves z out, `--latent 128` has no bottleneck, `--lambda-cov 0`, `--stop-gradient no`,
`--window 2`; with true actions `--labels inverse` (the only loss) or `extra`.
Differs from the paper: encoder and pictures are small (`--preset paper`: ResNet-18), embeddings end in batch norm
(`--norm no` as there), pixels are scaled to [-1, 1] and not by ImageNet's statistics, the slow copy takes over batch
norm's statistics, which several processes do not share within a batch. Not here: a start from ImageNet, goal frames for
the policy, VQ-BeT as the policy, masked prediction of frames and actions (RPT) and the encoders from other data that it
is compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from imitari.core.batch import Batch
from imitari.core.spec import Spec
from imitari.learn.learner import Lagged, Learner
from imitari.learn.method import Schedule
from imitari.learn.optim import Optim
from imitari.learn.pretraining import RESNET_18, Pretrainer, Pretraining, collapse, covariance, embed
from imitari.nets.heads.actions import action_head, masked_mean
from imitari.nets.transformer import Transformer


@dataclass(frozen=True)
class DynaMo(Pretraining):
    window: int = 5  # frames h of a window
    skip: int = 1  # steps between its frames
    latent: int = 6  # size m of the transition latent: about the dimension of the state
    layers: int = 3  # of q and of p
    heads: int = 4  # of their attention
    inner: int = 96  # width of q and p
    dropout: float = 0.0  # in p
    lambda_cov: float = 0.04  # weight of the covariance term
    cov_scale: Literal["code", "paper"] = "code"  # mean of its squared entries, or their sum over D
    target: Literal["simsiam", "ema"] = "simsiam"  # the embedding without gradient, or that of a slow copy
    beta: float = 0.99  # of the slow copy at the beginning; 1 at the end
    slow_inverse: bool = False  # z from a slow copy of q, as released: q then never learns
    forward: bool = True  # predict the next embedding; no: the present one
    inverse: bool = True  # give p the latent of the transition
    stop_gradient: bool = True  # no gradient into the target
    labels: Literal["none", "inverse", "extra"] = "none"  # true actions: not used, the only loss, or added
    part_clip: float = 0.1  # bound on the norms of the gradients of f, q and p, each by itself; 0: none
    batch: int = 32  # windows a batch
    steps: int = 4_000  # optimiser steps
    lr: float = 1e-4  # peak learning rate
    weight_decay: float = 1e-6  # decoupled weight decay on matrices
    schedule: Schedule = "cosine"  # constant or cosine, for f and q; p is constant after the warm-up
    warmup: int = 500  # steps of linear increase of the rate

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"lr": 1e-3, "warmup": 200},
        "paper": {
            **RESNET_18, "latent": 8, "layers": 6, "heads": 6, "inner": 120, "batch": 64, "steps": 15_000,
            "warmup": 2_000,
        },
    }  # fmt: skip
    smoke: ClassVar[dict[str, Any]] = {
        "steps": 30, "batch": 8, "channels": (4, 8), "embedding": 16, "window": 3, "layers": 1, "heads": 2, "inner": 16,
        "warmup": 0, "lr": 1e-3,
    }  # fmt: skip

    @property
    def offsets(self) -> Sequence[int]:
        return range(0, self.window * self.skip, self.skip)

    @property
    def labelled(self) -> bool:
        return self.labels != "none"

    def optim(self) -> Optim:
        parts = ("encoder.", "inverse.", "forward_model.")
        return replace(super().optim(), parts=parts, part_clip=self.part_clip, steady=("forward_model.",))

    def learner(self, spec: Spec) -> Learner:
        return Dynamics(self, spec)


class Causal(nn.Module):
    """A causal transformer over the frames of one window: (N, T, inputs) to (N, T, outputs)."""

    def __init__(self, inputs: int, outputs: int, method: DynaMo, dropout: float = 0.0) -> None:
        super().__init__()
        self.inlet = nn.Linear(inputs, method.inner)
        self.place = nn.Parameter(0.02 * torch.randn(method.window, method.inner))
        self.body = Transformer(method.inner, method.heads, method.layers, 4 * method.inner, dropout)
        self.outlet = nn.Linear(method.inner, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.outlet(self.body(self.inlet(x) + self.place[: x.shape[1]], causal=True))


class Dynamics(Pretrainer):
    """Encoder f, inverse model q, forward model p."""

    def __init__(self, method: DynaMo, spec: Spec) -> None:
        super().__init__(method, spec)
        self.method = method
        width, latent = self.encoder.width, method.latent
        predicts = method.labels != "inverse"
        self.inverse = Causal(width, latent, method) if method.inverse or not predicts else None
        inputs = width + (latent if self.inverse else 0)
        self.forward_model = Causal(inputs, width, method, method.dropout) if predicts else None
        self.head = action_head("mse", latent, spec.action) if method.labelled else None
        self.slow = Lagged(self.encoder, 1 - method.beta) if predicts and method.target == "ema" else None
        slow = method.slow_inverse and self.slow is not None and self.inverse is not None
        self.slow_inverse = Lagged(self.inverse, 1 - method.beta) if slow and self.inverse is not None else None

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        clips = self.frames(batch)
        seen = embed(self.encoder, clips)
        terms: dict[str, Tensor] = {}
        changes = self.changes(seen)
        if self.forward_model is not None:
            terms["dynamics_loss"] = self.dynamics(seen, changes, self.targets(clips, seen))
            matrix = covariance(seen.flatten(0, 1))
            terms["covariance_loss"] = self.method.lambda_cov * off_diagonal(matrix, self.method.cov_scale)
            terms.update(collapse(seen.detach().flatten(0, 1), matrix.detach()))
        if self.head is not None and changes is not None:
            views = len(self.cameras)
            loss = self.head(changes).loss(torch.cat([batch.action] * views))
            terms["action_loss"] = masked_mean(loss, torch.cat([batch.valid] * views))
        return terms

    def changes(self, seen: Tensor) -> Tensor | None:
        """The latents z of t -> t + 1, (N, T - 1, m), from (N, T, D): the output of q where it sees t + 1."""
        model = self.slow_inverse or self.inverse
        return None if model is None else model(seen)[:, 1:]

    def dynamics(self, seen: Tensor, changes: Tensor | None, target: Tensor) -> Tensor:
        """Mean of 1 - cosine between what p predicts from (s_t, z_t) and the target (N, T, D) at t + 1."""
        assert self.forward_model is not None
        given = seen[:, :-1] if changes is None else torch.cat([seen[:, :-1], changes], -1)
        wanted = target[:, 1:] if self.method.forward else target[:, :-1]
        return (1 - functional.cosine_similarity(self.forward_model(given).float(), wanted, dim=-1)).mean()

    def targets(self, clips: Tensor, seen: Tensor) -> Tensor:
        """What is predicted: the embeddings (N, T, D) without gradient, or those of the slow copy."""
        if self.slow is None:
            return seen.detach() if self.method.stop_gradient else seen
        self.slower([copy for copy in (self.slow, self.slow_inverse) if copy is not None], self.method.beta)
        with torch.no_grad():
            return embed(self.slow.copy, clips)  # pyright: ignore[reportArgumentType]


def off_diagonal(matrix: Tensor, scale: Literal["code", "paper"]) -> Tensor:
    """Squared off-diagonal entries of (D, D): their mean ("code"), or sum over D ("paper"; Bardes et al. 2022)."""
    size = len(matrix)
    total = (matrix**2).sum() - (matrix.diagonal() ** 2).sum()
    return total / (size * (size - 1) if scale == "code" else size)
