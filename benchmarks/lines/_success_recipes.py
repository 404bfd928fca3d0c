"""Recipes of the group `success`, and what was tried to find them (training seeds from 1000 on, starts from 10000 on)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from benchmarks.peers._environment import Environment
from benchmarks.peers.d3rlpy import D3RLPY
from benchmarks.peers.imitation import IMITATION
from benchmarks.peers.lerobot import LEROBOT
from benchmarks.peers.robomimic import ROBOMIMIC


@dataclass(frozen=True)
class Recipe:
    """How a peer is trained.

    Attributes:
        title: name and version with the method.
        environment: of the peer.
        script: its worker.
        form: of the demonstrations, see `stored`.
        sight: which numbers it sees: "whole", "pose" or "corners".
        settings: of the worker.
        note: what was tried.
        every: processor seconds between evaluations.
        precision: of its arithmetic.
    """

    title: str
    environment: Environment
    script: str
    form: str
    sight: str
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    note: str = ""
    every: float = 60.0
    precision: str = "fp32"


# Task -> threshold -> method and settings.
OURS: dict[str, dict[float, tuple[str, dict[str, Any]]]] = {
    "pusht": {
        0.8: ("flow_policy", {"execute": 4, "steps": 4000, "warmup": 100, "ema": 0.995}),
        0.9: ("flow_policy", {"execute": 4, "steps": 8000, "warmup": 100, "ema": 0.995}),
    },
    "metaworld/pick-place-v3": {0.8: ("bc", {"steps": 3000})},
}


def _recipes(sight: str) -> tuple[Recipe, ...]:
    wide = {"hidden": [256, 256], "lr": 1e-3, "batch": 256, "steps": 100_000}
    return (
        Recipe(f"{IMITATION.title}, BC", IMITATION, "success_imitation.py", "arrays", sight, wide),
        Recipe(f"{D3RLPY.title}, BC", D3RLPY, "success_d3rlpy.py", "arrays", sight, wide),
        Recipe(
            f"{ROBOMIMIC.title}, BC-RNN-GMM",
            ROBOMIMIC,
            "success_robomimic.py",
            "robomimic",
            sight,
            {
                "key": "state",
                "batch": 100,
                "steps": 100_000,
                "length": 10,
                "algo": {
                    "rnn.enabled": True,
                    "gmm.enabled": True,
                    "actor_layer_dims": [],
                    "optim_params.policy.learning_rate.initial": 1e-3,
                },
            },
        ),
        Recipe(
            f"{LEROBOT.title}, diffusion",
            LEROBOT,
            "success_lerobot.py",
            "lerobot",
            "corners" if sight == "pose" else sight,
            {
                "policy": "diffusion",
                "config": {
                    "down_dims": [64, 128, 256],
                    "noise_scheduler_type": "DDIM",
                    "num_inference_steps": 10,
                    "optimizer_lr": 1e-3,
                },
                "steps": 5000,
                "batch": 64,
            },
        ),
    )


PEERS: dict[str, tuple[Recipe, ...]] = {"pusht": _recipes("pose"), "metaworld/pick-place-v3": _recipes("whole")}
