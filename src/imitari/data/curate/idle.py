"""Idle stretches: where nothing that is observed moves for a while. No learning."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from imitari.core.demos import Demos
from imitari.core.episode import Array
from imitari.core.errors import UserError
from imitari.core.spec import Feature


def speeds(demos: Demos, keys: Sequence[str]) -> Array:
    """(N,) how far the fastest number of the observations `keys` moves in each step, as a share of its range.

    The range is that of the data, of an angle its period. Where the observation after an episode's last step is not
    known, that step is as fast as the one before.

    Raises:
        UserError: when one of `keys` is no observation of numbers.
    """
    rows, table = demos.rows(), demos.table
    last = np.cumsum(table.length) - 1
    after = rows + 1
    unknown = table.rows == table.length
    after[last[unknown]] = rows[last[unknown]]
    found = np.zeros(len(rows))
    for key in keys:
        feature = demos.spec.obs.get(key)
        if feature is None or feature.kind != "number":
            raise UserError(f"observation '{key}' is no number that moves: choose from {', '.join(demos.spec.numbers)}")
        found = np.maximum(found, _fastest(demos.columns[key].take(rows), demos.columns[key].take(after), feature))
    alone = table.length == 1
    found[last[unknown & ~alone]] = found[last[unknown & ~alone] - 1]
    return found


def idle(demos: Demos, keys: Sequence[str], slowest: float = 1e-3, steps: int = 3) -> Array:
    """(N,) bool: whether each step belongs to at least `steps` in a row that are all slower than `slowest`.

    Args:
        demos: with numbers.
        keys: observations that must stand still.
        slowest: see `speeds`.
        steps: fewer than so many in a row are no pause.
    """
    if steps < 1:
        raise UserError(f"steps is {steps}: it must be at least 1")
    still: Array = np.less(speeds(demos, keys), slowest)
    begins = np.zeros(len(still), bool)
    begins[np.cumsum(demos.table.length) - demos.table.length] = True  # of episodes: a pause does not go across
    change = begins | np.r_[True, still[1:] != still[:-1]]
    number = np.cumsum(change) - 1
    return still & (np.bincount(number)[number] >= steps)


def _fastest(here: Array, there: Array, feature: Feature) -> Array:
    size = feature.size
    before, after = (values.reshape(len(values), size).astype(np.float64) for values in (here, there))
    moved, span = np.abs(after - before), np.ptp(before, axis=0) if len(before) else np.ones(size)
    for number in feature.periodic or ():
        moved[:, number] = np.abs(np.mod(after - before + np.pi, 2 * np.pi) - np.pi)[:, number]
        span[number] = 2 * np.pi
    return (moved / np.where(span > 0, span, 1.0)).max(1)
