"""Conservative Q-learning: soft actor-critic on recorded data, whose critics rate actions low that the data lacks.

Two critics learn by temporal differences from actions of the policy. A penalty pushes down the soft maximum of their
values over all actions, estimated from uniform ones and the policy's own by importance, and pushes up those of the
recorded actions; its weight is a Lagrange multiplier, which grows while the gap between both exceeds `gap` (Kumar et
al. 2020, "Conservative Q-Learning for Offline Reinforcement Learning"; settings of Mandlekar et al. 2021, "What Matters
in Learning from Offline Human Demonstrations").
Differs from Mandlekar et al.: all losses are taken at the weights before the step, the multiplier's too; observations
are standardised, actions scaled to [-1, 1]; AdamW for Adam; images get a small residual trunk in each network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.core.task import Task
from imitari.learn.actor_critic import Soft, SoftActorCritic
from imitari.learn.agent import Agent
from imitari.learn.learner import Learner
from imitari.learn.method import Need
from imitari.learn.offline import Offline, fit_transitions
from imitari.learn.run import Run

LARGEST = 1e6  # multiplier
SMALL = 1e-3  # bound on the weights of the policy's last layer at the beginning


@dataclass(frozen=True)
class ConservativeQLearning(Soft, Offline):
    lr: float = 1e-3  # peak learning rate
    actor_rate: float = 0.3  # learning rate of the policy and its temperature, as a share of the critics'
    critics: int = 2  # action values that are learned
    actor_value: Literal["mean", "min"] = "min"  # what the policy climbs: the critics' mean, or their least
    hidden: tuple[int, ...] = (300, 400)  # widths of the layers
    norm: bool = False  # LayerNorm in the critics
    entropy_share: float = 1.0  # entropy aimed at, as minus this many times the dimensions of the action
    entropy_backup: bool = False  # whether the entropy is part of the value, or of the policy's loss alone
    weight: float = 1.0  # of the gap between all actions' values and the recorded ones'
    gap: float = 5.0  # what the multiplier holds the gap to
    drawn: int = 10  # actions of each of the three kinds that stand for all actions

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"steps": 10_000},
        "paper": {"batch": 1024, "steps": 200_000},
    }
    needs: ClassVar[frozenset[Need]] = frozenset({"reward"})
    smoke: ClassVar[dict[str, Any]] = {"steps": 30, "batch": 16, "hidden": (32, 32)}

    def __post_init__(self) -> None:
        self.check()
        if self.drawn < 1:
            raise UserError(f"drawn is {self.drawn}: it must be at least 1")

    def learner(self, spec: Spec) -> Learner:
        return ConservativeQ(self, spec)

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        return fit_transitions(self, demos, run, task)


class ConservativeQ(SoftActorCritic):
    """A soft actor-critic with the penalty and its multiplier."""

    def __init__(self, method: ConservativeQLearning, spec: Spec) -> None:
        super().__init__(method, spec)
        self.weight, self.gap, self.drawn, self.actor_rate = method.weight, method.gap, method.drawn, method.actor_rate
        self.log_multiplier = nn.Parameter(torch.zeros(1))
        last = self.actor.body[-1]
        assert isinstance(last, nn.Linear)
        for value in last.parameters():
            nn.init.uniform_(value, -SMALL, SMALL)

    def rates(self) -> dict[str, float]:
        return {"actor.": self.actor_rate, "log_temperature": self.actor_rate}

    def critic_losses(self, batch: Batch) -> dict[str, Tensor]:
        """Temporal differences, and c * (weight * (soft maximum - Q(s, a)) - gap); sums over the critics."""
        backup = self.backup(batch)
        value = self.critics(batch.obs, batch.action)
        excess = self.weight * (self.soft_maximum(batch) - value).mean(1) - self.gap
        multiplier = self.log_multiplier.exp().clamp(max=LARGEST)
        return {
            "critic_loss": ((value - backup) ** 2).mean(1).sum(),
            "conservative_loss": (multiplier.detach() * excess).sum(),
            "multiplier_loss": -(multiplier * excess.detach()).mean(),
            "_gap": excess.detach().mean() + self.gap,
            "_multiplier": multiplier.detach().squeeze(),
            "_value": value.detach().mean(),
        }

    def soft_maximum(self, batch: Batch) -> Tensor:
        """logsumexp_j [Q_k(o, a_j) - log p(a_j)] over uniform actions and the policy's at o and at o'; (K, B)."""
        with torch.no_grad():
            actions, log_density = self.proposals(batch)
        return torch.logsumexp(self.critics(batch.obs, actions) - log_density, -1)

    def proposals(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Actions (B, 3 N, A) of the three kinds and their log-densities (B, 3 N)."""
        count, size = len(batch.action), self.critics.action.size
        uniform = 2 * torch.rand(count, self.drawn, size, device=batch.action.device) - 1
        density = torch.full((count, self.drawn), -size * math.log(2), device=batch.action.device)
        kinds = [(uniform, density), self._policy(batch.obs), self._policy(batch.next_obs or {})]
        actions = torch.cat([action for action, _ in kinds], 1)
        return actions.unflatten(-1, self.critics.action.shape), torch.cat([density for _, density in kinds], 1)

    def _policy(self, obs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Draws (B, N, A) of the policy and their log-densities (B, N)."""
        policy = self.actor(obs)
        many = type(policy)(policy.mean.unsqueeze(1).expand(-1, self.drawn, -1), policy.log_scale.unsqueeze(1))
        return many.draw()
