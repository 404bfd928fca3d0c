"""Hierarchical behaviour cloning: plan an observation some steps ahead, then act towards it with a memory of its own.

A conditional variational autoencoder learns what is seen `ahead` steps after an observation; a recurrent actor learns
the actions in between, given what then came. Acting draws a goal every `hold` steps, keeps it, and clears the actor's
memory with it. Which way to go is thus decided once in a while and not at every step (Mandlekar et al. 2021, "What
Matters in Learning from Offline Human Demonstrations", HBC; after Mandlekar et al. 2020, "Learning to Generalize Across
Long-Horizon Tasks from Human Demonstrations").
Differs from the paper: observations are scaled to [-1, 1] and goals compared on that scale; one AdamW trains both
parts, which share no weights; the error of a goal is a mean over its numbers, the divergence a sum over the latent's.
As in the paper, goals are numbers and never pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from imitari.core.demos import Demos
from imitari.core.spec import Spec
from imitari.core.task import Task
from imitari.data.sampling import Windows
from imitari.learn.agent import Agent
from imitari.learn.cloning import fit_samples
from imitari.learn.hierarchy import Hierarchy, HierarchySettings
from imitari.learn.learner import Learner
from imitari.learn.run import Run


@dataclass(frozen=True)
class HierarchicalCloning(HierarchySettings):
    batch: int = 100  # stretches a batch

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"steps": 3_000},
        "paper": {"width": 400, "planner_hidden": (1024, 1024), "steps": 200_000},
        "paper_machine": {"width": 100, "after_layers": 2, "planner_hidden": (1024, 1024), "steps": 200_000},
    }
    smoke: ClassVar[dict[str, Any]] = {"steps": 30, "batch": 16, "width": 16, "planner_hidden": (32,)}

    def learner(self, spec: Spec) -> Learner:
        return Hierarchy(self, spec)

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        sampler = partial(Windows, obs_offsets=self.obs_offsets, action_offsets=range(self.length), final=True)
        return fit_samples(self, demos, run, task, sampler)
