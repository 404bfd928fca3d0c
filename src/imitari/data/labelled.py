"""Two data sets as one: a few demonstrations that are marked as an expert's, and many of which nothing is known.

The mark is a step column `expert`, 1 on every step of a marked episode and 0 elsewhere.
"""

from __future__ import annotations

import numpy as np

from imitari.core.columns import ArrayColumn
from imitari.core.demos import Demos
from imitari.core.episode import ACTION, Array
from imitari.core.errors import UserError
from imitari.data.sampling import Transitions

EXPERT = "expert"


def labelled(expert: Demos, play: Demos) -> Demos:
    """The episodes of both with the column `expert`, the marked ones first, without copying observations."""
    return Demos.concat([_marked(expert, 1), _marked(play, 0)])


def _marked(demos: Demos, value: int) -> Demos:
    rows = demos.columns[ACTION].shape[0]
    column = ArrayColumn(np.full(rows, value, np.uint8))
    return demos.with_columns({EXPERT: column}, "marked as an expert's" if value else "marked as of unknown quality")


def groups(transitions: Transitions) -> tuple[Array, Array]:
    """The samples of marked steps and those of the others, (N,) and (M,).

    Raises:
        UserError: when there is no such mark, or one of the two is empty.
    """
    path = transitions.demos.provenance.path
    if EXPERT not in transitions.demos.columns:
        raise UserError(
            f"{path}: column '{EXPERT}' is missing, which marks the expert's steps: give the data of unknown quality "
            "with --play"
        )
    marks = transitions.values(EXPERT).astype(bool)
    if marks.all() or not marks.any():
        raise UserError(
            f"{path}: column '{EXPERT}' is {int(marks[0])} on every step: an expert's episodes and others are needed, "
            "the others with --play"
        )
    return np.flatnonzero(marks), np.flatnonzero(~marks)
