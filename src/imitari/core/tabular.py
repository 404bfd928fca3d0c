"""Decision processes as tables: exact values, optimal policies, occupancy; the yard-stick of what learns on them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from imitari.core.episode import Array
from imitari.core.errors import UserError

# Rounding of sums of probabilities.
SLACK = 1e-9
# Of value iteration before policy iteration: each costs a tenth of a linear system of 64 states.
SWEEPS = 50


@dataclass(frozen=True)
class Plan:
    """The optimum of a decision process.

    Attributes:
        policy: (S,) the best action of every state; the lowest number among equals.
        value: (S,) expected discounted sum of rewards.
        action_value: (S, A) the same, where the first action is given.
    """

    policy: Array
    value: Array
    action_value: Array


@dataclass(frozen=True)
class TabularMDP:
    """A discounted decision process with S states and A actions.

    Attributes:
        transition: (S, A, S) probability of the next state. What a row lacks to 1 is the probability that the episode
            ends there: nothing follows.
        reward: (S, A) expected reward.
        gamma: discount a step, at least 0 and below 1; 0: a contextual bandit.
        start: (S,) distribution of the first state.
    """

    transition: Array
    reward: Array
    gamma: float
    start: Array

    def __post_init__(self) -> None:
        states, actions = self.reward.shape
        if self.transition.shape != (states, actions, states) or self.start.shape != (states,):
            raise UserError(
                f"a decision process with reward {self.reward.shape} needs transition {(states, actions, states)} and "
                f"start {(states,)}, not {self.transition.shape} and {self.start.shape}"
            )
        if not 0 <= self.gamma < 1:
            raise UserError(f"gamma is {self.gamma}: a decision process needs at least 0 and below 1")
        if self.transition.min() < 0 or self.transition.sum(-1).max() > 1 + SLACK:
            raise UserError("transition holds a row that is no distribution: entries at least 0, sums at most 1")
        if self.start.min() < 0 or abs(self.start.sum() - 1) > SLACK:
            raise UserError("start is no distribution: entries must be at least 0 and sum to 1")

    @property
    def states(self) -> int:
        return self.reward.shape[0]

    @property
    def actions(self) -> int:
        return self.reward.shape[1]

    def backup(self, value: Array) -> Array:
        """(S, A) value of one action and then `value` (S,): r + gamma P V."""
        return self.reward + self.gamma * (self.transition @ value)

    def value(self, policy: Array) -> Array:
        """(S,) exact value of a policy: actions (S,) or probabilities (S, A)."""
        chances = self._chances(policy)
        return np.linalg.solve(self._resolvent(chances), (chances * self.reward).sum(1))

    def score(self, policy: Array) -> float:
        """Its value from the start distribution."""
        return float(self.start @ self.value(policy))

    def occupancy(self, policy: Array) -> Array:
        """(S, A) discounted share of steps: (1 - gamma) sum_t gamma^t Pr(s_t = s, a_t = a). Sums to 1 where no episode
        ends."""
        chances = self._chances(policy)
        visits = np.linalg.solve(self._resolvent(chances).T, self.start)
        return (1 - self.gamma) * visits[:, None] * chances

    def optimal(self) -> Plan:
        """The optimum: a little value iteration, then policy iteration, which is exact and ends."""
        action_value = self.reward
        for _ in range(SWEEPS):
            action_value = self.backup(action_value.max(1))
        policy = action_value.argmax(1)
        while True:
            value = self.value(policy)
            action_value = self.backup(value)
            gain = action_value.max(1) - np.take_along_axis(action_value, policy[:, None], 1)[:, 0]
            better = gain > 1e-12 * (1 + np.abs(value))
            if not better.any():
                best = (action_value >= action_value.max(1, keepdims=True) - 1e-10).argmax(1)
                return Plan(best, value, action_value)
            policy = np.where(better, action_value.argmax(1), policy)

    def after(self, state: Array, action: Array, uniform: Array) -> Array:
        """(N,) next states of states and actions (N,) from numbers (N,) uniform in [0, 1); S where the episode ends."""
        return (self._ladder[state, action] <= uniform[:, None]).sum(1)

    @cached_property
    def _ladder(self) -> Array:
        """(S, A, S) cumulative chances; where they reach 1, out of reach of every uniform number."""
        ladder = self.transition.cumsum(-1)
        return np.where(ladder > 1 - SLACK, 2.0, ladder)

    def _chances(self, policy: Array) -> Array:
        policy = np.asarray(policy)
        return np.eye(self.actions)[policy] if policy.ndim == 1 else policy

    def _resolvent(self, chances: Array) -> Array:
        return np.eye(self.states) - self.gamma * np.einsum("sa,sat->st", chances, self.transition)
