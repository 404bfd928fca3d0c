"""Proximal policy optimisation: acts, then takes small steps up the estimated advantage, bounded by clipping.

Rounds of acting give advantages (generalised advantage estimation). A few passes over each round raise the probability
of actions that were better than expected, but the gain of an action ends where its probability has changed by more than
the share `clip_ratio`. A penalty on the divergence from a prior policy keeps what was cloned beforehand.
Schulman, Wolski, Dhariwal, Radford & Klimov 2017, "Proximal Policy Optimization Algorithms" (the clipped objective);
Schulman et al. 2016, "High-Dimensional Continuous Control Using Generalized Advantage Estimation"; the penalty is
KL(prior || policy) with a decaying weight, as in Baker et al. 2022, "Video PreTraining".
Differs from them: initial weights are orthogonal; advantages are standardised within a batch; observations and returns
are standardised by running statistics (switch off with `normalise_obs`, `normalise_returns`); Adam decays nothing by
default and its rate is constant or follows a cosine, where the first paper lowers it along a line for games; the
penalised objective of its section 4 is not there. Of Video PreTraining's reinforcement learning, the auxiliary phase of
phasic policy gradients and the memory of the policy are not there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.core.task import Task
from imitari.learn.agent import Agent
from imitari.learn.onpolicy import OnPolicy, OnPolicyLearner, fit_onpolicy
from imitari.learn.rollout import ADVANTAGE, LOG_DENSITY, RETURN, VALUE
from imitari.learn.run import Run
from imitari.nets.actor_critic import entropy, kl


@dataclass(frozen=True)
class ProximalPolicyOptimisation(OnPolicy):
    clip_ratio: float = 0.2  # change of an action's probability, as a share, beyond which nothing more is gained
    value_weight: float = 0.5  # of the squared error of the value
    value_clip: float = 0.0  # bound on the change of a value in a round, in units of returns; 0: none
    entropy_weight: float = 0.0  # of the policy's entropy, which is rewarded

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"steps": 200_000},
        "paper": {
            "steps": 1_000_000,
            "together": 1,
            "horizon": 2048,
            "batch": 64,
            "clip": 0.0,
            "normalise_returns": False,
        },
        "paper_games": {
            "steps": 10_000_000,
            "together": 8,
            "horizon": 128,
            "epochs": 3,
            "batch": 256,
            "lr": 2.5e-4,
            "clip_ratio": 0.1,
            "value_weight": 1.0,
            "entropy_weight": 0.01,
            "shared": True,
            "acting": "sample",
        },
    }
    smoke: ClassVar[dict[str, Any]] = {
        "steps": 128, "together": 4, "horizon": 8, "epochs": 2, "batch": 8, "hidden": (16,), "clone_steps": 4,
        "prior_weight": 0.1, "entropy_weight": 0.01, "value_clip": 0.5,
    }  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.clip_ratio <= 0 or min(self.value_weight, self.value_clip, self.entropy_weight) < 0:
            raise UserError(
                f"clip_ratio {self.clip_ratio:g}, value_weight {self.value_weight:g}, value_clip {self.value_clip:g}, "
                f"entropy_weight {self.entropy_weight:g}: the first must be above 0, the others at least 0"
            )

    def learner(self, spec: Spec) -> ProximalPolicy:
        return ProximalPolicy(self, spec)

    def fit(self, demos: Demos | None, run: Run, task: Task | None = None) -> Agent:
        return fit_onpolicy(self, demos, run, task)


class ProximalPolicy(OnPolicyLearner):
    """Policy and value under the clipped objective, equation 9."""

    def __init__(self, method: ProximalPolicyOptimisation, spec: Spec) -> None:
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
