"""Behaviour cloning from observation, BCO(0): an inverse model of own experience labels what is cloned.

1. A perceptron learns which action led from the frames before to the next one, from own experience with actions: two
   frames, or six where one does not tell the state; squared error, until held-out episodes say enough.
2. It labels the demonstrations, which have no actions.
3. A perceptron on the present frame, or the last five, clones the labels.
Torabi, Warnell & Stone 2018, "Behavioral Cloning from Observation" (alpha = 0: nothing is collected in between); sizes
and stopping as of the baseline in the published code of Zhang et al. 2023, "Action Inference by Maximising Evidence".
Differs from it: pictures go through the residual trunk that cloning uses here; the weights that held-out episodes liked
best are kept; AdamW with no decay. The variant with interaction in between, BCO(alpha), is not here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.core.task import Task
from imitari.data.curate.label import with_labels
from imitari.data.sampling import Batches, Windows
from imitari.data.scaling import Scaler
from imitari.data.shown import experience_and_shown
from imitari.learn.agent import Agent
from imitari.learn.cloner import Cloner, ClonerSettings
from imitari.learn.cloning import described, finished, fit_facts
from imitari.learn.run import Run
from imitari.learn.scaled import DeviceScaler
from imitari.models.inverse import Labels, agreement
from imitari.models.one_step import InverseStep, Patience, inferred, train_one_step

INVERSE = "inverse"  # name of the stage


@dataclass(frozen=True)
class CloningFromObservation(ClonerSettings):
    frames: int = 2  # that the inverse model sees, the last one after the action; 6 where one does not tell the state
    inverse_hidden: tuple[int, ...] = (128, 128)  # widths of the inverse model's layers
    inverse_steps: int = 100_000  # optimiser steps of the inverse model at most
    inverse_batch: int = 256  # samples a batch of the inverse model
    inverse_lr: float = 1e-3  # peak learning rate of the inverse model
    inverse_held: float = 0.3  # share of own episodes that only judge it
    patience: int = 3  # passes in a row that do not improve it, after which it is done
    least_epochs: int = 50  # passes over own experience that it takes at least
    least_steps: int = 5_000  # steps that it takes at least
    hidden: tuple[int, ...] = (128, 128)  # widths of the policy's layers

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"steps": 3_000, "inverse_steps": 10_000, "least_epochs": 10},
        "paper": {"steps": 50_000},
        "paper_partial": {"steps": 50_000, "frames": 6, "history": 5},
    }
    smoke: ClassVar[dict[str, Any]] = {
        "steps": 30, "batch": 16, "hidden": (16,), "inverse_hidden": (16,), "inverse_steps": 10, "inverse_batch": 16,
        "least_epochs": 1, "least_steps": 5,
    }  # fmt: skip

    def __post_init__(self) -> None:
        if min(self.frames, self.inverse_batch) < 2 or self.inverse_lr <= 0 or not self.inverse_hidden:
            raise UserError(
                f"frames {self.frames}, inverse_batch {self.inverse_batch}, inverse_lr {self.inverse_lr:g}: the first "
                "two must be at least 2, the rate above 0, and inverse_hidden must not be empty"
            )
        self.enough()

    def enough(self) -> Patience:
        return Patience(self.inverse_held, self.patience, self.least_epochs, self.least_steps, self.inverse_steps)

    def learner(self, spec: Spec) -> LabellingCloner:
        return LabellingCloner(self, spec)

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        demos = described(demos, task)
        run.identity = {**run.identity, **fit_facts(self, demos, run)}
        own, shown = experience_and_shown(demos)
        scaler = Scaler.fit(own, "meanstd", "minmax")
        learner = run.build(lambda: self.learner(demos.spec))
        assert isinstance(learner, LabellingCloner)
        scale = DeviceScaler(scaler, demos.spec, run.place)
        optim = replace(self.optim(), lr=self.inverse_lr)
        held = train_one_step(learner.inverse, own, run, scale, optim, self.inverse_batch, INVERSE, self.enough())
        learner.inverse.requires_grad_(False)
        framing = self.framing()
        windows = Windows(labelled_by(learner.inverse, shown, scale), framing.obs_offsets, framing.action_offsets)
        run.train(learner, Batches(windows, self.batch, run.seed), self.optim(), self.steps, scale)
        agent = finished(self, learner, scaler, demos, run)
        labels = Labels(inferred(learner.inverse, held, scale), np.zeros(0, np.float32))
        agent.facts["labelling"] = {"held_out": agreement(labels, held, np.arange(len(held)))}
        return agent


class LabellingCloner(Cloner):
    """The policy, and beside it the inverse model that labelled what it clones."""

    def __init__(self, method: CloningFromObservation, spec: Spec) -> None:
        super().__init__(method, spec)
        self.inverse = InverseStep(spec, method.frames, method.inverse_hidden)


def labelled_by(model: InverseStep, shown: Demos, scale: DeviceScaler) -> Demos:
    """The demonstrations with the actions that the model infers."""
    action = inferred(model, shown, scale)
    return with_labels(shown, np.arange(len(shown)), action, np.full(len(action), np.nan), "the inverse model")
