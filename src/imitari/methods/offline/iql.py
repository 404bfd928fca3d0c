"""Implicit Q-learning: offline reinforcement learning that never asks for the value of an action outside the data.

A state value is regressed towards an upper expectile of the target critics' values of the recorded actions, which comes
near the best recorded action as the expectile comes near 1. Twin critics learn from that state value by temporal
differences. The policy imitates the recorded actions, each weighted by the exponential of its advantage.
Kostrikov, Nair & Levine 2021, "Offline Reinforcement Learning with Implicit Q-Learning".
Differs from the authors' code: all three losses are taken at the weights before the step, while there the advantage and
the critics' target see the state value after its own update; observations are standardised, actions scaled to [-1, 1];
initial weights are PyTorch's, not orthogonal; choices (discrete actions) have a categorical policy.
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
from imitari.learn.learner import Lagged, Learner
from imitari.learn.method import Need
from imitari.learn.offline import Offline, fit_transitions
from imitari.learn.optim import Schedule
from imitari.learn.run import Run
from imitari.nets.critics import Critics, GaussianActor, StateValue

LARGEST_WEIGHT = 100.0


@dataclass(frozen=True)
class ImplicitQLearning(Offline):
    expectile: float = 0.7  # of the recorded actions' values: 0.5 their mean, towards 1 their maximum
    temperature: float = 3.0  # inverse temperature: 0 clones, larger values trust the advantage more
    tau: float = 0.005  # share of the critics that the target critics take over a step
    hidden: tuple[int, ...] = (256, 256)  # widths of the layers
    norm: bool = False  # LayerNorm in critics and state value
    dropout: float = 0.0  # in the policy
    actor_schedule: Schedule = "cosine"  # of the policy's learning rate: constant or cosine

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"steps": 20_000},
        "paper": {"steps": 1_000_000, "reward_scaling": "returns"},
        "paper_antmaze": {"steps": 1_000_000, "expectile": 0.9, "temperature": 10.0, "reward_shift": -1.0},
        "paper_adroit": {"steps": 1_000_000, "temperature": 0.5, "dropout": 0.1},
    }
    needs: ClassVar[frozenset[Need]] = frozenset({"reward"})
    smoke: ClassVar[dict[str, Any]] = {"steps": 30, "batch": 16, "hidden": (32, 32)}

    def __post_init__(self) -> None:
        if not 0 < self.expectile < 1:
            raise UserError(f"expectile is {self.expectile}: it must lie between 0 and 1 (0.7 and 0.9 are usual)")

    def learner(self, spec: Spec) -> Learner:
        return ImplicitQ(self, spec)

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        return fit_transitions(self, demos, run, task)


class ImplicitQ(Learner):
    """State value, twin critics with their targets, and policy."""

    def __init__(self, method: ImplicitQLearning, spec: Spec) -> None:
        super().__init__()
        self.expectile, self.temperature = method.expectile, method.temperature
        self.value = StateValue(spec, method.hidden, norm=method.norm)
        self.critics = Critics(spec, method.hidden, norm=method.norm)
        self.target = Lagged(self.critics, method.tau)
        self.actor = GaussianActor(spec, method.hidden, dropout=method.dropout)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        # The sum is minimised by one Adam, which is three separate updates at the same weights: the networks share no
        # parameter, each term reaches only its own network (whatever comes from another is detached), and Adam treats
        # every number by itself. Only a bound on the common gradient norm (clip > 0) would couple them.
        with torch.no_grad():
            value_of_action = self.target(batch.obs, batch.action).amin(0)
            backup = batch.reward + batch.discount * self.value(batch.next_obs)
        advantage = value_of_action - self.value(batch.obs)
        return {
            "value_loss": self.value_loss(advantage),
            "critic_loss": self.critic_loss(batch, backup),
            "actor_loss": self.actor_loss(batch, advantage.detach()),
            "_advantage": advantage.detach().mean(),
            "_backup": backup.mean(),
        }

    def value_loss(self, advantage: Tensor) -> Tensor:
        """Equation 5: |expectile - 1(u < 0)| u^2, with u = min over target critics of Q(s, a) - V(s)."""
        weight = torch.where(advantage > 0, self.expectile, 1 - self.expectile)
        return (weight * advantage**2).mean()

    def critic_loss(self, batch: Batch, backup: Tensor) -> Tensor:
        """Equation 6, summed over the critics: (r + discount * V(s') - Q(s, a))^2."""
        return ((self.critics(batch.obs, batch.action) - backup) ** 2).mean(1).sum()

    def actor_loss(self, batch: Batch, advantage: Tensor) -> Tensor:
        """Equation 7: -exp(temperature * advantage) log pi(a | s), the weight bounded."""
        weight = torch.exp(self.temperature * advantage).clamp(max=LARGEST_WEIGHT)
        return (weight * self.actor(batch.obs).loss(batch.action)).mean()

    def act(self, obs: dict[str, Tensor]) -> Tensor:
        """The mean of the policy (the most likely choice)."""
        return self.actor({key: value[:, -1] for key, value in obs.items()}).mode.unsqueeze(1)
