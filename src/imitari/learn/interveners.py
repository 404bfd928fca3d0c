"""Who takes over, and when: models of a person who watches a policy. The eye that judges and the hands that act differ.

Luo et al. 2024 (RLIF), section 5 and the authors' released code: interventions at random, by the value of a reference
policy, and by the distance between two actions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.errors import UserError
from imitari.core.supervisor import Judge, Ruling
from imitari.core.task import Actor, Task, World
from imitari.data.hands import Clumsy, Hands
from imitari.learn.method import Trained

Intervening = Literal["value", "random", "distance"]
JudgeFor = Callable[[World], Judge]
REASONS = ("policy", "judged", "holding")


@dataclass(frozen=True)
class Watched(Trained):
    """Settings of methods that act under an intervener."""

    intervener: Intervening = "value"  # takes over where an action is bad, at random, or where it differs much
    judge: str = "task"  # of values: the task's own, "fitted" to the expert's return, or the folder of an agent
    judge_steps: int = 10_000  # updates of a fitted judge
    compare: Literal["difference", "share"] = "difference"  # bad: worth delta less, or less than a delta-th as much
    delta: float = 0.5  # of the comparison of values, in the judge's units
    reference: Literal["judge", "hands"] = "judge"  # whose action it is compared with
    threshold: float = 1.0  # of the distance: sum of the absolute differences of the actions' numbers
    probability: float = 0.5  # of a random intervention in a step
    hold: int = 4  # steps for which an intervener keeps control (not at random)
    hit: float = 0.95  # probability of taking over at a bad action
    false_alarm: float = 0.05  # probability of taking over at another one
    hands_bias: float = 0.0  # of the intervener: share of a constant pull in its actions
    hands_hold: float = 0.0  # probability that it repeats its last action
    hands_side: int = 0  # which way it is pulled, as a seed

    def __post_init__(self) -> None:
        for name in ("hit", "false_alarm", "probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name} is {getattr(self, name):g}: a probability lies between 0 and 1")
        if self.hold < 1:
            raise UserError(f"hold is {self.hold}: an intervener acts for at least 1 step")
        Hands(self.hands_bias, self.hands_hold, self.hands_side)


def intervener(settings: Watched, task: Task, judge_for: JudgeFor | None, seed: int) -> Intervener:
    """The supervisor that the settings describe.

    Args:
        settings: of a method.
        task: where; its expert is who acts, with the settings' hands.
        judge_for: of values; None where the settings need none.
        seed: of everything random, together with the seeds of the episodes.
    """
    if settings.intervener == "random":
        return RandomIntervener(settings, seed)
    if settings.intervener == "distance":
        return DistanceIntervener(settings, seed)
    if judge_for is None:
        raise UserError(
            f"task '{task.name}' has no judge of actions: give --judge fitted, the folder of an agent with critics as "
            "--judge, or another --intervener"
        )
    return ValueIntervener(settings, seed, judge_for)


class Intervener:
    """A `Supervisor` that looks at every proposal, takes over with a probability, and then acts for some steps.

    After these the policy acts for one step whatever it does, as in the released code: an intervener who never let go
    would see no action of the policy that could be blamed.

    Args:
        settings: probabilities, hold, hands.
        seed: of the draws, together with the seed of each episode.
    """

    reasons: tuple[str, ...] = REASONS

    def __init__(self, settings: Watched, seed: int) -> None:
        self.settings, self.seed = settings, seed

    def begin(self, task: Task, world: World, seeds: Sequence[int]) -> None:
        self._hands = acting_hands(self.settings, task, world)
        self._memory: Any = self._hands.reset(len(seeds), seed=int(seeds[0]))
        self._draws = np.stack([np.random.default_rng([self.seed, int(one)]).random(task.limit) for one in seeds], 1)
        self._left, self._free = np.zeros(len(seeds), np.int64), np.zeros(len(seeds), bool)
        self._step = 0

    def bad(self, obs: Obs, proposal: Array, action: Array) -> Array:
        """(B,) bool, whether the policy's proposals (B, A) are bad; `action` is what the hands would do."""
        raise NotImplementedError

    def decide(self, obs: Obs, proposal: Array) -> Ruling:
        action, self._memory = self._hands.act(obs, self._memory)
        action = action.astype(proposal.dtype)
        draw = self._draws[min(self._step, len(self._draws) - 1)]
        chance = np.where(self.bad(obs, proposal, action), self.settings.hit, self.settings.false_alarm)
        holding = self._left > 0
        judged = ~holding & ~self._free & (draw < chance)
        take = holding | judged
        self._left = np.where(judged, self.settings.hold, self._left) - take
        self._free = take & (self._left == 0)
        self._step += 1
        return Ruling(take, action, (judged + 2 * holding).astype(np.uint8))


class ValueIntervener(Intervener):
    """An action is bad where the judge values it less than the reference action, by more than delta allows.

    "difference": Q_ref(s, a_ref) - Q_ref(s, a) > delta. "share": Q_ref(s, a) < delta Q_ref(s, a_ref), which has a
    meaning only where values are positive; a negative one is refused.
    """

    def __init__(self, settings: Watched, seed: int, judge_for: JudgeFor) -> None:
        super().__init__(settings, seed)
        self._judge_for = judge_for

    def begin(self, task: Task, world: World, seeds: Sequence[int]) -> None:
        super().begin(task, world, seeds)
        self._judge = self._judge_for(world)

    def bad(self, obs: Obs, proposal: Array, action: Array) -> Array:
        reference = action if self.settings.reference == "hands" else self._judge.reference(obs)
        best, value = self._judge.values(obs, np.stack([reference, proposal]))
        if self.settings.compare == "difference":
            return best - value > self.settings.delta
        if (best < 0).any():
            raise UserError(
                f"the judge gives a value of {best.min():.3g}, and 'compare share' needs positive ones: use difference"
            )
        return value < self.settings.delta * best


class DistanceIntervener(Intervener):
    """An action is bad where it is farther than a threshold from what the hands would do, in the sum of its numbers."""

    def bad(self, obs: Obs, proposal: Array, action: Array) -> Array:
        return np.abs(proposal - action).reshape(len(action), -1).sum(1) > self.settings.threshold


class RandomIntervener(Intervener):
    """Takes over in every step with the same probability and for that step alone: a control, not a method."""

    def decide(self, obs: Obs, proposal: Array) -> Ruling:
        action, self._memory = self._hands.act(obs, self._memory)
        take = self._draws[min(self._step, len(self._draws) - 1)] < self.settings.probability
        self._step += 1
        return Ruling(take, action.astype(proposal.dtype), take.astype(np.uint8))


def acting_hands(settings: Watched, task: Task, world: World) -> Actor:
    """The task's expert, with the hands of the settings."""
    expert = task.expert(world)
    if not settings.hands_bias and not settings.hands_hold:
        return expert
    hands = Hands(settings.hands_bias, settings.hands_hold, settings.hands_side)
    return Clumsy(expert, hands, task.spec.action)
