"""Deep Q-network: the value of every choice, learned from a replay of what was tried; acts by the largest.

1. It acts by the choice with the largest value, and at random with a chance that falls along a line (epsilon-greedy).
2. All steps enter a replay; batches drawn from it are regressed towards r + discount * max Q'(s', .) (Huber loss).
3. Q' is the network of a while ago, copied every `target_every` updates; with `double` the network itself says which
   choice is best next, which takes away most of the overestimation.
Mnih et al. 2015, "Human-level control through deep reinforcement learning"; van Hasselt, Guez & Silver 2016, "Deep
Reinforcement Learning with Double Q-learning" (the default; without it: `--double no`).
Differs from them: Adam in the place of RMSProp; several environments are stepped together, and their updates follow
each common step; observations are standardised by demonstrations or running statistics; one observation is seen and not
the last four, no action is repeated and no reward clipped; pictures get this library's encoder. New are a mask of
choices that is learned while acting, as in Benyamin et al. 2025, starts that are learned one after another, and
demonstrations, which fill the replay first or have a share of every batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.core.task import Task
from imitari.learn.agent import Agent
from imitari.learn.deep_q import ActionValued, DeepQ
from imitari.learn.method import Need
from imitari.learn.offpolicy import OffPolicy, fit_offpolicy
from imitari.learn.run import Run

# Of both papers, for games.
PUBLISHED: dict[str, Any] = {
    "steps": 50_000_000, "together": 1, "batch": 32, "lr": 2.5e-4, "update_every": 4, "warm_steps": 50_000,
    "explore_share": 0.02, "normalise_obs": False,
}  # fmt: skip


@dataclass(frozen=True)
class DeepQNetwork(ActionValued, OffPolicy):
    steps: int = 50_000  # environment steps
    batch: int = 64  # samples a batch
    utd: int = 1  # updates that follow every `update_every` environment steps
    update_every: int = 1  # environment steps
    warm_steps: int = 1_000  # environment steps with random choices before the first update
    explore_from: float = 1.0  # share of the choices that are left to chance at the beginning
    explore_to: float = 0.05  # the same at the end of `explore_share`, and from then on
    explore_share: float = 0.3  # of all steps, over which that chance falls along a line
    normalise_obs: bool = True  # observations by the mean and deviation of all that were seen; not with demonstrations
    mask: str = ""  # observation that is 0 for choices that are not allowed, else 1; learned: from what changed nothing

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"steps": 10_000, "warm_steps": 500, "hidden": (64, 64), "target_every": 200},
        "paper": {**PUBLISHED, "target_every": 10_000, "explore_to": 0.1, "epsilon": 0.05, "double": False},
        "paper_double": {**PUBLISHED, "target_every": 30_000, "explore_to": 0.01, "epsilon": 0.001},
    }
    needs: ClassVar[frozenset[Need]] = frozenset({"task", "reward", "choice"})
    smoke: ClassVar[dict[str, Any]] = {
        "steps": 60, "batch": 16, "hidden": (16,), "together": 3, "warm_steps": 9, "target_every": 7, "epsilon": 0.1,
    }  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check()
        if not (0 <= self.explore_to <= self.explore_from <= 1 and 0 < self.explore_share <= 1):
            raise UserError(
                f"explore_from {self.explore_from:g}, explore_to {self.explore_to:g}, explore_share "
                f"{self.explore_share:g}: the first two must fall between 1 and 0, the last lie above 0 and up to 1"
            )
        if self.update_every < 1 or self.updates < 1:
            raise UserError(
                f"update_every is {self.update_every}: it must be at least 1, and at most the "
                f"{self.steps - self.warm_steps} steps after the first {self.warm_steps}"
            )

    def updates_after(self, steps: int) -> int:
        return max(0, steps - self.warm_steps) // max(1, self.update_every) * self.utd

    def randomness(self, steps: int) -> float:
        """Falls along a line over the first `explore_share` of all steps."""
        if steps < self.warm_steps:
            return 1.0
        gone = min(1.0, steps / (self.explore_share * self.steps))
        return self.explore_from + gone * (self.explore_to - self.explore_from)

    def learner(self, spec: Spec) -> DeepQ:
        return DeepQ(self, spec, learned_mask=True, moving=self.normalise_obs)

    def fit(self, demos: Demos | None, run: Run, task: Task | None = None) -> Agent:
        """Acts and learns; demonstrations are optional."""
        return fit_offpolicy(self, demos, run, self.acting_in(task))
