"""Fitting by counting: methods whose policy is a table over discrete observations, solved for in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from imitari.core.demos import Demos
from imitari.core.episode import Array
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.core.task import Task
from imitari.data.scaling import Scaler
from imitari.data.tabular import Steps, state_key
from imitari.learn.agent import Agent
from imitari.learn.cloning import described, finished
from imitari.learn.learner import Learner
from imitari.learn.method import Method, Need
from imitari.learn.run import Run

STREAM = 0x7AB  # keeps the draws of a table apart from other draws of the same seed


@dataclass(frozen=True)
class Solution:
    """What a tabular method finds.

    Attributes:
        action: (S,) of every state.
        value: (S,) what the method believes that this is worth; zeros where it does not ask.
    """

    action: Array
    value: Array


class Table(Learner):
    """A lookup table: one action and one value a state, as buffers."""

    action: Tensor
    value: Tensor

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.key = state_key(spec)
        states = spec.obs[self.key].choices
        self.register_buffer("action", torch.full((states,), -1))  # until it is solved for
        self.register_buffer("value", torch.zeros(states))

    def act(self, obs: dict[str, Tensor]) -> Tensor:
        return self.action[obs[self.key][:, -1, 0]][:, None, None]


@dataclass(frozen=True)
class Tabular(Method):
    """A method that counts; `solve` is all that a subclass adds."""

    exact: ClassVar[bool] = True

    @property
    def sequential(self) -> bool:
        """Whether it asks where a step led: then steps that do not say so are left out."""
        return False

    def learner(self, spec: Spec) -> Learner:
        return Table(spec)

    def solve(self, steps: Steps, rng: np.random.Generator) -> Solution:
        """The table from the steps; `rng` breaks ties."""
        raise NotImplementedError

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        demos = described(demos, task)
        steps = Steps.of(demos, rewards="reward" in self.needs, successors=self.sequential)
        if len(steps) == 0:
            raise UserError(
                f"{demos.provenance.path}: no step says where it led: record the last observation of an episode, or "
                "that it terminated"
            )
        solution = self.solve(steps, np.random.default_rng([run.seed, STREAM]))
        learner = run.build(lambda: self.learner(demos.spec))
        learner.load_state_dict(
            {"action": torch.from_numpy(solution.action), "value": torch.from_numpy(solution.value).float()}
        )
        return finished(self, learner, Scaler.fit(demos), demos, run)


@dataclass(frozen=True)
class Discounted(Tabular):
    """A tabular method that looks for the best discounted sum of rewards."""

    gamma: float = 0.95  # discount a step, below 1; 0: contextual bandit

    needs: ClassVar[frozenset[Need]] = frozenset({"reward"})

    def __post_init__(self) -> None:
        if not 0 <= self.gamma < 1:
            raise UserError(f"gamma is {self.gamma}: it must be at least 0 and below 1 (0.95 is usual)")

    @property
    def sequential(self) -> bool:
        return self.gamma > 0
