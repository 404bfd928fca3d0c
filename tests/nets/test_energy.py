"""Energies of Gaussians, where the chain that goes down them and the best classifier are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from imitari.nets.energy import ActionEnergy, info_nce, langevin, steepness

MEAN, DEVIATION = 0.2, 0.5


def bowl(action: Tensor) -> Tensor:
    """-log density of a Gaussian, up to a constant."""
    return ((action - MEAN) ** 2).sum(-1) / (2 * DEVIATION**2)


def test_the_chain_has_the_moments_of_its_recursion() -> None:
    """At a fixed rate each step is a linear map with fresh noise: y - m <- a (y - m) - rate * noise * N(0, 1)."""
    torch.manual_seed(0)
    rate, noise, steps, count = 0.2, 1.5, 30, 100_000
    kept = 1 - rate / (2 * DEVIATION**2)
    mean, variance = MEAN + kept**steps * (1 - MEAN), 0.0
    for _ in range(steps):
        variance = kept**2 * variance + (rate * noise) ** 2
    chain = {"first": rate, "last": rate, "noise": noise, "change": 100.0, "bound": 100.0}
    drawn = langevin(bowl, torch.ones(1, count, 1), steps, **chain)
    assert float(drawn.mean()) == pytest.approx(mean, abs=4 * math.sqrt(variance / count))
    assert float(drawn.var()) == pytest.approx(variance, rel=4 * math.sqrt(2 / count))


def test_a_falling_rate_ends_at_the_lowest_energy() -> None:
    torch.manual_seed(0)
    drawn = langevin(bowl, 2 * torch.rand(3, 50, 2) - 1, 300, noise=0.05, last=1e-3)
    assert float((drawn - MEAN).abs().max()) < 0.1


def test_steps_and_actions_are_bounded() -> None:
    start = torch.zeros(1, 5, 2)
    assert float(langevin(lambda y: -100 * y.sum(-1), start, 1, change=0.03).max()) == pytest.approx(0.03)
    assert float(langevin(lambda y: -100 * y.sum(-1), start, 50, bound=0.4).max()) == pytest.approx(0.4)


def test_info_nce_is_the_share_of_the_first() -> None:
    energies = torch.tensor([[1.0, 2.0, 0.5]])
    share = math.exp(-1) / (math.exp(-1) + math.exp(-2) + math.exp(-0.5))
    assert float(info_nce(energies)) == pytest.approx(-math.log(share), rel=1e-5)


def test_only_slopes_above_the_limit_count_and_their_penalty_reaches_the_weights() -> None:
    weight = torch.tensor([0.5, 3.0], requires_grad=True)
    penalty = steepness(lambda y: (weight * y).sum(-1), torch.zeros(1, 2, 2))
    assert penalty.tolist() == [[4.0, 4.0]]
    penalty.sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [0.0, 8.0]
    assert steepness(lambda y: 0.7 * y.sum(-1), torch.zeros(1, 2, 2)).tolist() == [[0.0, 0.0]]


def test_the_chain_leaves_no_gradient_in_the_weights() -> None:
    net, features = ActionEnergy(3, 2, 8, 1), torch.randn(4, 3)
    drawn = langevin(lambda y: net(features, y), torch.zeros(4, 5, 2), 3)
    assert drawn.shape == (4, 5, 2)
    assert not drawn.requires_grad
    assert all(weight.grad is None for weight in net.parameters())
