"""Actions that somebody inferred, put where the data does not know them; what is idle, left out of learning."""

from __future__ import annotations

import numpy as np

from imitari.core.columns import ArrayColumn, TextColumn
from imitari.core.demos import Demos
from imitari.core.episode import ACTION, ACTION_CONFIDENCE, ACTION_KNOWN, ACTION_SOURCE, Array
from imitari.core.errors import UserError

RECORDED = "recorded"


def unlabelled(demos: Demos) -> Array:
    """Numbers of the episodes of which an action is not known."""
    rows = demos.rows()
    known = demos.known(rows)
    if known is None:
        return np.zeros(0, np.int64)
    owner = np.repeat(np.arange(len(demos)), demos.table.length)
    return np.unique(owner[~known])


def with_labels(
    demos: Demos, episodes: Array, action: Array, confidence: Array, source: str, least: float = 0.0
) -> Demos:
    """The demos with inferred actions in the steps whose action is not known, marked as known from then on.

    Three columns say where each action comes from: whether it is known, `action_confidence` (1 where it was recorded)
    and `action_source` ("recorded", or `source`). What is inferred with less confidence than `least` stays unknown.

    Args:
        demos: with unknown actions.
        episodes: (E,) numbers of those that were labelled.
        action: (N, *A) of all steps of these episodes, one after the other.
        confidence: (N,) of each, NaN where it is not known.
        source: who inferred them.
        least: confidence.

    Raises:
        UserError: when `least` is asked of labels without confidence, or no label reaches it.
    """
    rows = demos.keep(episodes, "labelled").rows()
    if len(action) != len(rows):
        raise ValueError(f"{len(action)} labels for {len(rows)} steps")
    whole = np.arange(demos.columns[ACTION].shape[0])
    known = demos.known(whole)
    known = np.ones(len(whole), bool) if known is None else known
    taken = ~known[rows]
    if least > 0:
        if np.isnan(confidence).any():
            raise UserError("labels of this model have no confidence (its head predicts points): filter nothing")
        taken &= confidence >= least
        if not taken.any() and not known[demos.rows()].any():
            raise UserError(f"no label has a confidence of {least:g}: ask for less")
    column = demos.columns[ACTION]
    values = np.array(column.take(whole))
    values[rows[taken]] = action[taken]
    sure = _column(demos, ACTION_CONFIDENCE, known)
    sure[rows[taken]] = confidence[taken]
    names = _sources(demos, whole)
    names[rows[taken]] = source
    known[rows[taken]] = True
    columns = {
        ACTION: ArrayColumn(values),
        ACTION_KNOWN: ArrayColumn(known),
        ACTION_CONFIDENCE: ArrayColumn(sure),
        ACTION_SOURCE: TextColumn.of(names.tolist()),
    }
    step = f"actions of {int(taken.sum())} steps inferred by {source}"
    if least:
        step += f", of {int((~known[rows]).sum())} left unknown (confidence below {least:g})"
    return demos.with_columns(columns, step)


def without_idle(demos: Demos, choice: int | None = None, least: float = 0.0) -> Demos:
    """The demos with idle steps marked as unknown: they are still seen, and nothing is learned from them.

    Args:
        demos: with actions.
        choice: that means doing nothing; None: none does.
        least: numbers of which none is as large as this mean doing nothing; 0: none do.
    """
    if choice is None and not least:
        return demos
    whole = np.arange(demos.columns[ACTION].shape[0])
    action = demos.columns[ACTION].take(whole).reshape(len(whole), -1)
    discrete = demos.spec.action.kind == "choice"
    still: Array = np.equal(action, -1 if choice is None else choice) if discrete else np.less(np.abs(action), least)
    idle: Array = np.all(still, axis=1, keepdims=False)
    known = demos.known(whole)
    kept: Array = np.asarray(~idle if known is None else known & ~idle)
    count = int((~kept[demos.rows()]).sum() - (0 if known is None else (~known[demos.rows()]).sum()))
    return demos.with_columns({ACTION_KNOWN: ArrayColumn(kept)}, f"{count} idle steps left out of learning")


def _column(demos: Demos, key: str, known: Array) -> Array:
    """The confidence so far: 1 where an action was recorded, NaN where there is none."""
    if key in demos.columns:
        return np.array(demos.columns[key].take(np.arange(len(known))), np.float32)
    return np.where(known, 1.0, np.nan).astype(np.float32)


def _sources(demos: Demos, whole: Array) -> Array:
    if ACTION_SOURCE in demos.columns:
        return np.array(demos.columns[ACTION_SOURCE].take(whole), object)
    known = demos.known(whole)
    names = np.full(len(whole), RECORDED, object)
    if known is not None:
        names[~known] = "unknown"
    return names
