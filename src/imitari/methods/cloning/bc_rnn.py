"""Behaviour cloning with memory: an LSTM that predicts the action at every step of a sequence.

Stretches of `length` steps are drawn from the demonstrations; from a blank state, the network sees their observations
in order and gives a distribution over each action, a Gaussian mixture. Acting carries the state along and clears it
every `renew` steps, so that it never grows older than in training; the noise of the mixture is left out (Mandlekar et
al. 2021, "What Matters in Learning from Offline Human Demonstrations", BC-RNN).
Differs from the paper in the encoder of images (a small residual trunk in the place of ResNet-18, centre crop at test),
and in AdamW for Adam.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.spec import Spec
from imitari.core.task import Task
from imitari.learn.agent import Agent
from imitari.learn.cloning import clone
from imitari.learn.framing import Framing
from imitari.learn.learner import Learner
from imitari.learn.method import Trained
from imitari.learn.run import Run
from imitari.nets.encoder import ObsEncoder
from imitari.nets.heads.actions import Prediction, action_head, masked_mean
from imitari.nets.recurrent import Cell, Recurrent, State


@dataclass(frozen=True)
class RecurrentCloning(Trained):
    head: Literal["mse", "tanh", "gmm"] = "gmm"  # squared error, the same of a squashed action, or a Gaussian mixture
    modes: int = 5  # components of the mixture
    cell: Cell = "lstm"  # lstm or gru
    width: int = 128  # of the hidden state
    layers: int = 2  # recurrent layers
    length: int = 10  # steps of a training sequence
    renew: int = 10  # steps after which acting clears the memory; 0: never within an episode
    masked: bool = False  # leave actions beyond the episode's end out of the loss, instead of repeating the last one
    batch: int = 100  # sequences a batch

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"steps": 3_000},
        "paper": {"width": 400, "lr": 1e-4, "steps": 200_000},
        "paper_images": {"width": 1000, "lr": 1e-4, "batch": 16, "steps": 300_000},
        "paper_machine": {"head": "tanh", "width": 400, "lr": 1e-4, "steps": 200_000},
    }
    smoke: ClassVar[dict[str, Any]] = {"steps": 30, "batch": 16, "width": 16}

    def framing(self) -> Framing:
        return Framing(renew=self.renew)

    def learner(self, spec: Spec) -> Learner:
        return RecurrentCloner(self, spec)

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        steps = range(self.length)
        return clone(self, demos, run, task, obs_offsets=steps, action_offsets=steps)


class RecurrentCloner(Learner):
    """Encoder, recurrent layers, head."""

    recurrent = True

    def __init__(self, method: RecurrentCloning, spec: Spec) -> None:
        super().__init__()
        self.masked = method.masked
        self.encoder = ObsEncoder(spec)
        self.body = Recurrent(self.encoder.width, method.width, method.layers, method.cell)
        self.head = action_head(method.head, method.width, spec.action, method.modes)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        prediction, _ = self.predict(batch.obs, None)
        return {"action_loss": masked_mean(prediction.loss(batch.action), batch.valid if self.masked else batch.known)}

    def start(self, count: int) -> State:
        return self.body.start(count)

    def act_recurrent(self, obs: dict[str, Tensor], state: State) -> tuple[Tensor, State]:
        prediction, state = self.predict(obs, state)
        return prediction.sample(), state

    def predict(self, obs: dict[str, Tensor], state: State | None) -> tuple[Prediction, State]:
        """Observations (B, T, ...) and the state before them to a prediction of (B, T, A) and the state after them."""
        features, after = self.body(self.encoder(obs), state)
        return self.head(features), after
