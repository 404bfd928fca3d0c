"""Proximal policy optimisation: acts, then takes small steps up the estimated advantage, bounded by clipping.

Rounds of acting give advantages (generalised advantage estimation). A few passes over each round raise the probability
of actions that were better than expected, but the gain of an action ends where its probability has changed by more than
the share `clip_ratio`. A penalty on the divergence from a prior policy keeps what was cloned beforehand.
Schulman, Wolski, Dhariwal, Radford & Klimov 2017, "Proximal Policy Optimization Algorithms" (the clipped objective);
Schulman et al. 2016, "High-Dimensional Continuous Control Using Generalized Advantage Estimation"; the penalty is
KL(prior || policy) with a decaying weight, as in Baker et al. 2022, "Video PreTraining".
Differs from them: initial weights are orthogonal; advantages are standardised within a batch; observations and returns
are standardised by running statistics (switch off with `normalise_obs`, `normalise_returns`); Adam decays nothing by
default and its rate is constant or follows a cosine, where the first paper lowers it along a line for games; the
penalised objective of its section 4 is not there. Of Video PreTraining's reinforcement learning, the auxiliary phase of
phasic policy gradients and the memory of the policy are not there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from imitari.core.demos import Demos
from imitari.core.task import Task
from imitari.learn.agent import Agent
from imitari.learn.onpolicy import fit_onpolicy
from imitari.learn.proximal import Proximal
from imitari.learn.run import Run


@dataclass(frozen=True)
class ProximalPolicyOptimisation(Proximal):
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"steps": 200_000},
        "paper": {
            "steps": 1_000_000,
            "together": 1,
            "horizon": 2048,
            "batch": 64,
            "clip": 0.0,
            "normalise_returns": False,
        },
        "paper_games": {
            "steps": 10_000_000,
            "together": 8,
            "horizon": 128,
            "epochs": 3,
            "batch": 256,
            "lr": 2.5e-4,
            "clip_ratio": 0.1,
            "value_weight": 1.0,
            "entropy_weight": 0.01,
            "shared": True,
            "acting": "sample",
        },
    }
    smoke: ClassVar[dict[str, Any]] = {
        "steps": 128, "together": 4, "horizon": 8, "epochs": 2, "batch": 8, "hidden": (16,), "clone_steps": 4,
        "prior_weight": 0.1, "entropy_weight": 0.01, "value_clip": 0.5,
    }  # fmt: skip

    def fit(self, demos: Demos | None, run: Run, task: Task | None = None) -> Agent:
        return fit_onpolicy(self, demos, run, task)
