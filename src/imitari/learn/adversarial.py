"""A reward that is learned by telling the policy's own steps from demonstrated ones: what adversarial imitation shares.

In every round a discriminator is trained on batches of which one half are steps of the round and the other half steps
of the demonstrations; what it then says of the policy's steps is their reward (Ho & Ermon 2016, algorithm 1).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np
from torch import Tensor

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.task import Task
from imitari.data.sampling import TERMINATED, Batches, Order, Transitions
from imitari.learn.cloning import described
from imitari.nets.discriminator import Sees

SHOWN = "shown"  # in a batch's extra: 1 for demonstrated steps, 0 for the policy's own


class Judging(Protocol):
    """A learner that owns a discriminator."""

    def discriminator_losses(self, batch: Batch) -> dict[str, Tensor]:
        """Of scaled steps with the column `shown`."""
        ...

    def reward(self, steps: Batch) -> Tensor:
        """Scaled steps (n, ...) to rewards (n,)."""
        ...


class AdversarialReward:
    """The demonstrations' side of the game. (A `LearnedReward` of `learn.rollout`.)

    Args:
        learner: its discriminator decides what is rewarded.
        demos: that are imitated, with the observations that the discriminator sees; of a mixture with weights each data
            set is drawn as often as its weight says.
        updates: of the discriminator, a round.
        size: steps of either kind in a batch.
        sees: what the discriminator sees of a step; actions need not be known where it sees none.
        seed: of the order in which steps are drawn.

    Raises:
        UserError: when what is seen was not recorded.
    """

    def __init__(self, learner: Judging, demos: Demos, *, updates: int, size: int, sees: Sees, seed: int) -> None:
        if sees in ("next", "all"):
            _check_ends(demos, sees)
        self.learner, self.updates, self.size, self.seed = learner, updates, size, seed
        steps = Transitions(demos, 1, 1.0, rewards=False, unknown=sees in ("state", "next"))
        self.shown = Batches(steps, size, seed)
        self.keys = list(demos.spec.obs)
        self._order: Order | None = None

    def batch(self, steps: Batch, number: int) -> Batch:
        """The policy's steps, then as many demonstrated ones."""
        if self._order is None or self._order.count != len(steps):
            self._order = Order(len(steps), self.size, 2 * self.seed + 1)
        own, shown = self._order(number), self.shown(number)
        assert steps.next_obs is not None
        assert shown.next_obs is not None
        return Batch(
            obs={key: np.concatenate([steps.obs[key][own], shown.obs[key]]) for key in self.keys},
            action=np.concatenate([steps.action[own], shown.action]),
            discount=np.concatenate([steps.discount[own], shown.discount]),
            next_obs={key: np.concatenate([steps.next_obs[key][own], shown.next_obs[key]]) for key in self.keys},
            extra={SHOWN: np.repeat(np.array([0, 1], np.uint8), self.size)},
        )

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        return self.learner.discriminator_losses(batch)

    def reward(self, steps: Batch) -> Tensor:
        return self.learner.reward(steps)


def imitated(demos: Demos | None, task: Task, method: str, mask: str) -> tuple[Demos, Task]:
    """Demonstrations and task with the observations that both have; the task also with the one that masks, which the
    discriminator never sees.

    Raises:
        UserError: when there are no demonstrations, or they have nothing in common with the task.
    """
    if demos is None:
        raise UserError(f"method '{method}' imitates demonstrations: give --data PATH")
    keys = [key for key in task.spec.obs if key in demos.spec.obs and task.spec.obs[key].kind != "text"]
    seen = [key for key in keys if key != mask]
    if not seen:
        raise UserError(
            f"{demos.provenance.path}: none of its observations ({', '.join(demos.spec.obs)}) is one of the task's "
            f"({', '.join(task.spec.obs)}): choose the task that it was recorded in"
        )
    known = [key for key in task.spec.obs if key in seen or key == mask]
    demos = demos if keys == list(demos.spec.obs) else demos.select(keys)
    return described(demos, task), replace(task, spec=task.spec.select(known))


def _check_ends(demos: Demos, sees: Sees) -> None:
    """Where an episode ended in a terminal state, what followed its last step must be there."""
    table = demos.table
    cut = np.flatnonzero((table.ended == TERMINATED) & (table.rows == table.length))
    if len(cut):
        raise UserError(
            f"{demos.provenance.path}: episode {cut[0]} has no final observation, which is seen with sees '{sees}': "
            "use data with final observations, or sees 'action' or 'state'"
        )
