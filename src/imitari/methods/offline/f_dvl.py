"""f-DVL: offline reinforcement learning whose state value is a maximum by the conjugate of a divergence.

Staying near the data under an f-divergence has a dual in the state value, whose loss is the divergence's conjugate: of
low order for chi-square and total variation, where that of reverse KL (extreme Q-learning, `xql`) is exponential and
may diverge. Twin critics and policy are as in implicit Q-learning.
Sikchi, Zheng, Zhang & Niekum 2023, "Dual RL: Unification and New Methods for Reinforcement and Imitation Learning".
Differs from the authors' code: all losses are taken at the weights before the step, where there the policy's weights
see the new state value; no dropout in the state value (used for AntMaze) and no small initial last layer of the
policy; observations are standardised, actions scaled to [-1, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.core.task import Task
from imitari.learn.agent import Agent
from imitari.learn.in_sample import InSample, InSampleLearner
from imitari.learn.learner import Learner
from imitari.learn.method import Need
from imitari.learn.offline import Offline, fit_transitions
from imitari.learn.run import Run
from imitari.nets.divergences import Divergence, ramp_loss


@dataclass(frozen=True)
class DualVLearning(InSample, Offline):
    divergence: Divergence = "total_variation"  # whose conjugate draws the state value upwards
    balance: float = 0.8  # lambda: towards 1 the state value comes near the best recorded action
    random_actions: bool = False  # half of the values that the state value sees are of uniformly random actions
    huber: float = 20.0  # error of the critics beyond which their loss grows linearly
    norm: bool = True  # LayerNorm in critics and state value

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"steps": 20_000},
        "paper": {
            "steps": 1_000_000, "batch": 1024, "divergence": "chi_square", "balance": 1.0, "random_actions": True,
            "reward_scaling": "returns",
        },
        "paper_antmaze": {
            "steps": 1_000_000, "batch": 1024, "temperature": 10.0, "reward_shift": -1.0, "actor_schedule": "constant",
        },
        "paper_adroit": {"steps": 1_000_000, "batch": 1024, "temperature": 0.5},
    }  # fmt: skip
    needs: ClassVar[frozenset[Need]] = frozenset({"reward"})
    smoke: ClassVar[dict[str, Any]] = {"steps": 30, "batch": 16, "hidden": (32, 32)}

    def __post_init__(self) -> None:
        if not 0 < self.balance <= 1:
            raise UserError(f"balance is {self.balance}: it must be above 0 and at most 1 (0.8 is usual)")

    def learner(self, spec: Spec) -> Learner:
        return DualV(self, spec)

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        return fit_transitions(self, demos, run, task)


class DualV(InSampleLearner):
    """State value by a divergence's conjugate, twin critics with targets, policy."""

    def __init__(self, method: DualVLearning, spec: Spec) -> None:
        super().__init__(method, spec)
        if method.random_actions and spec.action.kind == "choice":
            raise UserError("random_actions needs actions that are numbers: leave it off for choices")
        self.method = method

    def value_loss(self, batch: Batch, advantage: Tensor, value: Tensor) -> Tensor:
        """(1 - lambda) E[V(s)] + lambda E[f*_p(Q(s, a) - V(s))], up to a constant."""
        if self.method.random_actions:
            with torch.no_grad():
                anything = self.target(batch.obs, torch.rand_like(batch.action) * 2 - 1).amin(0)
            advantage = torch.cat([advantage, anything - value])
        return ramp_loss(advantage, self.method.divergence, self.method.balance)

    def critic_loss(self, batch: Batch, backup: Tensor) -> Tensor:
        """Huber's loss of r + discount * V(s') - Q(s, a), summed over the critics."""
        q = self.critics(batch.obs, batch.action)
        return functional.huber_loss(q, backup.expand_as(q), reduction="none", delta=self.method.huber).mean(1).sum()
