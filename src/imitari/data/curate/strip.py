"""Video without actions: a copy of a data set in which the actions of some or all episodes are no longer there."""

from __future__ import annotations

import numpy as np

from imitari.core.columns import ArrayColumn, Column
from imitari.core.demos import Demos
from imitari.core.episode import ACTION, ACTION_CONFIDENCE, ACTION_KNOWN, ACTION_SOURCE, Array
from imitari.core.errors import UserError
from imitari.data.opening import notice


def strip(demos: Demos, share: float = 1.0, seed: int = 0) -> Demos:
    """The demos with actions only where they stay known: NaN elsewhere, 0 for choices and other integers.

    Columns that repeat the action (`action.*`, confidence and source of labels) are left out. What an observation tells
    about the action stays: leave such observations out yourself.

    Args:
        demos: with actions.
        share: of the episodes that lose theirs, drawn with `seed`; at least one does.

    Raises:
        UserError: when the share is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise UserError(f"--share is {share:g}: it must be above 0 and at most 1")
    count = max(1, round(share * len(demos)))
    order = np.random.default_rng([seed, 0x57]).permutation(len(demos))
    hidden = np.sort(order[:count])
    action = demos.columns[ACTION]
    values = np.array(action.span(0, action.shape[0]))
    known = _known(demos, len(values))
    for number in hidden.tolist():
        begin = int(demos.table.start[number])
        rows = slice(begin, begin + int(demos.table.rows[number]))
        values[rows] = np.nan if values.dtype.kind == "f" else 0
        known[rows] = False
    telling = [
        key for key in demos.columns if key.startswith(f"{ACTION}.") or key in (ACTION_CONFIDENCE, ACTION_SOURCE)
    ]
    if telling:
        notice(f"columns that tell about actions are left out: {', '.join(telling)}")
    columns: dict[str, Column] = {key: column for key, column in demos.columns.items() if key not in telling}
    columns |= {ACTION: ArrayColumn(values), ACTION_KNOWN: ArrayColumn(known)}
    step = f"actions removed from {count} of {len(demos)} episodes"
    return Demos(demos.spec, columns, demos.table, demos.provenance.then(step))


def _known(demos: Demos, rows: int) -> Array:
    known = demos.known(np.arange(rows))
    return np.ones(rows, bool) if known is None else known
