"""Inverse dynamics: says afterwards which actions a video shows, to label data in which they were not recorded.

1. A clip of `window` frames is convolved over time before anything else looks at a frame ("early" fusion); a network
   sees each fused frame, blocks of attention without a causal mask see all of them.
2. Heads give one distribution for each component of the action at every frame; the loss is the sum of their
   cross-entropies over all frames.
3. `imitari data label` applies it in half-overlapping windows and takes each frame's label from where the frame lies
   nearest to the middle.
Baker et al. 2022, "Video PreTraining (VPT): Learning to Act by Watching Unlabeled Online Videos", section 3.1 and its
published code. The sizes are as the paper is remembered and were not checked against its text.
Differs from it: continuous components are mu-law bins of each axis (the paper has 20 buttons and two such axes of
camera movement; Minecraft itself is not here), `joint` is one distribution over all axes, `mse` a point; positions are
sinusoidal; the rate falls as a cosine (the paper: linearly); rotation, shear and hue are not among the random changes
of pictures; states of numbers are stacked with their neighbours in the place of the convolution; published weights
cannot be loaded. It acts, too, without seeing the future, and is a poor policy then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from imitari.core.demos import Demos
from imitari.core.spec import Spec
from imitari.core.task import Task
from imitari.data.sampling import Windows
from imitari.data.scaling import Scaler
from imitari.learn.agent import Agent
from imitari.learn.cloning import described, finished, fit_facts, held_out_loss
from imitari.learn.framing import Framing
from imitari.learn.run import Run
from imitari.learn.scaled import DeviceScaler
from imitari.models.inverse import InverseModel, InverseSettings, comparable, train_inverse

SMALL: dict[str, Any] = {
    "network": "strided", "channels": (16, 32, 32), "filters": 16, "width": 128, "blocks": 2,
}  # fmt: skip


@dataclass(frozen=True)
class InverseDynamics(InverseSettings):
    batch: int = 32  # windows a batch

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {**SMALL, "steps": 1_000},
        "paper": {
            "window": 128,
            "width": 4096,
            "dense": 256,
            "heads": 32,
            "lr": 3e-3,
            "weight_decay": 0.01,
            "batch": 128,
            "schedule": "cosine",
            "colour": 0.2,
            "zoom": 0.05,
            "shift": 0.02,
        },
    }
    smoke: ClassVar[dict[str, Any]] = {
        "steps": 30, "batch": 8, "window": 6, "width": 16, "blocks": 1, "heads": 2, "filters": 4, "channels": (4, 8),
    }  # fmt: skip

    def framing(self) -> Framing:
        return Framing(history=self.window)

    def learner(self, spec: Spec) -> InverseModel:
        return InverseModel(self, spec)

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        demos = described(demos, task)
        run.identity = {**run.identity, **fit_facts(self, demos, run)}
        scaler = Scaler.fit(demos)
        model = run.build(lambda: self.learner(demos.spec))
        assert isinstance(model, InverseModel)
        scale = DeviceScaler(scaler, demos.spec, run.place)
        frames = range(self.window)
        held = comparable(run.held, demos.spec)
        check = held_out_loss(model, Windows(held, frames, frames, inside=True), scale, run) if held else None
        train_inverse(
            model, demos, run, scale, self.optim(), steps=self.steps, batch=self.batch, stage="train", check=check
        )
        return finished(self, model, scaler, demos, run)
