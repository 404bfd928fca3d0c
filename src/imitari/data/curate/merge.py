"""Several data sets of one spec as one."""

from __future__ import annotations

from collections.abc import Sequence

from imitari.core.demos import Demos
from imitari.core.episode import ACTION_KNOWN
from imitari.core.errors import UserError
from imitari.core.spec import Feature
from imitari.data.opening import notice


def merge(parts: Sequence[Demos]) -> Demos:
    """Episodes of all parts, in their order, without copying.

    Columns besides observations and actions that a part lacks are left out, and a notice names them.

    Raises:
        UserError: when observations or actions differ in name, shape, kind or unit: names both sets and the column.
    """
    if not parts:
        raise UserError("there is nothing to merge: give the paths of at least two data sets")
    first = parts[0]
    for part in parts[1:]:
        here, there = part.provenance.path, first.provenance.path
        for key in dict.fromkeys([*first.spec.obs, *part.spec.obs]):
            if key not in part.spec.obs or key not in first.spec.obs:
                lacking = here if key in first.spec.obs else there
                raise UserError(
                    f"{lacking}: observation '{key}' is missing, which {there if lacking == here else here} has: "
                    "convert with the same --cameras, or leave it out of both"
                )
            _same(key, part.spec.obs[key], first.spec.obs[key], here, there)
        _same("action", part.spec.action, first.spec.action, here, there)
    everywhere = [key for key in first.columns if all(key in part.columns for part in parts)]
    kept = {*everywhere, ACTION_KNOWN}  # a part without it knows all its actions
    dropped = dict.fromkeys(key for part in parts for key in part.columns if key not in kept)
    if dropped:
        notice(f"columns that not every data set has are left out: {', '.join(dropped)}")
    return Demos.concat(parts)


def _same(key: str, have: Feature, need: Feature, here: str, there: str) -> None:
    for what in ("shape", "kind", "unit"):
        one, other = getattr(have, what), getattr(need, what)
        if one != other and not (what == "unit" and None in (one, other)):
            raise UserError(
                f"{here}: column '{key}' has {what} {one}, not {other} as in {there}: convert one of them first"
            )
