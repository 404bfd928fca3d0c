"""Nearest neighbours: act as the demonstrations did in the k most similar moments, the more similar the more.

1. Every moment of the demonstrations is kept as a vector with the action (or the chunk of actions) that followed.
2. Distances are Euclidean; the k nearest are weighted by the softmax of minus their distances, divided by
   `--temperature` (locally weighted regression).
3. Numbers are averaged, choices are voted on. There is nothing to train: all that is learned is how to see.
Pari, Shafiullah, Arunachalam & Pinto 2022, "The Surprising Effectiveness of Representation Learning for Visual
Imitation" (VINN). Pictures come as the vectors of an encoder (`--encoder`). Differs from the paper: every number of the
vector is brought to mean 0 and deviation 1 first (`--scaling none` as there).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.core.task import Task
from imitari.data.sampling import Windows
from imitari.data.scaling import Scaler, ScalingKind
from imitari.learn.agent import Agent
from imitari.learn.cloning import described, finished
from imitari.learn.framing import Framing
from imitari.learn.learner import Learner
from imitari.learn.method import Method
from imitari.learn.run import Run
from imitari.learn.scaled import DeviceScaler
from imitari.nets.encoder import NumberEncoder

TOGETHER = 4096  # moments gathered at once


@dataclass(frozen=True)
class NearestNeighbours(Method):
    k: int = 16  # neighbours
    temperature: float = 1.0  # distances are divided by it before the softmax
    scaling: ScalingKind = "meanstd"  # of observations: meanstd, minmax, quantile or none
    history: int = 1  # observations seen
    chunk: int = 1  # actions predicted
    execute: int = 1  # actions executed before the next decision

    exact: ClassVar[bool] = True
    presets: ClassVar[dict[str, dict[str, Any]]] = {"small": {}, "paper": {"scaling": "none"}}

    def __post_init__(self) -> None:
        if self.k < 1 or self.temperature <= 0:
            raise UserError(
                f"k is {self.k} and temperature {self.temperature}: k must be at least 1, temperature above 0"
            )

    def framing(self) -> Framing:
        return Framing(self.history, self.chunk, self.execute)

    def learner(self, spec: Spec) -> Learner:
        return Neighbours(self, spec)

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        demos = described(demos, task)
        scaler, framing = Scaler.fit(demos, self.scaling), self.framing()
        learner = run.build(lambda: self.learner(demos.spec))
        assert isinstance(learner, Neighbours)
        windows = Windows(demos, framing.obs_offsets, framing.action_offsets)
        if len(windows) < self.k:
            raise UserError(f"{demos.provenance.path}: has {len(windows)} moments: choose --k of at most that")
        scale = DeviceScaler(scaler, demos.spec, run.place)
        for begin in range(0, len(windows), TOGETHER):
            batch = scale.batch(windows.gather(np.arange(begin, min(begin + TOGETHER, len(windows)))))
            learner.keep(batch.obs, batch.action)
        return finished(self, learner, scaler, demos, run)


class Neighbours(Learner):
    """Buffers: `seen` (N, D) the moments, `action` (N, C, *A) what followed."""

    seen: Tensor
    action: Tensor

    def __init__(self, method: NearestNeighbours, spec: Spec) -> None:
        super().__init__()
        if spec.images:
            raise UserError(
                f"neighbours are found among vectors, and '{next(iter(spec.images))}' is a picture: give --encoder "
                "FOLDER, or leave it out with --obs"
            )
        self.method = method
        self.choices = spec.action.choices if spec.action.kind == "choice" else 0
        self.encoder = NumberEncoder(spec)
        kind = torch.int64 if self.choices else torch.float32
        self.register_buffer("seen", torch.zeros(0, self.encoder.width * method.history))
        self.register_buffer("action", torch.zeros(0, method.chunk, *spec.action.shape, dtype=kind))

    def keep(self, obs: dict[str, Tensor], action: Tensor) -> None:
        """Adds moments, name -> (N, H, ...), and what followed, (N, C, *A)."""
        self.seen = torch.cat([self.seen, self.encoder(obs).flatten(1)])
        self.action = torch.cat([self.action, action.to(self.action.dtype)])

    def act(self, obs: dict[str, Tensor]) -> Tensor:
        weight, which = self.nearest(self.encoder(obs).flatten(1))
        followed = self.action[which]
        if self.choices:
            votes = functional.one_hot(followed, self.choices) * weight[:, :, None, None, None]
            return votes.sum(1).argmax(-1)
        return (followed * weight[:, :, None, None]).sum(1)

    def nearest(self, at: Tensor) -> tuple[Tensor, Tensor]:
        """Weights and numbers (B, k) of the nearest moments of (B, D), the nearest first."""
        exactly = "donot_use_mm_for_euclid_dist"  # products of float32 lose the digits of small distances
        distance, which = torch.cdist(at.float(), self.seen, compute_mode=exactly).topk(self.method.k, largest=False)
        return functional.softmax(-distance / self.method.temperature, dim=1), which

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any, **named: Any) -> None:
        # How many moments there are is known only from what was saved.
        for name in ("seen", "action"):
            setattr(self, name, torch.empty_like(state_dict[prefix + name], device=getattr(self, name).device))
        super()._load_from_state_dict(state_dict, prefix, *others, **named)
