"""Diffusion policy: action chunks made from noise by a network that learnt to take the noise away.

Noise is added to demonstrated chunks at a level drawn for each sample; the network sees the noisy chunk, the level and
the last observations, and predicts the noise (Chi et al. 2023, "Diffusion Policy: Visuomotor Policy Learning via Action
Diffusion", eq. 5). Acting starts from noise and removes it in a few steps (DDIM) or in all of them (DDPM), executes the
first part of the chunk and decides again. It reproduces every way in which the task was demonstrated, not their mean.
Differs from the paper: the chunk starts at the present step, where the paper's starts at the oldest observation; SiLU
in the place of Mish; the levels visited in sampling are spread evenly from the noisiest; images as in `nets.vision`.
The preset "encoder_decoder" is the DDPM-ACT of Jia et al. 2024: a transformer over the observations before the decoder.
With `process` "score" the levels are continuous and the network is preconditioned (Karras et al. 2022), as in MoDE.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

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
from imitari.learn.optim import Optim, Schedule
from imitari.learn.run import Run
from imitari.nets.diffusion import NoiseDiffusion, ScoreDiffusion
from imitari.nets.encoder import ObsEncoder
from imitari.nets.heads.actions import masked_mean
from imitari.nets.transformer import ChunkTransformer
from imitari.nets.unet import ChunkUNet


@dataclass(frozen=True)
class DiffusionPolicy(Trained):
    net: Literal["unet", "transformer"] = "unet"  # what takes the noise away
    channels: tuple[int, ...] = (64, 128, 256)  # of the U-Net's levels; between two the chunk is halved
    kernel: int = 5  # steps that the U-Net's convolutions span
    width: int = 128  # of the transformer
    layers: int = 4  # of the transformer
    encoder_layers: int = 0  # of a transformer over the observations, before that one; 0: each is read by itself
    dropout: float = 0.0  # of the transformer
    process: Literal["noise", "score"] = "noise"  # numbered levels, or continuous ones with a preconditioned network
    levels: int = 100  # noise levels in training, where they are numbered
    sampler: Literal["ddim", "ddpm"] = "ddim"  # without or with fresh noise in each step
    sampling: int = 10  # levels visited when acting
    history: int = 2  # observations seen
    chunk: int = 16  # actions predicted
    execute: int = 8  # actions executed before the next decision
    masked: bool = False  # leave actions beyond the episode's end out of the loss, instead of repeating the last one
    schedule: Schedule = "cosine"  # constant or cosine
    warmup: int = 200  # steps of linear increase of the rate
    weight_decay: float = 1e-6  # decoupled weight decay on matrices
    ema: float = 0.999  # decay of the average of the weights that is kept; 0: none

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"steps": 4_000, "batch": 128, "kernel": 3},
        "paper": {
            "channels": (256, 512, 1024), "width": 256, "layers": 8, "dropout": 0.3, "sampler": "ddpm",
            "sampling": 100, "lr": 1e-4, "warmup": 500, "ema": 0.9999, "steps": 500_000,
        },
        "encoder_decoder": {
            "net": "transformer", "width": 64, "layers": 4, "encoder_layers": 2, "dropout": 0.1, "levels": 16,
            "sampler": "ddpm", "sampling": 16, "history": 5, "chunk": 4, "execute": 4, "lr": 5e-4, "ema": 0.995,
            "batch": 1024, "steps": 3_500,
        },
    }  # fmt: skip
    smoke: ClassVar[dict[str, Any]] = {
        "steps": 30, "batch": 16, "channels": (16, 32), "width": 16, "layers": 1, "levels": 20, "sampling": 4,
        "ema": 0.9,
    }  # fmt: skip

    def framing(self) -> Framing:
        return Framing(self.history, self.chunk, self.execute)

    def optim(self) -> Optim:
        return dataclasses.replace(super().optim(), betas=(0.95, 0.999))

    def learner(self, spec: Spec) -> Learner:
        return Diffuser(self, spec)

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        return clone(self, demos, run, task)


def process_of(method: DiffusionPolicy) -> NoiseDiffusion | ScoreDiffusion:
    """Between noise and chunk."""
    if method.process == "noise":
        return NoiseDiffusion(method.levels, method.sampling, float(method.sampler == "ddpm"))
    if method.sampler != "ddim":
        raise UserError("process 'score' is sampled without fresh noise: leave --sampler at ddim")
    return ScoreDiffusion.logistic(method.sampling)


class Diffuser(Learner):
    """Observation encoder, denoising network and the process between noise and chunk."""

    def __init__(self, method: DiffusionPolicy, spec: Spec) -> None:
        super().__init__()
        if spec.action.kind != "number":
            raise UserError("method 'diffusion_policy' needs numeric actions: use bc or bc_rnn for choices")
        self.masked = method.masked
        self.shape = (method.chunk, spec.action.size)
        self.encoder = ObsEncoder(spec)
        self.process = process_of(method)
        inside = (self.encoder.width, method.history, *self.shape)
        if method.net == "unet":
            self.net = ChunkUNet(*inside, method.channels, method.kernel)
        else:
            self.net = ChunkTransformer(*inside, method.width, 4, method.layers, method.dropout, method.encoder_layers)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """E |noise - net(noisy chunk, level, observations)|^2."""
        error = self.process.error(partial(self.net, condition=self.condition(batch.obs)), batch.action)
        return {"noise_loss": masked_mean(error.mean(-1), batch.valid if self.masked else batch.known)}

    def act(self, obs: dict[str, Tensor]) -> Tensor:
        count, device = len(next(iter(obs.values()))), next(self.parameters()).device
        network = self.net.along(self.process.path, self.condition(obs))
        return self.process.sample(network, torch.randn(count, *self.shape, device=device))

    def condition(self, obs: dict[str, Tensor]) -> Tensor:
        """What the denoiser needs of the observations, which are encoded once, whatever the number of steps."""
        return self.net.prepare(self.encoder(obs))
