"""Interventions as reward: -1 for what the policy did last before somebody took over, 0 for everything else."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from imitari.core.batch import Batch
from imitari.core.columns import ArrayColumn
from imitari.core.demos import ENDINGS, Demos
from imitari.core.episode import REWARD, Array
from imitari.core.errors import UserError
from imitari.learn.interactive import INTERVENTION
from imitari.learn.offpolicy import Step, transitions

Ending = Literal["omit", "continue", "blame"]


def onsets(taken: Array) -> Array:
    """(T,) bool, whether a supervisor acts -> (T,) bool, whether it took over from the policy in that step.

    Who acts from the first step on took over from nobody: the first step is never an onset.
    """
    taken = np.asarray(taken, bool)
    return taken & ~np.concatenate([[True], taken[:-1]])


def blame(taken: Array, window: int = 1) -> Array:
    """(T,) bool, whether a supervisor acts -> (T,) float32, the reward of each step (Luo et al. 2024, algorithm 1).

    An onset at t blames the `window` steps before it, as far back as the policy has acted without a break, in equal
    shares that sum to -1. A supervisor's step is never blamed.
    """
    taken = np.asarray(taken, bool)
    reward = np.zeros(len(taken), np.float32)
    for onset in np.flatnonzero(onsets(taken)):
        before = np.flatnonzero(taken[:onset])
        first = max(onset - window, before[-1] + 1 if len(before) else 0)
        reward[first:onset] = -1 / (onset - first)
    return reward


@dataclass
class Blame:
    """`Labels` that replace the task's reward by `blame`, told one step late (with a window, `window` steps late).

    The last step of an episode has no successor that could tell whether somebody takes over. `ending` says what becomes
    of it: "omit" leaves it out, as in the authors' released code; "continue" keeps it with reward 0, a failure as if
    the episode went on (discount gamma), a success that ends it with discount 0 (nobody intervenes any more); "blame"
    also gives a failure that the task ends -1 and discount 0.

    Args:
        gamma: discount a step.
        window: of `blame`; 1 in the paper, more where a person reacts late.
        store_inside: keep steps of the supervisor that are followed by another one (the paper's pseudo-code does, its
            released code does not).
        ending: see above.
    """

    gamma: float
    window: int = 1
    store_inside: bool = True
    ending: Ending = "omit"
    _waiting: list[tuple[Step, Array, Array]] = field(default_factory=list[tuple[Step, Array, Array]], repr=False)

    def __post_init__(self) -> None:
        if self.window < 1:
            raise UserError(f"blame_window is {self.window}: it must be at least 1")

    def begin(self, count: int) -> None:
        """Fresh episodes: nothing waits for its label."""
        self._waiting = []
        self._free = np.zeros(count, np.int64)  # steps that the policy has acted without a break

    def step(self, step: Step) -> list[Batch]:
        """Labels what this step tells about earlier ones; gives those whose label is now certain, the oldest first."""
        onset = step.taken & step.running & (self._free > 0)
        reach = np.minimum(self._free, self.window)
        for age, (_, reward, _) in enumerate(reversed(self._waiting), start=1):
            hit = onset & (age <= reach)
            reward[hit] = -1 / reach[hit]
        if self._waiting:  # of the step before it is now known whether its supervisor went on
            last, _, keep = self._waiting[-1]
            inside = last.taken & step.taken & step.running
            keep &= step.running & (self.store_inside | ~inside)
        self._free = np.where(step.taken, 0, self._free + 1)
        self._waiting.append((step, np.zeros(len(step.running), np.float32), step.running & ~step.ended))
        out = [self._told(self._waiting.pop(0))] if len(self._waiting) > self.window else []
        return [*out, *self._endings(step)]

    def _told(self, entry: tuple[Step, Array, Array]) -> Batch:
        step, reward, keep = entry
        return transitions(step, np.flatnonzero(keep), reward, np.full(len(keep), self.gamma))

    def _endings(self, step: Step) -> list[Batch]:
        """What is certain because these episodes are over: steps that waited for a window, and the last one."""
        over = step.running & step.ended
        if not over.any():
            return []
        out: list[Batch] = []
        for waiting, reward, keep in self._waiting[:-1]:
            out.append(transitions(waiting, np.flatnonzero(keep & over), reward, np.full(len(keep), self.gamma)))
            keep &= ~over
        if self.ending != "omit":
            failed = over & step.terminated & ~step.success & ~step.taken & (self.ending == "blame")
            final = (over & step.terminated & step.success) | failed
            out.append(transitions(step, np.flatnonzero(over), -1.0 * failed, self.gamma * ~final))
        return out


def blamed(demos: Demos, window: int = 1) -> Demos:
    """Recorded interventions as rewards, for methods that learn from a fixed set (the paper's variant with IQL).

    Replaces `next.reward` by `blame` of the column `intervention`; only successes count as ends.

    Raises:
        UserError: when the episodes were not recorded under a supervisor.
    """
    if INTERVENTION not in demos.columns:
        raise UserError(f"{demos.provenance.path}: column '{INTERVENTION}' is missing: use episodes under a supervisor")
    column, table = demos.columns[INTERVENTION], demos.table
    reward = np.zeros(column.shape[0], np.float32)
    for start, length in zip(table.start.tolist(), table.length.tolist(), strict=True):
        reward[start : start + length] = blame(column.span(start, start + length), window)
    ended = np.where(table.success == 1, table.ended, ENDINGS.index("truncated")).astype(table.ended.dtype)
    labelled = demos.with_columns({REWARD: ArrayColumn(reward)}, "interventions as reward")
    return labelled.with_table(dataclasses.replace(table, ended=ended), "only successes end")
