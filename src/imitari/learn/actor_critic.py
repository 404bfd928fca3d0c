"""Soft actor-critic with an ensemble of critics: the learner that methods with acting share, and its settings.

Haarnoja et al. 2018, "Soft Actor-Critic Algorithms and Applications"; Chen et al. 2021 (REDQ: the least of a random
subset of the targets); Ball et al. 2023 (RLPD: LayerNorm in the critics, the actor follows their mean).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from imitari.core.batch import Batch
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.learn.learner import Lagged, Learner
from imitari.learn.offpolicy import OffPolicy
from imitari.nets.critics import Critics, TanhGaussianActor


@dataclass(frozen=True)
class Soft:
    """Settings of a `SoftActorCritic`."""

    critics: int = 10  # action values that are learned
    subset: int = 2  # target critics, drawn afresh every update, whose least value is believed
    actor_value: Literal["mean", "min"] = "mean"  # what the policy climbs: the critics' mean, or their least
    hidden: tuple[int, ...] = (256, 256)  # widths of the layers
    norm: bool = True  # LayerNorm in the critics
    tau: float = 0.005  # share of the critics that the target critics take over an update
    temperature: float = 1.0  # weight of the entropy at the beginning; it is learned
    entropy_share: float = 0.5  # entropy aimed at, as minus this many times the dimensions of the action
    entropy_backup: bool = True  # whether the entropy is part of the value, or of the policy's loss alone
    acting: Literal["sample", "mean"] = "mean"  # of the trained policy; while it learns it always samples

    def check(self) -> None:
        """Raises UserError for values that cannot be."""
        if not 1 <= self.subset <= self.critics:
            raise UserError(f"subset is {self.subset} of {self.critics} critics: it must be 1 to {self.critics}")
        if self.temperature <= 0:
            raise UserError(f"temperature is {self.temperature:g}: it must be above 0")


@dataclass(frozen=True)
class SoftSettings(Soft, OffPolicy):
    """Settings of methods that train a `SoftActorCritic` by acting."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check()

    def learner(self, spec: Spec) -> SoftActorCritic:
        return SoftActorCritic(self, spec)


class SoftActorCritic(Learner):
    """Critics with their targets, a squashed Gaussian policy, and the temperature between them."""

    def __init__(self, settings: Soft, spec: Spec) -> None:
        super().__init__()
        if spec.action.kind != "number":
            raise UserError("this method needs actions of numbers: choose another method, or another task")
        self.subset, self.actor_value = settings.subset, settings.actor_value
        self.entropy_backup, self.acting = settings.entropy_backup, settings.acting
        self.critics = Critics(spec, settings.hidden, settings.critics, norm=settings.norm)
        self.target = Lagged(self.critics, settings.tau)
        self.actor = TanhGaussianActor(spec, settings.hidden)
        self.log_temperature = nn.Parameter(torch.tensor([math.log(settings.temperature)]))
        self.target_entropy = -settings.entropy_share * spec.action.size

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        # One Adam over the sum gives the same updates as one for each network: no term reaches another's parameters.
        action, log_density = self.actor(batch.obs).draw()
        return {
            **self.critic_losses(batch),
            "actor_loss": self.actor_loss(batch, action, log_density),
            "temperature_loss": self.temperature_loss(log_density.detach()),
            "_entropy": -log_density.detach().mean(),
            "_temperature": self.log_temperature.detach().exp().squeeze(),
        }

    def critic_losses(self, batch: Batch) -> dict[str, Tensor]:
        """The mean over critics and samples of (Q(s, a) - y)^2."""
        backup = self.backup(batch)
        value = self.critics(batch.obs, batch.action)
        return {"critic_loss": ((value - backup) ** 2).mean(), "_value": value.detach().mean()}

    @torch.no_grad()
    def backup(self, batch: Batch) -> Tensor:
        """y = r + discount * min over a random subset of targets of Q'(s', a'), a' ~ pi(s'); (B,)."""
        action, log_density = self.actor(batch.next_obs).draw()
        asked = None
        if self.subset < self.critics.count:
            asked = torch.randperm(self.critics.count)[: self.subset].to(action.device)
        value: Tensor = self.target(batch.next_obs, action, asked).amin(0)
        if self.entropy_backup:
            value = value - self.log_temperature.exp() * log_density
        return batch.reward + batch.discount * value

    def actor_loss(self, batch: Batch, action: Tensor, log_density: Tensor) -> Tensor:
        """E[alpha log pi(a | s) - Q(s, a)], a ~ pi."""
        still = {name: value.detach() for name, value in self.critics.named_parameters()}
        values: Tensor = functional_call(self.critics, still, (batch.obs, action))
        value = values.mean(0) if self.actor_value == "mean" else values.amin(0)
        return (self.log_temperature.detach().exp() * log_density - value).mean()

    def temperature_loss(self, log_density: Tensor) -> Tensor:
        """alpha (H(pi) - H_target)."""
        return (-self.log_temperature.exp() * (log_density.mean() + self.target_entropy)).squeeze()

    def act(self, obs: dict[str, Tensor]) -> Tensor:
        """A draw while it is trained; afterwards as `acting` says."""
        policy = self.actor({key: value[:, -1] for key, value in obs.items()})
        return (policy.sample() if self.training or self.acting == "sample" else policy.mode).unsqueeze(1)
