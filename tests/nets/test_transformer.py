"""Attention against the formula; masks, causality and positions."""

from __future__ import annotations

import math

import pytest
import torch

from imitari.nets.transformer import Attention, ChunkTransformer, Transformer, positions


def test_attention_is_the_formula() -> None:
    torch.manual_seed(0)
    attention, x, memory = Attention(8, 2), torch.randn(3, 4, 8), torch.randn(3, 5, 8)
    query = attention.query(x).view(3, 4, 2, 4)
    key, value = attention.key_value(memory).view(3, 5, 2, 2, 4).unbind(2)
    weight = torch.softmax(torch.einsum("bnhd,bmhd->bhnm", query, key) / math.sqrt(4), -1)
    expected = attention.out(torch.einsum("bhnm,bmhd->bnhd", weight, value).flatten(2))
    assert torch.allclose(attention(x, memory), expected, atol=1e-6)


@pytest.mark.parametrize("first", [True, False])
def test_masked_tokens_change_nothing(first: bool) -> None:
    torch.manual_seed(0)
    body, x = Transformer(8, 2, 2, 16, first=first).eval(), torch.randn(2, 5, 8)
    mask = torch.tensor([[True, True, True, False, False]] * 2)
    other = x.clone()
    other[:, 3:] += torch.randn(2, 2, 8)
    before, after = body(x, mask=mask), body(other, mask=mask)
    assert torch.allclose(before[:, :3], after[:, :3], atol=1e-6)
    assert torch.allclose(before[:, :3], body(x[:, :3]), atol=1e-6)


def test_causal_tokens_do_not_see_what_follows() -> None:
    torch.manual_seed(0)
    body, x, memory = Transformer(8, 2, 2, 16, cross=True).eval(), torch.randn(2, 5, 8), torch.randn(2, 3, 8)
    other = x.clone()
    other[:, 3:] += torch.randn(2, 2, 8)
    before, after = (body(value, memory, causal=True) for value in (x, other))
    assert torch.allclose(before[:, :3], after[:, :3], atol=1e-6)
    assert not torch.allclose(before[:, 3:], after[:, 3:])
    assert not torch.allclose(before, body(x, memory + 1, causal=True))


def test_positions_are_distinct_and_turn_alike() -> None:
    code = positions(50, 16)
    assert code.shape == (50, 16)
    assert torch.allclose(code[0], torch.tensor([0.0, 1.0]).repeat(8))
    near = code @ code.T  # depends on the distance only, and is largest at none
    assert torch.allclose(near.diagonal(3), near[0, 3].expand(47), atol=1e-4)
    assert (near.fill_diagonal_(-1) < 8).all()


def test_with_an_encoder_the_observations_of_a_chunk_see_each_other() -> None:
    torch.manual_seed(0)
    plain, related = (ChunkTransformer(3, 3, 6, 2, 16, 2, 2, 0.0, layers).eval() for layers in (0, 2))
    features, other = torch.randn(4, 3, 3), torch.randn(4, 3, 3)
    other[:, :2] = features[:, :2]
    for net, alike in ((plain, True), (related, False)):
        assert torch.allclose(net.prepare(features)[:, :2], net.prepare(other)[:, :2]) == alike


def test_the_chunk_transformer_sees_level_and_observations() -> None:
    torch.manual_seed(0)
    net = ChunkTransformer(3, 2, 6, 2, 16, 2, 2, 0.0)
    noisy, level, features = torch.randn(4, 6, 2), torch.rand(4), torch.randn(4, 2, 3)
    base = net(noisy, level, net.prepare(features))
    assert base.shape == noisy.shape
    assert not torch.allclose(base, net(noisy, level / 2, net.prepare(features)))
    assert not torch.allclose(base, net(noisy, level, net.prepare(features.flip(1))))
