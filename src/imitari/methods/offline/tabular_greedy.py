"""Planning as if the counts were the truth: the baseline without pessimism, for discrete observations and actions.

Mean rewards and shares of next states are taken for a decision process, and its optimum for the policy (in a bandit:
the best mean reward). A pair that was never seen gets reward 0 and goes anywhere with equal chance.
The certainty-equivalent baseline of Rashidinejad et al. 2021, "Bridging Offline Reinforcement Learning and Imitation
Learning": right on data that covers everything, wrong where rarely tried actions look good by chance.
Differs from value iteration in nothing but the solver: policy iteration, which is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from imitari.core.tabular import TabularMDP
from imitari.data.tabular import Counts, Steps, largest
from imitari.learn.tabular import Discounted, Solution


@dataclass(frozen=True)
class TabularGreedy(Discounted):
    presets: ClassVar[dict[str, dict[str, Any]]] = {"small": {}, "paper": {}, "bandit": {"gamma": 0.0}}

    def solve(self, steps: Steps, rng: np.random.Generator) -> Solution:
        counts = Counts.of(steps)
        if not self.gamma:
            return Solution(largest(counts.reward, rng), counts.reward.max(1))
        unseen = (counts.played == 0)[..., None]
        anywhere = np.full(steps.states, 1 / steps.states)
        transition = np.where(unseen, anywhere, counts.transition())
        plan = TabularMDP(transition, counts.reward, self.gamma, anywhere).optimal()
        return Solution(largest(plan.action_value, rng), plan.value)
