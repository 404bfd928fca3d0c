"""What a learner is trained on: arrays of equal leading size, numpy or torch alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Batch:
    """Windows or transitions. B: batch size, H: history, C: chunk.

    Attributes:
        obs: name -> (B, H, ...) for windows, (B, ...) for transitions.
        action: (B, C, A) for windows, (B, A) for transitions.
        valid: (B, C) bool, False where the action lies beyond the episode and repeats its last one, or is not known.
        known: (B, C) bool, False where the action is not known (it is 0 there); None where all actions of the data are.
        reward: (B,) n-step discounted sum.
        discount: (B,) what multiplies the value of `next_obs`: gamma to the number of steps, 0 after a terminal state.
        next_obs: name -> (B, ...) the observation that the discount applies to.
        goal: name -> (B, ...) an observation taken as goal.
        extra: other columns, name -> (B, C, ...) or (B, ...).
    """

    obs: dict[str, Any]
    action: Any
    valid: Any = None
    known: Any = None
    reward: Any = None
    discount: Any = None
    next_obs: dict[str, Any] | None = None
    goal: dict[str, Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict[str, Any])

    def map(self, change: Callable[[str, Any], Any]) -> Batch:
        """A new batch with `change(name, value)` applied to every array."""

        def each(values: dict[str, Any] | None) -> dict[str, Any] | None:
            return None if values is None else {key: change(key, value) for key, value in values.items()}

        def one(name: str, value: Any) -> Any:
            return None if value is None else change(name, value)

        return Batch(
            obs=each(self.obs) or {},
            action=one("action", self.action),
            valid=one("valid", self.valid),
            known=one("known", self.known),
            reward=one("reward", self.reward),
            discount=one("discount", self.discount),
            next_obs=each(self.next_obs),
            goal=each(self.goal),
            extra=each(self.extra) or {},
        )

    def __len__(self) -> int:
        return len(self.action)
