"""What an embedding knows: ridge regression of known quantities from it, judged on other episodes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imitari.core.episode import Array
from imitari.core.errors import UserError
from imitari.core.spec import Feature

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Probed:
    """Attributes:
    r2: name of a quantity -> share of its variance on held-out rows that the regression explains (1: all; 0 or below:
        no more than its mean does). An angle is one quantity: its sine and cosine together.
    spread: standard deviation of the embedding (root of the summed variances) relative to its mean norm; 0: one point.
    rank: effective number of its dimensions, (tr C)^2 / tr(C C) of its covariance C.
    """

    r2: dict[str, float]
    spread: float
    rank: float

    @property
    def mean(self) -> float:
        """Mean of `r2` over the quantities."""
        return float(np.mean(list(self.r2.values())))


def probe(
    seen: tuple[Array, Array], held: tuple[Array, Array], feature: Feature, name: str = "", penalty: float = 1e-3
) -> Probed:
    """Fits on `seen` and judges on `held`, both (embeddings (N, D), quantities (N, K)).

    Args:
        seen, held: of different episodes.
        feature: of the quantities: their names, and which are angles.
        name: of quantities that have none.
        penalty: weight of the squared coefficients, for standardised embeddings and a mean squared error.

    Raises:
        UserError: when nothing varies.
    """
    each = shares(seen, held, feature, name, penalty)
    return Probed({key: float(value.mean()) for key, value in each.items()}, *shape_of(held[0]))


def shares(
    seen: tuple[Array, Array], held: tuple[Array, Array], feature: Feature, name: str = "", penalty: float = 1e-3
) -> dict[str, Floats]:
    """1 - squared error / variance of every held-out row, quantity -> (M,): their mean is R2. See `probe`."""
    found: dict[str, Floats] = {}
    for key, number, angle in _columns(feature, name):
        truth = _values(held[1], number, angle)
        variance = truth.var(0).sum()
        if variance > 1e-12:
            predicted = ridge(seen[0], _values(seen[1], number, angle), held[0], penalty)
            found[key] = 1 - ((truth - predicted) ** 2).sum(1) / variance
    if not found:
        raise UserError(f"nothing of '{name}' varies over the held-out episodes: choose another --target, or more data")
    return found


def ridge(features: Array, values: Array, at: Array, penalty: float) -> Floats:
    """Predictions (M, K) at the rows `at` (M, D) of a ridge regression of `values` (N, K) on `features` (N, D).

    Features are brought to mean 0 and deviation 1 first; the intercept is not penalised.
    """
    mean, deviation = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
    scale = np.where(deviation > 1e-12, deviation, 1.0)
    x, offset = (features - mean) / scale, values.mean(0)
    gram = x.T @ x / len(x) + penalty * np.eye(x.shape[1])
    weight = np.linalg.solve(gram, x.T @ (values - offset) / len(x))
    return (at - mean) / scale @ weight + offset


def shape_of(embedding: Array) -> tuple[float, float]:
    """Spread and rank of embeddings (N, D): see `Probed`."""
    values = embedding.astype(np.float64)
    matrix = np.atleast_2d(np.cov(values, rowvar=False))
    trace = float(np.trace(matrix))
    norm = float(np.linalg.norm(values, axis=1).mean())
    return trace**0.5 / max(norm, 1e-12), trace**2 / max(float((matrix**2).sum()), 1e-24)


def _columns(feature: Feature, name: str) -> list[tuple[str, int, bool]]:
    """(name, dimension, whether it is an angle) of each quantity."""
    if feature.kind != "number" or len(feature.shape) != 1:
        raise UserError(f"'{name}' is no vector of numbers: choose another --target")
    names = feature.names or tuple(f"{name}[{number}]" for number in range(feature.size))
    return [(key, number, number in feature.periodic) for number, key in enumerate(names)]


def _values(values: Array, number: int, angle: bool) -> Floats:
    one = values[:, number].astype(np.float64)
    return np.stack([np.sin(one), np.cos(one)], 1) if angle else one[:, None]
