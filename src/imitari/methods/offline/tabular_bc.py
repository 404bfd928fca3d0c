"""The most played action of every state: imitation by counting, for discrete observations and actions.

Ties are broken at random; a state that was never seen gets the action that was played most often over all. In a bandit
this is the most-played arm. The imitation baseline of Rashidinejad et al. 2021, "Bridging Offline Reinforcement
Learning and Imitation Learning", and the first policy of their pessimistic value iteration: right on expert data,
useless on data of uniform exploration, deaf to rewards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from imitari.data.tabular import Counts, Steps, most_played
from imitari.learn.tabular import Solution, Tabular


@dataclass(frozen=True)
class MostPlayed(Tabular):
    presets: ClassVar[dict[str, dict[str, Any]]] = {"small": {}, "paper": {}}

    def solve(self, steps: Steps, rng: np.random.Generator) -> Solution:
        return Solution(most_played(Counts.of(steps).played, rng), np.zeros(steps.states))
