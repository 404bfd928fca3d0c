"""Implicit reinforcement without interaction: the most valuable of many planned goals, and an actor that goes there.

The planner and the recurrent actor are those of hierarchical cloning (`learn.hierarchy`), trained on the same stretches
as batch-constrained critics (`learn.batch_constrained`). Every `hold` steps many goals are drawn; each is worth the
best of several actions that the critics' sampler proposes there, and the best goal is kept (Mandlekar et al. 2020,
"IRIS: Implicit Reinforcement without Interaction at Scale"; settings of Mandlekar et al. 2021, "What Matters in
Learning from Offline Human Demonstrations").
Differs from Mandlekar et al. 2021 as hierarchical cloning and batch-constrained Q-learning do here: one AdamW for all
parts, losses at the weights before the step; everything sees observations scaled to [-1, 1].
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.core.task import Task
from imitari.data.stretches import Stretches
from imitari.learn.agent import Agent
from imitari.learn.batch_constrained import BatchConstrained, ConstrainedValues
from imitari.learn.cloning import fit_samples
from imitari.learn.hierarchy import Hierarchy, HierarchySettings
from imitari.learn.learner import Learner
from imitari.learn.method import Need
from imitari.learn.run import Run


@dataclass(frozen=True)
class ImplicitReinforcement(BatchConstrained, HierarchySettings):
    batch: int = 100  # stretches a batch
    gamma: float = 0.99  # discount a step
    n_step: int = 1  # rewards summed before bootstrapping
    goals: int = 100  # plans of which the most valuable one is followed
    acted: int = 100  # actions that the value of a plan is the largest of
    sampler_rate: float = 1.0  # learning rate of the action sampler, as a share of the others'
    critic_rate: float = 1.0  # learning rate of the critics, as a share of the others'

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"steps": 10_000},
        "paper": {
            "width": 400, "latent": 14, "planner_hidden": (1024, 1024), "sampler_rate": 0.1, "sampler_kl": 0.5,
            "tau": 5e-4, "steps": 200_000,
        },
        "paper_machine": {
            "width": 100, "after_layers": 2, "latent": 14, "planner_hidden": (1024, 1024), "sampler_rate": 0.1,
            "sampler_kl": 0.5, "steps": 200_000,
        },
        "paper_mixed": {
            "width": 400, "latent": 14, "planner_hidden": (1024, 1024), "sampler_rate": 0.1, "critic_rate": 0.1,
            "tau": 5e-4, "steps": 200_000,
        },
    }  # fmt: skip
    needs: ClassVar[frozenset[Need]] = frozenset({"reward"})
    smoke: ClassVar[dict[str, Any]] = {
        "steps": 30, "batch": 16, "width": 16, "planner_hidden": (32,), "hidden": (32, 32), "sampler_hidden": (32,),
        "goals": 5, "acted": 5,
    }  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check()
        for name in ("goals", "acted"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}: it must be at least 1")

    def learner(self, spec: Spec) -> Learner:
        return ValuedHierarchy(self, spec)

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        sampler = partial(
            Stretches,
            obs_offsets=self.obs_offsets,
            action_offsets=range(self.length),
            n_step=self.n_step,
            gamma=self.gamma,
        )
        return fit_samples(self, demos, run, task, sampler)


class ValuedHierarchy(Hierarchy):
    """A hierarchy whose plans are chosen by their value."""

    def __init__(self, method: ImplicitReinforcement, spec: Spec) -> None:
        super().__init__(method, spec)
        self.goals, self.acted = method.goals, method.acted
        self.shares = {"values.sampler.": method.sampler_rate, "values.critics.": method.critic_rate}
        self.values = ConstrainedValues(method, spec)

    def rates(self) -> dict[str, float]:
        return self.shares

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        first = {key: value[:, 0] for key, value in batch.obs.items()}
        step = replace(batch, obs=first, action=batch.action[:, 0])
        return {**super().losses(batch), **self.values.losses(step)}

    def plan(self, features: Tensor) -> Tensor:
        drawn = self.planner.draw(features, self.goals)
        values = self.values.state_values(drawn.flatten(0, 1), self.acted).unflatten(0, drawn.shape[:2])
        return drawn[torch.arange(len(drawn), device=drawn.device), values.argmax(-1)]
