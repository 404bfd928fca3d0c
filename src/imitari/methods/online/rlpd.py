"""RLPD: soft actor-critic that begins with prior data, for tasks with a reward.

Off-policy reinforcement learning needs three things to profit from demonstrations: half of every batch from them
(symmetric sampling), LayerNorm in the critics, which bounds what they say about actions nobody has tried, and a large
ensemble, of which the least of a random pair is the target, updated many times an environment step.
Ball, Smith, Kostrikov & Levine 2023, "Efficient Online Reinforcement Learning with Offline Data".
Differs from the authors' code: several environments are stepped together, and their updates follow each common step;
the policy is updated at the critics before the last of their updates; observations are standardised by the
demonstrations; initial weights are PyTorch's. Preset `sac` has none of the three and is soft actor-critic (Haarnoja et
al. 2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from imitari.core.demos import Demos
from imitari.core.task import Task
from imitari.learn.actor_critic import SoftSettings
from imitari.learn.agent import Agent
from imitari.learn.method import Need
from imitari.learn.offpolicy import fit_offpolicy
from imitari.learn.run import Run


@dataclass(frozen=True)
class PriorData(SoftSettings):
    utd: int = 20  # updates of the critics an environment step; the policy has one
    warm_steps: int = 5_000  # environment steps with random actions before the first update
    offline_ratio: float = 0.5  # share of demonstrations in a batch; 0: they are put into the replay first

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"steps": 10_000, "utd": 2, "critics": 2, "warm_steps": 500, "hidden": (128, 128)},
        "paper": {"steps": 250_000, "together": 1},
        "paper_adroit": {
            "steps": 1_000_000,
            "together": 1,
            "hidden": (256, 256, 256),
            "entropy_backup": False,
        },
        "sac": {
            "utd": 1,
            "critics": 2,
            "norm": False,
            "actor_value": "min",
            "entropy_share": 1.0,
            "offline_ratio": 0.0,
            "steps": 300_000,
        },
    }
    needs: ClassVar[frozenset[Need]] = frozenset({"task", "reward"})
    smoke: ClassVar[dict[str, Any]] = {
        "steps": 60,
        "batch": 16,
        "hidden": (32,),
        "critics": 3,
        "utd": 2,
        "together": 3,
        "warm_steps": 9,
    }

    def fit(self, demos: Demos | None, run: Run, task: Task | None = None) -> Agent:
        """Acts and learns; without demonstrations from the replay alone."""
        return fit_offpolicy(self, demos, run, self.acting_in(task))
