"""Regression, Gaussian, mixture and categorical heads over action chunks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from imitari.core.spec import Feature


class Prediction(Protocol):
    """What a head says about an action (..., A)."""

    def loss(self, target: Tensor) -> Tensor:
        """Per-element loss, shape (...): negative log-likelihood, or squared error for a point."""
        ...

    def sample(self) -> Tensor: ...

    @property
    def mode(self) -> Tensor: ...


@dataclass
class Point:
    """A single action: squared error, summed over its dimensions."""

    mean: Tensor

    def loss(self, target: Tensor) -> Tensor:
        return ((self.mean.float() - target) ** 2).sum(-1)

    def sample(self) -> Tensor:
        return self.mean

    @property
    def mode(self) -> Tensor:
        return self.mean


@dataclass
class Mixture:
    """A mixture of diagonal Gaussians.

    Attributes:
        logits: (..., M). means, scales: (..., M, A).
    """

    logits: Tensor
    means: Tensor
    scales: Tensor

    def loss(self, target: Tensor) -> Tensor:
        """-log sum_m w_m prod_d N(a_d; mu_md, sigma_md)."""
        normal = torch.distributions.Normal(self.means.float(), self.scales.float())
        inside = normal.log_prob(target.unsqueeze(-2)).sum(-1)
        return -torch.logsumexp(functional.log_softmax(self.logits.float(), -1) + inside, -1)

    def sample(self) -> Tensor:
        """Low-noise sampling: a component by its weight, then its mean (Mandlekar et al. 2021, evaluation)."""
        weight = functional.softmax(self.logits.float(), -1)
        chosen = torch.multinomial(weight.flatten(0, -2), 1).view(*weight.shape[:-1], 1, 1)
        return torch.take_along_dim(self.means, chosen, -2).squeeze(-2)

    @property
    def mode(self) -> Tensor:
        """The mean of the heaviest component."""
        chosen = self.logits.argmax(-1)[..., None, None]
        return torch.take_along_dim(self.means, chosen, -2).squeeze(-2)


@dataclass
class Choice:
    """A categorical distribution: logits (..., K), values (..., 1) integers."""

    logits: Tensor

    def loss(self, target: Tensor) -> Tensor:
        flat = functional.cross_entropy(self.logits.float().flatten(0, -2), target.long().flatten(), reduction="none")
        return flat.view(self.logits.shape[:-1])

    def sample(self) -> Tensor:
        weight = functional.softmax(self.logits.float(), -1)
        return torch.multinomial(weight.flatten(0, -2), 1).view(*weight.shape[:-1], 1)

    @property
    def mode(self) -> Tensor:
        return self.logits.argmax(-1, keepdim=True)


class PointHead(nn.Module):
    """Features (..., F) to a point (..., A).

    Args:
        squash: through tanh (actions scaled to [-1, 1]).
    """

    def __init__(self, features: int, size: int, squash: bool = False) -> None:
        super().__init__()
        self.squash = squash
        self.out = nn.Linear(features, size)

    def forward(self, features: Tensor) -> Point:
        out = self.out(features)
        return Point(torch.tanh(out) if self.squash else out)


class MixtureHead(nn.Module):
    """Features (..., F) to a Gaussian mixture over (..., A).

    Args:
        modes: components M.
        least: lower bound on the scales.
        squash: means through tanh (actions scaled to [-1, 1]).
    """

    def __init__(self, features: int, size: int, modes: int = 5, least: float = 1e-4, squash: bool = True) -> None:
        super().__init__()
        self.size, self.modes, self.least, self.squash = size, modes, least, squash
        self.out = nn.Linear(features, modes * (2 * size + 1))

    def forward(self, features: Tensor) -> Mixture:
        out = self.out(features).float()
        logits, means, scales = out.split([self.modes, self.modes * self.size, self.modes * self.size], -1)
        shape = (*features.shape[:-1], self.modes, self.size)
        means = means.view(shape)
        return Mixture(
            logits, torch.tanh(means) if self.squash else means, functional.softplus(scales.view(shape)) + self.least
        )


class ChoiceHead(nn.Module):
    """Features (..., F) to a categorical distribution."""

    def __init__(self, features: int, choices: int) -> None:
        super().__init__()
        self.out = nn.Linear(features, choices)

    def forward(self, features: Tensor) -> Choice:
        return Choice(self.out(features))


def action_head(kind: str, features: int, action: Feature, modes: int = 5) -> nn.Module:
    """The head for an action feature: "mse", "tanh" (squashed, squared error) or "gmm" for numbers; a choice always
    gets a categorical head."""
    if action.kind == "choice":
        return ChoiceHead(features, action.choices)
    if kind == "gmm":
        return MixtureHead(features, action.size, modes)
    return PointHead(features, action.size, squash=kind == "tanh")


def masked_mean(value: Tensor, valid: Tensor | None) -> Tensor:
    """Mean over the elements where `valid`, or over all."""
    if valid is None:
        return value.mean()
    weight = valid.to(value.dtype)
    return (value * weight).sum() / weight.sum().clamp(min=1)
