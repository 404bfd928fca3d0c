"""The linear probe against numpy's least squares and against the augmented system."""

from __future__ import annotations

import numpy as np
import pytest

from imitari.core.errors import UserError
from imitari.core.spec import Feature
from imitari.evaluate.probe import probe, ridge, shape_of


def test_ridge_without_penalty_is_least_squares() -> None:
    rng = np.random.default_rng(0)
    x, y, at = rng.normal(size=(50, 4)), rng.normal(size=(50, 2)), rng.normal(size=(9, 4))
    weight = np.linalg.lstsq(np.column_stack([x, np.ones(50)]), y, rcond=None)[0]
    np.testing.assert_allclose(ridge(x, y, at, 0.0), np.column_stack([at, np.ones(9)]) @ weight, atol=1e-10)


def test_ridge_is_least_squares_with_added_rows() -> None:
    rng = np.random.default_rng(1)
    x, y, at = 3 * rng.normal(size=(40, 3)) + 1, rng.normal(size=(40, 1)), rng.normal(size=(5, 3))
    z = (x - x.mean(0)) / x.std(0)
    rows = np.concatenate([z, np.sqrt(0.1 * 40) * np.eye(3)])
    weight = np.linalg.lstsq(rows, np.concatenate([y - y.mean(0), np.zeros((3, 1))]), rcond=None)[0]
    expected = (at - x.mean(0)) / x.std(0) @ weight + y.mean(0)
    np.testing.assert_allclose(ridge(x, y, at, 0.1), expected, atol=1e-10)


def test_what_is_linear_is_found_and_what_is_not_there_is_not() -> None:
    rng = np.random.default_rng(2)
    angle, place = rng.uniform(0, 2 * np.pi, 2000), rng.normal(size=2000)
    embedding = np.stack([np.sin(angle), np.cos(angle), rng.normal(size=2000)], 1) @ rng.normal(size=(3, 8))
    values = np.stack([place, angle], 1)
    feature = Feature((2,), names=("place", "angle"), periodic=(1,))
    found = probe((embedding[:1000], values[:1000]), (embedding[1000:], values[1000:]), feature)
    assert found.r2["angle"] > 0.99
    assert abs(found.r2["place"]) < 0.05
    assert found.mean == pytest.approx(np.mean(list(found.r2.values())))
    assert 1 < found.rank < 3.01


def test_collapse_shows_in_spread_and_rank() -> None:
    rng = np.random.default_rng(3)
    point = np.ones((500, 6)) + 1e-6 * rng.normal(size=(500, 6))
    line = np.outer(rng.normal(size=500), np.ones(6))
    ball = rng.normal(size=(5000, 6))
    assert shape_of(point)[0] < 1e-4
    assert shape_of(line)[1] == pytest.approx(1)
    assert shape_of(ball)[1] == pytest.approx(6, rel=0.02)
    assert shape_of(ball)[0] == pytest.approx(1, rel=0.1)


def test_constant_quantities_are_refused() -> None:
    same = (np.random.default_rng(0).normal(size=(10, 2)), np.ones((10, 1)))
    with pytest.raises(UserError, match="varies"):
        probe(same, same, Feature((1,)), "observation.state")
