"""Pessimism by counting: value iteration (bandits: mean reward) on a lower confidence bound of every pair.

Discrete observations and actions, any mixture of expert and other data, and nobody says which. From the estimate of
every pair of state and action a penalty of order 1 / sqrt(times seen) is taken, and the policy is greedy on what is
left. Where the data cannot tell, the most played action stays: imitation is what it falls back to.
Rashidinejad, Zhu, Ma, Jiao & Russell 2021, "Bridging Offline Reinforcement Learning and Imitation Learning: A Tale of
Pessimism" (LCB and VI-LCB), reconstructed from the text; the constants of the listings are unverified.
`--gamma 0` is the contextual bandit (with one context: the bandit), else VI-LCB. `--preset paper` is the listing: every
sweep has a part of the data of its own, and the constant is that of the proof, too large to learn from below about a
million steps. Differs from the paper otherwise: all data in every sweep and a penalty with a free scale; then unseen
pairs are worth -V_max and are never chosen. Where unseen pairs lead, the paper leaves open; here nowhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from imitari.core.episode import REWARD, Array
from imitari.core.errors import UserError
from imitari.data.tabular import Counts, Steps, largest, most_played
from imitari.learn.tabular import Discounted, Solution

PROOF_CONSTANT = 2000.0
HOEFFDING_CONSTANT = 0.5


@dataclass(frozen=True)
class LowerConfidenceBound(Discounted):
    penalty: Literal["scale", "hoeffding", "theory"] = "scale"  # scale, or log(1/delta) times 1/2 or 2000
    scale: float = 0.005  # c of the penalty c * V_max / sqrt(times seen); try 0.002 to 0.05
    delta: float = 0.0  # chance of error that hoeffding and theory allow; 0: one over the number of steps
    largest_value: float = 0.0  # V_max, the largest sum of discounted rewards; 0: 1 / (1 - gamma)
    split: bool = False  # a part of the data of its own for every sweep, as in the proof
    sweeps: int = 0  # of value iteration; 0: log(steps) / (1 - gamma)

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {},
        "paper": {"penalty": "theory", "split": True},
        "bandit": {"gamma": 0.0, "penalty": "hoeffding"},
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scale < 0:
            raise UserError(f"scale is {self.scale}: it must be at least 0 (0.005 is usual)")
        if not 0 <= self.delta < 1:
            raise UserError(f"delta is {self.delta}: it must be at least 0 and below 1 (0: one over the steps)")
        if self.largest_value < 0:
            raise UserError(f"largest_value is {self.largest_value}: it must be above 0, or 0 for 1 / (1 - gamma)")

    def solve(self, steps: Steps, rng: np.random.Generator) -> Solution:
        low, high = float(steps.reward.min()), float(steps.reward.max())
        if low < 0 or high > 1:
            raise UserError(
                f"column '{REWARD}' goes from {low:g} to {high:g}: rewards must lie in [0, 1], rescale them"
            )
        return self.iterate(steps, rng) if self.gamma else self.bandit(steps, rng)

    def bandit(self, steps: Steps, rng: np.random.Generator) -> Solution:
        """argmax of mean reward - penalty in every context; a context that was never seen: the most played action."""
        counts = Counts.of(steps)
        bound = self.pessimistic(counts.reward, counts.played, self.spread(steps, 1))
        seen = counts.played.any(1)
        return Solution(
            np.where(seen, largest(bound, rng), most_played(counts.played, rng)), np.where(seen, bound.max(1), 0.0)
        )

    def iterate(self, steps: Steps, rng: np.random.Generator) -> Solution:
        """VI-LCB: sweeps of pessimistic value iteration that never lower a value nor leave a policy without a gain."""
        sweeps = self.sweeps or math.ceil(math.log(max(2, len(steps))) / (1 - self.gamma))
        parts = self.parts(steps, sweeps, rng)
        policy, value = most_played(parts[0].played, rng), np.zeros(steps.states)
        spread = self.spread(steps, sweeps + 1)
        for sweep in range(1, sweeps + 1):
            counts = parts[sweep % len(parts)]
            estimate = counts.reward + self.gamma * counts.expected(value)
            bound = self.pessimistic(estimate, counts.played, spread)
            best = bound.max(1)
            gained = best > value
            policy, value = np.where(gained, largest(bound, rng), policy), np.maximum(best, value)
        return Solution(policy, value)

    def parts(self, steps: Steps, sweeps: int, rng: np.random.Generator) -> list[Counts]:
        """Counts for the first policy and for every sweep: of equal random parts, or of everything."""
        if not self.split:
            return [Counts.of(steps)]
        if len(steps) <= sweeps:
            raise UserError(
                f"split needs more than {sweeps} steps, one a sweep, and there are {len(steps)}: use --split false"
            )
        return [Counts.of(steps.pick(part)) for part in np.array_split(rng.permutation(len(steps)), sweeps + 1)]

    def spread(self, steps: Steps, looks: int) -> float:
        """The penalty of a pair that was seen once; `looks` estimates of every pair must hold at once."""
        largest_value = self.largest_value or 1 / (1 - self.gamma)
        if self.penalty == "scale":
            return self.scale * largest_value
        constant = PROOF_CONSTANT if self.penalty == "theory" else HOEFFDING_CONSTANT
        delta = self.delta or 1 / len(steps)
        return largest_value * math.sqrt(constant * math.log(2 * looks * steps.states * steps.actions / delta))

    def pessimistic(self, estimate: Array, played: Array, spread: float) -> Array:
        """Estimate - penalty. In a bandit, and where all data is used, an unseen pair is worth its lowest: -V_max."""
        bound = estimate - spread / np.sqrt(np.maximum(played, 1))
        if self.split and self.gamma:
            return bound
        return np.where(played > 0, bound, -(self.largest_value or 1 / (1 - self.gamma)))
