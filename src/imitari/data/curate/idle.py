"""Idle steps: stretches in which nothing that is observed moves."""

from __future__ import annotations

import numpy as np

from imitari.core.columns import TextColumn
from imitari.core.demos import Demos
from imitari.core.episode import Array
from imitari.core.errors import UserError
from imitari.core.spec import CIRCUMSTANCES


def moving(demos: Demos, speed: float, lasting: int = 3) -> Array:
    """(N,) bool, in the order of `Demos.rows()`: steps outside stretches of `lasting` or more idle steps.

    A step is idle when no observed number changes by more than `speed` up to the next observation; the last step of an
    episode whose last observation is not known is as idle as the one before it.

    Args:
        demos: with numbers among their observations; pictures and texts are not looked at.
        speed: in the units of the observations, a step.
        lasting: steps; shorter stretches are kept.

    Raises:
        UserError: when no observation is a number, or an argument cannot be.
    """
    if speed < 0 or lasting < 1:
        raise UserError(f"speed is {speed:g} and lasting {lasting}: they must be at least 0 and 1")
    idle = _speeds(demos) <= speed
    owner = np.repeat(np.arange(len(demos)), demos.table.length)
    return ~_lasting(idle, owner, lasting)


def _speeds(demos: Demos) -> Array:
    """(N,) largest change of an observed number from each step to the next."""
    keys = [
        key for key in demos.spec.numbers if key not in CIRCUMSTANCES and not isinstance(demos.columns[key], TextColumn)
    ]
    if not keys:
        raise UserError(f"{demos.provenance.path}: no observation is a number: idle steps cannot be told")
    rows, length = demos.rows(), demos.table.length
    last = np.cumsum(length) - 1
    final = (demos.table.rows > length)[length > 0]
    follows = rows + 1
    ends = last[length > 0]
    follows[ends[~final]] = rows[ends[~final]]
    fastest = np.zeros(len(rows))
    for key in keys:
        column, feature = demos.columns[key], demos.spec.obs[key]
        now, then = (column.take(which).reshape(len(rows), -1).astype(np.float64) for which in (rows, follows))
        change = then - now
        for dimension in feature.periodic:
            change[:, dimension] = (change[:, dimension] + np.pi) % (2 * np.pi) - np.pi
        fastest = np.maximum(fastest, np.abs(change).max(1))
    for end, size in zip(ends[~final], length[length > 0][~final], strict=True):
        if size > 1:
            fastest[end] = fastest[end - 1]
    return fastest


def _lasting(idle: Array, owner: Array, lasting: int) -> Array:
    """`idle` where it is part of a stretch of `lasting` or more within one episode."""
    if not len(idle):
        return idle
    changes = np.flatnonzero((np.diff(idle.astype(np.int8)) != 0) | (np.diff(owner) != 0)) + 1
    begins = np.concatenate([[0], changes])
    sizes = np.diff([*begins, len(idle)])
    return idle & (np.repeat(sizes, sizes) >= lasting)
