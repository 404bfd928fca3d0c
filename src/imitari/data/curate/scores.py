"""Scores: what somebody says of every step and every episode of a data set, and what to keep of it for that.

Two kinds of scorers give them: plain measures (`data/curate/quality.measured`) and trained models (`Method.scored`).
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from imitari.core.demos import Demos
from imitari.core.episode import Array
from imitari.core.errors import UserError, nearest
from imitari.core.files import replace_arrays

Better = Literal["low", "high"]


@dataclass(frozen=True)
class Scores:
    """Attributes:
    steps: name -> (N,) of every step, in the order of `Demos.rows()`; NaN where nothing can be said.
    episodes: name -> (E,) of every episode; NaN where nothing can be said.
    better: name -> which end is the good one, of those scores that have one.
    keep: (N,) bool: the steps that the scorer would keep, None where it does not say.
    groups: group -> name -> one number of all its episodes together (an operator's action variance).
    about: who scored and how (method, neighbours, thresholds): JSON values.
    fingerprint: of the data that was scored.
    """

    steps: dict[str, Array] = field(default_factory=dict[str, Array])
    episodes: dict[str, Array] = field(default_factory=dict[str, Array])
    better: dict[str, Better] = field(default_factory=dict[str, Better])
    keep: Array | None = None
    groups: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])
    about: dict[str, Any] = field(default_factory=dict[str, Any])
    fingerprint: str = ""

    def save(self, path: Path) -> None:
        """One .npz without objects."""
        arrays = {f"steps/{name}": values for name, values in self.steps.items()}
        arrays |= {f"episodes/{name}": values for name, values in self.episodes.items()}
        if self.keep is not None:
            arrays["keep"] = self.keep
        facts = {
            "better": self.better, "groups": self.groups, "about": self.about, "fingerprint": self.fingerprint,
        }  # fmt: skip
        replace_arrays(path, {**arrays, "facts": np.array(json.dumps(facts))}, "choose another path for the scores")

    @staticmethod
    def load(path: Path) -> Scores:
        """Reads what `save` wrote.

        Raises:
            UserError: when it is not there, or damaged.
        """
        if not path.exists():
            raise UserError(f"{path}: there are no scores: make them with `imitari data score PATH --out {path}`")
        try:
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                arrays = {key: file[key] for key in file.files}
            facts = json.loads(str(arrays.pop("facts")))
            keep = arrays.pop("keep", None)
            parts: dict[str, dict[str, Array]] = {"steps": {}, "episodes": {}}
            for key, values in arrays.items():
                kind, _, name = key.partition("/")
                parts[kind][name] = values
            return Scores(parts["steps"], parts["episodes"], keep=keep, **facts)
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise UserError(f"{path}: is damaged ({error}): score the data again") from error

    def of(self, demos: Demos, path: Path | str = "scores") -> Scores:
        """These scores, once it is sure that they speak of `demos`.

        Raises:
            UserError: when they were made of other data.
        """
        if self.fingerprint != demos.fingerprint():
            raise UserError(
                f"{path}: speaks of other data than {demos.provenance.path}: score that with `imitari data score`"
            )
        return self

    def episode(self, name: str | None) -> tuple[str, Array]:
        """A score of the episodes and its name; None: the first.

        Raises:
            UserError: when there is none of that name.
        """
        if not self.episodes:
            raise UserError("nobody scored whole episodes: use `imitari data trim` for scores of steps")
        name = name or next(iter(self.episodes))
        if name not in self.episodes:
            raise UserError(f"there is no score '{name}' of episodes: {nearest(name, self.episodes)}")
        return name, self.episodes[name]

    def best(self, share: float, name: str | None = None) -> Array:
        """(E,) bool: the best `share` of the episodes, at least one, by the score `name` (default: the first).

        Equal scores are taken in the order of the episodes; an episode that could not be scored comes last.

        Raises:
            UserError: for a share that is not above 0 and at most 1, or a score that does not say which end is good.
        """
        if not 0 < share <= 1:
            raise UserError(f"--best is {share:g}: it must be above 0 and at most 1")
        name, values = self.episode(name)
        if name not in self.better:
            told = ", ".join(key for key in self.episodes if key in self.better) or "none"
            raise UserError(f"score '{name}' does not say which end is good: choose by {told}")
        worth = values if self.better[name] == "high" else -values
        order = np.argsort(-np.where(np.isnan(worth), -np.inf, worth), kind="stable")
        mask = np.zeros(len(values), bool)
        mask[order[: max(1, round(share * len(values)))]] = True
        return mask


def by_episode(demos: Demos, values: Array) -> Array:
    """(E,) mean over the steps of each episode of `values` (N,), leaving out those that are NaN."""
    owner = np.repeat(np.arange(len(demos)), demos.table.length)
    told = ~np.isnan(values)
    count = np.bincount(owner[told], minlength=len(demos))
    total = np.bincount(owner[told], values[told], minlength=len(demos))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def grouped(demos: Demos, key: str) -> dict[str, Array]:
    """What `key` of the episodes' source says -> (n,) numbers of the episodes that say so, in order of appearance.

    Raises:
        UserError: when no episode says anything there.
    """
    found: dict[str, list[int]] = {}
    for number, source in enumerate(demos.table.source):
        if key in source:
            said = source[key]
            for one in said if isinstance(said, list) else [said]:  # an episode may stand under several filter keys
                found.setdefault(str(one), []).append(number)
    if not found:
        keys = ", ".join(sorted({name for source in demos.table.source for name in source})) or "none"
        raise UserError(f"{demos.provenance.path}: no episode says its '{key}': choose from {keys}")
    return {name: np.array(numbers) for name, numbers in found.items()}


def ranks(values: Sequence[float] | Array) -> Array:
    """Ranks from 0, equal values sharing their mean rank."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(np.asarray(values, np.float64))) - 1
