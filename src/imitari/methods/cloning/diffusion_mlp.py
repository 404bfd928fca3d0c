"""Diffusion over single actions with a residual perceptron on the present observation: DDPM-MLP.

Noise of a numbered level is added to the demonstrated action; a perceptron over noisy action, embedded level and
observation estimates the noise. Acting begins with noise and takes it away in a few steps, each of which adds fresh
noise (DDPM), with the estimate of the action held to the range of the data.

Jia et al. 2024, "Towards Diverse Behaviors: A Benchmark for Imitation Learning with Human Demonstrations" (DDPM-MLP),
after Ho et al. 2020 (process) and Nichol & Dhariwal 2021 (cosine schedule).
Differs from it: norms in the residual blocks; levels are embedded as sines of their share of all levels; the average of
the weights begins freely.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

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
from imitari.nets.denoiser import LevelEmbedding
from imitari.nets.diffusion import Bounds, NoiseDiffusion, Target
from imitari.nets.encoder import ObsEncoder
from imitari.nets.heads.actions import masked_mean
from imitari.nets.mlp import ResidualMLP


@dataclass(frozen=True)
class DiffusionPerceptron(Trained):
    levels: int = 8  # noise levels, all of which acting visits
    target: Target = "noise"  # what is estimated: noise as in DDPM, or velocity, which is known well at every level
    spread: float = 1.0  # share of the fresh noise that acting adds: 1 as in DDPM, 0 none as in DDIM
    level_width: int = 16  # numbers that a level is embedded as
    width: int = 128  # of the layers
    blocks: int = 3  # of two layers each
    history: int = 1  # observations seen
    ema: float = 0.995  # decay of the average of the weights that is kept; 0: none

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"steps": 4_000, "schedule": "cosine", "warmup": 100, "target": "velocity"},
        "paper": {"batch": 1024, "steps": 3_500},
    }
    smoke: ClassVar[dict[str, Any]] = {"steps": 30, "batch": 16, "width": 16, "blocks": 1, "levels": 4, "ema": 0.9}

    def __post_init__(self) -> None:
        if self.level_width < 2 or self.level_width % 2:
            raise UserError(f"level_width is {self.level_width}: it must be an even number of at least 2")

    def framing(self) -> Framing:
        return Framing(self.history)

    def learner(self, spec: Spec) -> Learner:
        return ActionDiffuser(self, spec)

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        return clone(self, demos, run, task, obs_scaling="meanstd", action_scaling="meanstd")


class ActionDiffuser(Learner):
    """Observation encoder, denoising perceptron and the process between noise and action."""

    measures = True

    def __init__(self, method: DiffusionPerceptron, spec: Spec) -> None:
        super().__init__()
        if spec.action.kind != "number":
            raise UserError("method 'diffusion_mlp' needs numeric actions: use bc or bc_rnn for choices")
        self.size, width = spec.action.size, method.level_width
        self.encoder, self.bounds = ObsEncoder(spec), Bounds(self.size)
        self.process = NoiseDiffusion(
            method.levels, method.levels, spread=method.spread, bound=self.bounds, target=method.target
        )
        self.level = nn.Sequential(
            LevelEmbedding(width), nn.Linear(width, 2 * width), nn.Mish(), nn.Linear(2 * width, width)
        )
        inputs = self.size + width + self.encoder.width * method.history
        self.body = ResidualMLP(inputs, method.width, method.blocks, self.size, activation="mish")

    def measure(self, action: Tensor) -> None:
        self.bounds.learn(action)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """E |noise - net(noisy action, level, observation)|^2."""
        network = partial(self.denoise, condition=self.encoder(batch.obs).flatten(1))
        error = self.process.error(network, batch.action[:, 0])
        return {"noise_loss": masked_mean(error.mean(-1), batch.valid[:, 0])}

    def act(self, obs: dict[str, Tensor]) -> Tensor:
        condition = self.encoder(obs).flatten(1)
        noise = torch.randn(len(condition), self.size, device=condition.device)
        return self.process.sample(partial(self.denoise, condition=condition), noise).unsqueeze(1)

    def denoise(self, noisy: Tensor, level: Tensor, condition: Tensor) -> Tensor:
        """Noisy action (B, A), level (B,) and features of the observations (B, F) to the noise (B, A)."""
        return self.body(torch.cat([noisy, self.level(level), condition], -1))
