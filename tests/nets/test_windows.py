"""The transformer over a window of observations and noisy actions: who sees what, and windows that are shorter."""

from __future__ import annotations

import pytest
import torch

from imitari.nets.windows import WindowTransformer


def network(joined: bool = False) -> WindowTransformer:
    torch.manual_seed(0)
    return WindowTransformer(3, 2, window=5, width=16, heads=2, layers=2, joined=joined).eval()


@pytest.mark.parametrize("joined", [False, True])
def test_an_action_sees_its_observation_and_what_came_before(joined: bool) -> None:
    net, features, noisy, level = network(joined), torch.randn(1, 5, 3), torch.randn(1, 5, 2), torch.rand(1)
    features.requires_grad_()
    noisy.requires_grad_()
    level.requires_grad_()
    out = net(noisy, level, net.prepare(features))
    assert out.shape == (1, 5, 2)
    gradients = torch.autograd.grad(out[0, 2].sum(), (features, noisy, level))
    for gradient in gradients[:2]:
        assert (gradient[0, :3].abs().sum(-1) > 0).all()
        assert (gradient[0, 3:] == 0).all()
    assert gradients[2].abs() > 0


def test_alone_an_action_sees_all_observations_and_no_other_action() -> None:
    torch.manual_seed(0)
    net = WindowTransformer(3, 2, window=5, width=16, heads=2, layers=2, alone=True).eval()
    features, noisy = torch.randn(2, 4, 3, requires_grad=True), torch.randn(2, 4, 2, requires_grad=True)
    out = net(noisy, torch.rand(2), net.prepare(features))
    seen, own = torch.autograd.grad(out[0, 2].sum(), (features, noisy))
    assert (seen[0, :3].abs().sum(-1) > 0).all()
    assert (seen[0, 3:] == 0).all()
    assert (own[0, 2] != 0).all()
    assert (own[0, [0, 1, 3]] == 0).all()


@pytest.mark.parametrize("joined", [False, True])
def test_a_shorter_window_is_the_beginning_of_a_longer_one(joined: bool) -> None:
    net, features, noisy, level = network(joined), torch.randn(4, 5, 3), torch.randn(4, 5, 2), torch.rand(4)
    whole = net(noisy, level, net.prepare(features))
    for steps in (1, 3):
        part = net(noisy[:, :steps], level, net.prepare(features[:, :steps]))
        assert torch.allclose(part, whole[:, :steps], atol=1e-5)


def test_calls_along_known_levels_are_the_plain_calls() -> None:
    net, features, noisy = network(), torch.randn(4, 3, 3), torch.randn(4, 3, 2)
    levels, condition = torch.tensor([0.9, 0.4, 0.0]), net.prepare(features)
    along = net.along(levels, condition)
    for level in levels:
        assert torch.allclose(along(noisy, level), net(noisy, level.expand(4), condition), atol=1e-6)
