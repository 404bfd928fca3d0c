"""Whose starts are whose: tests, demonstrations, acting while learning and judging never meet.

Starts below a million are for tests. Training seed s owns the million that begins at (s + 1) million: its first half
is for demonstrations, then come the episodes of learning, and the last tenth is for judges.
"""

from __future__ import annotations

from imitari.core.errors import UserError

BLOCK = 1_000_000
FIRST_TEST = 100_000
LEARNING, JUDGING = 500_000, 900_000  # within the block of a training seed


def evaluation_starts(count: int) -> range:
    """The starts that judge: below those of every training seed.

    Raises:
        UserError: when `count` is more than there are.
    """
    if count > BLOCK - FIRST_TEST:
        raise UserError(f"the budget asks for {count} starts: at most {BLOCK - FIRST_TEST}")
    return range(FIRST_TEST, FIRST_TEST + count)


def training_starts(seed: int, count: int) -> range:
    """Of the demonstrations collected for training seed `seed`: no other seed and no evaluation has them."""
    return range(BLOCK * (seed + 1), BLOCK * (seed + 1) + count)


def learning_starts(seed: int, number: int, count: int = 1) -> range:
    """Of round `number` of `count` episodes each. After nearly 400,000 episodes they come again."""
    first = LEARNING + number * count % (JUDGING - LEARNING - count)
    return range(BLOCK * (seed + 1) + first, BLOCK * (seed + 1) + first + count)


def judging_starts(seed: int, count: int) -> range:
    """Of the episodes from which a judge is learned."""
    return range(BLOCK * (seed + 1) + JUDGING, BLOCK * (seed + 1) + JUDGING + count)
