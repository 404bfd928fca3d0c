"""SMODICE: imitates a few expert demonstrations by weighting many of unknown quality with a ratio of densities.

A discriminator tells the expert's steps from all others; its logit serves as a reward. A state value solves the dual
of maximising that reward while staying near the unlabelled data (chi-square divergence), which gives every step a
weight; the policy clones the weighted data. Where the data hold hardly anything like the expert's, hardly anything has
a weight.
Ma, Shen, Jayaraman & Bastani 2022, "Versatile Offline Imitation from Observations and Examples via Regularized State-
Occupancy Matching".
Differs from it: every unlabelled state counts as a start; the discriminator sees actions unless `states_only`; its
logit is bounded. Held-out losses are of the second stage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.spec import Spec
from imitari.core.task import Task
from imitari.data.labelled import EXPERT
from imitari.data.sampling import MixedBatches
from imitari.learn.agent import Agent
from imitari.learn.labelled import Labelled, cloning_loss, fit_labelled, mean_where, value_spec
from imitari.learn.learner import Learner
from imitari.learn.run import Run
from imitari.learn.scaled import DeviceScaler
from imitari.nets.critics import GaussianActor, StateValue
from imitari.nets.discriminator import Discriminator
from imitari.nets.divergences import chi_square_conjugate_nonnegative, chi_square_ratio


@dataclass(frozen=True)
class SMODICE(Labelled):
    hidden: tuple[int, ...] = (256, 256)  # widths of the layers
    discriminator_steps: int = 1_000  # optimiser steps of the discriminator, before the rest
    penalty: float = 0.1  # on the discriminator's slope between expert and other data
    states_only: bool = False  # the discriminator sees no actions
    largest_reward: float = 10.0  # bound on the discriminator's logit
    gamma: float = 0.98  # discount a step

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"steps": 10_000, "batch": 128, "hidden": (128, 128)},
        "paper": {"steps": 1_000_000, "batch": 512, "gamma": 0.99, "states_only": True},
    }
    smoke: ClassVar[dict[str, Any]] = {"steps": 30, "batch": 16, "hidden": (32, 32), "discriminator_steps": 20}

    def learner(self, spec: Spec) -> Learner:
        return WeightedCloner(self, spec)

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        def discriminate(learner: Learner, batches: MixedBatches, scale: DeviceScaler) -> None:
            assert isinstance(learner, WeightedCloner)
            run.train(learner.judge, batches, self.optim(), self.discriminator_steps, scale, stage="discriminator")
            learner.judge.requires_grad_(False)

        return fit_labelled(self, demos, run, task, pretrain=discriminate)


class Judge(Learner):
    """The discriminator as something to train."""

    def __init__(self, method: SMODICE, spec: Spec) -> None:
        super().__init__()
        self.penalty, self.largest = method.penalty, method.largest_reward
        sees = "state" if method.states_only else "action"
        self.net = Discriminator(value_spec(method, spec), method.hidden, sees=sees)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        return self.net.losses(batch, batch.extra[EXPERT].bool(), self.penalty)

    @torch.no_grad()
    def reward(self, batch: Batch) -> Tensor:
        """log d_expert(s, a) / d_other(s, a), (B,), bounded."""
        return self.net(batch).clamp(-self.largest, self.largest)


class WeightedCloner(Learner):
    """Discriminator, state value, policy."""

    def __init__(self, method: SMODICE, spec: Spec) -> None:
        super().__init__()
        self.gamma = method.gamma
        self.judge = Judge(method, spec)
        self.value = StateValue(value_spec(method, spec), method.hidden)
        self.actor = GaussianActor(spec, method.hidden)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        other = ~batch.extra[EXPERT].bool()
        value, reward = self.value(batch.obs), self.judge.reward(batch)
        gain = reward + batch.discount * self.value(batch.next_obs) - value
        weight = chi_square_ratio(gain.detach())
        return {
            "value_loss": self.value_loss(value, gain, other),
            "actor_loss": cloning_loss(self.actor, batch, weight * other),
            "_reward_expert": mean_where(reward, ~other),
            "_reward_other": mean_where(reward, other),
            "_weights_zero": mean_where((weight == 0).float(), other),
        }

    def value_loss(self, value: Tensor, gain: Tensor, other: Tensor) -> Tensor:
        """(1 - gamma) E[V] + E[f*_p(r + gamma V(s') - V(s))] over unlabelled data."""
        starts = (1 - self.gamma) * mean_where(value, other)
        return starts + mean_where(chi_square_conjugate_nonnegative(gain), other)

    def act(self, obs: dict[str, Tensor]) -> Tensor:
        return self.actor({key: value[:, -1] for key, value in obs.items()}).mode.unsqueeze(1)
