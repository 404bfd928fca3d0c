"""Long recordings cut into pieces, so that a single one has parts to hold out."""

from __future__ import annotations

import numpy as np

from imitari.core.demos import ENDINGS, Demos, EpisodeTable
from imitari.core.errors import UserError


def cut(demos: Demos, steps: int) -> Demos:
    """Every episode as consecutive pieces of `steps` steps; the last piece has the rest, and the end of its episode.

    The others end as a recording that was stopped does (truncated, the final observation not kept), and nothing is
    known of their success. Neighbouring pieces are alike: what is held out by piece is easier to foretell than what
    is held out by episode.

    Raises:
        UserError: when `steps` is below 1.
    """
    if steps < 1:
        raise UserError(f"steps is {steps}: pieces must have at least 1")
    table = demos.table
    counts = -(-table.length // steps)
    owner = np.repeat(np.arange(len(table)), counts)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    first = number * steps
    length = np.minimum(steps, table.length[owner] - first)
    last = number == counts[owner] - 1
    ended = np.where(last, table.ended[owner], ENDINGS.index("truncated")).astype(table.ended.dtype)
    success = np.where(last, table.success[owner], -1).astype(table.success.dtype)
    rows = length + np.where(last, (table.rows - table.length)[owner], 0)
    sources = [{**table.source[one], "piece": int(piece)} for one, piece in zip(owner, number, strict=True)]
    pieces = EpisodeTable(table.start[owner] + first, length, rows, ended, success, tuple(sources))
    return Demos(demos.spec, demos.columns, pieces, demos.provenance.then(f"cut into pieces of {steps} steps"))
