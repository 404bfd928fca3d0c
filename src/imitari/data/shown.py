"""One data set in two parts, for learning from observations alone: own experience, and what was shown."""

from __future__ import annotations

import numpy as np

from imitari.core.demos import Demos
from imitari.core.episode import Array
from imitari.core.errors import UserError
from imitari.data.curate.strip import strip
from imitari.data.labelled import EXPERT


def experience_and_shown(demos: Demos) -> tuple[Demos, Demos]:
    """Own experience (all actions known) and demonstrations, of which nobody may read the actions.

    Demonstrations are the episodes in which no action is known. Where all are known, they are those that the column
    `expert` marks, without their actions.

    Raises:
        UserError: when there is only one of the two.
    """
    rows = demos.rows()
    known = demos.known(rows)
    whole = np.ones(len(rows), bool) if known is None else known
    acted, silent = _everywhere(demos, whole), _everywhere(demos, ~whole)
    if not silent.any() and EXPERT in demos.columns:
        silent = _everywhere(demos, demos.columns[EXPERT].take(rows).reshape(len(rows)) == 1)
        acted &= ~silent
    if not silent.any() or not acted.any():
        raise UserError(
            f"{demos.provenance.path}: {int(acted.sum())} episodes with actions and {int(silent.sum())} demonstrations "
            "without: both are needed; give the demonstrations (of `imitari data strip`) with --data, own experience "
            "with --play"
        )
    return demos.keep(acted, "own experience"), strip(demos.keep(silent, "shown without actions"))


def _everywhere(demos: Demos, flag: Array) -> Array:
    """(episodes,) whether a flag (steps,) is set at every step."""
    owner = np.repeat(np.arange(len(demos)), demos.table.length)
    return np.bincount(owner, flag, minlength=len(demos)) == demos.table.length
