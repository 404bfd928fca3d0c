"""What networks keep while an agent acts: the same results, nothing older than the weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from imitari.nets.acting import LEAST_PRODUCTS, LEAST_WEIGHTS, MOST_BENT, MOST_ROWS, Linear, direct, fix, gelu_, joined
from imitari.nets.causal import CausalTransformer
from imitari.nets.denoiser import ChunkMLP
from imitari.nets.diffusion import Flow, NoiseDiffusion, Process, ScoreDiffusion
from imitari.nets.transformer import Attention, ChunkTransformer, Layer, Transformer
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


LARGE = 240  # of this width, keys and values are laid out and the other layers are not


def _to_itself(**kind: Any) -> Callable[[nn.Module, Tensor, Tensor], Tensor]:
    return lambda net, x, _: net(x, x, **kind)


def _in_two(net: CausalTransformer, x: Tensor, _: Tensor) -> Tensor:
    cache = net.cache(x.shape[1])
    return torch.cat([net.features(piece, cache=cache) for piece in (x[:, :2], x[:, 2:])], 1)


ATTENDING: dict[str, tuple[nn.Module, Callable[[Any, Tensor, Tensor], Tensor]]] = {
    "attention": (Attention(16, 2), _to_itself()),
    "causal attention": (Attention(16, 2), _to_itself(causal=True)),
    "attention of a large width": (Attention(LARGE, 2), _to_itself()),
    "attention to a memory": (Attention(16, 2), lambda net, x, memory: net(x, memory)),
    "attention with norms": (Attention(16, 2, normed=True), _to_itself()),
    "attention with norms to a memory": (Attention(16, 2, normed=True), lambda net, x, memory: net(x, memory)),
    "layers": (Transformer(16, 2, 2, 32), lambda net, x, _: net(x)),
    "masked layers": (Transformer(16, 2, 2, 32), lambda net, x, _: net(x, mask=torch.arange(x.shape[1])[None] < 2)),
    "layers with norms behind": (Transformer(16, 2, 2, 32, first=False), lambda net, x, _: net(x)),
    "layers with a memory": (Transformer(16, 2, 2, 32, cross=True), lambda net, x, memory: net(x, memory)),
    "the same with norms behind": (
        Transformer(16, 2, 2, 32, cross=True, first=False), lambda net, x, memory: net(x, memory)
    ),
    "layers of a large width": (Transformer(LARGE, 2, 1, 480, cross=True), lambda net, x, memory: net(x, memory)),
    "a causal transformer": (CausalTransformer(0, 16, 2, 2, 9), lambda net, x, _: net.features(x)),
    "a turned one with a cache": (CausalTransformer(0, 16, 2, 2, 9, rotary=True), _in_two),
}  # fmt: skip


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", ATTENDING)
def test_fixed_attention_gives_what_it_gives_otherwise(name: str, count: int) -> None:
    torch.manual_seed(0)
    net, call = ATTENDING[name]
    net = copy.deepcopy(net).eval()
    with torch.no_grad():
        for weight in net.parameters():  # norms and biases too
            weight.add_(torch.randn_like(weight) / weight.shape[-1] ** 0.5)
    width = LARGE if "large" in name else 16
    x, memory = torch.randn(count, 5, width), torch.randn(count, 3, width)
    expected = call(net, x, memory)
    parts = [part for part in net.modules() if isinstance(part, (Attention, Layer))]
    assert not any(part._kept for part in parts)
    fix(net, count)
    with torch.inference_mode():
        for _ in range(2):
            assert torch.allclose(call(net, x, memory), expected, atol=1e-5)
    assert all(part._kept for part in parts)
    with torch.no_grad():  # what was kept may have been made in inference mode
        assert torch.allclose(call(net, x, memory), expected, atol=1e-5)
        for weight in net.parameters():
            weight.mul_(0.9)
        found = call(net, x, memory)
    changed = call(net, x, memory)  # wants gradients, which ends that anything is kept
    assert changed.requires_grad
    assert not any(part._kept for part in parts)
    assert torch.allclose(found, changed, atol=1e-5)
    assert not torch.allclose(changed, expected, atol=1e-3)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("count", [1, 3])
def test_what_begins_without_a_memory_is_begun_once_for_all(count: int, first: bool) -> None:
    torch.manual_seed(0)
    body = Transformer(16, 2, 2, 32, cross=True, first=first).eval()
    layer = body.layers[0]
    assert isinstance(layer, Layer)
    x, memory = torch.randn(1, 5, 16), torch.randn(count, 3, 16)
    with torch.inference_mode():
        expected = body(x.expand(count, -1, -1), memory)
        assert torch.allclose(body.finish(layer.begin(x).over(count), memory), expected, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 2, MOST_BENT // 100, MOST_BENT // 100 + 1])
def test_gelu_in_place_is_gelu(rows: int) -> None:
    x = torch.linspace(-6, 6, rows * 100).view(rows, 100)
    expected = functional.gelu(x.double())
    with torch.inference_mode():
        found = gelu_(x)
        assert found is x
    assert torch.allclose(found.double(), expected, atol=1e-6)


def test_functions_of_weights_follow_what_is_written() -> None:
    torch.manual_seed(0)
    x, small, norm = torch.randn(3, 8), Linear(8, 4), nn.LayerNorm(8)
    bare = nn.LayerNorm(8, elementwise_affine=False)
    steps = [direct(small), direct(norm), direct(bare)]
    with torch.no_grad():
        for weight in (*small.parameters(), *norm.parameters()):
            weight.add_(1)
        for module, step in zip((small, norm, bare), steps, strict=True):
            assert step is not module
            assert torch.allclose(step(x), module(x), atol=1e-6)
    large, other = Linear(SIDE, SIDE), nn.Tanh()
    assert direct(other) is other
    if large.large:
        assert direct(large) is large
        assert joined(small, large) is None
