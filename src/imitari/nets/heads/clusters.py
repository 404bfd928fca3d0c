"""Numbers as the nearest of K centres and the offset from it: k-means, and a head over centres and offsets."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from imitari.core.errors import UserError

MOST_POINTS = 100_000  # of which centres are learned; of more, this many, evenly spread


def nearest_centre(points: Tensor, centres: Tensor) -> Tensor:
    """Points (..., A) to the index (...) of the nearest of the centres (K, A)."""
    flat = points.float().reshape(-1, points.shape[-1])
    # |p - c|^2 without |p|^2, which is the same for all centres.
    distance = centres.square().sum(-1) - 2 * flat @ centres.T
    return distance.argmin(-1).view(points.shape[:-1])


def k_means(points: Tensor, count: int, iterations: int = 50, seed: int = 0) -> Tensor:
    """Lloyd's algorithm, begun at points drawn by their squared distance to those drawn before (k-means++).

    Args:
        points: (N, A).
        count: centres K.
        iterations: at most; it stops where nothing changes.
        seed: of the beginning.

    Returns:
        Centres (K, A). One that is nearest to no point stays where it was.

    Raises:
        UserError: when fewer than `count` points differ.

    Source: Lloyd 1982; Arthur & Vassilvitskii 2007 (beginning).
    """
    if len(points) > MOST_POINTS:
        points = points[torch.linspace(0, len(points) - 1, MOST_POINTS).long()]
    points = points.double()
    centres = _spread_out(points, count, torch.Generator().manual_seed(seed))
    owner = nearest_centre(points, centres.float())
    for _ in range(iterations):
        sizes = torch.bincount(owner, minlength=count).unsqueeze(-1)
        sums = torch.zeros_like(centres).index_add_(0, owner, points)
        centres = torch.where(sizes > 0, sums / sizes.clamp(min=1), centres)
        before, owner = owner, nearest_centre(points, centres.float())
        if torch.equal(before, owner):
            break
    return centres.float()


def _spread_out(points: Tensor, count: int, random: torch.Generator) -> Tensor:
    first = torch.randint(len(points), (1,), generator=random)
    centres, distance = [points[first]], (points - points[first]).square().sum(-1)
    for number in range(1, count):
        if not float(distance.max()):
            raise UserError(f"{count} bins are more than the {number} different actions of the data: use fewer")
        drawn = torch.multinomial(distance, 1, generator=random)
        centres.append(points[drawn])
        distance = torch.minimum(distance, (points - points[drawn]).square().sum(-1))
    return torch.cat(centres)


def focal_loss(logits: Tensor, target: Tensor, gamma: float = 2.0) -> Tensor:
    """-(1 - p)^gamma log p for the probability p of the true class: cross-entropy that dwells on the hard cases.

    Args:
        logits: (..., K).
        target: (...) integers.
        gamma: 0 gives the cross-entropy.

    Returns:
        (...).

    Source: Lin et al. 2017, equation 4.
    """
    log_chance = torch.take_along_dim(functional.log_softmax(logits.float(), -1), target.unsqueeze(-1), -1).squeeze(-1)
    return -((1 - log_chance.exp()) ** gamma) * log_chance


@dataclass
class Clustered:
    """A categorical distribution over centres, and for each centre how far from it the action lies.

    Attributes:
        logits: (..., K). offsets: (..., K, A).
        centres: (K, A).
        gamma: of the focal loss.
        offset_weight: of the offsets' squared error.
    """

    logits: Tensor
    offsets: Tensor
    centres: Tensor
    gamma: float = 2.0
    offset_weight: float = 1.0

    def losses(self, target: Tensor) -> tuple[Tensor, Tensor]:
        """Focal loss of the nearest centre and squared error of its own offset, each (...), for actions (..., A)."""
        nearest = nearest_centre(target, self.centres)
        error = target - self.centres[nearest] - self._of(nearest)
        return focal_loss(self.logits, nearest, self.gamma), self.offset_weight * error.square().mean(-1)

    def loss(self, target: Tensor) -> Tensor:
        classes, offsets = self.losses(target)
        return classes + offsets

    def sample(self) -> Tensor:
        """A centre by its probability, with its offset."""
        weight = functional.softmax(self.logits.float(), -1)
        return self._at(torch.multinomial(weight.flatten(0, -2), 1).view(weight.shape[:-1]))

    @property
    def mode(self) -> Tensor:
        """The likeliest centre, with its offset."""
        return self._at(self.logits.argmax(-1))

    def _at(self, chosen: Tensor) -> Tensor:
        return self.centres[chosen] + self._of(chosen)

    def _of(self, chosen: Tensor) -> Tensor:
        return torch.take_along_dim(self.offsets.float(), chosen[..., None, None], -2).squeeze(-2)


class ClusterHead(nn.Module):
    """Features (..., F) to a `Clustered` over (..., A).

    Args:
        features, size: F and A.
        count: centres K; they are 0 until `learn`.
        gamma, offset_weight: see `Clustered`.
    """

    centres: Tensor

    def __init__(self, features: int, size: int, count: int, gamma: float = 2.0, offset_weight: float = 1.0) -> None:
        super().__init__()
        self.shape, self.gamma, self.offset_weight = (count, 1 + size), gamma, offset_weight
        self.register_buffer("centres", torch.zeros(count, size))
        self.out = nn.Linear(features, count * (1 + size))

    def learn(self, data: Tensor, iterations: int = 50) -> None:
        """Centres of actions (N, A)."""
        self.centres.copy_(k_means(data.cpu(), len(self.centres), iterations))

    def forward(self, features: Tensor) -> Clustered:
        out = self.out(features).unflatten(-1, self.shape)
        return Clustered(out[..., 0], out[..., 1:], self.centres, self.gamma, self.offset_weight)
