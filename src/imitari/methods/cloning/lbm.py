"""Large behaviour model: a diffusion transformer for many tasks, told by words, and tuned to one with little data.

1. What is seen in two steps (numbers, pictures) and the projected instruction are one condition vector.
2. A transformer over the 16 tokens of a noisy chunk predicts the noise; the condition vector and the noise level shift,
   scale and gate every block (AdaLN). Half of the chunk is executed, then it decides again.
3. Actions are scaled by the percentiles of each of their numbers at each step of the chunk, and clipped.
4. Pretraining is a training on a mixture of tasks; `policy_start` goes on from it with one task's data, at a smaller
   constant rate, with the statistics of the mixture. Without it this is the single-task baseline.

TRI LBM team 2025, "A Careful Examination of Large Behavior Models for Multitask Dexterous Manipulation".
Differs from the paper: the condition passes two linear layers, as numbers, unlike CLIP's features, say little linearly;
pictures pass a small trunk with a spatial soft-max, one for each camera (`--encoder` puts a pretrained one before it),
without CLIP and without colour jitter; instructions are vectors of the data. Actions are taken as the data has them: no
poses relative to the hand, no re-orthonormalised rotations (`unscaled` leaves their numbers as they are).
Starts without motion are not dropped here: `imitari data trim` does that.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.spec import INSTRUCTION, Spec
from imitari.core.task import Task
from imitari.data.scaling import Scaler, by_chunk_step
from imitari.learn.agent import Agent
from imitari.learn.cloning import clone, described
from imitari.learn.framing import Framing
from imitari.learn.learner import Learner
from imitari.learn.method import Trained
from imitari.learn.optim import Schedule
from imitari.learn.run import Run
from imitari.nets.adaptive import AdaptiveTransformer
from imitari.nets.diffusion import NoiseDiffusion
from imitari.nets.encoder import ObsEncoder
from imitari.nets.heads.actions import masked_mean

CLIP = 1.5  # of scaled actions


@dataclass(frozen=True)
class LargeBehaviourModel(Trained):
    width: int = 128  # of the tokens
    layers: int = 4  # of the transformer
    heads: int = 4  # of the attention
    dropout: float = 0.0  # of attention weights and of each part's output
    words: int = 32  # width of the projected instruction, where there is one
    levels: int = 100  # noise levels in training
    sampling: int = 10  # levels visited when acting
    history: int = 2  # observations seen
    chunk: int = 16  # actions predicted
    execute: int = 8  # actions executed before the next decision
    unscaled: tuple[int, ...] | None = None  # numbers of the action (the first is 1) that are not scaled: rotations
    vision_rate: float = 1.0  # factor on the rate of image encoders; 0.1 for pretrained ones
    masked: bool = False  # leave actions beyond the episode's end out of the loss, instead of repeating the last one
    policy_start: str = ""  # folder of an agent of this method whose weights and scaling are the start
    schedule: Schedule = "constant"  # constant or cosine
    warmup: int = 200  # steps of linear increase of the rate
    ema: float = 0.999  # decay of the average of the weights that is kept; 0: none

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"steps": 4_000, "batch": 128, "width": 64, "layers": 3, "schedule": "cosine"},
        "paper": {
            "width": 768, "layers": 8, "heads": 12, "words": 512, "lr": 3e-4, "batch": 2_560, "steps": 48_000,
            "vision_rate": 0.1,
        },
        "paper_tuning": {
            "width": 768, "layers": 8, "heads": 12, "words": 512, "lr": 2e-5, "batch": 320, "steps": 30_000,
            "vision_rate": 0.1,
        },
        "paper_single": {
            "width": 768, "layers": 8, "heads": 12, "words": 512, "lr": 2e-5, "batch": 320, "steps": 100_000,
            "vision_rate": 0.1,
        },
    }  # fmt: skip
    smoke: ClassVar[dict[str, Any]] = {
        "steps": 30, "batch": 16, "width": 16, "layers": 2, "heads": 2, "levels": 20, "sampling": 3, "ema": 0.9,
    }  # fmt: skip

    def __post_init__(self) -> None:
        if self.width % self.heads or self.width % 2:
            raise UserError(f"width {self.width}, heads {self.heads}: the width must be even, and the heads divide it")
        if self.words < 1 or self.vision_rate < 0:
            raise UserError(f"words {self.words}, vision_rate {self.vision_rate:g}: at least 1, and at least 0")

    def framing(self) -> Framing:
        return Framing(self.history, self.chunk, self.execute)

    def learner(self, spec: Spec) -> Learner:
        return BehaviourModel(self, spec)

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        if self.policy_start:
            return clone(self, demos, run, task, start=Agent.load(Path(self.policy_start)))
        demos = described(demos, task)
        plain = [number - 1 for number in self.unscaled or ()]
        scaler = by_chunk_step(Scaler.fit(demos, action="none"), demos, self.chunk, CLIP, plain)
        return clone(self, demos, run, task, scaler=scaler)


class BehaviourModel(Learner):
    """Encoders of what is seen and told, denoising transformer and the process between noise and chunk."""

    def __init__(self, method: LargeBehaviourModel, spec: Spec) -> None:
        super().__init__()
        if spec.action.kind != "number":
            raise UserError("method 'lbm' needs numeric actions: use bc or bc_rnn for choices")
        self.masked, self.vision_rate = method.masked, method.vision_rate
        self.shape = (method.chunk, spec.action.size)
        told = INSTRUCTION in spec.obs
        seen = spec.select([key for key in spec.obs if key != INSTRUCTION])
        self.encoder = ObsEncoder(seen)
        self.words = nn.Linear(spec.obs[INSTRUCTION].size, method.words) if told else None
        condition = method.history * self.encoder.width + (method.words if told else 0)
        self.net = AdaptiveTransformer(
            condition, *self.shape, method.width, method.heads, method.layers, method.dropout
        )
        self.process = NoiseDiffusion(method.levels, method.sampling, bound=CLIP)

    def rates(self) -> dict[str, float]:
        return {"encoder.images": self.vision_rate}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """E |noise - net(noisy chunk, level, condition)|^2."""
        error = self.process.error(partial(self.net, condition=self.condition(batch.obs)), batch.action)
        return {"noise_loss": masked_mean(error.mean(-1), batch.valid if self.masked else batch.known)}

    def act(self, obs: dict[str, Tensor]) -> Tensor:
        """DDIM from noise to a chunk."""
        condition = self.condition(obs)
        noise = torch.randn(len(condition), *self.shape, device=condition.device)
        return self.process.sample(self.net.along(self.process.path, condition), noise)

    def condition(self, obs: dict[str, Tensor]) -> Tensor:
        """Features of all steps and the instruction side by side, (B, F)."""
        parts = [self.encoder(obs).flatten(1)]
        if self.words is not None:
            parts.append(self.words(obs[INSTRUCTION][:, -1].float()))
        return torch.cat(parts, -1)
