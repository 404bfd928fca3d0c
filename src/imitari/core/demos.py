"""Demos: an immutable, columnar collection of episodes. Views share their columns."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np

from imitari.core.columns import ArrayColumn, Column, JoinedColumn, TextColumn
from imitari.core.episode import ACTION, ACTION_KNOWN, REWARD, Array, Ending, Episode
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec

ENDINGS: tuple[Ending, ...] = ("unknown", "terminated", "truncated")


@dataclass(frozen=True)
class Provenance:
    """Where data came from and what was done to it since: readable, and saved with every agent."""

    path: str = "memory"
    format: str = "memory"
    steps: tuple[str, ...] = ()

    def then(self, step: str) -> Provenance:
        return replace(self, steps=(*self.steps, step))

    def to_json(self) -> dict[str, Any]:
        return {"path": self.path, "format": self.format, "steps": list(self.steps)}


@dataclass(frozen=True)
class EpisodeTable:
    """One entry an episode. Rows of episode e are start[e] .. start[e] + rows[e] in every column.

    Attributes:
        start: (N,) first row.
        length: (N,) number of actions T.
        rows: (N,) T + 1 where the last observation is known, else T. In the extra row the action, reward and
            other step columns hold a filler that sampling never returns.
        ended: (N,) index into ENDINGS.
        success: (N,) 1, 0, or -1 where unknown.
        source: (N,) JSON values.
    """

    start: Array
    length: Array
    rows: Array
    ended: Array
    success: Array
    source: tuple[dict[str, Any], ...]

    @staticmethod
    def of(
        lengths: Sequence[int] | Array,
        *,
        final: bool | Sequence[bool] | Array = False,
        ended: Sequence[Ending] | None = None,
        success: Sequence[bool | None] | None = None,
        source: Sequence[dict[str, Any]] | None = None,
    ) -> EpisodeTable:
        """A table of episodes stored one after the other. `final`: the last observation is stored too."""
        length = np.asarray(lengths, np.int64)
        count = len(length)
        rows = length + np.broadcast_to(np.asarray(final, bool), (count,))
        start = np.concatenate([[0], np.cumsum(rows)[:-1]]).astype(np.int64) if count else np.zeros(0, np.int64)
        codes = np.array([ENDINGS.index(value) for value in ended] if ended else [0] * count, np.int8)
        flags = np.array(
            [-1 if value is None else int(value) for value in success] if success else [-1] * count, np.int8
        )
        return EpisodeTable(start, length, rows, codes, flags, tuple(source) if source else ({},) * count)

    def __len__(self) -> int:
        return len(self.length)

    def pick(self, which: Array) -> EpisodeTable:
        """The entries `which` (integers), in that order."""
        return EpisodeTable(
            self.start[which],
            self.length[which],
            self.rows[which],
            self.ended[which],
            self.success[which],
            tuple(self.source[int(number)] for number in which),
        )


class Demos(Sequence[Episode]):
    """Episodes over shared columns.

    Args:
        spec: observations and action; every observation and `action` must be a column.
        columns: name -> column; all of the same number of rows. Besides observations: `action`, `next.reward`, others.
        table: which rows form which episode.
        provenance: where this came from.
    """

    def __init__(
        self, spec: Spec, columns: Mapping[str, Column], table: EpisodeTable, provenance: Provenance | None = None
    ) -> None:
        for key in (*spec.obs, ACTION):
            if key not in columns:
                raise UserError(f"column '{key}' is missing: there are {', '.join(columns) or 'none'}")
        self.spec = spec
        self.columns = dict(columns)
        self.table = table
        self.provenance = provenance or Provenance()

    @staticmethod
    def from_episodes(episodes: Iterable[Episode], spec: Spec, provenance: Provenance | None = None) -> Demos:
        """Demos in memory. Extra columns must be present in every episode."""
        episodes = list(episodes)
        if not episodes:
            raise UserError("there are no episodes: collect or choose at least one")
        rows = [episode.rows for episode in episodes]
        columns: dict[str, Column] = {}
        for key, feature in spec.obs.items():
            columns[key] = _column([episode.obs[key] for episode in episodes], feature.dtype)
        columns[ACTION] = _padded([episode.action for episode in episodes], rows, spec.action.dtype)
        if all(episode.reward is not None for episode in episodes):
            columns[REWARD] = _padded([np.asarray(episode.reward) for episode in episodes], rows, "float32")
        for key in [key for key in episodes[0].extra if all(key in episode.extra for episode in episodes)]:
            columns[key] = _padded([episode.extra[key] for episode in episodes], rows, None)
        if any(ACTION_KNOWN in episode.extra for episode in episodes):
            known = [episode.extra.get(ACTION_KNOWN, np.ones(len(episode), bool)) for episode in episodes]
            columns[ACTION_KNOWN] = _padded(known, rows, "bool")
        table = EpisodeTable.of(
            [len(episode) for episode in episodes],
            final=[episode.rows > len(episode) for episode in episodes],
            ended=[episode.ended for episode in episodes],
            success=[episode.success for episode in episodes],
            source=[episode.source for episode in episodes],
        )
        return Demos(spec, columns, table, provenance)

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self.table)

    @property
    def steps(self) -> int:
        """Number of actions in all episodes."""
        return int(self.table.length.sum())

    @property
    def has_reward(self) -> bool:
        return REWARD in self.columns

    def known(self, rows: Array) -> Array | None:
        """Whether the actions of `rows` (storage rows, any shape) are known; None where all actions of the data are."""
        if ACTION_KNOWN not in self.columns:
            return None
        return self.columns[ACTION_KNOWN].take(rows).reshape(rows.shape).astype(bool)

    def known_rows(self) -> Array:
        """Row numbers of the steps of this view whose action is known.

        Raises:
            UserError: when there is none.
        """
        rows = self.rows()
        known = self.known(rows)
        if known is None:
            return rows
        if not known.any():
            raise UserError(
                f"{self.provenance.path}: column '{ACTION}' is unknown in every step ('{ACTION_KNOWN}' is False): "
                "infer actions with `imitari data label`, or use data with actions"
            )
        return rows[known]

    @overload
    def __getitem__(self, index: int) -> Episode: ...
    @overload
    def __getitem__(self, index: slice) -> Demos: ...
    def __getitem__(self, index: int | slice) -> Episode | Demos:
        if isinstance(index, slice):
            return self.keep(np.arange(len(self))[index])
        number = range(len(self))[index]
        start, length, rows = (int(values[number]) for values in (self.table.start, self.table.length, self.table.rows))
        known = {*self.spec.obs, ACTION, REWARD}
        flag = int(self.table.success[number])
        return Episode(
            obs={key: self.columns[key].span(start, start + rows) for key in self.spec.obs},
            action=self.columns[ACTION].span(start, start + length),
            reward=self.columns[REWARD].span(start, start + length) if self.has_reward else None,
            ended=ENDINGS[int(self.table.ended[number])],
            success=None if flag < 0 else bool(flag),
            extra={key: value.span(start, start + length) for key, value in self.columns.items() if key not in known},
            source=self.table.source[number],
        )

    def keep(self, which: Array | Sequence[int] | Sequence[bool], why: str = "keep") -> Demos:
        """A view of the chosen episodes: a boolean mask or episode numbers."""
        chosen = np.asarray(which)
        numbers = np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.int64)
        if len(numbers) == 0:
            raise UserError(f"{self.provenance.path}: no episode is left after '{why}': loosen that condition")
        step = f"{why}: {len(numbers)} of {len(self)} episodes"
        return Demos(self.spec, self.columns, self.table.pick(numbers), self.provenance.then(step))

    def split(self, fraction: float, seed: int = 0) -> tuple[Demos, Demos | None]:
        """Whole episodes to a training part and a held-out part of about `fraction` (None when that is empty)."""
        held = round(len(self) * fraction)
        if fraction <= 0 or held == 0:
            return self, None
        if held >= len(self):
            raise UserError(
                f"holding out {fraction:.0%} of {len(self)} episodes leaves none to train on: use a smaller fraction"
            )
        order = np.random.default_rng([seed, 0x5EED]).permutation(len(self))
        return self.keep(np.sort(order[held:]), "training part"), self.keep(np.sort(order[:held]), "held-out part")

    def select(self, keys: list[str]) -> Demos:
        """The same demos seen through fewer observations; the other columns stay as extra columns."""
        return Demos(
            self.spec.select(keys), self.columns, self.table, self.provenance.then(f"observe {', '.join(keys)}")
        )

    def with_columns(self, columns: Mapping[str, Column], why: str, spec: Spec | None = None) -> Demos:
        """New or replaced columns, aligned with the rows of this view's storage."""
        rows = self.columns[ACTION].shape[0]
        for key, column in columns.items():
            if column.shape[0] != rows:
                raise UserError(f"column '{key}' has {column.shape[0]} rows where the data has {rows}")
        return Demos(spec or self.spec, {**self.columns, **columns}, self.table, self.provenance.then(why))

    def with_spec(self, spec: Spec) -> Demos:
        return Demos(spec, self.columns, self.table, self.provenance)

    def with_table(self, table: EpisodeTable, why: str) -> Demos:
        return Demos(self.spec, self.columns, table, self.provenance.then(why))

    @staticmethod
    def concat(parts: Sequence[Demos]) -> Demos:
        """Episodes of several demos of one spec, without copying. Only columns that all parts have are kept."""
        first = parts[0]
        if len(parts) == 1:
            return first
        for part in parts[1:]:
            shapes = {key: value.shape for key, value in part.spec.obs.items()}
            if shapes != {key: value.shape for key, value in first.spec.obs.items()}:
                raise UserError(
                    f"{part.provenance.path}: its observations ({_shapes(part.spec)}) differ from those of "
                    f"{first.provenance.path} ({_shapes(first.spec)}): choose common ones with --obs, or use one set"
                )
            if part.spec.action.shape != first.spec.action.shape:
                raise UserError(
                    f"{part.provenance.path}: its action has shape {part.spec.action.shape}, "
                    f"not {first.spec.action.shape} as in {first.provenance.path}: use sets of one robot"
                )
        if any(ACTION_KNOWN in part.columns for part in parts):
            parts = [_telling(part) for part in parts]
            first = parts[0]
        shared = [key for key in first.columns if all(key in part.columns for part in parts)]
        columns: dict[str, Column] = {key: _join([part.columns[key] for part in parts]) for key in shared}
        offsets = np.cumsum([0, *(part.columns[ACTION].shape[0] for part in parts[:-1])])
        tables = [part.table for part in parts]
        table = EpisodeTable(
            np.concatenate([table.start + offset for table, offset in zip(tables, offsets, strict=True)]),
            np.concatenate([table.length for table in tables]),
            np.concatenate([table.rows for table in tables]),
            np.concatenate([table.ended for table in tables]),
            np.concatenate([table.success for table in tables]),
            tuple(source for table in tables for source in table.source),
        )
        step = "joined: " + ", ".join(f"{part.provenance.path} ({len(part)})" for part in parts)
        return Demos(first.spec, columns, table, Provenance("several", "several", (step,)))

    def rows(self, *, final: bool = False) -> Array:
        """Row numbers of all steps of this view, in order; with `final`, of the known last observations too."""
        counts = self.table.rows if final else self.table.length
        starts = np.repeat(self.table.start - np.cumsum(counts) + counts, counts)
        return starts + np.arange(int(counts.sum()))

    def fingerprint(self) -> str:
        """Hash of what the data holds, the same wherever and however it is stored: lengths, flags, and every row of
        texts and of the numeric columns up to 64 MB a column (evenly spaced rows beyond that and for images)."""
        digest = hashlib.sha256()
        for values in (self.table.length, self.table.success, self.table.ended):
            digest.update(np.ascontiguousarray(values).astype(np.int64).tobytes())
        rows = self.rows()
        names: list[str] = [*self.spec.obs, ACTION, *([REWARD] if self.has_reward else [])]
        if not (self.known(rows) is None or np.all(self.known(rows))):
            names.append(ACTION_KNOWN)
        for key in sorted(names):
            column = self.columns[key]
            if isinstance(column, TextColumn):
                digest.update(key.encode() + "\0".join(column.take(rows).reshape(-1).tolist()).encode())
                continue
            width = int(np.prod(column.shape[1:])) * column.dtype.itemsize
            limit = max(64, (1 << 26) // max(1, width)) if column.dtype != np.uint8 else 64
            chosen = rows if len(rows) <= limit else rows[np.linspace(0, len(rows) - 1, limit).astype(np.int64)]
            digest.update(key.encode())
            digest.update(np.ascontiguousarray(column.take(chosen)).tobytes())
        return digest.hexdigest()[:16]

    def facts(self) -> dict[str, Any]:
        """What an agent and a report remember of their data: JSON values. `success_share` is of the episodes that say
        whether they succeeded, None where none does."""
        told = self.table.success[self.table.success >= 0]
        return {
            "episodes": len(self),
            "steps": self.steps,
            "success_share": float(told.mean()) if len(told) else None,
            "fingerprint": self.fingerprint(),
            "provenance": self.provenance.to_json(),
        }

    def feature(self, key: str) -> Feature:
        """The feature of an observation or of `action`."""
        return self.spec.action if key == ACTION else self.spec.obs[key]


def _telling(part: Demos) -> Demos:
    """The demos with the column that says which actions are known."""
    if ACTION_KNOWN in part.columns:
        return part
    known = ArrayColumn(np.ones(part.columns[ACTION].shape[0], bool))
    return Demos(part.spec, {**part.columns, ACTION_KNOWN: known}, part.table, part.provenance)


def _shapes(spec: Spec) -> str:
    return ", ".join(f"{key} {value.shape}" for key, value in spec.obs.items())


def _column(parts: list[Array], dtype: str) -> Column:
    if parts[0].dtype.kind in "OUS":
        return TextColumn.of([str(text) for part in parts for text in part])
    return ArrayColumn(np.concatenate(parts).astype(dtype, copy=False))


def _padded(parts: list[Array], rows: list[int], dtype: str | None) -> Column:
    """Step columns with a filler row (the last value again) where an episode has one more observation than actions."""
    if parts[0].dtype.kind in "OUS":
        return _column([_extend(part, count) for part, count in zip(parts, rows, strict=True)], "object")
    first = parts[0].dtype if dtype is None else np.dtype(dtype)
    return ArrayColumn(
        np.concatenate([_extend(part, count) for part, count in zip(parts, rows, strict=True)]).astype(
            first, copy=False
        )
    )


def _extend(part: Array, rows: int) -> Array:
    if len(part) == rows:
        return part
    filler = part[-1:] if len(part) else np.zeros((1, *part.shape[1:]), part.dtype)
    return np.concatenate([part, filler])


def _join(parts: list[Column]) -> Column:
    if all(isinstance(part, TextColumn) for part in parts):
        texts = [str(text) for part in parts for text in part.span(0, part.shape[0])]
        return TextColumn.of(texts)
    return JoinedColumn(parts)
