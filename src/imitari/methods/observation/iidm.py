"""IIDM: imitates from observations by acting so that a one-step model leads to what the demonstration shows next.

1. A perceptron learns from own experience what an action leads to: o_{t+1} from the last frames and a_t; squared error,
   until held-out episodes say enough. Then it is frozen.
2. A policy on the same frames of the demonstrations is trained through it: the squared distance between what its action
   leads to and the next observation of the demonstration.
The baseline of Zhang et al. 2023, "Action Inference by Maximising Evidence", known from its published code; details
that the name does not tell (frames, sizes, stopping) are taken over from its other baseline, `bco`, and not verified.
Differs from it: numbers alone, no pictures; AdamW with no decay.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.core.task import Task
from imitari.data.sampling import Batches, Windows
from imitari.data.scaling import Scaler
from imitari.data.shown import experience_and_shown
from imitari.learn.agent import Agent
from imitari.learn.cloning import described, finished, fit_facts
from imitari.learn.framing import Framing
from imitari.learn.learner import Learner
from imitari.learn.method import Trained
from imitari.learn.run import Run
from imitari.learn.scaled import DeviceScaler
from imitari.models.one_step import ForwardStep, Patience, train_one_step
from imitari.nets.encoder import NumberEncoder
from imitari.nets.mlp import mlp

FORWARD = "forward"  # name of the stage


@dataclass(frozen=True)
class ForwardMatching(Trained):
    history: int = 1  # frames that model and policy see; 5 where one does not tell the state
    hidden: tuple[int, ...] = (128, 128)  # widths of the layers of both
    forward_steps: int = 100_000  # optimiser steps of the model at most
    forward_batch: int = 256  # samples a batch of the model
    forward_lr: float = 1e-3  # peak learning rate of the model
    forward_held: float = 0.3  # share of own episodes that only judge it
    patience: int = 3  # passes in a row that do not improve it, after which it is done
    least_epochs: int = 50  # passes over own experience that it takes at least
    least_steps: int = 5_000  # steps that it takes at least

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"steps": 3_000, "forward_steps": 10_000, "least_epochs": 10},
        "paper": {"steps": 50_000},
    }
    smoke: ClassVar[dict[str, Any]] = {
        "steps": 30, "batch": 16, "hidden": (16,), "forward_steps": 10, "forward_batch": 16, "least_epochs": 1,
        "least_steps": 5,
    }  # fmt: skip

    def __post_init__(self) -> None:
        if self.history < 1 or self.forward_batch < 1 or self.forward_lr <= 0:
            raise UserError(
                f"history {self.history}, forward_batch {self.forward_batch}, forward_lr {self.forward_lr:g}: the "
                "first two must be at least 1, the rate above 0"
            )
        self.enough()

    def enough(self) -> Patience:
        return Patience(self.forward_held, self.patience, self.least_epochs, self.least_steps, self.forward_steps)

    def framing(self) -> Framing:
        return Framing(history=self.history)

    def learner(self, spec: Spec) -> ForwardMatcher:
        if spec.action.kind != "number":
            raise UserError("actions that are choices have no gradient here: use a method with an inverse model")
        return ForwardMatcher(self, spec)

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        demos = described(demos, task)
        run.identity = {**run.identity, **fit_facts(self, demos, run)}
        own, shown = experience_and_shown(demos)
        scaler = Scaler.fit(own, "meanstd", "minmax")
        learner = run.build(lambda: self.learner(demos.spec))
        assert isinstance(learner, ForwardMatcher)
        scale = DeviceScaler(scaler, demos.spec, run.place)
        optim = replace(self.optim(), lr=self.forward_lr)
        train_one_step(learner.model, own, run, scale, optim, self.forward_batch, FORWARD, self.enough())
        learner.model.requires_grad_(False)
        windows = Windows(shown, learner.model.offsets, (0,), final=True, unknown=True)
        run.train(learner, Batches(windows, self.batch, run.seed), self.optim(), self.steps, scale)
        return finished(self, learner, scaler, demos, run)


class ForwardMatcher(Learner):
    """The policy, and the model that says what its actions lead to."""

    def __init__(self, method: ForwardMatching, spec: Spec) -> None:
        super().__init__()
        self.model = ForwardStep(spec, method.history, method.hidden)
        self.encoder, self.shape = NumberEncoder(spec), spec.action.shape
        self.policy = mlp(self.encoder.width * method.history, method.hidden, spec.action.size)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Of demonstrations: their actions, where the batch has any, are not read."""
        seen = {key: value[:, :-1] for key, value in batch.obs.items()}
        return {"match_loss": self.model.distance(batch.obs, self.decide(seen))}

    def act(self, obs: dict[str, Tensor]) -> Tensor:
        return self.decide(obs).reshape(-1, 1, *self.shape)

    def decide(self, obs: dict[str, Tensor]) -> Tensor:
        """Frames (B, H, ...) to flat actions (B, A) within (-1, 1)."""
        return torch.tanh(self.policy(self.encoder(obs).flatten(1)))
