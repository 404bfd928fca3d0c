"""Batch-constrained Q-learning: the best of several actions that a model of the data proposes.

A conditional variational autoencoder learns which actions the data takes where; two critics learn by temporal
differences, their target the best of a few actions that it proposes at the next observation (a little more than the
least of both critics is believed). Acting proposes many and takes the one that the first critic prefers; an actor may
move the proposals a little (Fujimoto, Meger & Precup 2019, "Off-Policy Deep Reinforcement Learning without
Exploration"; settings of Mandlekar et al. 2021, "What Matters in Learning from Offline Human Demonstrations").
Differs from Mandlekar et al.: all losses are taken at the weights before the step, while there the sampler moves first;
observations are standardised, actions scaled to [-1, 1]; AdamW for Adam; images get a small residual trunk.
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
from imitari.learn.batch_constrained import BatchConstrained, ConstrainedValues
from imitari.learn.learner import Learner
from imitari.learn.method import Need
from imitari.learn.offline import Offline, fit_transitions
from imitari.learn.run import Run


@dataclass(frozen=True)
class BatchConstrainedQLearning(BatchConstrained, Offline):
    lr: float = 1e-3  # peak learning rate
    batch: int = 100  # transitions a batch
    acted: int = 100  # actions that acting takes the best of

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"steps": 10_000},
        "paper": {"lr": 1e-4, "tau": 5e-4, "steps": 200_000},
        "paper_machine": {"sampler_kl": 0.5, "perturbation": 0.05, "steps": 200_000},
        "paper_mixed": {
            "lr": 1e-4, "sampler_hidden": (1024, 1024), "sampler_prior": "mixture", "sampler_kl": 0.5, "tau": 5e-4,
            "steps": 200_000,
        },
    }  # fmt: skip
    needs: ClassVar[frozenset[Need]] = frozenset({"reward"})
    smoke: ClassVar[dict[str, Any]] = {
        "steps": 30, "batch": 16, "hidden": (32, 32), "sampler_hidden": (32,), "perturbation": 0.05,
    }  # fmt: skip

    def __post_init__(self) -> None:
        self.check()
        if self.acted < 1:
            raise UserError(f"acted is {self.acted}: it must be at least 1")

    def learner(self, spec: Spec) -> Learner:
        return BatchConstrainedQ(self, spec)

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        return fit_transitions(self, demos, run, task)


class BatchConstrainedQ(Learner):
    """The values, and acting by them."""

    def __init__(self, method: BatchConstrainedQLearning, spec: Spec) -> None:
        super().__init__()
        self.acted = method.acted
        self.values = ConstrainedValues(method, spec)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        return self.values.losses(batch)

    def act(self, obs: dict[str, Tensor]) -> Tensor:
        return self.values.best_actions({key: value[:, -1] for key, value in obs.items()}, self.acted).unsqueeze(1)
