"""Whole episodes into a training part and a held-out part."""

from __future__ import annotations

import numpy as np

from imitari.core.demos import Demos
from imitari.core.errors import UserError


def split(demos: Demos, fraction: float, seed: int = 0) -> tuple[Demos, Demos]:
    """(training part, held-out part of about `fraction`), by episode and reproducible from `seed`.

    Episodes of one start (equal `seed` in their sources) stay together, so that no start is seen in training and judged
    on; the held-out part grows by such companions.

    Raises:
        UserError: when one part would be empty.
    """
    training, held = demos.split(fraction, seed)
    if held is None:
        raise UserError(f"holding out {fraction:.2%} of {len(demos)} episodes holds out none: use a larger fraction")
    starts = {_start(source) for source in held.table.source} - {None}
    if not starts:
        return training, held
    inside = np.array([_start(source) in starts for source in demos.table.source])
    inside |= np.isin(demos.table.start, held.table.start)
    if inside.all():
        raise UserError("every episode began from the same seed: there is no held-out part of other starts")
    return demos.keep(~inside, "training part"), demos.keep(inside, "held-out part")


def _start(source: dict[str, object]) -> str | None:
    """What tells one start from another; None where it is not known."""
    return f"{source.get('env_id', source.get('task', ''))}|{source['seed']}" if "seed" in source else None
