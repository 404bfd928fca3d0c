"""Means and deviations of what has been seen so far, kept in buffers: they are saved and moved with the weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from imitari.core.spec import Spec

LARGEST = 10.0  # bound on a standardised observation


class RunningMoments(nn.Module):
    """Mean and deviation, elementwise, merged batch by batch (Chan et al. 1979). Mean 0, deviation 1 before the first.

    Args:
        shape: of one value.
        memory: how many times the size of a new batch everything before it may weigh; infinity: all count alike.

    Attributes:
        deviation: 1 where a value never changed.
        variance: as it is.
    """

    mean: Tensor
    deviation: Tensor
    variance: Tensor
    count: Tensor

    def __init__(self, shape: tuple[int, ...], memory: float = math.inf) -> None:
        super().__init__()
        self.memory = memory
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("deviation", torch.ones(shape))
        self.register_buffer("variance", torch.zeros(shape))
        self.register_buffer("count", torch.zeros(()))

    def forward(self, value: Tensor) -> Tensor:
        """(..., *shape) in units of the deviation, from the mean."""
        return (value - self.mean) / self.deviation

    @torch.no_grad()
    def update(self, values: Tensor) -> None:
        """Adds (n, *shape)."""
        values = values.double()
        new = float(len(values))
        before = min(float(self.count), self.memory * new)
        share = new / (before + new)
        shift = values.mean(0) - self.mean
        inside = (1 - share) * self.variance.double() + share * values.var(0, unbiased=False)
        self.variance.copy_(inside + share * (1 - share) * shift**2)
        self.deviation.copy_(torch.where(self.variance > 1e-10, self.variance, 1.0).sqrt())
        self.mean += share * shift
        self.count.fill_(before + new)


class RunningStandard(nn.Module):
    """Brings numeric observations to mean 0 and deviation 1 of all that was seen; as they are before anything was.

    Args:
        spec: angles, and observations that are no numbers, stay as they are.
        without: observations that stay as they are, too.
    """

    def __init__(self, spec: Spec, without: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.features = {key: value for key, value in spec.numbers.items() if value.size and key not in without}
        self.moments = nn.ModuleDict(
            {_name(key): RunningMoments(feature.shape) for key, feature in self.features.items()}
        )

    def forward(self, obs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Name -> (B, ...)."""
        standard = {key: self._of(key)(obs[key]).clamp(-LARGEST, LARGEST) for key in self.features}
        return {**obs, **standard}

    def update(self, obs: dict[str, Tensor]) -> None:
        """Adds observations name -> (n, ...)."""
        for key, feature in self.features.items():
            moments = self._of(key)
            moments.update(obs[key])
            angles = list(feature.periodic)
            moments.mean.view(-1)[angles], moments.deviation.view(-1)[angles] = 0.0, 1.0

    def _of(self, key: str) -> RunningMoments:
        moments = self.moments[_name(key)]
        assert isinstance(moments, RunningMoments)
        return moments


def _name(key: str) -> str:
    return key.replace(".", "_")
