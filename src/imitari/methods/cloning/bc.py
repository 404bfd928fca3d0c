"""Behaviour cloning: regression or a Gaussian mixture over the demonstrated action.

A network (`learn.cloner`) sees the last observations and predicts the action (or a chunk of actions) that the
demonstrator took. With the squared-error head it is least squares (Pomerleau 1989); with the mixture head it maximises
likelihood (Mandlekar et al. 2021, "What Matters in Learning from Offline Human Demonstrations", BC with a GMM head).
Differs from the latter in the encoder of images (a small residual trunk in the place of ResNet-18) and in AdamW for
Adam; its squared error is that of squashed actions (head tanh), whose L1 and cosine terms, weighted 0 there, are not
here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from imitari.core.demos import Demos
from imitari.core.task import Task
from imitari.learn.agent import Agent
from imitari.learn.cloner import ClonerSettings
from imitari.learn.cloning import clone
from imitari.learn.run import Run


@dataclass(frozen=True)
class BehaviourCloning(ClonerSettings):
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"steps": 3_000},
        "paper": {"head": "gmm", "hidden": (1024, 1024), "lr": 1e-4, "batch": 100, "steps": 200_000},
        "paper_machine": {"head": "tanh", "hidden": (1024, 1024), "batch": 100, "steps": 200_000},
    }
    smoke: ClassVar[dict[str, Any]] = {"steps": 30, "batch": 16, "hidden": (32,)}

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        return clone(self, demos, run, task)
