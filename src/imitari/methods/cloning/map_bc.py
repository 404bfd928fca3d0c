"""Cloning from a map with convolutions: plain, with shifted and zoomed maps, or predicting the search as a side task.

1. Five convolutions over the map, pooled twice, and dense layers give the logits of the action; cross-entropy.
2. `--shift`, `--zoom`: every training map is moved and zoomed at random (augmented cloning).
3. `--auxiliary`: a further head predicts the move that the expert's search wrote into every cell; the action does not
   depend on it (auxiliary cloning): with it the procedure is predicted, and not used.
Yang, Schuurmans, Abbeel & Nachum 2022, "Chain of Thought Imitation with Procedure Cloning", whose baselines these are.
Differs from the paper: random crops are the shifts, as in its code's maps the border is wall; cells that the search did
not reach have no label in the side task. Acts by the likeliest action; `--sample` draws it, as the paper does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from torch import Tensor, nn

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.core.task import Task
from imitari.data.procedures import VALUE, map_key, require
from imitari.data.sampling import Windows
from imitari.learn.agent import Agent
from imitari.learn.cloning import fit_samples
from imitari.learn.learner import Learner
from imitari.learn.method import Need, Trained
from imitari.learn.run import Run
from imitari.nets.heads.actions import Choice, ChoiceHead, masked_mean
from imitari.nets.mlp import mlp
from imitari.nets.procedure import MapEncoder, moved


@dataclass(frozen=True)
class MapCloning(Trained):
    steps: int = 4000  # optimiser steps
    batch: int = 32  # samples a batch
    widths: tuple[int, ...] = (32, 32, 64, 64, 64)  # channels of the five convolutions
    hidden: tuple[int, ...] = (256, 256)  # widths of the layers behind them
    shift: float = 0.0  # largest move of a training map, as a share of its side
    zoom: float = 0.0  # largest change of its scale
    auxiliary: float = 0.0  # weight of predicting the move of every cell; 0: not predicted
    sample: bool = False  # draw the action from its distribution, in the place of the likeliest

    needs: ClassVar[frozenset[Need]] = frozenset({"map"})
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"widths": (16, 16, 32, 32, 32), "hidden": (128, 128)},
        "paper": {"widths": (128, 128, 256, 256, 256), "lr": 3e-4, "steps": 100_000, "sample": True},
    }
    smoke: ClassVar[dict[str, Any]] = {
        "steps": 30, "batch": 8, "widths": (4,) * 5, "hidden": (8, 8), "shift": 0.1, "zoom": 0.1, "auxiliary": 1.0,
    }  # fmt: skip

    def __post_init__(self) -> None:
        if len(self.widths) != 5:
            raise UserError(f"widths has {len(self.widths)} numbers: this network has 5 convolutions")
        if self.shift < 0 or not 0 <= self.zoom < 1 or self.auxiliary < 0:
            raise UserError(
                f"shift {self.shift:g}, zoom {self.zoom:g}, auxiliary {self.auxiliary:g}: none may be negative, and "
                "zoom must be below 1"
            )

    def learner(self, spec: Spec) -> Learner:
        return MapCloner(self, spec)

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        extra = (VALUE,) if self.auxiliary else ()
        require(demos, extra)
        return fit_samples(self, demos, run, task, partial(Windows, extra=extra))


class MapCloner(Learner):
    """Encoder and head; `side` gives (B, W W, actions)."""

    def __init__(self, settings: MapCloning, spec: Spec) -> None:
        super().__init__()
        self.settings, self.key = settings, map_key(spec)
        shape, actions = spec.obs[self.key].shape, spec.action.choices
        self.encoder = MapEncoder(shape, settings.widths, settings.hidden[0])
        self.body = mlp(settings.hidden[0], settings.hidden[:-1], settings.hidden[-1])
        self.head = ChoiceHead(settings.hidden[-1], actions)
        cells = shape[0] * shape[1]
        self.side = (
            nn.Sequential(nn.Linear(settings.hidden[0], cells * actions), nn.Unflatten(-1, (cells, actions)))
            if settings.auxiliary
            else None
        )

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        state = batch.obs[self.key][:, -1].float()
        written = batch.extra[VALUE][:, 0] if self.side else None
        if self.settings.shift or self.settings.zoom:
            state, written = moved(state, written, self.settings.shift, self.settings.zoom)
        features = self.encoder(state)
        prediction = self.predict(features)
        losses = {"action_loss": masked_mean(prediction.loss(batch.action), batch.valid)}
        if self.side is not None and written is not None:
            target = written.flatten(1).long()
            each = Choice(self.side(features)).loss(target.clamp(min=0))
            losses["auxiliary_loss"] = self.settings.auxiliary * masked_mean(each, target >= 0)
        return losses

    def act(self, obs: dict[str, Tensor]) -> Tensor:
        prediction = self.predict(self.encoder(obs[self.key][:, -1].float()))
        return prediction.sample() if self.settings.sample else prediction.mode

    def predict(self, features: Tensor) -> Choice:
        """Features (B, F) to a distribution over (B, 1, 1)."""
        return self.head(self.body(features).relu()[:, None])
