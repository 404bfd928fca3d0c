"""Claim: what a paper says, as an experiment with a criterion written beforehand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from imitari.core import registry
from imitari.core.demos import Demos
from imitari.core.errors import UserError, nearest
from imitari.core.outcome import Outcome
from imitari.core.starts import training_starts as training_starts
from imitari.core.task import Task

FOLDER = "claims"
Metric = Literal["success", "total", "best"]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Budget:
    """How much is spent. The settings of a budget win over those of an arm.

    Attributes:
        seeds: training seeds that judge (at least 2). Settings are tuned on seeds from 1,000 on, never on these.
        starts: evaluation starts, the same for all arms and seeds.
        demos: settings for the claim's `demos`.
        settings: arm -> settings of its method; "all" for every arm.
        minutes: upper bound on 2 cores, as a promise to the reader.
    """

    seeds: range
    starts: int
    demos: dict[str, Any] = field(default_factory=dict[str, Any])
    settings: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    minutes: float = 15.0


Data = Callable[[Budget, int, Task], Demos]


@dataclass(frozen=True)
class Arm:
    """One side of the experiment.

    Attributes:
        method: its name; "" where the claim's own code does without one (`Claim.run_arm`).
        settings: that differ from the defaults (from the preset, where there is one).
        preset: named group of settings.
        demos: data of this arm alone, where the claim is about data; None: the claim's.
    """

    method: str
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    preset: str | None = None
    demos: Data | None = None


@dataclass(frozen=True)
class Difference:
    """`better` beats `worse`: the lower end of the 95 % interval of better - worse must exceed `margin`."""

    better: str
    worse: str
    margin: float = 0.0

    @property
    def arms(self) -> tuple[str, ...]:
        return self.better, self.worse


@dataclass(frozen=True)
class NotWorse:
    """`a` is at most `margin` worse than `b`: the lower end of the 95 % interval of a - b must exceed -margin."""

    a: str
    b: str
    margin: float

    @property
    def arms(self) -> tuple[str, ...]:
        return self.a, self.b


@dataclass(frozen=True)
class Level:
    """The 95 % interval of the mean of `arm` must lie at or above `at_least`, and at or below `at_most`."""

    arm: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def arms(self) -> tuple[str, ...]:
        return (self.arm,)


@dataclass(frozen=True)
class Derived:
    """The 95 % interval of a number made from the means of several arms must lie within its bounds.

    The interval is that of the number's linear part at the means (delta method): a slope, a ratio, a distance from the
    best of several arms.

    Attributes:
        words: what the number is.
        arms: whose means it is made from.
        of: (means (len(arms),)) -> the number.
    """

    words: str
    arms: tuple[str, ...]
    of: Callable[[Floats], float]
    at_least: float | None = None
    at_most: float | None = None


@dataclass(frozen=True)
class Seen:
    """In at least `seeds` training seeds the mean of `arm` is at most `at_most`: that something happens at all.

    Said of the seeds that were run alone, and therefore without an interval.
    """

    arm: str
    at_most: float
    seeds: int = 1

    @property
    def arms(self) -> tuple[str, ...]:
        return (self.arm,)


@dataclass(frozen=True)
class OverSeeds:
    """The 95 % interval, over training seeds alone, of a number made from a seed's outcomes must lie within its bounds.

    For what is no mean over starts: an entropy, a quantile, a spread.

    Attributes:
        words: what the number is.
        arms: whose outcomes it is made from.
        of: (outcomes of each arm with one training seed) -> the number.
    """

    words: str
    arms: tuple[str, ...]
    of: Callable[[Sequence[Sequence[Outcome]]], float]
    at_least: float | None = None
    at_most: float | None = None


@dataclass(frozen=True)
class Always:
    """Every single outcome of `arm` is 1: a property that has no exceptions, counted over all that was run.

    Without an interval: however many outcomes there are, none of them leaves out that a later one differs.
    """

    arm: str

    @property
    def arms(self) -> tuple[str, ...]:
        return (self.arm,)


Criterion = Difference | NotWorse | Level | Derived | Seen | Always | OverSeeds


@dataclass(frozen=True)
class ArmRun:
    """What a claim of another form (`Claim.run_arm`) is given: one arm with one training seed.

    Attributes:
        claim, arm: names.
        method: name of the arm's method, "" where it has none.
        settings: all settings of the arm under this budget.
        seed: of the training.
        budget: how much may be spent.
        task: where.
        starts: to evaluate on.
        folder: for whatever is written; kept when the job is cut off and taken up again.
    """

    claim: str
    arm: str
    method: str
    settings: dict[str, Any]
    seed: int
    budget: Budget
    task: Task
    starts: Sequence[int]
    folder: Path


@dataclass(frozen=True)
class Claim:
    """A paper's claim and how it is judged.

    Attributes:
        paper: authors, year, title.
        sentence: what it says, one sentence.
        arms: name -> arm; equal data, steps and tuning effort.
        task: name of the task.
        criteria: all must be met; written before the judging seeds are run.
        budgets: "smoke" (seconds, proves the code path), "quick" (at most 15 minutes on 2 cores), "full".
        demos: (budget, seed, task) -> demonstrations, the same for all arms of a seed.
        metric: "success" (rate), "total" (sum of rewards) or "best" (largest reward of an episode).
        run_arm: in the place of training and rolling out, for claims of another form; gives one outcome a start.
        options: of the task, such as `pixels`.
        notes: what differs from the paper's own experiment.
    """

    paper: str
    sentence: str
    arms: dict[str, Arm]
    task: str
    criteria: tuple[Criterion, ...]
    budgets: dict[str, Budget]
    demos: Data | None = None
    metric: Metric = "success"
    run_arm: Callable[[ArmRun], list[Outcome]] | None = None
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    notes: str = ""

    def __post_init__(self) -> None:
        for criterion in self.criteria:
            for arm in criterion.arms:
                if arm not in self.arms:
                    raise ValueError(f"criterion {criterion} names arm '{arm}': there are {', '.join(self.arms)}")
        if not self.criteria:
            raise ValueError("a claim needs a criterion")

    def budget(self, name: str) -> Budget:
        if name not in self.budgets:
            raise UserError(f"this claim has no budget '{name}': {nearest(name, self.budgets)}")
        return self.budgets[name]

    def settings(self, arm: str, budget: Budget, changes: dict[str, Any] | None = None) -> dict[str, Any]:
        """Of the arm's method: the arm's own, then the budget's, then `changes`."""
        per_budget = {**budget.settings.get("all", {}), **budget.settings.get(arm, {})}
        return {**self.arms[arm].settings, **per_budget, **(changes or {})}


def claim_named(name: str) -> Claim:
    """The claim `name`: `CLAIM` of its module.

    Raises:
        UserError: when there is none: with the nearest names.
    """
    module = registry.find(FOLDER, "claim", name).load()
    claim = getattr(module, "CLAIM", None)
    if not isinstance(claim, Claim):
        raise TypeError(f"{module.__name__} has no CLAIM")
    return claim
