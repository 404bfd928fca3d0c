"""Hulls and spans against linear programs, brute force and least squares."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from scipy.optimize import linprog

from imitari.plan.model import Fact
from imitari.plan.numeric_models import _region  # pyright: ignore[reportPrivateUsage]
from imitari.plan.spans import Points, Span, facets


def in_hull(point: np.ndarray, points: np.ndarray) -> bool:
    """Whether some convex combination of the points is the point: a linear program."""
    equations = np.vstack([points.T, np.ones(len(points))])
    found = linprog(np.zeros(len(points)), A_eq=equations, b_eq=np.append(point, 1.0), bounds=(0, None))
    return found.status == 0


@pytest.mark.parametrize(("width", "rank"), [(1, 1), (2, 2), (2, 1), (3, 3), (3, 2), (4, 4), (4, 2), (5, 3), (3, 0)])
@pytest.mark.parametrize("seed", range(3))
def test_membership_is_that_of_a_linear_program(width: int, rank: int, seed: int) -> None:
    """Points in a space of `rank` dimensions; asked about: lattice points around, means, and the points themselves."""
    rng = np.random.default_rng([width, rank, seed])
    basis = rng.integers(-2, 3, (rank, width))
    points = np.unique(rng.integers(0, 4, (14, rank)) @ basis + rng.integers(0, 5, width), axis=0).astype(float) / 2
    names = [Fact(f"f{n}") for n in range(width)]
    comparisons, _ = _region(names, points)
    pairs = rng.integers(0, len(points), (20, 2))
    asked = np.concatenate([points, points[pairs].mean(1), points[pairs[:, 0]] + rng.integers(-1, 2, (20, width)) / 2])
    inside = 0
    for point in asked:
        exact = [Fraction(float(value)) for value in point]
        values = dict(zip(names, exact, strict=True))
        lefts = [(one.relation, one.left.at(values.__getitem__)) for one in comparisons]
        holds = all(left == 0 if relation == "=" else left >= 0 for relation, left in lefts)
        assert holds == in_hull(point, points), point
        inside += holds
    assert inside >= len(points)


@pytest.mark.parametrize("seed", range(5))
def test_facets_of_a_cube_are_its_sides(seed: int) -> None:
    """However many points lie on a side, it is one facet."""
    rng = np.random.default_rng(seed)
    corners = np.stack(np.meshgrid(*[[0, 6]] * 3, indexing="ij"), -1).reshape(-1, 3)
    inner = rng.integers(0, 7, (60, 3))
    points = np.unique(np.concatenate([corners, inner]), axis=0).astype(object)
    sides = {((1, 0, 0), 6), ((0, 1, 0), 6), ((0, 0, 1), 6), ((-1, 0, 0), 0), ((0, -1, 0), 0), ((0, 0, -1), 0)}
    assert set(facets(points)) == sides


def test_facets_hold_the_points_with_equality_somewhere() -> None:
    rng = np.random.default_rng(0)
    for width in (2, 3, 4, 5):
        points = np.unique(rng.integers(-30, 31, (40, width)), axis=0).astype(object)
        for normal, bound in facets(points):
            heights = points @ np.array(normal, object)
            assert max(heights) == bound
            assert (heights == bound).sum() >= width


def test_tied_columns_are_found_exactly() -> None:
    rng = np.random.default_rng(0)
    free = rng.integers(0, 9, (30, 2)) / 4
    values = np.column_stack([free[:, 0], np.full(30, 2.5), free[:, 1], free[:, 0] / 5 - 3 * free[:, 1] + 1])
    span = Span.of(Points.of(values))
    assert span.free == (0, 2)
    assert span.tied[1] == ((0, 0), Fraction(5, 2))
    assert span.tied[3] == ((Fraction(1, 5), -3), 1)


def test_the_rank_is_that_of_linear_algebra() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        rank, width, count = rng.integers(0, 5), rng.integers(1, 7), rng.integers(1, 20)
        values = rng.integers(-3, 4, (count, rank)) @ rng.integers(-3, 4, (rank, width)) + rng.integers(-3, 4, width)
        found = Span.of(Points.of(values.astype(float)))
        assert len(found.free) == np.linalg.matrix_rank(values - values[0])
        for column, (weights, constant) in found.tied.items():
            told = values[:, list(found.free)] @ np.array(weights, float) + float(constant)
            np.testing.assert_allclose(told, values[:, column], atol=1e-9)
