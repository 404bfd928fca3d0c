"""A conditional variational autoencoder: what goes with a condition, as a distribution to draw from.

Kingma & Welling 2014; Sohn, Lee & Yan 2015. An encoder gives a Gaussian over a latent z from x and its condition c, a
decoder gives x back from z and c. Whoever draws takes z from the prior: a standard normal, or a mixture of Gaussians
that is learned and depends on c.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from imitari.nets.critics import Gaussian
from imitari.nets.heads.actions import Mixture
from imitari.nets.mlp import mlp

Prior = Literal["normal", "mixture"]
LOG_VARIANCE = (-8.0, 30.0)


class NormalPrior(nn.Module):
    """N(0, 1), whatever the condition is.

    Args:
        latent: numbers of z.
    """

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.latent = latent

    def divergence(self, posterior: Gaussian, drawn: Tensor, condition: Tensor) -> Tensor:
        """KL(posterior || prior) in closed form, (B,)."""
        variance = (2 * posterior.log_scale).exp()
        return 0.5 * (posterior.mean**2 + variance - 1 - 2 * posterior.log_scale).sum(-1)

    def draw(self, condition: Tensor) -> Tensor:
        """Conditions (B, C) to latents (B, Z)."""
        return torch.randn(len(condition), self.latent, device=condition.device)


class MixturePrior(nn.Module):
    """A mixture of Gaussians whose weights, means and variances are learned and depend on the condition.

    Args:
        condition: numbers of the condition.
        latent: numbers of z.
        hidden: widths of the layers.
        modes: components M.
    """

    def __init__(self, condition: int, latent: int, hidden: Sequence[int], modes: int) -> None:
        super().__init__()
        self.latent, self.modes = latent, modes
        self.net = mlp(condition, hidden, modes * (2 * latent + 1))

    def forward(self, condition: Tensor) -> Mixture:
        """Conditions (B, C) to a mixture over (B, Z)."""
        size = self.modes * self.latent
        logits, means, log_variances = self.net(condition).float().split([self.modes, size, size], -1)
        means, log_variances = (part.unflatten(-1, (self.modes, self.latent)) for part in (means, log_variances))
        return Mixture(logits, means, (0.5 * log_variances.clamp(*LOG_VARIANCE)).exp())

    def divergence(self, posterior: Gaussian, drawn: Tensor, condition: Tensor) -> Tensor:
        """log q(z) - log p(z | c), (B,), at the one z (B, Z) that was drawn: there is no closed form."""
        return self(condition).loss(drawn) - posterior.loss(drawn)

    def draw(self, condition: Tensor) -> Tensor:
        """Conditions (B, C) to latents (B, Z)."""
        mixture = self(condition)
        chosen = torch.multinomial(mixture.logits.softmax(-1), 1).unsqueeze(-1)
        mean, scale = (torch.take_along_dim(part, chosen, -2).squeeze(-2) for part in (mixture.means, mixture.scales))
        return mean + scale * torch.randn_like(mean)


class ConditionalVAE(nn.Module):
    """x (B, X) given a condition (B, C).

    Args:
        outputs: numbers X.
        condition: numbers C.
        latent: numbers of z.
        hidden: widths of the layers of encoder, decoder and prior.
        prior: "normal" or "mixture".
        modes: components of a mixture.
        squash: x through tanh, for actions scaled to [-1, 1].
    """

    def __init__(
        self,
        outputs: int,
        condition: int,
        latent: int,
        hidden: Sequence[int],
        *,
        prior: Prior = "normal",
        modes: int = 10,
        squash: bool = False,
    ) -> None:
        super().__init__()
        self.squash = squash
        self.encoder = mlp(outputs + condition, hidden, 2 * latent)
        self.decoder = mlp(latent + condition, hidden, outputs)
        self.prior = NormalPrior(latent) if prior == "normal" else MixturePrior(condition, latent, hidden, modes)

    def encode(self, x: Tensor, condition: Tensor) -> Gaussian:
        """The posterior q(z | x, c), over (B, Z)."""
        mean, log_variance = self.encoder(torch.cat([x, condition], -1)).float().chunk(2, -1)
        return Gaussian(mean, 0.5 * log_variance.clamp(*LOG_VARIANCE))

    def decode(self, latent: Tensor, condition: Tensor) -> Tensor:
        """(..., Z) and (..., C) to (..., X)."""
        out = self.decoder(torch.cat([latent, condition], -1))
        return torch.tanh(out) if self.squash else out

    def terms(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Squared error of x from one drawn z, mean over X, and divergence from the prior in nats; (B,) each."""
        posterior = self.encode(x, condition)
        drawn = posterior.sample()
        error = ((self.decode(drawn, condition).float() - x) ** 2).mean(-1)
        return error, self.prior.divergence(posterior, drawn, condition)

    def draw(self, condition: Tensor, count: int = 1) -> Tensor:
        """Conditions (B, C) to `count` draws of x each, (B, count, X)."""
        repeated = condition.repeat_interleave(count, 0)
        return self.decode(self.prior.draw(repeated), repeated).unflatten(0, (len(condition), count))
