"""Supervisors: who watches a policy act and may take over. An expert program, a person, a rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from imitari.core.episode import Array, Obs
from imitari.core.task import Task, World


class Ruling(NamedTuple):
    """What a supervisor says about one step of B episodes.

    Attributes:
        take_over: (B,) bool, whether the supervisor's action is executed in the place of the policy's.
        action: (B, A) what the supervisor does, or would do; rows where it says nothing repeat the policy's proposal.
        reason: (B,) uint8, index into `Supervisor.reasons`.
    """

    take_over: Array
    action: Array
    reason: Array


class Supervisor(Protocol):
    """Watches B episodes at once.

    Attributes:
        reasons: what the codes in `Ruling.reason` mean; code 0 says that the policy acts.
    """

    @property
    def reasons(self) -> tuple[str, ...]: ...

    def begin(self, task: Task, world: World, seeds: Sequence[int]) -> None:
        """Fresh episodes, one a seed, are about to start in `world`. Whatever is random must follow from the seeds."""
        ...

    def decide(self, obs: Obs, proposal: Array) -> Ruling:
        """Observations name -> (B, ...) and the policy's actions (B, A) to who acts."""
        ...


class Judge(Protocol):
    """Whose opinion decides whether an action is bad: a reference policy and the value of its return, Q_ref."""

    def reference(self, obs: Obs) -> Array:
        """The reference policy's actions (B, A)."""
        ...

    def values(self, obs: Obs, actions: Array) -> Array:
        """Q_ref of N actions a state, (N, B, A) to (N, B): the higher the better."""
        ...
