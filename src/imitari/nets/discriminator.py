"""A classifier of state-action pairs: whose they are. Its logit estimates the logarithm of a ratio of densities."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from imitari.core.spec import Spec
from imitari.nets.critics import action_width, flat_action
from imitari.nets.encoder import ObsEncoder
from imitari.nets.mlp import mlp


class Discriminator(nn.Module):
    """Logits of belonging to the first of two groups: log p_first(s, a) / p_second(s, a), both groups counting alike.

    Args:
        spec: observations and action.
        hidden: widths of the layers.
        actions: False: only states are seen.
    """

    def __init__(self, spec: Spec, hidden: Sequence[int], *, actions: bool = True) -> None:
        super().__init__()
        self.action = spec.action
        self.actions = actions
        self.encoder = ObsEncoder(spec)
        self.body = mlp(self.encoder.width + actions * action_width(spec.action), hidden, 1, activation="silu")

    def forward(self, obs: dict[str, Tensor], action: Tensor) -> Tensor:
        """Observations (B, ...) and actions (B, *shape) to logits (B,)."""
        return self.body(self.features(obs, action)).squeeze(-1)

    def features(self, obs: dict[str, Tensor], action: Tensor) -> Tensor:
        """What the layers see, (B, width)."""
        seen = self.encoder(obs)
        return torch.cat([seen, flat_action(action, self.action)], -1) if self.actions else seen

    def loss(self, obs: dict[str, Tensor], action: Tensor, first: Tensor, penalty: float) -> Tensor:
        """Cross-entropy, each group counting half whatever its size, and a penalty on steep slopes between the groups.

        Args:
            obs, action: (B, ...).
            first: (B,) bool, who belongs to the first group; both groups must occur.
            penalty: weight of (|slope| - 1)^2 at random points between pairs of both groups (Gulrajani et al. 2017).
        """
        features = self.features(obs, action)
        logit = self.body(features).squeeze(-1)
        each = functional.binary_cross_entropy_with_logits(logit, first.float(), reduction="none")
        entropy = 0.5 * (each[first].mean() + each[~first].mean())
        if not penalty:
            return entropy
        count = min(int(first.sum()), int((~first).sum()))
        share = torch.rand(count, 1, device=features.device)
        between = torch.lerp(features[first][:count], features[~first][:count], share).detach().requires_grad_()
        (slope,) = torch.autograd.grad(self.body(between).sum(), between, create_graph=True)
        return entropy + penalty * ((slope.norm(dim=-1) - 1) ** 2).mean()
