"""Environments that act without end: whoever finishes begins again from the next start. Can be taken up after a cut."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.errors import UserError
from imitari.core.task import Task


@dataclass(frozen=True)
class Moved:
    """What one step of B environments led to, before any of them begins again.

    Attributes:
        obs: name -> (B, ...); of an environment that finished, its last observation.
        reward: (B,).
        terminated, truncated: (B,) bool.
    """

    obs: Obs
    reward: Array
    terminated: Array
    truncated: Array


@dataclass(frozen=True)
class Finished:
    """An episode that has ended: sum of rewards, steps, and whether it was solved."""

    total: float
    steps: int
    success: bool


class Continuing:
    """`count` environments of a task, stepped together; one that finishes is started again.

    A world's state cannot be saved in general. What is saved is the start and the actions of every episode under way:
    `restore` takes the same steps again.

    Args:
        task: where.
        count: environments.
        start: number of an episode, counted from 0 in the order in which they begin -> seed of its start.

    Attributes:
        obs: name -> (B, ...) what is to be acted on now.
        begun: episodes that were started up to now.
        finished: episodes that ended since this list was last emptied.
    """

    def __init__(self, task: Task, count: int, start: Callable[[int], int]) -> None:
        self.world, self.start, self.count = task.make(count), start, count
        self.finished: list[Finished] = []
        self._actions: deque[Array] = deque(maxlen=task.limit)
        self._seeds = np.array([start(number) for number in range(count)], np.int64)
        self.begun = count
        self.obs = self._reset()

    def _reset(self) -> Obs:
        self._total, self._steps = np.zeros(self.count), np.zeros(self.count, np.int64)
        obs, _ = self.world.reset(seed=self._seeds.tolist())
        return obs

    def step(self, actions: Array) -> Moved:
        """Takes a step everywhere; afterwards `obs` holds the first observation of whatever began again."""
        self._actions.append(np.array(actions))
        obs, reward, terminated, truncated, info = self.world.step(actions)
        self._total += reward
        self._steps += 1
        ended = terminated | truncated
        moved = Moved(obs, reward, terminated, truncated)
        self.obs = obs
        if ended.any():
            success = np.asarray(info["success"], bool)[ended]
            episodes = zip(self._total[ended], self._steps[ended], success, strict=True)
            self.finished += [Finished(float(total), int(steps), bool(done)) for total, steps, done in episodes]
            self._seeds[ended] = [self.start(self.begun + number) for number in range(int(ended.sum()))]
            self.begun += int(ended.sum())
            self._restart(ended)
        return moved

    def _restart(self, which: Array) -> None:
        first = self.world.restart(which, self._seeds[which].tolist())
        self.obs = {key: value.copy() for key, value in self.obs.items()}
        for key, value in first.items():
            self.obs[key][which] = value
        self._total[which], self._steps[which] = 0.0, 0

    def renew(self) -> None:
        """Begins everywhere anew, from the starts that come next; episodes under way are left."""
        self._seeds = np.array([self.start(self.begun + number) for number in range(self.count)], np.int64)
        self.begun += self.count
        self._restart(np.ones(self.count, bool))

    def stored(self) -> dict[str, Array]:
        """What `restore` needs, as arrays: starts and ages of the episodes under way, and the latest actions."""
        longest = int(self._steps.max())
        latest = list(self._actions)[len(self._actions) - longest :]
        actions = np.stack(latest) if latest else np.zeros((0, self.count))
        return {"seeds": self._seeds, "steps": self._steps, "begun": np.array(self.begun), "actions": actions}

    def restore(self, stored: dict[str, Array]) -> None:
        """Goes to where `stored` was taken, by the same actions from the same starts.

        Raises:
            UserError: when it belongs to another number of environments.
        """
        steps, actions = stored["steps"], stored["actions"]
        if len(steps) != self.count or len(actions) != int(steps.max()):
            raise UserError("what was stored of the environments under way does not fit: train again in another --out")
        self._seeds, self.begun = stored["seeds"].astype(np.int64), int(stored["begun"])
        self.obs = self._reset()
        self._actions.clear()
        for before_now in range(len(actions), -1, -1):
            begins = steps == before_now
            if begins.any():
                self._restart(begins)
            if before_now:
                action = actions[len(actions) - before_now]
                self._actions.append(action)
                self.obs, reward, _, _, _ = self.world.step(action)
                self._total += reward
                self._steps += 1
        self.finished = []

    def close(self) -> None:
        self.world.close()
