"""Offline deep Q-network: the value of every choice, learned from recorded steps with rewards; nobody acts.

The learner of deep Q-networks on a fixed replay. Batches of recorded steps are regressed towards r + discount *
max Q'(s', .), Q' being the network of a while ago; the policy takes the choice with the largest value.
Mnih et al. 2015, "Human-level control through deep reinforcement learning"; van Hasselt, Guez & Silver 2016, "Deep
Reinforcement Learning with Double Q-learning" (the default); from recorded steps alone as in Agarwal, Schuurmans &
Norouzi 2020, "An Optimistic Perspective on Offline Reinforcement Learning". Nothing keeps the policy near the data: a
choice that was never recorded has whatever value the network happens to give it. Preset `paper` is the baseline of
Benyamin et al. 2025 (arXiv 2502.13006).
Differs from them: Adam in the place of RMSProp; observations are standardised by the data; one observation is seen and
not the last four; pictures get this library's encoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from imitari.core.demos import Demos
from imitari.core.spec import Spec
from imitari.core.task import Task
from imitari.learn.agent import Agent
from imitari.learn.deep_q import ActionValued, DeepQ
from imitari.learn.method import Need
from imitari.learn.offline import Offline, fit_transitions
from imitari.learn.run import Run


@dataclass(frozen=True)
class OfflineDeepQNetwork(ActionValued, Offline):
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"hidden": (64, 64)},
        "paper": {
            "steps": 20_480,
            "hidden": (512, 256, 256),
            "batch": 32,
            "target_every": 32,
            "double": False,
        },
    }
    needs: ClassVar[frozenset[Need]] = frozenset({"reward", "choice"})
    smoke: ClassVar[dict[str, Any]] = {"steps": 30, "batch": 16, "hidden": (16,), "target_every": 7, "epsilon": 0.1}

    def __post_init__(self) -> None:
        self.check()

    def learner(self, spec: Spec) -> DeepQ:
        return DeepQ(self, spec)

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        return fit_transitions(self, demos, run, task, mask=self.mask_key)
