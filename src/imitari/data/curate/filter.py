"""Choosing episodes: by success, length, return, number, what their source says, and by finite numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from imitari.core.columns import TextColumn
from imitari.core.demos import Demos
from imitari.core.episode import ACTION, REWARD, Array
from imitari.core.errors import UserError


@dataclass(frozen=True)
class Wanted:
    """What an episode must fulfil to stay; None: anything goes. Conditions are applied in this order.

    Attributes:
        episodes: only these numbers.
        drop: not these numbers.
        success: the flag must say so. Episodes without a flag fail either way.
        length: (least, most) number of steps, either None.
        returned: (least, most) sum of rewards, either None.
        source: key -> text that the episode's source must hold there (or in the list that it holds there).
        finite: no NaN and no infinity in any observation, reward or known action.
        scored: what scores of the episodes were asked, and (E,) bool: their answer.
    """

    episodes: Sequence[int] | None = None
    drop: Sequence[int] | None = None
    success: bool | None = None
    length: tuple[int | None, int | None] = (None, None)
    returned: tuple[float | None, float | None] = (None, None)
    source: tuple[tuple[str, str], ...] = ()
    finite: bool = False
    scored: tuple[str, Array] | None = None


def keep(demos: Demos, wanted: Wanted) -> Demos:
    """A view of the episodes that fulfil every condition; the provenance says how many each one kept.

    Raises:
        UserError: when a number is no episode, when rewards or flags are asked for and missing, or when none is left.
    """
    if wanted.success is not None and (demos.table.success < 0).all():
        raise UserError(f"{demos.provenance.path}: no episode says whether it succeeded: choose by other conditions")
    # Conditions over numbers speak of the episodes as they are numbered in the file, so masks are made before cutting.
    masks: list[tuple[str, Array]] = []
    if wanted.episodes is not None:
        masks.append(("chosen by number", _among(demos, wanted.episodes)))
    if wanted.drop is not None:
        masks.append(("left out by number", ~_among(demos, wanted.drop)))
    if wanted.success is not None:
        masks.append(("success" if wanted.success else "failure", demos.table.success == int(wanted.success)))
    if wanted.length != (None, None):
        masks.append((f"steps {_range(wanted.length)}", _between(demos.table.length, wanted.length)))
    if wanted.returned != (None, None):
        masks.append((f"return {_range(wanted.returned)}", _between(returns(demos), wanted.returned)))
    for key, text in wanted.source:
        masks.append((f"{key} is {text}", np.array([_says(source, key, text) for source in demos.table.source])))
    if wanted.scored is not None:
        masks.append(wanted.scored)
    if wanted.finite:
        masks.append(("finite", finite(demos)))
    numbers = np.arange(len(demos))
    for why, mask in masks:
        kept = mask[numbers]
        demos, numbers = demos.keep(kept, why), numbers[kept]
    return demos


def returns(demos: Demos) -> Array:
    """(E,) sum of the rewards of each episode."""
    if not demos.has_reward:
        raise UserError(f"{demos.provenance.path}: column '{REWARD}' is missing: episodes cannot be chosen by return")
    return _sums(demos, demos.columns[REWARD].take(demos.rows()).reshape(-1).astype(np.float64))


def finite(demos: Demos) -> Array:
    """(E,) whether every number of an episode, its final observation included, is finite."""
    good = np.ones(len(demos), bool)
    rows = demos.rows(final=True)
    owner = np.repeat(np.arange(len(demos)), demos.table.rows)
    for key in (*demos.spec.numbers, ACTION, REWARD):
        column = demos.columns.get(key)
        if column is None or isinstance(column, TextColumn) or column.dtype.kind != "f":
            continue
        values = column.take(rows).reshape(len(rows), -1)
        bad = ~np.isfinite(values).all(1)
        known = demos.known(rows) if key == ACTION else None
        good[owner[bad if known is None else bad & known]] = False
    return good


def _sums(demos: Demos, values: Array) -> Array:
    owner = np.repeat(np.arange(len(demos)), demos.table.length)
    return np.bincount(owner, values, minlength=len(demos))


def _among(demos: Demos, numbers: Sequence[int]) -> Array:
    mask = np.zeros(len(demos), bool)
    for number in numbers:
        if not 0 <= number < len(demos):
            raise UserError(
                f"{demos.provenance.path}: there is no episode {number}: they go from 0 to {len(demos) - 1}"
            )
        mask[number] = True
    return mask


def _between(values: Array, bounds: tuple[float | None, float | None]) -> Array:
    low, high = (
        -np.inf if bounds[0] is None else bounds[0],
        np.inf if bounds[1] is None else bounds[1],
    )
    return (values >= low) & (values <= high)


def _range(bounds: tuple[float | None, float | None]) -> str:
    low, high = bounds
    if high is None:
        return f"at least {low:g}"
    return f"at most {high:g}" if low is None else f"{low:g} to {high:g}"


def _says(source: dict[str, Any], key: str, text: str) -> bool:
    found = source.get(key)
    return text in [str(item) for item in cast("list[Any]", found)] if isinstance(found, list) else str(found) == text
