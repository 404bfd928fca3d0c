"""More demonstrations out of those that there are: the symmetries that a task declares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from imitari.core.columns import ArrayColumn, Column, JoinedColumn
from imitari.core.demos import Demos, EpisodeTable
from imitari.core.episode import ACTION, ACTION_KNOWN
from imitari.core.errors import UserError
from imitari.core.symmetry import Affine, Symmetry


def with_symmetries(demos: Demos, symmetries: Sequence[Symmetry]) -> Demos:
    """The demos and, behind them, their image under each symmetry.

    Raises:
        UserError: when there is no symmetry, or one says nothing about an observation that is used.
    """
    if not symmetries:
        raise UserError("the task declares no symmetry: leave out --symmetry")
    parts = [demos, *(_changed(demos, symmetry) for symmetry in symmetries)]
    columns: dict[str, Column] = {
        key: JoinedColumn([part.columns[key] for part in parts]) for key in demos.columns if key in parts[1].columns
    }
    rows = demos.columns[ACTION].shape[0]
    table = demos.table
    copies = len(parts)
    sources = [
        {**{key: value for key, value in source.items() if key != "seed"}, "symmetry": symmetry.name}
        for symmetry in symmetries
        for source in table.source
    ]
    joined = EpisodeTable(
        np.concatenate([table.start + number * rows for number in range(copies)]),
        np.tile(table.length, copies),
        np.tile(table.rows, copies),
        np.tile(table.ended, copies),
        np.tile(table.success, copies),
        (*table.source, *sources),
    )
    step = f"with symmetries {', '.join(symmetry.name for symmetry in symmetries)}: {len(joined)} episodes"
    return Demos(demos.spec, columns, joined, demos.provenance.then(step))


def _changed(demos: Demos, symmetry: Symmetry) -> Demos:
    missing = symmetry.missing(demos.spec)
    if missing:
        raise UserError(
            f"symmetry '{symmetry.name}' says nothing about observation '{missing[0]}': choose others with --obs, "
            "or leave out --symmetry"
        )
    columns = {key: _column(demos.columns[key], symmetry.obs[key]) for key in demos.spec.obs}
    columns[ACTION] = _column(demos.columns[ACTION], symmetry.action)
    same = [key for key in demos.columns if key.startswith("next.") or key == ACTION_KNOWN]
    kept = {key: demos.columns[key] for key in same if key not in columns}
    return Demos(demos.spec, {**columns, **kept}, demos.table)


def _column(column: Column, change: Affine) -> Column:
    return ArrayColumn(change.apply(column.take(np.arange(column.shape[0]))))
