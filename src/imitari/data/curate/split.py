"""Whole episodes into a training part and a held-out part: as two sets, or as marks in one."""

from __future__ import annotations

from dataclasses import replace

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


def marked(demos: Demos, fraction: float, seed: int = 0, key: str = "") -> Demos:
    """The same episodes, of which those of the two parts bear the masks `train` and `valid` in their sources.

    Args:
        demos: where from.
        fraction, seed: as of `split`.
        key: only episodes that bear this mask are divided, and the marks are `<key>_train` and `<key>_valid`, as
            robomimic calls the two parts of a filter key.

    Raises:
        UserError: when no episode bears the mask, or one part would be empty.
    """
    table = demos.table
    inside = np.array([not key or key in source.get("masks", ()) for source in table.source])
    if not inside.any():
        raise UserError(f"{demos.provenance.path}: no episode bears the mask '{key}': `imitari data show` lists masks")
    _, held = split(demos.keep(inside), fraction, seed)
    chosen, prefix = np.isin(table.start, held.table.start), f"{key}_" if key else ""
    sources = [
        {**source, "masks": [*source.get("masks", ()), prefix + ("valid" if out else "train")]} if mine else source
        for source, mine, out in zip(table.source, inside, chosen, strict=True)
    ]
    provenance = demos.provenance.then(f"marked {prefix}train and {prefix}valid")
    return Demos(demos.spec, demos.columns, replace(table, source=tuple(sources)), provenance)


def _start(source: dict[str, object]) -> str | None:
    """What tells one start from another; None where it is not known."""
    return f"{source.get('env_id', source.get('task', ''))}|{source['seed']}" if "seed" in source else None
