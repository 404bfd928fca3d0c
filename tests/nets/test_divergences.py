"""Conjugates against numerical maximisation, losses against the statistics that they are minimised by."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.stats import expectile as exact_expectile
from torch import Tensor

from imitari.nets import divergences as d

GRID = np.linspace(0, 60, 2_400_001)


def total_variation(x: np.ndarray) -> np.ndarray:
    return np.abs(x - 1) / 2


def conjugate(generator: Callable[[np.ndarray], np.ndarray], y: float, low: float = 0.0) -> tuple[float, float]:
    """max of x y - f(x) over a fine grid from `low` on, and where it lies."""
    x = GRID + low
    value = x * y - generator(x)
    return float(value.max()), float(x[value.argmax()])


@pytest.mark.parametrize("y", [-7.0, -2.5, -1.0, 0.0, 0.7, 4.0])
def test_chi_square_conjugates(y: float) -> None:
    def generator(x: np.ndarray) -> np.ndarray:
        return (x - 1) ** 2

    given = torch.tensor(y)
    assert float(d.chi_square_conjugate(given)) == pytest.approx(conjugate(generator, y, low=-30)[0], abs=1e-6)
    most, where = conjugate(generator, y)
    assert float(d.chi_square_conjugate_nonnegative(given)) == pytest.approx(most, abs=1e-6)
    assert float(d.chi_square_ratio(given)) == pytest.approx(where, abs=1e-4)


@pytest.mark.parametrize("y", [-3.0, -0.5, -0.2, 0.0, 0.3, 0.5])
def test_total_variation_conjugate(y: float) -> None:
    assert float(d.total_variation_conjugate_nonnegative(torch.tensor(y))) == pytest.approx(
        conjugate(total_variation, y)[0], abs=1e-6
    )
    assert float(d.total_variation_conjugate_nonnegative(torch.tensor(0.6))) == float("inf")


@pytest.mark.parametrize("y", [-2.0, 0.0, 1.0, 3.0])
def test_reverse_kl_conjugate(y: float) -> None:
    most, _ = conjugate(lambda x: x * np.log(np.maximum(x, 1e-300)), y)
    assert float(d.reverse_kl_conjugate(torch.tensor(y))) == pytest.approx(most, abs=1e-6)


def test_ratio_is_the_slope_of_the_conjugate() -> None:
    y = torch.linspace(-5, 5, 41, requires_grad=True)
    (slope,) = torch.autograd.grad(d.chi_square_conjugate_nonnegative(y).sum(), y)
    torch.testing.assert_close(slope, d.chi_square_ratio(y.detach()))


def test_ramp_does_not_rise_again() -> None:
    y = torch.tensor([-40.0, -4.5, -1.0, 0.0, 2.0])
    torch.testing.assert_close(d.chi_square_ramp(y), torch.tensor([0.0, 0.0, 0.0, 0.0, 3.0]))


def least(loss: Callable[[Tensor], Tensor], values: np.ndarray) -> float:
    """The V at which the loss of the advantages `values` - V is least."""
    given = torch.from_numpy(values)
    found = minimize_scalar(
        lambda v: float(loss(given - v)), bounds=(-20, 20), method="bounded", options={"xatol": 1e-9}
    )
    return float(found.x)


VALUES = np.random.default_rng(0).normal(size=501) * 2


@pytest.mark.parametrize("balance", [0.6, 0.8, 0.95])
def test_total_variation_finds_a_quantile(balance: float) -> None:
    """The slopes balance where a share (2 lambda - 1) / lambda of the values lies below V."""
    found = least(lambda a: d.ramp_loss(a, "total_variation", balance), VALUES)
    assert found == pytest.approx(np.quantile(VALUES, (2 * balance - 1) / balance), abs=0.05)


def test_chi_square_balances_its_slopes() -> None:
    found = least(lambda a: d.ramp_loss(a, "chi_square", 0.8), VALUES)
    above = np.maximum(VALUES - found, 0)
    assert 0.8 * ((1 + above / 2) * (above > 0)).mean() == pytest.approx(0.2, abs=2e-3)


@pytest.mark.parametrize("expectile", [0.5, 0.8, 0.97])
def test_expectile_loss_finds_the_expectile(expectile: float) -> None:
    found = least(lambda a: d.expectile_loss(a, expectile), VALUES)
    assert found == pytest.approx(float(exact_expectile(VALUES, expectile)), abs=1e-4)


@pytest.mark.parametrize("scale", [0.5, 2.0, 10.0])
def test_gumbel_regression_finds_the_soft_maximum(scale: float) -> None:
    given = torch.from_numpy(VALUES)
    soft = scale * np.log(np.mean(np.exp(VALUES / scale)))
    place = torch.tensor(soft, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(d.gumbel_loss(given - place, scale, 0.0), place)
    assert abs(float(slope)) < 1e-9
    for side in (-0.3, 0.3):
        other = torch.tensor(soft + side, dtype=torch.float64, requires_grad=True)
        (away,) = torch.autograd.grad(d.gumbel_loss(given - other, scale, 0.0), other)
        assert float(away) * side > 0


def test_gumbel_loss_is_finite_where_its_exponential_is_not() -> None:
    advantage = torch.tensor([5000.0, -5000.0, 0.0], requires_grad=True)
    (slope,) = torch.autograd.grad(d.gumbel_loss(advantage, 1.0, 7.0), advantage)
    assert bool(torch.isfinite(slope).all())
    assert float(slope[0]) == 0
