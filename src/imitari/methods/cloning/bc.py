"""Behaviour cloning: regression or a Gaussian mixture over the demonstrated action.

A network sees the last observations and predicts the action (or a chunk of actions) that the demonstrator took.
With the squared-error head it is least squares (Pomerleau 1989); with the mixture head it maximises likelihood
(Mandlekar et al. 2021, "What Matters in Learning from Offline Human Demonstrations", BC with a GMM head).
Differs from the latter in the encoder of images (a small residual trunk in the place of ResNet-18) and in AdamW for Adam.
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
from imitari.nets.heads.actions import action_head, masked_mean
from imitari.nets.mlp import mlp


@dataclass(frozen=True)
class BehaviourCloning(Trained):
    head: Literal["mse", "gmm"] = "mse"  # squared error, or a Gaussian mixture
    modes: int = 5  # components of the mixture
    hidden: tuple[int, ...] = (256, 256)  # widths of the layers
    dropout: float = 0.0  # after each layer
    history: int = 1  # observations seen
    chunk: int = 1  # actions predicted
    execute: int = 1  # actions executed before the next decision

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"steps": 3_000},
        "paper": {"head": "gmm", "hidden": (1024, 1024), "lr": 1e-4, "batch": 100, "steps": 200_000},
    }
    smoke: ClassVar[dict[str, Any]] = {"steps": 30, "batch": 16, "hidden": (32,)}

    def framing(self) -> Framing:
        return Framing(self.history, self.chunk, self.execute)

    def learner(self, spec: Spec) -> Learner:
        return Cloner(self, spec)

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        return clone(self, demos, run, task)


class Cloner(Learner):
    """Encoder, layers, head: one forward pass gives the chunk."""

    def __init__(self, method: BehaviourCloning, spec: Spec) -> None:
        super().__init__()
        self.chunk = method.chunk
        self.encoder = ObsEncoder(spec)
        self.body = mlp(
            self.encoder.width * method.history,
            method.hidden[:-1],
            method.hidden[-1] * method.chunk,
            dropout=method.dropout,
        )
        self.head = action_head(method.head, method.hidden[-1], spec.action, method.modes)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        prediction = self.predict(batch.obs)
        return {"action_loss": masked_mean(prediction.loss(batch.action), batch.valid)}

    def act(self, obs: dict[str, Tensor]) -> Tensor:
        return self.predict(obs).sample()

    def predict(self, obs: dict[str, Tensor]) -> Any:
        """Observations (B, H, ...) to a prediction of (B, C, A)."""
        features = self.body(self.encoder(obs).flatten(1)).relu()
        return self.head(features.unflatten(-1, (self.chunk, -1)))
