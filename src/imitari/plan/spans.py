"""Affine spans and convex hulls of points in exact arithmetic: equations and inequalities in whole numbers.

Floating-point hulls cut off their own points or let neighbours in; here Quickhull only says which points a facet
has, and its normal is computed from those as a whole-number kernel. So what comes out is the hull, not nearly the hull.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import gcd
from typing import Any

import numpy as np

from imitari.core.episode import Array

SCALES = (1, 2, 4, 5, 10, 20, 100, 1000)
FINEST = 10_000  # values are told apart to four decimals
NEAR = 1e-6


class HullFailed(Exception):
    """Quickhull gave up, or gave facets that do not hold its own points."""


@dataclass(frozen=True)
class Points:
    """N different points of D columns as whole numbers.

    Attributes:
        whole: (N, D) Python integers.
        scale: (D,) of which a column's numbers are the multiples: value = whole / scale.
    """

    whole: Array
    scale: tuple[int, ...]

    @staticmethod
    def of(values: Array) -> Points:
        """Of values (N, D), rounded to four decimals."""
        scales = tuple(_scale(column) for column in values.T)
        rounded = np.round(values * np.array(scales, np.float64)).astype(np.int64)
        return Points(np.unique(rounded, axis=0).astype(object), scales)


@dataclass(frozen=True)
class Span:
    """The smallest affine space that holds all points.

    Attributes:
        free: columns that are independent of each other on the points.
        tied: other column -> (weights of the free columns (F,), constant): its value on the whole space.
    """

    free: tuple[int, ...]
    tied: dict[int, tuple[tuple[Fraction, ...], Fraction]]

    @staticmethod
    def of(points: Points) -> Span:
        """By elimination. Columns in front are free if they can be."""
        origin = points.whole[0]
        rows, pivots = eliminated(points.whole[1:] - origin)
        scale = points.scale
        tied: dict[int, tuple[tuple[Fraction, ...], Fraction]] = {}
        for column in range(points.whole.shape[1]):
            if column in pivots:
                continue
            slopes = [Fraction(row[column], row[pivot]) for row, pivot in zip(rows, pivots, strict=True)]
            weights = tuple(slope * scale[pivot] / scale[column] for slope, pivot in zip(slopes, pivots, strict=True))
            start = (Fraction(origin[pivot], scale[pivot]) for pivot in pivots)
            constant = Fraction(origin[column], scale[column]) - sum(
                (weight * value for weight, value in zip(weights, start, strict=True)), Fraction(0)
            )
            tied[column] = weights, constant
        return Span(tuple(pivots), tied)


def eliminated(rows: Array) -> tuple[list[Array], list[int]]:
    """Reduced rows that span the same space as `rows` (N, D) of whole numbers, and the column that each is led by.

    A row is 0 where another one leads (Gauss and Jordan); rows are multiplied up and not divided.
    """
    rest, found, pivots = rows, [], list[int]()
    for column in range(rows.shape[1]):
        rest = rest[(rest != 0).any(1)] if len(rest) else rest
        leading = np.flatnonzero(rest[:, column] != 0) if len(rest) else []
        if not len(leading):
            continue
        lead = reduced(rest[leading[:1]])[0]
        rest = reduced(rest * lead[column] - np.outer(rest[:, column], lead))
        found = [reduced((row * lead[column] - row[column] * lead)[None])[0] for row in found]
        found.append(lead)
        pivots.append(column)
    return found, pivots


def reduced(rows: Array) -> Array:
    """Every row without common divisors."""
    return rows // np.maximum(np.gcd.reduce(rows, axis=1), 1)[:, None] if len(rows) else rows


def facets(points: Array) -> list[tuple[tuple[int, ...], int]]:
    """The hull of points (N, D) of whole numbers that span all D dimensions: (normal (D,), bound) of normal x <= bound.

    Facets in one plane are one, and none is a multiple of another.

    Raises:
        HullFailed: when Quickhull fails.
    """
    width = points.shape[1]
    if width == 1:
        return [((1,), max(points[:, 0])), ((-1,), -min(points[:, 0]))]
    from scipy.spatial import ConvexHull, QhullError

    try:
        hull = ConvexHull(points.astype(np.float64))
    except QhullError as error:
        raise HullFailed(str(error).split("\n", 1)[0]) from error
    middle = points[hull.vertices].sum(0)  # as many times the mean as there are vertices: inside
    found: dict[tuple[int, ...], Any] = {}
    for simplex in hull.simplices:
        corner = points[simplex[0]]
        normal = _normal(points[simplex[1:]] - corner)
        if normal is None:
            continue  # its points lie in a plane of two dimensions less: its neighbours say all
        if normal @ middle > (normal @ corner) * len(hull.vertices):
            normal = -normal
        found[tuple(normal)] = normal @ corner
    normals = np.array(list(found), object)
    if (points @ normals.T > np.array(list(found.values()), object)).any():
        raise HullFailed("its facets do not hold all points")
    return [(normal, int(bound)) for normal, bound in found.items()]


def _normal(edges: Array) -> Array | None:
    """The whole-number vector without common divisor that is orthogonal to D - 1 edges (D - 1, D); None where they are
    dependent."""
    width = edges.shape[1]
    rows, pivots = eliminated(edges)
    if len(pivots) < width - 1:
        return None
    free = next(column for column in range(width) if column not in pivots)
    common = 1
    for row, pivot in zip(rows, pivots, strict=True):
        common = common * abs(row[pivot]) // gcd(common, row[pivot])
    normal = np.zeros(width, object)
    normal[free] = common
    for row, pivot in zip(rows, pivots, strict=True):
        normal[pivot] = -row[free] * common // row[pivot]
    return reduced(normal[None])[0]


def _scale(column: Array) -> int:
    """The smallest scale at which all values are whole numbers."""
    for scale in SCALES:
        scaled = column * scale
        if (np.abs(scaled - np.round(scaled)) <= NEAR * np.maximum(1, np.abs(scaled))).all():
            return scale
    return FINEST
