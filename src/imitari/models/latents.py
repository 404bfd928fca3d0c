"""Stochastic latents of world models: diagonal Gaussians, or several categorical variables with straight-through
gradients, behind one interface.

A latent is described by `stats` (..., parameters), as a network gives them; a value is (..., width).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional

Deviation = Literal["softplus", "sigmoid"]
LEAST = 1e-3  # deviation of a softplus, so that divergences stay finite
UNIFORM = 0.01  # share of a uniform distribution in every categorical one (Hafner et al. 2021's successor does so too)


class Latent(Protocol):
    """One family of distributions.

    Attributes:
        width: numbers of a value.
        parameters: numbers that describe a distribution.
    """

    @property
    def width(self) -> int: ...

    @property
    def parameters(self) -> int: ...

    def noise(self, *shape: int, like: Tensor) -> Tensor:
        """(*shape, width) of whatever `draw` turns into a value, for all steps at once."""
        ...

    def draw(self, stats: Tensor, noise: Tensor) -> Tensor:
        """A value (..., width), with gradient to `stats`."""
        ...

    def mode(self, stats: Tensor) -> Tensor:
        """The likeliest value (..., width)."""
        ...

    def divergence(self, posterior: Tensor, prior: Tensor) -> Tensor:
        """KL(posterior || prior) in nats, (...,), from the stats of both."""
        ...


@dataclass(frozen=True)
class GaussianLatent:
    """Independent Gaussians.

    Attributes:
        size: how many.
        deviation: how a number becomes one: softplus, or 2 sigmoid(x / 2) + 0.1.
    """

    size: int
    deviation: Deviation = "softplus"

    @property
    def width(self) -> int:
        return self.size

    @property
    def parameters(self) -> int:
        return 2 * self.size

    def parts(self, stats: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation, (..., size) each."""
        mean, raw = stats.float().chunk(2, -1)
        if self.deviation == "softplus":
            return mean, functional.softplus(raw) + LEAST
        return mean, 2 * torch.sigmoid(raw / 2) + 0.1

    def noise(self, *shape: int, like: Tensor) -> Tensor:
        return torch.randn(*shape, self.width, device=like.device)

    def draw(self, stats: Tensor, noise: Tensor) -> Tensor:
        mean, deviation = self.parts(stats)
        return torch.addcmul(mean, deviation, noise)

    def mode(self, stats: Tensor) -> Tensor:
        return self.parts(stats)[0]

    def divergence(self, posterior: Tensor, prior: Tensor) -> Tensor:
        mean, deviation = self.parts(posterior)
        other, spread = self.parts(prior)
        ratio = deviation / spread
        return (0.5 * (ratio**2 + ((mean - other) / spread) ** 2 - 1) - torch.log(ratio)).sum(-1)


@dataclass(frozen=True)
class CategoricalLatent:
    """Independent categorical variables as one-hot vectors side by side. A drawn value has the gradient of the
    probabilities (straight-through; Hafner et al. 2021, "Mastering Atari with Discrete World Models", algorithm 1).

    Attributes:
        size: variables.
        classes: of each.
    """

    size: int
    classes: int

    @property
    def width(self) -> int:
        return self.size * self.classes

    @property
    def parameters(self) -> int:
        return self.size * self.classes

    def shares(self, stats: Tensor) -> Tensor:
        """Probabilities (..., size, classes)."""
        chance = functional.softmax(stats.float().unflatten(-1, (self.size, self.classes)), -1)
        return (1 - UNIFORM) * chance + UNIFORM / self.classes

    def noise(self, *shape: int, like: Tensor) -> Tensor:
        """Standard Gumbel: the largest log-probability plus noise is a draw."""
        uniform = torch.rand(*shape, self.width, device=like.device).clamp_min(1e-20)
        return -torch.log((-torch.log(uniform)).clamp_min(1e-20))

    def draw(self, stats: Tensor, noise: Tensor) -> Tensor:
        chance = self.shares(stats)
        chosen = self._hot(torch.log(chance) + noise.unflatten(-1, (self.size, self.classes)))
        return (chosen + chance - chance.detach()).flatten(-2)

    def mode(self, stats: Tensor) -> Tensor:
        return self._hot(self.shares(stats)).flatten(-2)

    def divergence(self, posterior: Tensor, prior: Tensor) -> Tensor:
        own, other = self.shares(posterior), self.shares(prior)
        return (own * (torch.log(own) - torch.log(other))).sum((-1, -2))

    def _hot(self, score: Tensor) -> Tensor:
        return functional.one_hot(score.argmax(-1), self.classes).float()


def balanced(
    latent: Latent, posterior: Tensor, prior: Tensor, *, balance: float = 0.0, weight: Tensor | None = None
) -> Tensor:
    """The divergence (...,), whose gradient reaches the prior with a share `balance` and the posterior with the rest
    (KL balancing, Hafner et al. 2021, algorithm 2); 0: one divergence with its own gradient.

    Args:
        weight: (...,) a factor.
    """
    if balance:
        to_prior = latent.divergence(posterior.detach(), prior)
        to_posterior = latent.divergence(posterior, prior.detach())
        value = balance * to_prior + (1 - balance) * to_posterior
    else:
        value = latent.divergence(posterior, prior)
    return value if weight is None else value * weight
