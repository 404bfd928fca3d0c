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

from torch import Tensor

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
from imitari.nets.divergences import expectile_loss


@dataclass(frozen=True)
class ImplicitQLearning(InSample, Offline):
    expectile: float = 0.7  # of the recorded actions' values: 0.5 their mean, towards 1 their maximum

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


class ImplicitQ(InSampleLearner):
    """State value, twin critics with targets, policy. Equations 6 and 7 are those of every `InSampleLearner`."""

    def __init__(self, method: ImplicitQLearning, spec: Spec) -> None:
        super().__init__(method, spec)
        self.expectile = method.expectile

    def value_loss(self, batch: Batch, advantage: Tensor, value: Tensor) -> Tensor:
        """Equation 5: |expectile - 1(u < 0)| u^2, with u = min over target critics of Q(s, a) - V(s)."""
        return expectile_loss(advantage, self.expectile)
