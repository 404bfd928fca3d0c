"""Diffusion over a window of past and present actions with a causal transformer: DDPM-GPT.

1. Noise of a numbered level is added to the actions of a window. Tokens [level, o_1, noisy a_1, ..., o_w, noisy a_w]
   pass a causal transformer, and what stands at each action's token is the estimate of its noise.
2. Acting begins with noise in the place of all actions of the window, takes it away in few steps, each of which adds
   fresh noise (DDPM), holds the estimates to the range of the data, and executes the last action.

Jia et al. 2024, "Towards Diverse Behaviors: A Benchmark for Imitation Learning with Human Demonstrations" (DDPM-GPT),
after Ho et al. 2020 and Reuss et al. 2023.
Differs from it: one dropout for attention and blocks, where the benchmark has two; levels are embedded as sines
of their share of all levels; the average of the weights begins freely.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from imitari.core.batch import Batch
from imitari.core.spec import Spec
from imitari.learn.learner import Learner
from imitari.learn.windowed import DenoiserSettings, WindowDenoiser
from imitari.nets.diffusion import Bounds, NoiseDiffusion, Process, Target


@dataclass(frozen=True)
class DiffusionTransformer(DenoiserSettings):
    levels: int = 8  # noise levels, all of which acting visits
    target: Target = "noise"  # what is estimated: noise as in DDPM, or velocity, which is known well at every level
    spread: float = 1.0  # share of the fresh noise that acting adds: 1 as in DDPM, 0 none as in DDIM
    lr: float = 1e-3  # peak learning rate
    weight_decay: float = 1e-3  # decoupled weight decay on matrices
    clip: float = 0.0  # bound on the norm of the gradient; 0: none
    ema: float = 0.995  # decay of the average of the weights that is kept; 0: none

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {
            "alone": True, "steps": 2_000, "width": 32, "layers": 2, "dropout": 0.0, "lr": 6e-3, "weight_decay": 1e-3,
            "schedule": "cosine", "warmup": 100, "target": "velocity",
        },
        "paper": {"lr": 5e-4, "batch": 1024, "steps": 3_500},
    }  # fmt: skip
    smoke: ClassVar[dict[str, Any]] = {
        "steps": 30, "batch": 16, "width": 16, "layers": 1, "heads": 2, "window": 3, "levels": 4, "ema": 0.9,
    }  # fmt: skip

    def learner(self, spec: Spec) -> Learner:
        return WindowDiffuser(self, spec)


class WindowDiffuser(WindowDenoiser):
    """Observation encoder, denoising transformer and the process between noise and actions."""

    def __init__(self, method: DiffusionTransformer, spec: Spec) -> None:
        def make(bounds: Bounds) -> Process:
            return NoiseDiffusion(
                method.levels, method.levels, spread=method.spread, bound=bounds, target=method.target
            )

        super().__init__("diffusion_gpt", method, spec, make)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """E |noise - net(noisy actions, level, observations)|^2 over the window."""
        return {"noise_loss": self.error(batch)}
