"""Score-based behaviour cloning with a causal transformer over the last observations: BESO without goals.

1. Noise of a continuous level, drawn from a log-logistic density, is added to the actions of a window; a preconditioned
   transformer (Karras et al. 2022) over [level, o_1, noisy a_1, ..., o_w, noisy a_w] estimates the actions.
2. Acting goes down from the most noise to the least in few steps; each goes a little below its end and adds fresh noise
   (Euler steps with ancestral noise). The last action of the window is executed.

Reuss et al. 2023, "Goal-Conditioned Imitation Learning using Score-based Diffusion Policies", as set up in Jia et al.
2024, "Towards Diverse Behaviors: A Benchmark for Imitation Learning with Human Demonstrations".
Differs from them: no goals, and so no classifier-free guidance; of the samplers only the ancestral one and `ddim`; one
dropout for attention and blocks; the level enters as sines of its logarithm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from imitari.core.batch import Batch
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.learn.learner import Learner
from imitari.learn.windowed import DenoiserSettings, WindowDenoiser
from imitari.nets.diffusion import Bounds, Process, ScoreDiffusion


@dataclass(frozen=True)
class ScorePolicy(DenoiserSettings):
    sampling: int = 16  # steps of the sampler
    solver: Literal["ancestral", "ddim"] = "ancestral"  # with or without fresh noise in each step
    deviation: float = 0.5  # of scaled actions (sigma_data)
    least: float = 0.05  # noise at the end of sampling, and the least in training
    most: float = 3.0  # noise at its beginning, and the most in training
    curve: float = 5.0  # how the steps crowd at low noise (rho)
    lr: float = 1e-3  # peak learning rate
    ema: float = 0.999  # decay of the average of the weights that is kept; 0: none

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {
            "alone": True, "steps": 2_000, "width": 32, "layers": 2, "dropout": 0.0, "lr": 6e-3, "weight_decay": 1e-3,
            "schedule": "cosine", "warmup": 100, "sampling": 8, "ema": 0.995,
        },
        "paper": {"lr": 1e-3, "batch": 1024, "steps": 3_500},
    }  # fmt: skip
    smoke: ClassVar[dict[str, Any]] = {
        "steps": 30, "batch": 16, "width": 16, "layers": 1, "heads": 2, "window": 3, "sampling": 3, "ema": 0.9,
    }  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.least < self.most or self.deviation <= 0 or self.curve <= 0:
            raise UserError(
                f"least {self.least:g}, most {self.most:g}, deviation {self.deviation:g}, curve {self.curve:g}: they "
                "must be above 0, and most above least"
            )

    def learner(self, spec: Spec) -> Learner:
        return WindowScore(self, spec)


class WindowScore(WindowDenoiser):
    """Observation encoder, preconditioned transformer and the process between noise and actions."""

    def __init__(self, method: ScorePolicy, spec: Spec) -> None:
        def make(_: Bounds) -> Process:
            ends, centre = (method.least, method.most), math.log(method.deviation)
            return ScoreDiffusion(
                method.sampling, method.deviation, *ends, method.curve, centre, 0.5, method.solver, "logistic"
            )

        super().__init__("beso", method, spec, make)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """|F(c_in noisy actions, level, observations) - (actions - c_skip noisy actions) / c_out|^2."""
        return {"score_loss": self.error(batch)}
