"""Flow matching policy: a velocity field that carries noise to the demonstrated action chunk.

Between a noise sample x0 and a demonstrated chunk x1 lies the straight path x_t = (1 - t) x0 + t x1; the network learns
its velocity x1 - x0 (Lipman et al. 2023, eq. 23 with sigma_min = 0; Liu et al. 2023). Acting integrates the velocity
from noise with a few Euler steps, executes the first part of the chunk and decides again (receding horizon, Chi et al.
2023). The field is an MLP over the flattened chunk whose norms are modulated by observation and time; the chunk starts
at the present step, where Chi et al. start at the oldest observation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.spec import Spec
from imitari.core.task import Task
from imitari.data.scaling import ScalingKind
from imitari.learn.agent import Agent
from imitari.learn.cloning import clone
from imitari.learn.framing import Framing
from imitari.learn.learner import Learner
from imitari.learn.method import Trained
from imitari.learn.optim import Schedule
from imitari.learn.run import Run
from imitari.nets.denoiser import ChunkMLP
from imitari.nets.diffusion import Flow as FlowProcess
from imitari.nets.encoder import ObsEncoder
from imitari.nets.heads.actions import masked_mean


@dataclass(frozen=True)
class FlowPolicy(Trained):
    schedule: Schedule = "cosine"  # constant or cosine
    warmup: int = 500  # steps of linear increase of the rate
    weight_decay: float = 1e-2  # decoupled weight decay on matrices
    clip: float = 1.0  # bound on the norm of the gradient; 0: none
    ema: float = 0.999  # decay of the average of the weights that is kept; 0: none
    history: int = 2  # observations seen
    chunk: int = 16  # actions predicted
    execute: int = 8  # actions executed before the next decision
    width: int = 256  # of the velocity field
    depth: int = 4  # blocks of the velocity field
    dropout: float = 0.0  # inside the blocks
    euler: int = 10  # integration steps when acting
    action_scaling: ScalingKind = "meanstd"  # of actions: unit deviation lies nearest to the noise
    masked: bool = False  # leave actions beyond the episode's end out of the loss, instead of repeating the last one

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"steps": 4_000, "width": 128, "depth": 3},
        "paper": {"steps": 100_000, "width": 512, "depth": 6, "lr": 1e-4},
    }
    smoke: ClassVar[dict[str, Any]] = {"steps": 30, "batch": 16, "width": 32, "depth": 2, "euler": 3, "ema": 0.9}

    def framing(self) -> Framing:
        return Framing(self.history, self.chunk, self.execute)

    def learner(self, spec: Spec) -> Learner:
        return Flow(self, spec)

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        return clone(self, demos, run, task, action_scaling=self.action_scaling)


class Flow(Learner):
    """Observation encoder and velocity field."""

    def __init__(self, method: FlowPolicy, spec: Spec) -> None:
        super().__init__()
        self.masked = method.masked
        self.flow = FlowProcess(method.euler)
        self.shape = (method.chunk, spec.action.size)
        self.encoder = ObsEncoder(spec)
        condition = self.encoder.width * method.history
        self.velocity = ChunkMLP(condition, *self.shape, method.width, method.depth, dropout=method.dropout)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """E |v(x_t, t, o) - (x1 - x0)|^2 with t uniform."""
        condition = self.encoder(batch.obs).flatten(1)
        error = self.flow.error(partial(self.velocity, condition=condition), batch.action).mean(-1)
        return {"flow_loss": masked_mean(error, batch.valid if self.masked else batch.known)}

    def act(self, obs: dict[str, Tensor]) -> Tensor:
        """Euler integration of the velocity from noise at t = 0 to an action chunk at t = 1."""
        condition = self.encoder(obs).flatten(1)
        noise = torch.randn(len(condition), *self.shape, device=condition.device)
        return self.flow.sample(self.velocity.along(self.flow.path, condition), noise)
