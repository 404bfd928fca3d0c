"""A classifier of steps: whose they are. Its logit estimates the logarithm of a ratio of densities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from imitari.core.batch import Batch
from imitari.core.spec import Spec
from imitari.nets.critics import action_width, flat_action
from imitari.nets.encoder import ObsEncoder
from imitari.nets.mlp import Activation, mlp

# What is seen of a step: state; state and action; state and next state; all three, and whether the world ended there.
Sees = Literal["state", "action", "next", "all"]
# Rewards that a chance D gives: -log(1 - D), never negative; log D, never positive; their sum, the logit.
RewardForm = Literal["positive", "negative", "logit"]


# Compiled code has no second gradient.
_uncompiled: Callable[[Callable[..., Tensor]], Callable[..., Tensor]] = torch.compiler.disable  # pyright: ignore[reportAssignmentType]


class Discriminator(nn.Module):
    """Logits of belonging to the first of two groups: log p_first / p_second of a step, both groups counting alike.

    Args:
        spec: observations and action.
        hidden: widths of the layers.
        sees: what of a step.
        activation: between the layers.
    """

    def __init__(
        self, spec: Spec, hidden: Sequence[int], *, sees: Sees = "action", activation: Activation = "silu"
    ) -> None:
        super().__init__()
        self.action = spec.action
        self.acts, self.follows = sees in ("action", "all"), sees in ("next", "all")
        self.ends = sees == "all"
        self.encoder = ObsEncoder(spec)
        width = self.encoder.width * (1 + self.follows) + self.acts * action_width(spec.action) + self.ends
        self.body = mlp(width, hidden, 1, activation=activation)

    def forward(self, steps: Batch) -> Tensor:
        """Steps (B, ...), of which only what is seen must be there, to logits (B,)."""
        return self.body(self.features(steps)).squeeze(-1)

    def features(self, steps: Batch) -> Tensor:
        """What the layers see, (B, width)."""
        parts = [self.encoder(steps.obs)]
        if self.acts:
            parts.append(flat_action(steps.action, self.action))
        if self.follows:
            assert steps.next_obs is not None
            parts.append(self.encoder(steps.next_obs))
        if self.ends:
            parts.append((steps.discount == 0).float()[:, None])
        return torch.cat(parts, -1)

    def losses(self, steps: Batch, first: Tensor, penalty: float) -> dict[str, Tensor]:
        """Cross-entropy, each group counting half whatever its size, and a penalty on steep slopes between the groups.

        Also the share of the first group that is recognised, and of the second that is mistaken for it.

        Args:
            steps: (B, ...).
            first: (B,) bool, who belongs to the first group; both groups must occur.
            penalty: weight of (|slope| - 1)^2 of the logit at random points between pairs of both groups (Gulrajani et
                al. 2017); 0: none.
        """
        features = self.features(steps)
        logit = self.body(features).squeeze(-1)
        each = functional.binary_cross_entropy_with_logits(logit, first.float(), reduction="none")
        taken = (logit.detach() > 0).float()
        terms = {
            "discriminator_loss": 0.5 * (each[first].mean() + each[~first].mean()),
            "_recognised": taken[first].mean(),
            "_mistaken": taken[~first].mean(),
        }
        if penalty:
            slopes: Tensor = _uncompiled(self.slopes)(features, first)
            terms["penalty_loss"] = penalty * ((slopes - 1) ** 2).mean()
        return terms

    def slopes(self, features: Tensor, first: Tensor) -> Tensor:
        """(pairs,) norms of the logit's gradient at random points between pairs."""
        count = min(int(first.sum()), int((~first).sum()))
        share = torch.rand(count, 1, device=features.device)
        between = torch.lerp(features[first][:count], features[~first][:count], share).detach().requires_grad_()
        (slope,) = torch.autograd.grad(self.body(between).sum(), between, create_graph=True)
        return slope.norm(dim=-1)


def imitation_reward(logit: Tensor, form: RewardForm) -> Tensor:
    """What a step is worth by the logit of D, the chance that it is a demonstrator's (Ho & Ermon 2016: "positive")."""
    if form == "positive":
        return functional.softplus(logit)
    return -functional.softplus(-logit) if form == "negative" else logit
