"""Starts that are learned one after another, each with an equal share of a training by acting; and what was found on
each of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from imitari.core.episode import Array
from imitari.core.errors import UserError
from imitari.core.starts import learning_starts

FOUND = ("episodes", "solved", "best")  # what is counted of a start


class InTurn:
    """Which start's turn it is.

    Args:
        seed: of the training.
        count: starts; with 0 nothing is learned in turn.

    Attributes:
        number: of the start whose turn it is.
        counts: (count, 3) episodes that ended, how many of them were solved, the fewest steps of those (0: none).

    Raises:
        UserError: for a count below 0.
    """

    def __init__(self, seed: int, count: int) -> None:
        if count < 0:
            raise UserError(f"maps is {count}: it must be at least 0 (0: always another start)")
        self.seed, self.number = seed, 0
        self.counts = np.zeros((count, len(FOUND)), np.int64)

    @property
    def start(self) -> int:
        """The seed of the start whose turn it is."""
        return learning_starts(self.seed, self.number)[0]

    def enter(self, done: int, whole: int) -> bool:
        """Goes on to the start whose turn it is after `done` of `whole`; whether it is another one than before."""
        last, self.number = self.number, done * len(self.counts) // whole
        return self.number != last

    def until(self, whole: int) -> int:
        """How much of `whole` is done when the next start's turn comes."""
        count = len(self.counts)
        return -(-(self.number + 1) * whole // count) if count else whole

    def add(self, episodes: int, solved: Sequence[int]) -> None:
        """Counts episodes that ended; `solved`: the steps of those that were solved."""
        before = self.counts[self.number]
        best = min([*solved, before[2]] if before[2] else solved, default=0)
        self.counts[self.number] = before[0] + episodes, before[1] + len(solved), best

    def starts(self) -> list[int]:
        """Seeds of all starts up to now."""
        return [learning_starts(self.seed, number)[0] for number in range(self.number + 1)]

    def found(self) -> list[dict[str, int]]:
        """Of every start that was learned: its seed, and what was counted."""
        numbers = [dict(zip(FOUND, map(int, row), strict=True)) for row in self.counts]
        return [{"start": start, **row} for start, row in zip(self.starts(), numbers, strict=False)]

    def restore(self, number: int, counts: Array) -> None:
        """Goes to where `number` and `counts` were taken.

        Raises:
            ValueError: when they belong to another number of starts.
        """
        if counts.shape != self.counts.shape:
            raise ValueError(f"counts of {len(counts)} starts, not of {len(self.counts)}")
        self.number, self.counts = number, counts.astype(np.int64)
