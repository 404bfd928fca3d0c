"""Conditional variational autoencoder over single actions: VAE-State.

In training an encoder reads observation and action and gives a Gaussian over a small latent; a decoder reads
observation and a draw of the latent and gives the action back (squared error), and a divergence keeps the latent near a
standard normal. Acting draws the latent from that at every step.

Kingma & Welling 2014 and Sohn, Lee & Yan 2015, as set up in Jia et al. 2024, "Towards Diverse Behaviors: A Benchmark
for Imitation Learning with Human Demonstrations" (VAE-State).
Differs from it: plain layers (`nets.variational`) in the place of residual ones; size of the latent and weight of the
divergence are ours, as the source does not tell them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

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
from imitari.learn.run import Run
from imitari.nets.diffusion import Bounds
from imitari.nets.encoder import ObsEncoder
from imitari.nets.heads.actions import masked_mean
from imitari.nets.variational import ConditionalVAE


@dataclass(frozen=True)
class VariationalCloning(Trained):
    latent: int = 4  # numbers of the latent
    kl_weight: float = 0.2  # on the divergence of the latent from its prior
    hidden: tuple[int, ...] = (128, 128, 128)  # widths of the layers of encoder and decoder
    history: int = 1  # observations seen

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"steps": 3_000, "schedule": "cosine"},
        "paper": {"hidden": (128,) * 6, "lr": 1e-4, "batch": 1024, "steps": 3_500},
    }
    smoke: ClassVar[dict[str, Any]] = {"steps": 30, "batch": 16, "hidden": (16,), "latent": 4}

    def __post_init__(self) -> None:
        if self.latent < 1 or self.kl_weight < 0:
            raise UserError(f"latent {self.latent}, kl_weight {self.kl_weight:g}: at least 1 and at least 0 are needed")

    def framing(self) -> Framing:
        return Framing(self.history)

    def learner(self, spec: Spec) -> Learner:
        return Autoencoding(self, spec)

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        return clone(self, demos, run, task, obs_scaling="meanstd", action_scaling="meanstd")


class Autoencoding(Learner):
    """Observation encoder and the autoencoder of actions."""

    measures = True

    def __init__(self, method: VariationalCloning, spec: Spec) -> None:
        super().__init__()
        if spec.action.kind != "number":
            raise UserError("method 'vae_state' needs numeric actions: use bc or bc_rnn for choices")
        self.kl_weight, size = method.kl_weight, spec.action.size
        self.encoder, self.bounds = ObsEncoder(spec), Bounds(size)
        self.vae = ConditionalVAE(size, self.encoder.width * method.history, method.latent, method.hidden)

    def measure(self, action: Tensor) -> None:
        self.bounds.learn(action)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Squared error of the action from one draw of the latent, and the divergence from the prior."""
        error, divergence = self.vae.terms(batch.action[:, 0], self.encoder(batch.obs).flatten(1))
        valid = batch.valid[:, 0]
        return {
            "action_loss": masked_mean(error, valid),
            "kl_loss": self.kl_weight * masked_mean(divergence, valid),
        }

    def act(self, obs: dict[str, Tensor]) -> Tensor:
        return self.bounds(self.vae.draw(self.encoder(obs).flatten(1)))
