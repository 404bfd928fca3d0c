"""Scaler: what turns recorded numbers into numbers of order one and back. Fitted on the training part only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from imitari.core.demos import Demos, Provenance
from imitari.core.episode import ACTION, Array
from imitari.core.errors import UserError
from imitari.core.spec import CIRCUMSTANCES, SOURCE, Feature

ScalingKind = Literal["minmax", "meanstd", "quantile", "none"]
# Rows beyond this number are sampled evenly for quantiles; the other statistics stream over all of them.
QUANTILE_ROWS = 1_000_000
SPAN_ROWS = 1 << 16


@dataclass(frozen=True)
class Scaling:
    """y = (x - offset) / width, elementwise over the feature.

    Attributes:
        kind: "minmax" and "quantile" (2nd and 98th percentile, clipped to 1.5) map to [-1, 1]; "meanstd" to mean 0,
            deviation 1.
        offset, width: of the feature's shape, float32. A dimension that never changes has width 1; an angle stays as
            it is.
        clip: bound on |y|, or None.
        grouped: offset and width are (G, *shape), one entry for each of G mixed data sets; which one a value is of is
            the `group` (B,) that goes with values (B, ..., *shape).
        steps: offset and width are ([G,] C, *shape), one entry for each step of a chunk of C; values are then whole
            chunks (..., C, *shape). 0: one entry for all steps.
    """

    kind: ScalingKind
    offset: Array
    width: Array
    clip: float | None = None
    grouped: bool = False
    steps: int = 0

    def apply(self, value: Array, group: Array | None = None) -> Array:
        scaled = (value - self._each(self.offset, value, group)) / self._each(self.width, value, group)
        return scaled if self.clip is None else np.clip(scaled, -self.clip, self.clip)

    def invert(self, value: Array, group: Array | None = None) -> Array:
        return value * self._each(self.width, value, group) + self._each(self.offset, value, group)

    def _each(self, terms: Array, value: Array, group: Array | None) -> Array:
        if not self.grouped:
            return terms
        refuse_no_group(group)
        own = terms[group]
        return own.reshape(len(own), *[1] * (value.ndim - own.ndim), *own.shape[1:])

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "offset": self.offset.astype(float).tolist(),
            "width": self.width.astype(float).tolist(),
            "clip": self.clip,
            **({"grouped": True} if self.grouped else {}),
            **({"steps": self.steps} if self.steps else {}),
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> Scaling:
        offset, width = (np.asarray(data[key], np.float32) for key in ("offset", "width"))
        return Scaling(data["kind"], offset, width, data["clip"], data.get("grouped", False), data.get("steps", 0))


@dataclass(frozen=True)
class Scaler:
    """One scaling a numeric observation and one for the action (none for choices)."""

    scalings: dict[str, Scaling]

    @staticmethod
    def fit(demos: Demos, obs: ScalingKind = "minmax", action: ScalingKind = "minmax") -> Scaler:
        """Statistics of the steps of `demos`, which must be the training part; of mixed data sets, of each by itself.

        Raises:
            UserError: when a column holds NaN or infinity: names the column and the first such episode and step; when
                a data set of a mixture has no episode left.
        """
        if SOURCE in demos.spec.obs:
            return _of_each([Scaler._fitted(part, obs, action) for part in by_source(demos)])
        return Scaler._fitted(demos, obs, action)

    @staticmethod
    def _fitted(demos: Demos, obs: ScalingKind, action: ScalingKind) -> Scaler:
        scalings = {
            key: _fit(demos, key, feature, "none" if key in CIRCUMSTANCES else obs)
            for key, feature in demos.spec.numbers.items()
        }
        if demos.spec.action.kind == "number" and demos.spec.action.size:
            scalings[ACTION] = _fit(demos, ACTION, demos.spec.action, action)
        return Scaler(scalings)

    def to_json(self) -> dict[str, Any]:
        return {key: value.to_json() for key, value in self.scalings.items()}

    @staticmethod
    def from_json(data: dict[str, Any]) -> Scaler:
        return Scaler({key: Scaling.from_json(value) for key, value in data.items()})


def by_source(demos: Demos) -> list[Demos]:
    """The episodes of each data set of a mixture.

    Raises:
        UserError: when one has none.
    """
    names = demos.spec.obs[SOURCE].names or ()
    owner = demos.columns[SOURCE].take(demos.table.start).argmax(-1)
    for number, name in enumerate(names):
        if not (owner == number).any():
            raise UserError(f"data set '{name}' has no episode in the training part: use more, or leave it out")
    tables = [demos.table.pick(np.flatnonzero(owner == number)) for number in range(len(names))]
    paths = [Provenance(f"data set '{name}'") for name in names]
    return [Demos(demos.spec, demos.columns, table, path) for table, path in zip(tables, paths, strict=True)]


def _of_each(scalers: list[Scaler]) -> Scaler:
    """One scaler out of those of several data sets."""

    def joined(key: str) -> Scaling:
        each = [scaler.scalings[key] for scaler in scalers]
        offset, width = np.stack([one.offset for one in each]), np.stack([one.width for one in each])
        return Scaling(each[0].kind, offset, width, each[0].clip, grouped=True)

    first = scalers[0].scalings
    return Scaler({key: first[key] if key in CIRCUMSTANCES else joined(key) for key in first})


def by_chunk_step(scaler: Scaler, demos: Demos, steps: int, clip: float = 1.5, unscaled: Sequence[int] = ()) -> Scaler:
    """The scaler with the action scaled by the percentiles of each step of a chunk by itself.

    The 2nd and the 98th percentile of action number d, `c` steps after the decision, become -1 and 1. Beyond the end of
    an episode its last action counts again, as it does in training (LBM 2025, section on normalisation).

    Args:
        scaler: fitted on the same demonstrations.
        demos: the training part; of mixed data sets, each has statistics of its own.
        steps: of the chunk.
        clip: bound on scaled actions.
        unscaled: numbers of the action, from 0, that are left as they are, such as rotations.

    Raises:
        UserError: when `unscaled` names a number that the action does not have.
    """
    for number in unscaled:
        if not 0 <= number < demos.spec.action.size:
            raise UserError(f"unscaled {number + 1}: the action has the numbers 1 to {demos.spec.action.size}")
    refuse_nonfinite(demos, ACTION)
    grouped = SOURCE in demos.spec.obs
    parts = by_source(demos) if grouped else [demos]
    each = [_chunk_percentiles(part, steps, unscaled) for part in parts]
    offset, width = (np.stack(terms) if grouped else terms[0] for terms in zip(*each, strict=True))
    return Scaler({**scaler.scalings, ACTION: Scaling("quantile", offset, width, clip, grouped, steps)})


def _chunk_percentiles(demos: Demos, steps: int, unscaled: Sequence[int]) -> tuple[Array, Array]:
    """Offset and width (C, *shape)."""
    demos.known_rows()  # says so where there are none
    rows, table = demos.rows(), demos.table
    last = np.repeat(table.start + table.length - 1, table.length)
    if len(rows) > QUANTILE_ROWS:
        chosen = np.linspace(0, len(rows) - 1, QUANTILE_ROWS).astype(np.int64)
        rows, last = rows[chosen], last[chosen]
    edges: list[Array] = []
    for step in range(steps):
        at = np.minimum(rows + step, last)
        known = demos.known(at)
        values = demos.columns[ACTION].take(at if known is None else at[known]).astype(np.float64)
        edges.append(np.quantile(values, [0.02, 0.98], axis=0))
    low, high = np.stack(edges, 1)
    offset, width = (low + high) / 2, _measured((low + high) / 2, (high - low) / 2)
    flat = offset.reshape(steps, -1), width.reshape(steps, -1)
    flat[0][:, list(unscaled)], flat[1][:, list(unscaled)] = 0.0, 1.0
    return offset.astype(np.float32), width.astype(np.float32)


def refuse_no_group(group: Any) -> None:
    """Raises UserError where values of mixed data sets are scaled by who does not know which set they are of."""
    if group is None:
        raise UserError(
            "this method does not scale each of several mixed data sets by itself: give one set, or join them with "
            "--data PATH --data PATH, without names"
        )


def _fit(demos: Demos, key: str, feature: Feature, kind: ScalingKind) -> Scaling:
    low, high, mean, deviation = _statistics(demos, key)
    offset, width = np.zeros_like(mean), np.ones_like(mean)
    if kind == "meanstd":
        offset, width = mean, deviation
    elif kind == "minmax":
        offset, width = (low + high) / 2, (high - low) / 2
    elif kind == "quantile":
        low, high = _quantiles(demos, key)
        offset, width = (low + high) / 2, (high - low) / 2
    elif kind != "none":
        raise UserError(f"scaling '{kind}' is unknown: choose minmax, meanstd, quantile or none")
    width = _measured(offset, width)
    for dimension in feature.periodic:
        offset[dimension], width[dimension] = 0.0, 1.0
    return Scaling(kind, offset.astype(np.float32), width.astype(np.float32), 1.5 if kind == "quantile" else None)


def _measured(offset: Array, width: Array) -> Array:
    """The width, and 1 where a dimension is constant: far below the resolution of float32 nothing was measured."""
    return np.where(width > 1e-6 * np.maximum(1.0, np.abs(offset)), width, 1.0)


def _statistics(demos: Demos, key: str) -> tuple[Array, Array, Array, Array]:
    refuse_nonfinite(demos, key)
    rows, column = _rows_of(demos, key), demos.columns[key]
    shape = column.shape[1:]
    low, high = np.full(shape, np.inf), np.full(shape, -np.inf)
    total, square, shift = np.zeros(shape), np.zeros(shape), None
    for begin in range(0, len(rows), SPAN_ROWS):
        values = column.take(rows[begin : begin + SPAN_ROWS]).astype(np.float64)
        shift = values.mean(0) if shift is None else shift  # near the mean, so that the squares keep their digits
        low, high = np.minimum(low, values.min(0)), np.maximum(high, values.max(0))
        total += (values - shift).sum(0)
        square += ((values - shift) ** 2).sum(0)
    mean = total / len(rows)
    deviation = np.sqrt(np.maximum(square / len(rows) - mean**2, 0))
    return low, high, mean + (0 if shift is None else shift), deviation


def _quantiles(demos: Demos, key: str) -> tuple[Array, Array]:
    rows = _rows_of(demos, key)
    if len(rows) > QUANTILE_ROWS:
        rows = rows[np.linspace(0, len(rows) - 1, QUANTILE_ROWS).astype(np.int64)]
    low, high = np.quantile(demos.columns[key].take(rows).astype(np.float64), [0.02, 0.98], axis=0)
    return low, high


def refuse_nonfinite(demos: Demos, key: str) -> None:
    """Raises UserError when the column holds NaN or infinity: names the first such episode and step."""
    rows, column = _rows_of(demos, key), demos.columns[key]
    for begin in range(0, len(rows), SPAN_ROWS):
        finite = np.isfinite(column.take(rows[begin : begin + SPAN_ROWS]))
        if not finite.all():
            row = rows[begin + int(np.argmin(finite.reshape(len(finite), -1).all(1)))]
            _refuse(demos, key, int(np.flatnonzero(demos.rows() == row)[0]))


def _rows_of(demos: Demos, key: str) -> Array:
    """The steps at which a column says something: an action that is not known says nothing."""
    return demos.known_rows() if key == ACTION else demos.rows()


def _refuse(demos: Demos, key: str, number: int) -> None:
    ends = np.cumsum(demos.table.length)
    episode = int(np.searchsorted(ends, number, side="right"))
    step = number - int(ends[episode] - demos.table.length[episode])
    raise UserError(
        f"{demos.provenance.path}: column '{key}' holds NaN or infinity at episode {episode}, step {step}: "
        "`imitari data doctor` lists all such places, `imitari data filter` drops them"
    )
