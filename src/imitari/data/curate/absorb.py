"""Absorbing states: a terminal state is made one that leads to itself for ever, marked by a bit that is observed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from imitari.core.columns import ArrayColumn, Column, TextColumn
from imitari.core.demos import ENDINGS, Demos, EpisodeTable
from imitari.core.episode import ACTION, Array
from imitari.core.spec import Feature, Spec

ABSORBED = "observation.absorbed"


def with_bit(spec: Spec) -> Spec:
    """The spec with the bit that says whether the episode is over."""
    return replace(spec, obs={**spec.obs, ABSORBED: Feature((1,))})


def absorbed(demos: Demos, loops: int = 1) -> Demos:
    """Episodes that terminated go on: their last action leads to an absorbing state, which leads to itself.

    Without a reward, an ending is worth nothing to a learner, and staying on the way would be worth more than arriving;
    with absorbing states the value of having arrived is learned like any other (Kostrikov et al. 2019, "Discriminator-
    Actor-Critic", section 4.2). The absorbing state is the last known observation with the bit set; afterwards every
    episode counts as truncated.

    Args:
        demos: with or without terminated episodes.
        loops: steps from the absorbing state to itself that are added to each; they repeat the last action.

    Returns:
        A copy in memory without columns of text, where there are terminated episodes; else a view.
    """
    ended = int((demos.table.ended == ENDINGS.index("terminated")).sum())
    note = f"{ended} terminal states made absorbing"
    if not ended:
        zero = ArrayColumn(np.zeros((demos.columns[ACTION].shape[0], 1), np.float32))
        return demos.with_columns({ABSORBED: zero}, note, with_bit(demos.spec))
    rows, bit, table = _rows(demos, loops)
    kept = {key: column for key, column in demos.columns.items() if not isinstance(column, TextColumn)}
    columns: dict[str, Column] = {key: ArrayColumn(column.take(rows)) for key, column in kept.items()}
    columns[ABSORBED] = ArrayColumn(bit.astype(np.float32)[:, None])
    return Demos(with_bit(demos.spec), columns, table, demos.provenance.then(note))


def _rows(demos: Demos, loops: int) -> tuple[Array, Array, EpisodeTable]:
    """Rows to copy, whether each is absorbing, and the table of the copy."""
    old = demos.table
    ended = old.ended == ENDINGS.index("terminated")
    length = old.length + loops * ended
    count = np.where(ended, length + 1, old.rows)
    start = np.cumsum(count) - count
    step = np.arange(int(count.sum())) - np.repeat(start, count)
    first, last, steps, over = (np.repeat(value, count) for value in (old.start, old.rows - 1, old.length, ended))
    bit = over & (step >= steps)
    codes = np.where(ended, ENDINGS.index("truncated"), old.ended).astype(old.ended.dtype)
    table = EpisodeTable(start, length, count, codes, old.success, old.source)
    return first + np.minimum(step, last), bit, table
