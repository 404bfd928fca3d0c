"""The clipped objective of proximal policy optimisation, for every method that takes its steps.

Schulman, Wolski, Dhariwal, Radford & Klimov 2017, "Proximal Policy Optimization Algorithms".
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from imitari.core.batch import Batch
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.learn.onpolicy import OnPolicy, OnPolicyLearner
from imitari.learn.rollout import ADVANTAGE, LOG_DENSITY, RETURN, VALUE
from imitari.nets.actor_critic import entropy, kl


@dataclass(frozen=True)
class Proximal(OnPolicy):
    """Settings of the objective."""

    clip_ratio: float = 0.2  # change of an action's probability, as a share, beyond which nothing more is gained
    value_weight: float = 0.5  # of the squared error of the value
    value_clip: float = 0.0  # bound on the change of a value in a round, in units of returns; 0: none
    entropy_weight: float = 0.0  # of the policy's entropy, which is rewarded

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.clip_ratio <= 0 or min(self.value_weight, self.value_clip, self.entropy_weight) < 0:
            raise UserError(
                f"clip_ratio {self.clip_ratio:g}, value_weight {self.value_weight:g}, value_clip {self.value_clip:g}, "
                f"entropy_weight {self.entropy_weight:g}: the first must be above 0, the others at least 0"
            )

    def learner(self, spec: Spec) -> ProximalPolicy:
        return ProximalPolicy(self, spec)


class ProximalPolicy(OnPolicyLearner):
    """Policy and value under the clipped objective, equation 9."""

    def __init__(self, method: Proximal, spec: Spec) -> None:
        super().__init__(method, spec)
        self.clip_ratio, self.value_clip = method.clip_ratio, method.value_clip
        self.value_weight, self.entropy_weight = method.value_weight, method.entropy_weight

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        policy, value = self.net(self.standard(batch.obs))
        log_ratio = -policy.loss(batch.action) - batch.extra[LOG_DENSITY]
        terms = {
            "policy_loss": self.policy_loss(log_ratio, batch.extra[ADVANTAGE]),
            "value_loss": self.value_weight * self.value_error(value, batch),
        }
        spread = entropy(policy).mean()
        if self.entropy_weight:
            terms["entropy_loss"] = -self.entropy_weight * spread
        prior = self.prior_of(batch)
        if prior is not None:
            apart = kl(prior, policy).mean()
            terms |= {"prior_loss": self.prior_weight * apart, "_prior_kl": apart.detach()}
        with torch.no_grad():
            ratio = log_ratio.exp()
            terms["_kl"] = (ratio - 1 - log_ratio).mean()
            terms["_clipped"] = ((ratio - 1).abs() > self.clip_ratio).float().mean()
            terms["_entropy"] = spread.detach()
        return terms

    def policy_loss(self, log_ratio: Tensor, advantage: Tensor) -> Tensor:
        """Equation 7: -min(r A, clip(r, 1 - epsilon, 1 + epsilon) A), r the ratio of probabilities after and before."""
        if len(advantage) > 1:
            advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        ratio = log_ratio.exp()
        clipped = ratio.clamp(1 - self.clip_ratio, 1 + self.clip_ratio)
        return -torch.minimum(ratio * advantage, clipped * advantage).mean()

    def value_error(self, value: Tensor, batch: Batch) -> Tensor:
        """(V - return)^2; with `value_clip` the worse of V and of V kept near what it was before the round."""
        target = self.in_units(batch.extra[RETURN])
        error = (value - target) ** 2
        if self.value_clip:
            before = self.in_units(batch.extra[VALUE])
            near = before + (value - before).clamp(-self.value_clip, self.value_clip)
            error = torch.maximum(error, (near - target) ** 2)
        return error.mean()
