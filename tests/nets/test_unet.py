"""The U-Net over chunks: its convolution against PyTorch's, what it sees, what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from imitari.core.errors import UserError
from imitari.nets.unet import ChunkUNet, StepConvolution


@pytest.mark.parametrize(("kernel", "stride"), [(5, 1), (3, 1), (3, 2)])
def test_a_step_convolution_is_a_convolution(kernel: int, stride: int) -> None:
    torch.manual_seed(0)
    layer, x = StepConvolution(4, 6, kernel, stride), torch.randn(3, 8, 4)
    weight = layer.product.weight.view(6, kernel, 4).transpose(1, 2)
    expected = functional.conv1d(x.transpose(1, 2), weight, layer.product.bias, stride, kernel // 2).transpose(1, 2)
    assert torch.allclose(layer(x), expected, atol=1e-6)


def test_the_output_depends_on_chunk_level_and_every_observation() -> None:
    torch.manual_seed(0)
    net = ChunkUNet(3, 2, 8, 2, (16, 32, 64))
    noisy, level, features = torch.randn(4, 8, 2), torch.rand(4), torch.randn(4, 2, 3)
    base = net(noisy, level, net.prepare(features))
    assert base.shape == noisy.shape
    assert not torch.allclose(base, net(noisy, level / 2, net.prepare(features)))
    for step in range(2):
        other = features.clone()
        other[:, step] += 1
        assert not torch.allclose(base, net(noisy, level, net.prepare(other)))
    # The last step reaches the first action through the coarsest level.
    moved = noisy.clone()
    moved[:, -1] += 1
    assert not torch.allclose(base[:, 0], net(moved, level, net.prepare(features))[:, 0])


def test_samples_do_not_mix_and_every_weight_is_used() -> None:
    torch.manual_seed(0)
    net = ChunkUNet(3, 1, 4, 1, (8, 16))
    noisy, level, features = torch.randn(5, 4, 1), torch.rand(5), torch.randn(5, 1, 3)
    out = net(noisy, level, net.prepare(features))
    alone = net(noisy[2:3], level[2:3], net.prepare(features[2:3]))
    assert torch.allclose(out[2:3], alone, atol=1e-5)
    out.square().sum().backward()
    assert all(weight.grad is not None and weight.grad.abs().max() > 0 for weight in net.parameters())


def test_a_chunk_that_cannot_be_halved_is_refused() -> None:
    with pytest.raises(UserError, match="multiple of 4"):
        ChunkUNet(3, 1, 10, 1, (8, 16, 32))


def test_acting_gives_the_same_as_training() -> None:
    torch.manual_seed(0)
    net = ChunkUNet(3, 2, 8, 2, (16, 32, 64)).eval()
    optimiser = torch.optim.AdamW(net.parameters(), 0.01, fused=True)
    modes = (torch.inference_mode, torch.no_grad, torch.inference_mode)
    for count, mode in zip((1, 5, 1), modes, strict=True):
        noisy, level, features = torch.randn(count, 8, 2), torch.full((count,), 0.5), torch.randn(count, 2, 3)
        expected = net(noisy, level, net.prepare(features))
        with mode():
            for _ in range(2):
                assert torch.allclose(net(noisy, level, net.prepare(features)), expected.detach(), atol=1e-5)
        expected.square().sum().backward()  # later calls must see the new weights
        optimiser.step()
