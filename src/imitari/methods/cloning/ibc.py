"""Implicit behaviour cloning: an energy over observation and action, low at what was demonstrated.

1. A perceptron gives an energy for each observation and action. Actions drawn evenly go down the energy with noise
   (Langevin) and are the negatives; InfoNCE raises their energy over that of the demonstrated action.
2. A penalty on large slopes keeps the energy smooth enough to go down on.
3. Acting lets many drawn actions go down the energy and takes one of them.

Florence et al. 2022, "Implicit Behavioral Cloning", with its Langevin variant, as set up in Jia et al. 2024, "Towards
Diverse Behaviors: A Benchmark for Imitation Learning with Human Demonstrations".
Differs from them: the derivative-free and the autoregressive variants and a second, quieter chain at the end are not
here; rates, bounds and penalty of Florence et al. are as remembered and were not checked against their text. Of the
candidates one is drawn by its probability, since the lowest energy alone is always the same way (`taken`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.core.task import Task
from imitari.learn.agent import Agent
from imitari.learn.cloning import clone
from imitari.learn.framing import Framing
from imitari.learn.learner import Learner
from imitari.learn.method import Trained
from imitari.learn.run import Run
from imitari.nets.encoder import ObsEncoder
from imitari.nets.energy import ActionEnergy, info_nce, langevin, steepness
from imitari.nets.heads.actions import masked_mean

MARGIN = 1.05  # actions are drawn and held within so many times the range of the data


@dataclass(frozen=True)
class ImplicitCloning(Trained):
    width: int = 128  # of the layers
    blocks: int = 3  # of two layers each
    history: int = 1  # observations seen
    negatives: int = 8  # drawn actions beside each demonstrated one
    iterations: int = 40  # steps down the energy, in training and in acting
    candidates: int = 64  # drawn actions of which acting takes one
    taken: Literal["drawn", "lowest"] = "drawn"  # one by its probability among them, or that of the lowest energy
    noise: float = 1.0  # on the way down, in units of the rate
    penalty: float = 1.0  # on slopes above 1

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"steps": 1_500, "batch": 64, "width": 64, "blocks": 2, "iterations": 10, "candidates": 16},
        "paper": {"batch": 1024, "steps": 3_500},
    }
    smoke: ClassVar[dict[str, Any]] = {
        "steps": 30, "batch": 16, "width": 16, "blocks": 1, "negatives": 4, "iterations": 2, "candidates": 4,
    }  # fmt: skip

    def __post_init__(self) -> None:
        if min(self.negatives, self.candidates, self.blocks) < 1 or min(self.noise, self.penalty) < 0:
            raise UserError(
                f"negatives {self.negatives}, candidates {self.candidates}, blocks {self.blocks}: at least 1; "
                f"noise {self.noise:g}, penalty {self.penalty:g}: at least 0"
            )

    def framing(self) -> Framing:
        return Framing(self.history)

    def learner(self, spec: Spec) -> Learner:
        return Implicit(self, spec)

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        return clone(self, demos, run, task)


class Implicit(Learner):
    """Observation encoder and energy."""

    def __init__(self, method: ImplicitCloning, spec: Spec) -> None:
        super().__init__()
        if spec.action.kind != "number":
            raise UserError("method 'ibc' needs numeric actions: use bc or bc_rnn for choices")
        self.method, self.size = method, spec.action.size
        self.encoder = ObsEncoder(spec)
        self.energy = ActionEnergy(self.encoder.width * method.history, self.size, method.width, method.blocks)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """InfoNCE against negatives from down the energy, and the penalty on its slopes there."""
        features = self.encoder(batch.obs).flatten(1)
        negatives = self.drawn(features.detach(), self.method.negatives)
        energies = self.energy(features, torch.cat([batch.action, negatives], 1))
        valid = batch.valid[:, 0]
        slopes = steepness(partial(self.energy, features), negatives).mean(-1)
        return {
            "contrast_loss": masked_mean(info_nce(energies), valid),
            "slope_loss": self.method.penalty * masked_mean(slopes, valid),
        }

    def drawn(self, features: Tensor, count: int) -> Tensor:
        """Features (B, F) to `count` actions (B, count, A): from anywhere in the range, down the energy."""
        start = MARGIN * (2 * torch.rand(len(features), count, self.size, device=features.device) - 1)
        settings = {"noise": self.method.noise, "bound": MARGIN}
        return langevin(partial(self.energy, features), start, self.method.iterations, **settings)

    def act(self, obs: dict[str, Tensor]) -> Tensor:
        features = self.encoder(obs).flatten(1)
        with torch.inference_mode(False):  # the way down needs gradients
            features = features.clone()
            candidates = self.drawn(features, self.method.candidates)
            with torch.no_grad():
                energies = self.energy(features, candidates)
        weight = functional.softmax(-energies, -1)
        chosen = weight.argmax(-1, keepdim=True) if self.method.taken == "lowest" else torch.multinomial(weight, 1)
        return torch.take_along_dim(candidates, chosen.unsqueeze(-1), 1).clamp(-1, 1)
