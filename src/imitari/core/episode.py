"""One attempt at a task, by a person, an expert or a policy: demonstration and rollout are the same type."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from imitari.core.errors import UserError

Array = npt.NDArray[Any]
Obs = dict[str, Array]
Ending = Literal["terminated", "truncated", "unknown"]

ACTION = "action"
REWARD = "next.reward"
# Facts about the recorded action of a step. Where the first is there and False, nobody knows what was done: the action
# column holds NaN (0 for choices and other integers), and nothing is learned from it.
ACTION_KNOWN = "action_known"
ACTION_CONFIDENCE = "action_confidence"  # of whoever wrote the action down, between 0 and 1
ACTION_SOURCE = "action_source"  # text: "recorded", or who predicted it


@dataclass(frozen=True)
class Episode:
    """T actions and T + 1 observations (T where the last observation is unknown).

    Attributes:
        obs: name -> (T + 1, ...) or (T, ...), the same length for all names.
        action: (T, A).
        reward: (T,), the reward that followed each action, or None.
        ended: "terminated" when the task itself ended, "truncated" at a time limit, "unknown" when not recorded.
        success: as judged by the environment, or None when unknown.
        extra: other per-step columns, name -> (T, ...).
        source: where it came from (seed, task text, operator, file, ...): JSON values.
    """

    obs: Obs
    action: Array
    reward: Array | None = None
    ended: Ending = "unknown"
    success: bool | None = None
    extra: dict[str, Array] = field(default_factory=dict[str, Array])
    source: dict[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        steps = len(self.action)
        rows = {key: len(value) for key, value in self.obs.items()}
        if len(set(rows.values())) > 1 or any(count not in (steps, steps + 1) for count in rows.values()):
            raise UserError(
                f"an episode of {steps} actions needs {steps} or {steps + 1} rows of every observation, not {rows}"
            )
        columns = {**self.extra, **({} if self.reward is None else {REWARD: self.reward})}
        for key, value in columns.items():
            if len(value) != steps:
                raise UserError(f"column '{key}' has {len(value)} rows in an episode of {steps} actions")

    def __len__(self) -> int:
        """Number of actions."""
        return len(self.action)

    @property
    def rows(self) -> int:
        """Number of observations: len(self) or one more."""
        return len(next(iter(self.obs.values()))) if self.obs else len(self)

    @property
    def total(self) -> float:
        """Undiscounted sum of rewards; NaN when there are none."""
        return float("nan") if self.reward is None else float(np.sum(self.reward))
