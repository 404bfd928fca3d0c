"""The quantiser and its heads, and the memory of the causal transformer."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from imitari.core.errors import UserError
from imitari.nets.distortion import Distortion
from imitari.nets.heads.bins import Binned, BinnedHead, MuLaw
from imitari.nets.memory import MemoryTransformer


def test_camera_bins_of_the_paper() -> None:
    """limit 10, mu 10, 11 bins of width 2 in u, one number after the other."""
    quantiser = MuLaw(11, 10.0, 10.0)
    for x in np.linspace(-12, 12, 97):
        clipped = float(np.clip(x, -10, 10))
        u = math.copysign(10 * math.log(1 + 10 * abs(clipped) / 10) / math.log(11), clipped)
        if abs((u + 10) / 2 % 1 - 0.5) > 1e-4:  # on a border either side will do
            assert int(quantiser.encode(torch.tensor(x))) == round((u + 10) / 2)
    for code in range(11):
        u = 2 * code - 10
        x = math.copysign(10 / 10 * ((1 + 10) ** (abs(u) / 10) - 1), u)
        assert float(quantiser.decode(torch.tensor(code))) == pytest.approx(x, abs=1e-5)


@pytest.mark.parametrize("mu", [0.0, 10.0, 255.0])
@pytest.mark.parametrize("bins", [2, 5, 11, 64])
def test_round_trip(bins: int, mu: float) -> None:
    quantiser = MuLaw(bins, mu, 3.0)
    codes = torch.arange(bins)
    assert torch.equal(quantiser.encode(quantiser.decode(codes)), codes)
    value = torch.linspace(-3, 3, 1001)
    again = quantiser.decode(quantiser.encode(value))
    middles = quantiser.decode(codes)
    assert (again - value).abs().max() <= (middles[1:] - middles[:-1]).max()
    if bins % 2:
        assert float(quantiser.decode(quantiser.encode(torch.zeros(1)))) == 0.0
    with pytest.raises(UserError, match="bins 1"):
        MuLaw(1)


@pytest.mark.parametrize("joint", [False, True])
def test_likelihood_beside_a_plain_sum(joint: bool) -> None:
    torch.manual_seed(0)
    head = BinnedHead(6, 2, MuLaw(3, 0.0), joint)
    prediction = head(torch.randn(4, 5, 6))
    chances = torch.softmax(prediction.logits, -1)
    middles = prediction.quantiser.decode(torch.arange(3))
    total = torch.zeros(4, 5)
    for first in range(3):
        for second in range(3):
            target = torch.stack([middles[first], middles[second]]).expand(4, 5, 2)
            found = torch.exp(-prediction.loss(target))
            own = chances[..., 0, first + 3 * second] if joint else chances[..., 0, first] * chances[..., 1, second]
            torch.testing.assert_close(found, own)
            total += found
    torch.testing.assert_close(total, torch.ones(4, 5))
    best = prediction.loss(prediction.mode)
    assert (best <= prediction.loss(prediction.sample()) + 1e-6).all()


def test_draws_follow_the_distribution() -> None:
    torch.manual_seed(0)
    logits = torch.log(torch.tensor([0.1, 0.2, 0.3, 0.4])).expand(20_000, 1, 4)
    drawn = Binned(logits, MuLaw(2, 0.0), 2).sample()
    code = ((drawn + 1) / 2).long()
    share = torch.bincount(code[:, 0] + 2 * code[:, 1], minlength=4) / 20_000
    np.testing.assert_allclose(share, [0.1, 0.2, 0.3, 0.4], atol=0.015)


def test_too_many_combinations_are_refused() -> None:
    with pytest.raises(UserError, match="joint head over 7 axes"):
        BinnedHead(4, 7, MuLaw(11), joint=True)


def test_memory_reaches_back_as_far_as_it_says() -> None:
    torch.manual_seed(0)
    net = MemoryTransformer(3, 8, 1, 2, memory=4).eval()
    x = torch.randn(2, 12, 3)
    changed = x.clone()
    changed[:, 5] += 1
    moved = (net(x)[0] - net(changed)[0]).abs().amax((0, 2)) > 1e-6
    np.testing.assert_array_equal(np.flatnonzero(moved.numpy()), [5, 6, 7, 8])


@pytest.mark.parametrize("pieces", [(12,), (1,) * 12, (5, 3, 4), (2, 10)])
def test_pieces_with_memory_equal_the_whole(pieces: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    net = MemoryTransformer(3, 8, 2, 2, memory=4).eval()
    x = torch.randn(2, 12, 3)
    state, parts = net.start(2), []
    for part in x.split(pieces, 1):
        out, state = net(part, state)
        parts.append(out)
    torch.testing.assert_close(torch.cat(parts, 1), net(x)[0], atol=1e-5, rtol=1e-5)


def test_a_clip_is_changed_as_a_whole() -> None:
    torch.manual_seed(0)
    frame = torch.randint(0, 256, (3, 1, 12, 12, 3), dtype=torch.uint8)
    clip = frame.expand(3, 5, 12, 12, 3).contiguous()
    out = Distortion(shift=0.2, scale=0.2, colour=0.3)(clip)
    assert out.dtype == torch.uint8
    assert out.shape == clip.shape
    assert (out != clip).any(-1).float().mean() > 0.5
    for step in range(1, 5):
        assert torch.equal(out[:, step], out[:, 0])
    assert not torch.equal(out[0] - clip[0], out[1] - clip[1])
    assert torch.equal(Distortion()(clip), clip)
