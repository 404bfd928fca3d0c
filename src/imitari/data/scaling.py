"""Scaler: what turns recorded numbers into numbers of order one and back. Fitted on the training part only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from imitari.core.demos import Demos
from imitari.core.episode import ACTION, Array
from imitari.core.errors import UserError
from imitari.core.spec import CIRCUMSTANCES, Feature

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
    """

    kind: ScalingKind
    offset: Array
    width: Array
    clip: float | None = None

    def apply(self, value: Array) -> Array:
        scaled = (value - self.offset) / self.width
        return scaled if self.clip is None else np.clip(scaled, -self.clip, self.clip)

    def invert(self, value: Array) -> Array:
        return value * self.width + self.offset

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "offset": self.offset.astype(float).tolist(),
            "width": self.width.astype(float).tolist(),
            "clip": self.clip,
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> Scaling:
        offset, width = (np.asarray(data[key], np.float32) for key in ("offset", "width"))
        return Scaling(data["kind"], offset, width, data["clip"])


@dataclass(frozen=True)
class Scaler:
    """One scaling a numeric observation and one for the action (none for choices)."""

    scalings: dict[str, Scaling]

    @staticmethod
    def fit(demos: Demos, obs: ScalingKind = "minmax", action: ScalingKind = "minmax") -> Scaler:
        """Statistics of the steps of `demos`, which must be the training part.

        Raises:
            UserError: when a column holds NaN or infinity: names the column and the first such episode and step.
        """
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
    # Far below the resolution of float32 at this magnitude nothing was measured: the dimension is constant.
    width = np.where(width > 1e-6 * np.maximum(1.0, np.abs(offset)), width, 1.0)
    for dimension in feature.periodic:
        offset[dimension], width[dimension] = 0.0, 1.0
    return Scaling(kind, offset.astype(np.float32), width.astype(np.float32), 1.5 if kind == "quantile" else None)


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
