"""The cache gives what reading everything at once gives; padding and the future change nothing."""

from __future__ import annotations

import pytest
import torch

from imitari.nets.causal import CausalTransformer

KINDS = [{"rotary": rotary, "tied": tied} for rotary in (False, True) for tied in (False, True)]


def model(**kind: bool) -> CausalTransformer:
    torch.manual_seed(0)
    net = CausalTransformer(11, 16, 2, 2, 12, dropout=0.1, **kind).eval()
    with torch.no_grad():  # larger than at the start, so that differences would show
        for weight in net.parameters():
            weight.mul_(3)
    return net


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("pieces", [[1] * 10, [4, 1, 1, 1, 1, 1, 1], [3, 4, 3]])
@torch.inference_mode()
def test_step_by_step_equals_all_at_once(kind: dict[str, bool], padded: bool, pieces: list[int]) -> None:
    net, tokens = model(**kind), torch.randint(11, (3, 10))
    valid = torch.arange(10) >= torch.tensor([[0], [2], [5]]) if padded else torch.ones(3, 10, dtype=torch.bool)
    whole = net(tokens, valid if padded else None)
    cache = net.cache(10)
    parts = [
        net(piece, seen if padded else None, cache)
        for piece, seen in zip(tokens.split(pieces, 1), valid.split(pieces, 1), strict=True)
    ]
    assert torch.allclose(torch.cat(parts, 1)[valid], whole[valid], atol=1e-5)
    assert cache.length == 10


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_padding_changes_nothing(kind: dict[str, bool]) -> None:
    net, tokens = model(**kind), torch.randint(11, (1, 6))
    alone = net(tokens)
    left = torch.cat([torch.randint(11, (1, 4)), tokens], 1)
    right = torch.cat([tokens, torch.randint(11, (1, 4))], 1)
    assert torch.allclose(net(left, torch.arange(10)[None] >= 4)[:, 4:], alone, atol=1e-5)
    assert torch.allclose(net(right, torch.arange(10)[None] < 6)[:, :6], alone, atol=1e-5)
    # A prompt padded on the left, then the rest without padding, against the cache.
    cache = net.cache(10)
    net(left[:, :7], torch.arange(7)[None] >= 4, cache)
    assert torch.allclose(net(left[:, 7:], None, cache), alone[:, 3:], atol=1e-5)


@torch.inference_mode()
def test_the_future_is_not_seen_and_the_past_is() -> None:
    net, tokens = model(), torch.randint(11, (2, 8))
    later, earlier = tokens.clone(), tokens.clone()
    later[:, 5:], earlier[:, 0] = (later[:, 5:] + 1) % 11, (earlier[:, 0] + 1) % 11
    assert torch.allclose(net(tokens)[:, :5], net(later)[:, :5], atol=1e-6)
    assert not torch.allclose(net(tokens)[:, 5:], net(earlier)[:, 5:], atol=1e-3)


@torch.inference_mode()
def test_picked_sequences_go_on_as_they_were() -> None:
    net, tokens = model(rotary=True), torch.randint(11, (3, 8))
    valid = torch.arange(8) >= torch.tensor([[0], [2], [3]])
    whole, cache, rows = net(tokens, valid), net.cache(8), torch.tensor([2, 0, 0])
    net(tokens[:, :5], valid[:, :5], cache)
    cache.pick(rows)
    assert torch.allclose(net(tokens[rows, 5:], None, cache), whole[rows, 5:], atol=1e-5)


def test_embeddings_may_be_given() -> None:
    net, tokens = model(), torch.randint(11, (2, 4))
    assert torch.equal(net.logits(net.features(net.embed(tokens))), net(tokens))
    features = CausalTransformer(0, 16, 2, 1, 4).features(torch.randn(2, 4, 16))
    assert features.shape == (2, 4, 16)


def test_too_long_a_sequence_is_refused() -> None:
    net = model()
    with pytest.raises(ValueError, match="longer than 12"):
        net(torch.zeros(1, 13, dtype=torch.long))
    with pytest.raises(ValueError, match="cache for 4"):
        net(torch.zeros(1, 5, dtype=torch.long), None, net.cache(4))
