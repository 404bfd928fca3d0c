"""Extreme Q-learning: offline reinforcement learning whose state value is a maximum by Gumbel regression.

If errors of action values follow a Gumbel distribution, the likeliest state value is a soft maximum of them; an
exponential loss finds it without asking for actions outside the data. Twin critics and policy are as in implicit
Q-learning. In the terms of Dual RL it is the reverse-KL member of a family (`f_dvl` has the others).
Garg, Hejna, Geist & Ermon 2023, "Extreme Q-Learning: MaxEnt RL without Entropy".
Differs from the authors' code: all losses are taken at the weights before the step; the critics' loss is the square,
not Huber's; observations are standardised, actions scaled to [-1, 1].
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
from imitari.nets.divergences import gumbel_loss


@dataclass(frozen=True)
class ExtremeQLearning(InSample, Offline):
    alpha: float = 2.0  # scale of the Gumbel noise, in units of reward: the smaller, the nearer the maximum
    max_clip: float = 7.0  # bound on advantage / alpha in the exponent; 0: none
    norm: bool = True  # LayerNorm in critics and state value

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"steps": 20_000},
        "paper": {"steps": 1_000_000, "reward_scaling": "returns"},
        "paper_antmaze": {"steps": 1_000_000, "alpha": 0.6, "temperature": 10.0, "reward_shift": -1.0},
    }
    needs: ClassVar[frozenset[Need]] = frozenset({"reward"})
    smoke: ClassVar[dict[str, Any]] = {"steps": 30, "batch": 16, "hidden": (32, 32)}

    def __post_init__(self) -> None:
        if not self.alpha > 0:
            raise UserError(f"alpha is {self.alpha}: it must be above 0 (1 to 8 are usual)")

    def learner(self, spec: Spec) -> Learner:
        return ExtremeQ(self, spec)

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        return fit_transitions(self, demos, run, task)


class ExtremeQ(InSampleLearner):
    """State value by Gumbel regression, twin critics with targets, policy."""

    def __init__(self, method: ExtremeQLearning, spec: Spec) -> None:
        super().__init__(method, spec)
        self.method = method

    def value_loss(self, batch: Batch, advantage: Tensor, value: Tensor) -> Tensor:
        """exp(z) - z - 1 with z = min((Q(s, a) - V(s)) / alpha, max_clip)."""
        return gumbel_loss(advantage, self.method.alpha, self.method.max_clip)
