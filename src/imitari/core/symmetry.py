"""Symmetries of a task: changes of observations and actions under which its world behaves the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imitari.core.episode import Array
from imitari.core.spec import Spec


@dataclass(frozen=True)
class Affine:
    """x -> matrix x + offset, for one flat feature.

    Attributes:
        matrix: (D, D). offset: (D,).
        periodic: dimensions that are angles, brought back to [0, 2 pi).
    """

    matrix: Array
    offset: Array
    periodic: tuple[int, ...] = ()

    def apply(self, values: Array) -> Array:
        """(..., D) to (..., D), in the precision of `values`."""
        out = values.astype(np.float64) @ self.matrix.T + self.offset
        for dimension in self.periodic:
            out[..., dimension] %= 2 * np.pi
        return out.astype(values.dtype)


@dataclass(frozen=True)
class Symmetry:
    """One change of all features at once: a demonstration that is changed so is a demonstration again.

    Attributes:
        name: "mirror", ...
        obs: name -> how that observation changes; observations that are not named here have no known counterpart.
        action: how the action changes.
    """

    name: str
    obs: dict[str, Affine]
    action: Affine

    def missing(self, spec: Spec) -> list[str]:
        """Observations of `spec` that this symmetry says nothing about."""
        return [key for key in spec.obs if key not in self.obs]


def reflection(points: int, matrix: Array, offset: Array, *, angle: tuple[float, float] | None = None) -> Affine:
    """The same map of the plane for several points in a row, and optionally for an angle behind them.

    Args:
        points: number of (x, y) pairs.
        matrix, offset: (2, 2), (2,): how a point moves.
        angle: (factor, offset) of the angle, in radians.
    """
    size = 2 * points + (angle is not None)
    whole, shift = np.zeros((size, size)), np.zeros(size)
    for number in range(points):
        span = slice(2 * number, 2 * number + 2)
        whole[span, span], shift[span] = matrix, offset
    if angle is not None:
        whole[-1, -1], shift[-1] = angle
    return Affine(whole, shift, () if angle is None else (size - 1,))
