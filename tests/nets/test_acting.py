"""What networks keep while an agent acts: the same results, nothing older than the weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from imitari.nets.acting import LEAST_PRODUCTS, LEAST_WEIGHTS, MOST_ROWS, Linear, fix
from imitari.nets.denoiser import ChunkMLP
from imitari.nets.diffusion import Flow, NoiseDiffusion, Process, ScoreDiffusion
from imitari.nets.transformer import ChunkTransformer
from imitari.nets.unet import ChunkUNet

SIDE = 400


@pytest.fixture
def layer() -> Linear:
    assert SIDE**2 >= LEAST_WEIGHTS
    torch.manual_seed(0)
    return Linear(SIDE, SIDE).eval()


def agrees(layer: Linear, x: Tensor) -> bool:
    expected = x.double() @ layer.weight.detach().double().T + layer.bias.detach().double()
    with torch.inference_mode():
        return torch.allclose(layer(x).double(), expected, atol=1e-4)


@pytest.mark.parametrize("shape", [(1,), (3,), (2, 5), (MOST_ROWS,), (MOST_ROWS + 1,)])
def test_a_fixed_layer_gives_the_product(layer: Linear, shape: tuple[int, ...]) -> None:
    fix(layer, 1)
    for _ in range(2):
        assert agrees(layer, torch.randn(*shape, SIDE))
    assert agrees(layer, torch.randn(7, SIDE))  # other rows than it was laid out for


@pytest.mark.parametrize("shape", [(1,), (2, 5), (8, 10), (MOST_ROWS,), (MOST_ROWS + 1,)])
@pytest.mark.parametrize("bias", [True, False])
def test_in_half_a_layer_gives_the_product_of_rounded_factors(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    layer, x = Linear(SIDE, SIDE, bias=bias).eval(), torch.randn(*shape, SIDE)
    rows = x.numel() // SIDE
    with torch.inference_mode():
        exact = layer(x)
        fix(layer, 1, half=True)
        found = layer(x)
        assert found.dtype == torch.float32
        if rows > MOST_ROWS or rows * SIDE**2 < LEAST_PRODUCTS:  # nothing would be gained
            assert torch.allclose(found, exact, atol=1e-5)
        else:
            rounded = layer.weight.bfloat16().double(), x.bfloat16().double()
            shift = layer.bias.bfloat16().double() if bias else 0.0
            expected = rounded[1] @ rounded[0].T + shift
            assert torch.allclose(found.double(), expected, rtol=2**-7, atol=1e-4)
            assert not torch.equal(found, exact)
        fix(layer, 1)
        assert torch.allclose(layer(x), exact, atol=1e-5)


def _trained(layer: Linear) -> None:
    optimiser = torch.optim.AdamW(layer.parameters(), 0.01, fused=True)
    for _ in range(2):
        layer(torch.randn(3, SIDE)).square().sum().backward()
        optimiser.step()


def _loaded(layer: Linear) -> None:
    layer.load_state_dict(Linear(SIDE, SIDE).state_dict())


def _written(layer: Linear) -> None:
    with torch.no_grad():
        layer.weight.mul_(2)


def _moved(layer: Linear) -> None:
    layer.double().float()
    layer.weight.data = layer.weight.data * 2


def _copied(layer: Linear) -> None:
    twin = copy.deepcopy(layer).train()
    _trained(twin)
    assert agrees(twin.eval(), torch.randn(3, SIDE))


@pytest.mark.parametrize("change", [_trained, _loaded, _written, _moved, _copied])
@pytest.mark.parametrize("again", [True, False])
def test_weights_that_changed_are_seen(layer: Linear, change: Callable[[Linear], None], again: bool) -> None:
    fix(layer, 1)
    assert agrees(layer, torch.randn(3, SIDE))
    change(layer)
    if again:
        fix(layer, 1)
    assert agrees(layer, torch.randn(3, SIDE))


def test_a_learner_in_training_is_not_fixed(layer: Linear) -> None:
    fix(layer.train(), 1)
    with torch.no_grad():
        assert not layer.fixed
    fix(layer.eval(), 1)
    with torch.no_grad():
        assert layer.fixed
    layer.train()
    with torch.no_grad():
        assert not layer.fixed


NETS: list[Any] = [
    ChunkUNet(3, 2, 8, 2, (16, 32)),
    ChunkTransformer(3, 2, 8, 2, 16, 2, 2, 0.0),
    ChunkMLP(6, 8, 2, 16, 2),
]


@pytest.mark.parametrize("count", [1, 5, 50])
@pytest.mark.parametrize("net", NETS, ids=lambda net: type(net).__name__)
@pytest.mark.parametrize(
    "process", [NoiseDiffusion(20, 4), Flow(4, "heun"), ScoreDiffusion(3)], ids=lambda it: type(it).__name__
)
def test_a_path_of_levels_gives_what_single_levels_give(process: Process, net: Any, count: int) -> None:
    torch.manual_seed(0)
    for weight in net.parameters():  # some begin at zero, and then nothing depends on the level
        nn.init.normal_(weight, std=0.2)
    features, noise = torch.randn(count, 2, 3), torch.randn(count, 8, 2)
    with torch.inference_mode():
        condition = net.prepare(features) if hasattr(net, "prepare") else features.flatten(1)
        expected = process.sample(lambda x, level: net(x, level, condition), noise)
        along = process.sample(net.eval().along(process.path, condition), noise)
    assert torch.allclose(along, expected, atol=1e-4, rtol=1e-4)
