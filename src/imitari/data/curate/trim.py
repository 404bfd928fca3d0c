"""Leaving out steps inside episodes: by forgetting their actions, or by cutting them out."""

from __future__ import annotations

import numpy as np

from imitari.core.columns import ArrayColumn, picked
from imitari.core.demos import Demos, EpisodeTable
from imitari.core.episode import ACTION, ACTION_KNOWN, Array
from imitari.core.errors import UserError


def masked(demos: Demos, keep: Array, why: str = "steps left out") -> Demos:
    """The demos with the actions of all other steps marked as unknown: they are still seen, and no method learns them.

    Time goes on as it did, so that policies with a memory or of chunks can be trained on what is left.

    Args:
        demos: with actions.
        keep: (N,) bool, in the order of `Demos.rows()`.
        why: for the provenance.
    """
    rows = _checked(demos, keep)
    whole = np.arange(demos.columns[ACTION].shape[0])
    known = demos.known(whole)
    known = np.ones(len(whole), bool) if known is None else known
    known[rows[~keep]] = False
    return demos.with_columns({ACTION_KNOWN: ArrayColumn(known)}, f"{why}: {int((~keep).sum())} of {len(keep)} unknown")


def trimmed(demos: Demos, keep: Array, why: str = "steps cut out") -> Demos:
    """The demos without the other steps. Episodes of which no step is left go too, and the provenance says how many.

    Neighbouring rows may then lie apart in time: what is a difference of two of them (a velocity, a transition) is no
    longer what it was. The last observation of an episode stays.

    Args:
        demos: any.
        keep: (N,) bool, in the order of `Demos.rows()`.
        why: for the provenance.

    Raises:
        UserError: when no step is left.
    """
    _checked(demos, keep)
    table = demos.table
    owner = np.repeat(np.arange(len(demos)), table.length)
    length = np.bincount(owner[keep], minlength=len(demos))
    left = length > 0
    if not left.any():
        raise UserError(f"{demos.provenance.path}: no step is left after '{why}': loosen that condition")
    final = (table.rows > table.length) & left
    stays = _with_final(table, keep, final)
    rows = demos.rows(final=True)[stays]
    counts = (length + final)[left]
    start = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
    kept = table.pick(np.flatnonzero(left))
    shorter = EpisodeTable(start, length[left].astype(np.int64), counts, kept.ended, kept.success, kept.source)
    step = f"{why}: {int(keep.sum())} of {len(keep)} steps, {int(left.sum())} of {len(left)} episodes left"
    columns = {key: picked(column, rows) for key, column in demos.columns.items()}
    return Demos(demos.spec, columns, shorter, demos.provenance.then(step))


def _with_final(table: EpisodeTable, keep: Array, final: Array) -> Array:
    """(M,) bool over `Demos.rows(final=True)`: kept steps, and the last observation of episodes in `final`."""
    last = np.cumsum(table.rows) - 1
    stored = table.rows > table.length
    stays = np.zeros(int(table.rows.sum()), bool)
    steps = np.ones(len(stays), bool)
    steps[last[stored]] = False
    stays[steps] = keep
    stays[last[final]] = True
    return stays


def _checked(demos: Demos, keep: Array) -> Array:
    rows = demos.rows()
    if keep.shape != rows.shape or keep.dtype != bool:
        raise ValueError(f"keep is {keep.dtype} {keep.shape}, not bool {rows.shape}: one entry a step")
    return rows
