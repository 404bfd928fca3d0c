"""Numbers as categories: a quantiser with finer bins near zero, and heads over its bins."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from imitari.core.errors import UserError

MOST_JOINT = 1 << 14  # classes of a joint head


@dataclass(frozen=True)
class MuLaw:
    """x in [-limit, limit] to one of `bins` equal parts of u = sign(x) log(1 + mu |x| / limit) / log(1 + mu), and back.

    With an odd number of bins 0 is the middle of one, and decodes to 0 exactly (Baker et al. 2022, "Video PreTraining",
    camera movements: limit 10, mu 10, 11 bins, here in units of the limit).

    Attributes:
        bins: at least 2.
        mu: how much finer the bins are near zero; 0: all equal.
        limit: beyond it x is clipped.
    """

    bins: int = 11
    mu: float = 10.0
    limit: float = 1.0

    def __post_init__(self) -> None:
        if self.bins < 2 or self.mu < 0 or self.limit <= 0:
            raise UserError(
                f"bins {self.bins}, mu {self.mu:g}, limit {self.limit:g}: at least 2, at least 0 and above 0 are needed"
            )

    def encode(self, value: Tensor) -> Tensor:
        """Numbers (...) to bins (...), integers from 0."""
        share = (value.float() / self.limit).clamp(-1, 1)
        if self.mu:
            share = torch.sign(share) * torch.log1p(self.mu * share.abs()) / math.log1p(self.mu)
        return torch.floor((share + 1) / 2 * (self.bins - 1) + 0.5).long()

    def decode(self, code: Tensor) -> Tensor:
        """Bins (...) to the numbers in their middles."""
        share = code.float() / (self.bins - 1) * 2 - 1
        if self.mu:
            share = torch.sign(share) * torch.expm1(share.abs() * math.log1p(self.mu)) / self.mu
        return self.limit * share


@dataclass
class Binned:
    """A categorical distribution over the bins of each axis, or one over the combinations of all.

    Attributes:
        logits: (..., A, K), or (..., 1, K^A) where it is joint.
        quantiser: of every axis.
        size: axes A.
    """

    logits: Tensor
    quantiser: MuLaw
    size: int

    def loss(self, target: Tensor) -> Tensor:
        """Negative log-likelihood of the bins of (..., A), summed over the axes."""
        codes = self._pack(self.quantiser.encode(target))
        log_chance = functional.log_softmax(self.logits.float(), -1)
        return -torch.take_along_dim(log_chance, codes.unsqueeze(-1), -1).squeeze(-1).sum(-1)

    def sample(self) -> Tensor:
        weight = functional.softmax(self.logits.float(), -1)
        drawn = torch.multinomial(weight.flatten(0, -2), 1).view(weight.shape[:-1])
        return self.quantiser.decode(self._unpack(drawn))

    @property
    def mode(self) -> Tensor:
        return self.quantiser.decode(self._unpack(self.logits.argmax(-1)))

    def _pack(self, codes: Tensor) -> Tensor:
        if self.logits.shape[-2] == self.size:
            return codes
        place = self.quantiser.bins ** torch.arange(self.size, device=codes.device)
        return (codes * place).sum(-1, keepdim=True)

    def _unpack(self, codes: Tensor) -> Tensor:
        if self.logits.shape[-2] == self.size:
            return codes
        place = self.quantiser.bins ** torch.arange(self.size, device=codes.device)
        return codes // place % self.quantiser.bins


class BinnedHead(nn.Module):
    """Features (..., F) to a `Binned` over (..., A).

    Args:
        features, size: F and A.
        quantiser: of every axis.
        joint: one distribution over all K^A combinations, in the place of one an axis.

    Raises:
        UserError: when there are too many combinations.
    """

    def __init__(self, features: int, size: int, quantiser: MuLaw, joint: bool = False) -> None:
        super().__init__()
        if joint and quantiser.bins**size > MOST_JOINT:
            raise UserError(
                f"a joint head over {size} axes of {quantiser.bins} bins has {quantiser.bins**size} classes: at most "
                f"{MOST_JOINT} are possible; use fewer bins, or one distribution an axis"
            )
        self.quantiser, self.size = quantiser, size
        self.shape = (1, quantiser.bins**size) if joint else (size, quantiser.bins)
        self.out = nn.Linear(features, self.shape[0] * self.shape[1])

    def forward(self, features: Tensor) -> Binned:
        return Binned(self.out(features).unflatten(-1, self.shape), self.quantiser, self.size)
