"""ReCOIL: imitates a few expert demonstrations with the help of many of unknown quality, without a discriminator.

Two mixtures are matched: the policy's visits with the unlabelled ones, and the expert's visits with the unlabelled
ones. Its dual raises the value of the expert's actions, lowers that of the policy's, and asks for Bellman consistency
without a reward on all data; the unlabelled data need not cover the expert. The policy clones all data weighted by
advantage.
Sikchi, Zheng, Zhang & Niekum 2023, "Dual RL: Unification and New Methods for Reinforcement and Imitation Learning".
Differs from the paper, whose own code is not public: the chi-square divergence alone; the start distribution is that
of the unlabelled data, as in its practical loss; `stable` and `semi` are the forms of the first author's later code
(SMORe, DILO); all losses are taken at the weights before the step; observations are standardised, actions scaled to
[-1, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.core.task import Task
from imitari.data.labelled import EXPERT
from imitari.learn.agent import Agent
from imitari.learn.in_sample import LARGEST_WEIGHT, InSample, InSampleLearner
from imitari.learn.labelled import Labelled, cloning_loss, fit_labelled, mean_where, rows_where, value_spec
from imitari.learn.learner import Learner
from imitari.learn.run import Run
from imitari.nets.critics import GaussianActor, StateValue
from imitari.nets.divergences import (
    chi_square_conjugate_nonnegative,
    chi_square_ratio,
    expectile_loss,
    gumbel_loss,
    ramp_loss,
)


@dataclass(frozen=True)
class ReCOIL(InSample, Labelled):
    form: Literal["stable", "orig", "semi", "value"] = "stable"  # of the loss; "value" is ReCOIL-V, without critics
    maximiser: Literal["expectile", "chi_square", "total_variation", "gumbel"] = "expectile"  # of the state value
    expectile: float = 0.8  # of the expectile maximiser
    balance: float = 0.7  # lambda of the chi-square and total-variation maximisers
    alpha: float = 5.0  # scale of the Gumbel maximiser
    beta: float = 0.5  # share of the policy and of the expert in the mixtures
    anchor: float = 0.05  # stable: weight of the values that expert and policy are held to
    highest: float = 0.0  # stable: value of the expert's actions; 0: 2 / (1 - gamma)
    push: float = 1e-4  # semi: weight of lowering the values of unlabelled actions
    action_noise: float = 0.1  # on the policy's actions whose value is lowered
    norm: bool = True  # LayerNorm in critics and state value
    gamma: float = 0.98  # discount a step

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"steps": 10_000, "batch": 128, "hidden": (128, 128)},
        "paper": {"steps": 300_000, "batch": 1024, "gamma": 0.99},
    }
    smoke: ClassVar[dict[str, Any]] = {"steps": 30, "batch": 16, "hidden": (32, 32)}

    def __post_init__(self) -> None:
        if not 0 < self.beta < 1:
            raise UserError(f"beta is {self.beta}: it must lie between 0 and 1 (0.5 is usual)")
        if not 0 < self.gamma < 1:
            raise UserError(f"gamma is {self.gamma}: it must lie between 0 and 1 (0.98 is usual)")

    def learner(self, spec: Spec) -> Learner:
        return DualValue(self, spec) if self.form == "value" else DualCritic(self, spec)

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        return fit_labelled(self, demos, run, task)


class DualCritic(InSampleLearner):
    """ReCOIL with action values (dual-Q)."""

    def __init__(self, method: ReCOIL, spec: Spec) -> None:
        super().__init__(method, spec, value_spec(method, spec))
        self.method = method
        self.highest = method.highest or 2 / (1 - method.gamma)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        expert = batch.extra[EXPERT].bool()
        value = self.value(batch.obs)
        with torch.no_grad():
            value_of_action = self.target(batch.obs, batch.action).amin(0)
            backup = batch.discount * self.value(batch.next_obs)
        advantage = value_of_action - value
        weight = self.weight(advantage.detach())
        return {
            "value_loss": self.value_loss(batch, advantage, value),
            "critic_loss": self.contrast(batch, backup, expert),
            "actor_loss": cloning_loss(self.actor, batch, weight),
            "_value_expert": mean_where(value.detach(), expert),
            "_value_other": mean_where(value.detach(), ~expert),
            "_weights_clipped": (weight >= LARGEST_WEIGHT).float().mean(),
            "_largest_value": value.detach().abs().amax(),
        }

    def value_loss(self, batch: Batch, advantage: Tensor, value: Tensor) -> Tensor:
        """Implicit maximum over recorded actions: V is drawn towards the largest min over target critics of Q(s, a)."""
        method = self.method
        if method.maximiser == "expectile":
            return expectile_loss(advantage, method.expectile)
        if method.maximiser == "gumbel":
            return gumbel_loss(advantage, method.alpha, 5.0)
        return ramp_loss(advantage, method.maximiser, method.balance)

    def contrast(self, batch: Batch, backup: Tensor, expert: Tensor) -> Tensor:
        """Raises Q on the expert's actions, lowers it elsewhere, and keeps Q near gamma * V(s') on all data."""
        method, q = self.method, self.critics(batch.obs, batch.action)
        bellman = 0.25 * ((backup - q) ** 2).mean(1).sum()
        if method.form == "semi":
            lowered = method.push * mean_where(q, ~expert)
            return (lowered - method.beta * mean_where(q, expert)).sum() + bellman
        others = rows_where(batch.obs, ~expert)
        tried = self.critics(others, self.tried(others))
        if method.form == "orig":
            return method.beta * (tried.sum() / max(1, tried.shape[1]) - mean_where(q, expert).sum()) + bellman
        pinned = mean_where((q - self.highest) ** 2, expert).sum() + (tried**2).sum() / max(1, tried.shape[1])
        return method.anchor * pinned + bellman

    @torch.no_grad()
    def tried(self, obs: dict[str, Tensor]) -> Tensor:
        """What the policy would do: its mean (its most likely choice) with a little noise."""
        action = self.actor(obs).mode
        if self.actor.discrete:
            return action
        return (action + self.method.action_noise * torch.randn_like(action)).clamp(-1, 1)


class DualValue(Learner):
    """ReCOIL-V: the same with a state value alone (dual-V), whose gradient also goes through V(s')."""

    def __init__(self, method: ReCOIL, spec: Spec) -> None:
        super().__init__()
        self.beta = method.beta
        self.value = StateValue(value_spec(method, spec), method.hidden, norm=method.norm)
        self.actor = GaussianActor(spec, method.hidden, dropout=method.dropout)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        expert = batch.extra[EXPERT].bool()
        value = self.value(batch.obs)
        gain = batch.discount * self.value(batch.next_obs) - value
        weight = chi_square_ratio(gain.detach())
        return {
            "value_loss": self.value_loss(value, gain, batch.discount, expert),
            "actor_loss": cloning_loss(self.actor, batch, weight),
            "_value_expert": mean_where(value.detach(), expert),
            "_value_other": mean_where(value.detach(), ~expert),
            "_largest_value": value.detach().abs().amax(),
        }

    def value_loss(self, value: Tensor, gain: Tensor, discount: Tensor, expert: Tensor) -> Tensor:
        """beta (1 - gamma) E_S[V] + E_mix[f*_p(gain)] - (1 - beta) E_S[gain], S being the other data.

        Args:
            value: V(s), (B,).
            gain: discount * V(s') - V(s), (B,).
            discount: (B,).
            expert: (B,) bool.
        """
        starts = self.beta * mean_where((1 - discount) * value, ~expert)
        conjugate = chi_square_conjugate_nonnegative(gain)
        mixed = self.beta * mean_where(conjugate, expert) + (1 - self.beta) * mean_where(conjugate, ~expert)
        return starts + mixed - (1 - self.beta) * mean_where(gain, ~expert)

    def act(self, obs: dict[str, Tensor]) -> Tensor:
        return self.actor({key: value[:, -1] for key, value in obs.items()}).mode.unsqueeze(1)
