"""What every check works on: the columns of the steps as flat arrays, and where episodes begin in them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from imitari.core.columns import TextColumn
from imitari.core.demos import Demos
from imitari.core.episode import ACTION, Array

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or odd.

    Attributes:
        severity: "error" spoils training or its evaluation, "warning" probably does, "note" is worth knowing.
        check: name of the check.
        message: what was seen, with numbers.
        remedy: what to do about it.
        episode, frame, column: where it is first seen; None where it concerns all.
    """

    severity: Severity
    check: str
    message: str
    remedy: str
    episode: int | None = None
    frame: int | None = None
    column: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Steps:
    """The steps of all episodes one after the other (N = demos.steps), without final observations.

    Attributes:
        first: (E,) number of the first step of each episode.
        length: (E,) steps of each episode.
    """

    def __init__(self, demos: Demos, folder: Path) -> None:
        self.demos, self.folder = demos, folder
        self.length: Array = demos.table.length
        self.first: Array = np.cumsum(self.length) - self.length
        self._values: dict[str, Array] = {}

    @property
    def path(self) -> str:
        return self.demos.provenance.path

    @cached_property
    def rows(self) -> Array:
        """(N,) row of every step in the columns."""
        return self.demos.rows()

    @cached_property
    def episode(self) -> Array:
        """(N,) episode of every step."""
        return np.repeat(np.arange(len(self.length)), self.length)

    @cached_property
    def step(self) -> Array:
        """(N,) number of every step in its episode."""
        return np.arange(len(self.episode)) - np.repeat(self.first, self.length)

    @cached_property
    def filled(self) -> Array:
        """Episodes that have steps: what the `reduceat` of numpy can work on."""
        return np.flatnonzero(self.length > 0)

    def numeric(self) -> list[str]:
        """Observations and action, where they are continuous numbers."""
        keys = [key for key, feature in self.demos.spec.numbers.items() if feature.size]
        action = self.demos.spec.action
        examined = action.kind == "number" and action.size and self.known.all()
        return [*keys, ACTION] if examined else keys

    @cached_property
    def known(self) -> Array:
        """(N,) whether the action of a step is known. Where some are not, actions are only examined for NaN."""
        found = self.demos.known(self.rows)
        return np.ones(len(self.rows), bool) if found is None else found

    def extra(self) -> list[str]:
        """Other numeric columns: rewards and labels."""
        known = {*self.demos.spec.obs, ACTION}
        return [
            key
            for key, column in self.demos.columns.items()
            if key not in known and not isinstance(column, TextColumn) and column.dtype.kind in "fiub"
        ]

    def values(self, key: str) -> Array:
        """(N, D) values of a numeric column, flat, as they are stored."""
        if key not in self._values:
            found = self.demos.columns[key].take(self.rows)
            self._values[key] = found.reshape(len(found), -1)
        return self._values[key]

    def per_episode(self, values: Array, reduce: np.ufunc) -> Array:
        """(E, ...) reduction of (N, ...) over the steps of each episode; zero where there are none."""
        out = np.zeros((len(self.length), *values.shape[1:]), values.dtype)
        if len(values):
            out[self.filled] = reduce.reduceat(values, self.first[self.filled], axis=0)
        return out

    def first_where(self, bad: Array) -> list[tuple[int, int, int]]:
        """(episode, first step, number of steps) of every episode with a step where `bad` (N,) holds."""
        at = np.flatnonzero(bad)
        owners, where, counts = np.unique(self.episode[at], return_index=True, return_counts=True)
        return [
            (int(owner), int(self.step[at[place]]), int(count))
            for owner, place, count in zip(owners, where, counts, strict=True)
        ]

    def drop(self, *numbers: int) -> str:
        """The command that leaves episodes out."""
        return f"imitari data filter {self.path} --drop {','.join(map(str, numbers))} --out NEW"


def dimensions(which: Array, names: tuple[str, ...] | None) -> str:
    """The chosen dimensions by name where there are names, at most six of them."""
    listed = [names[int(number)] if names and int(number) < len(names) else str(int(number)) for number in which[:6]]
    return ", ".join(listed) + (f" and {len(which) - 6} more" if len(which) > 6 else "")
