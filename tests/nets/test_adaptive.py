"""The transformer that is conditioned through its norms, against its formula in plain loops."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from imitari.nets.adaptive import AdaptiveLayer, AdaptiveTransformer


def random(module: torch.nn.Module, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data.copy_(0.3 * torch.randn(parameter.shape, generator=generator))


def normed(x: Tensor) -> Tensor:
    return (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, unbiased=False, keepdim=True) + 1e-5)


def test_a_layer_is_its_formula() -> None:
    width, heads = 8, 2
    layer = AdaptiveLayer(width, heads, 16).eval()
    random(layer)
    x, modulation = torch.randn(3, 5, width), torch.randn(3, 6 * width)
    expected = []
    for tokens, given in zip(x, modulation, strict=True):
        shift, scale, gate, shift_after, scale_after, gate_after = given.chunk(6)
        read = normed(tokens) * (1 + scale) + shift
        query = read @ layer.attention.query.weight.T + layer.attention.query.bias
        key, value = (read @ layer.attention.key_value.weight.T + layer.attention.key_value.bias).chunk(2, -1)
        seen = []
        for head in range(heads):
            part = slice(head * width // heads, (head + 1) * width // heads)
            weight = torch.softmax(query[:, part] @ key[:, part].T / math.sqrt(width / heads), -1)
            seen.append(weight @ value[:, part])
        mixed = torch.cat(seen, -1) @ layer.attention.out.weight.T + layer.attention.out.bias
        after = tokens + gate * mixed
        expected.append(after + gate_after * layer.linear(normed(after) * (1 + scale_after) + shift_after))
    torch.testing.assert_close(layer(x, modulation), torch.stack(expected), rtol=1e-4, atol=1e-5)


def test_it_begins_as_zero_and_no_layer_changes_anything() -> None:
    net = AdaptiveTransformer(6, 4, 3, width=16, heads=2, layers=2)
    noisy, level, condition = torch.randn(2, 4, 3), torch.rand(2), torch.randn(2, 6)
    assert torch.equal(net(noisy, level, condition), torch.zeros(2, 4, 3))
    x = torch.randn(2, 4, 16)
    assert torch.equal(net.layers[0](x, torch.zeros(2, 96)), x)


def test_every_action_sees_all_others_the_level_and_the_condition() -> None:
    net = AdaptiveTransformer(6, 4, 3, width=16, heads=2, layers=1)
    random(net)
    noisy, level = torch.randn(1, 4, 3, requires_grad=True), torch.rand(1, requires_grad=True)
    condition = torch.randn(1, 6, requires_grad=True)
    for step in range(4):
        gradients = torch.autograd.grad(net(noisy, level, condition)[0, step].sum(), (noisy, level, condition))
        assert (gradients[0][0].abs().sum(-1) > 0).all()
        assert all(gradient.abs().sum() > 0 for gradient in gradients[1:])


def test_along_levels_it_is_the_same() -> None:
    net = AdaptiveTransformer(6, 4, 3, width=16, heads=2, layers=2)
    random(net)
    levels, noisy, condition = torch.linspace(1, 0, 5), torch.randn(2, 4, 3), torch.randn(2, 6)
    along = net.along(levels, condition)
    for level in levels:
        each = level.expand(2)
        np.testing.assert_allclose(
            along(noisy, each).detach(), net(noisy, each, condition).detach(), rtol=1e-5, atol=1e-6
        )
