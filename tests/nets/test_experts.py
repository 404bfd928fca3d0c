"""Experts: fused networks against sums, draws against enumeration, losses against loops, caches against weights."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from imitari.learn.optim import Average
from imitari.nets.acting import fix
from imitari.nets.diffusion import ScoreDiffusion
from imitari.nets.experts import (
    ExpertTransformer,
    Mixture,
    Noise,
    Router,
    SwishGLU,
    fused,
)
from imitari.nets.norms import RMSNorm
from imitari.nets.routing import Routed, chosen_experts


@dataclass(frozen=True)
class Settings:
    width: int = 8
    layers: int = 2
    heads: int = 2
    inner: int = 6
    experts: int = 4
    active: int = 2
    router: Router = "sigma"
    shared: bool = False
    bias: bool = False
    noise: Noise = "additive"
    noise_token: bool = True
    residual: Literal["normalised", "raw"] = "normalised"
    attention_dropout: float = 0.0
    dropout: float = 0.0
    expert_dropout: float = 0.0
    initial: float = 0.3


CHUNK, ACTION, STEPS = 5, 3, 6
PROCESS = ScoreDiffusion(STEPS, least=0.001, curve=None, solver="ddim", density="logistic")


def made(**changes: object) -> ExpertTransformer:
    torch.manual_seed(0)
    settings = replace(Settings(), **changes)  # type: ignore[arg-type]
    net = ExpertTransformer(settings, 1, CHUNK, ACTION, PROCESS.least, PROCESS.most).eval()
    for part in net.parameters():
        if part.ndim == 1 or part.count_nonzero() == 0:  # biases and modulations begin at 0
            nn.init.normal_(part, std=0.3)
    return net


def seen(count: int = 7) -> tuple[Tensor, Tensor]:
    """Condition and noise for `count` samples."""
    random = torch.Generator().manual_seed(1)
    return torch.randn(count, 3, 8, generator=random), torch.randn(count, CHUNK, ACTION, generator=random)


def sampled(net: ExpertTransformer, cached: bool) -> Tensor:
    net.cache = cached
    condition, noise = seen()
    with torch.inference_mode():
        return PROCESS.sample(net.along(PROCESS.path, condition), noise)


# ---------------------------------------------------------------- one network in the place of several


@pytest.mark.parametrize("bias", [False, True])
def test_fused_networks_give_the_weighted_sum(bias: bool) -> None:
    torch.manual_seed(0)
    parts = [SwishGLU(8, inner, bias=bias) for inner in (6, 6, 3)]
    weights = [0.7, 0.3, 1.0]
    x = torch.randn(2, 5, 8)
    state = torch.get_rng_state()
    whole = fused(parts, weights)
    assert torch.equal(state, torch.get_rng_state())
    expected = sum(weight * part(x) for weight, part in zip(weights, parts, strict=True))
    assert torch.allclose(whole(x), torch.as_tensor(expected), atol=1e-6)
    assert sum(one.numel() for one in whole.parameters()) == sum(
        one.numel() for part in parts for one in part.parameters()
    ) - (2 * 8 if bias else 0)


def test_swishglu_is_its_formula() -> None:
    torch.manual_seed(0)
    layer, x = SwishGLU(4, 3, bias=True), torch.randn(5, 4)
    plain, bent = (x @ layer.inlet.weight.T + layer.inlet.bias).split(3, -1)
    expected = (plain * bent * torch.sigmoid(bent)) @ layer.outlet.weight.T + layer.outlet.bias
    assert torch.allclose(layer(x), expected, atol=1e-6)


# ---------------------------------------------------------------- where tokens go


def test_draws_have_the_distribution_of_successive_draws() -> None:
    torch.manual_seed(0)
    chances = torch.tensor([0.5, 0.3, 0.15, 0.05])
    count = 200_000
    chosen, weight = chosen_experts(chances.expand(count, -1), 2, draw=True)
    for first, second in itertools.combinations(range(4), 2):
        exact = sum(float(chances[a] * chances[b] / (1 - chances[a])) for a, b in ((first, second), (second, first)))
        found = (chosen.sort(-1).values == torch.tensor([first, second])).all(-1)
        assert abs(found.float().mean().item() - exact) < 4 * np.sqrt(exact * (1 - exact) / count)
    picked = chances[chosen]
    assert torch.allclose(weight, picked / picked.sum(-1, keepdim=True))
    likeliest, _ = chosen_experts(chances.flip(0).expand(3, -1), 2, draw=False)
    assert likeliest.tolist() == [[3, 2]] * 3


@pytest.mark.parametrize("by", ["sigma", "token"])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_a_mixture_is_the_sum_over_the_experts_of_each_token(by: Router, shared: bool, training: bool) -> None:
    torch.manual_seed(0)
    layer = Mixture(8, 6, 4, 2, by, shared, 0.0, True).train(training).requires_grad_(False)
    x, noise = torch.randn(3, 5, 8), torch.randn(3, 1, 8)
    mixed, routed = layer(x, noise)
    chances = torch.softmax(layer.router(noise.expand_as(x) if by == "sigma" else x), -1)
    for sample, token in itertools.product(range(3), range(5)):
        row = sample * 5 + token
        chosen = routed.chosen[row].tolist()
        assert len(set(chosen)) == 2
        if not training:
            assert set(chosen) == set(chances[sample, token].topk(2).indices.tolist())
        total = sum(float(chances[sample, token, number]) for number in chosen)
        expected = layer.shared(x[sample, token]) if layer.shared else torch.zeros(8)
        for number in chosen:
            share = float(chances[sample, token, number]) / total
            expected = expected + share * layer.experts[number](x[sample, token])
        assert torch.allclose(mixed[sample, token], expected, atol=1e-5)
    if training and by == "sigma":  # tokens of a sample draw by themselves
        assert len(set(map(tuple, routed.chosen[:5].sort(-1).values.tolist()))) > 1


def test_losses_of_the_router_are_plain_loops() -> None:
    torch.manual_seed(0)
    logits, tokens = torch.randn(3, 4), 5
    chances = torch.softmax(logits, -1).repeat_interleave(tokens, 0)
    routed = Routed(logits, *chosen_experts(chances, 2, draw=True))
    sent, drawn = np.zeros(4), np.zeros(4)
    for chosen, weight in zip(routed.chosen.tolist(), routed.weight.tolist(), strict=True):
        for number, value in zip(chosen, weight, strict=True):
            sent[number] += 1 / 15
            drawn[number] += value / 15
    assert sent.sum() == pytest.approx(2)
    assert drawn.sum() == pytest.approx(1)
    assert np.allclose(routed.shares(), sent)
    assert routed.balance("drawn").item() == pytest.approx(4 * (sent * drawn).sum(), rel=1e-5)
    assert routed.balance("all").item() == pytest.approx(4 * (sent * chances.mean(0).numpy()).sum(), rel=1e-5)
    square = np.mean([np.log(np.exp(row).sum()) ** 2 for row in logits.tolist()])
    assert routed.excess().item() == pytest.approx(square, rel=1e-5)


def test_balance_along_a_path_spreads_the_levels_that_acting_visits() -> None:
    """From a routing that leaves an expert out, that loss alone brings all of them into use."""
    torch.manual_seed(1)
    net = made()
    with torch.no_grad():
        for mixture in net.mixtures():
            last = mixture.router[-1]
            assert isinstance(last, nn.Linear)
            last.bias.add_(torch.tensor([3.0, 3.0, 0.0, -3.0]))
    assert net.usage(PROCESS.path).mean(1).min() == 0
    routers = [one for mixture in net.mixtures() for one in mixture.router.parameters()]
    optimiser = torch.optim.Adam(routers, 0.02)
    for _ in range(300):
        routes = net.routes(PROCESS.path)
        assert all(len(routed.chosen) == STEPS for routed in routes)
        optimiser.zero_grad()
        torch.stack([routed.balance("path") for routed in routes]).mean().backward()
        optimiser.step()
    assert net.usage(PROCESS.path).mean(1).min() > 0.05


# ---------------------------------------------------------------- what is kept while acting


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("noise", ["additive", "adaln", "none"])
@pytest.mark.parametrize("residual", ["normalised", "raw"])
def test_kept_networks_give_the_same_chunk(shared: bool, bias: bool, noise: Noise, residual: str) -> None:
    net = made(shared=shared, bias=bias, noise=noise, residual=residual)
    fix(net, 7)
    plain, kept = sampled(net, cached=False), sampled(net, cached=True)
    assert torch.allclose(plain, kept, atol=1e-5)
    assert len(net.keep(dict, net._routing)) == 1  # pyright: ignore[reportPrivateUsage]
    usage = net.usage(PROCESS.path)
    assert usage.shape == (2, STEPS, 4)
    assert torch.allclose(usage.sum(-1), torch.ones(2, STEPS))
    assert (usage > 0).sum(-1).eq(2).all()


def test_levels_with_the_same_experts_share_what_reads_the_tokens() -> None:
    net = made()
    mixture, noise = net.mixtures()[0], net.level(PROCESS.path)
    layers = mixture.fused_at(noise, 7)
    chosen = [tuple(row.nonzero().flatten().tolist()) for row in mixture.routed(noise).weights()]
    for (first, one), (second, other) in itertools.combinations(zip(chosen, layers, strict=True), 2):
        assert (one.inlet is other.inlet) == (first == second)
        assert one.outlet is not other.outlet
    assert 1 < len(set(chosen)) < STEPS


def test_experts_differ_along_the_way() -> None:
    """Else the tests of kept networks could not tell one level from another."""
    usage = made().usage(PROCESS.path)
    assert (usage[:, 0] - usage[:, -1]).abs().sum(-1).max() > 0.1


def test_dense_and_token_routers_keep_nothing() -> None:
    for net in (made(router="dense"), made(router="token")):
        fix(net, 7)
        assert torch.allclose(sampled(net, cached=False), sampled(net, cached=True), atol=1e-6)
    assert made(router="dense").mixtures() == []
    assert not made(router="token").cachable


def _written(net: ExpertTransformer) -> None:
    with torch.no_grad():
        for mixture in net.mixtures():
            mixture.get_parameter("router.2.weight").mul_(-1)


def _one_expert(net: ExpertTransformer) -> None:
    with torch.no_grad():
        for number in range(4):
            net.mixtures()[1].get_parameter(f"experts.{number}.outlet.weight").mul_(2)


def _loaded(net: ExpertTransformer) -> None:
    other = {key: value.flip(0) if value.ndim > 1 else value for key, value in net.state_dict().items()}
    net.load_state_dict(other)


def _averaged(net: ExpertTransformer) -> None:
    average = Average(net, 0.5)
    for value in average.values:
        value.mul_(0.7)
    average.install()


def _trained(net: ExpertTransformer) -> None:
    net.train()
    optimiser = torch.optim.AdamW(net.parameters(), 0.05, fused=True)
    condition, noise = seen()
    for _ in range(2):
        PROCESS.error(lambda x, level: net(x, level, condition), noise).mean().backward()
        optimiser.step()
    net.eval()


@pytest.mark.parametrize("change", [_written, _one_expert, _loaded, _averaged, _trained])
@pytest.mark.parametrize("again", [False, True])
def test_kept_networks_follow_the_weights(change: Callable[[ExpertTransformer], None], again: bool) -> None:
    net = made()
    fix(net, 7)
    before = sampled(net, cached=True)
    change(net)
    if again:
        fix(net, 7)
    plain = sampled(net, cached=False)
    assert not torch.allclose(before, plain, atol=1e-3)
    assert torch.allclose(plain, sampled(net, cached=True), atol=1e-5)


def test_a_copy_keeps_nothing() -> None:
    net = made()
    fix(net, 7)
    sampled(net, cached=True)
    twin = copy.deepcopy(net)
    assert not twin.fixed
    _written(twin)
    fix(twin, 7)
    assert torch.allclose(sampled(twin, cached=False), sampled(twin, cached=True), atol=1e-5)


def test_another_path_has_networks_of_its_own() -> None:
    net, (condition, noise) = made(), seen()
    fix(net, 7)
    sampled(net, cached=True)
    other = ScoreDiffusion(3, least=0.001, curve=None, solver="ddim")
    with torch.inference_mode():
        net.cache = True
        kept = other.sample(net.along(other.path, condition), noise)
        net.cache = False
        assert torch.allclose(kept, other.sample(net.along(other.path, condition), noise), atol=1e-5)


# ---------------------------------------------------------------- the network


def test_later_actions_are_not_seen() -> None:
    net, (condition, noise) = made(), seen()
    other = noise.clone()
    other[:, 3:] += 1
    level = torch.linspace(0, 1, 7)
    with torch.no_grad():
        before, after = net(noise, level, condition), net(other, level, condition)
    assert torch.allclose(before[:, :3], after[:, :3], atol=1e-6)
    assert not torch.allclose(before[:, 3:], after[:, 3:])


@pytest.mark.parametrize("token", [False, True])
@pytest.mark.parametrize("noise", ["additive", "adaln", "none"])
@pytest.mark.parametrize("router", ["sigma", "dense"])
def test_the_level_is_seen_wherever_it_enters(token: bool, noise: Noise, router: Router) -> None:
    net, (condition, chunk) = made(noise_token=token, noise=noise, router=router), seen()
    with torch.no_grad():
        low, high = (net(chunk, torch.full((7,), level), condition) for level in (0.1, 0.9))
    assert torch.allclose(low, high) == (not token and noise == "none" and router == "dense")


def test_goal_and_steps_have_places() -> None:
    net = made()
    steps, goal = torch.zeros(2, 1, 3, 8), torch.zeros(2, 8)
    with_goal = net.prepare(goal, steps)
    assert with_goal.shape == (2, 4, 8)
    assert torch.equal(with_goal[0, 0], net.place[0])
    assert torch.equal(with_goal[0, 1:], net.place[1].expand(3, -1))
    assert torch.equal(net.prepare(None, steps), with_goal[:, 1:])


# ---------------------------------------------------------------- its norm


def test_the_norm_is_pytorchs_own_with_its_gradients() -> None:
    torch.manual_seed(0)
    own, other = RMSNorm(6), nn.RMSNorm(6, eps=1e-6)
    with torch.no_grad():
        own.weight.copy_(torch.randn(6))
        other.weight.copy_(own.weight)
    x = torch.randn(2, 3, 6)
    x[0, 0] = 0
    one, two = x.clone().requires_grad_(), x.clone().requires_grad_()
    target = torch.randn(2, 3, 6)
    (own(one) - target).square().sum().backward()
    (other(two) - target).square().sum().backward()
    for mine, theirs in ((one.grad, two.grad), (own.weight.grad, other.weight.grad)):
        assert mine is not None
        assert theirs is not None
        assert torch.allclose(mine, theirs, atol=1e-4, rtol=1e-4)
    with torch.no_grad():
        assert torch.allclose(own(x), other(x), atol=1e-6)


def test_experts_of_another_level_can_be_asked_for() -> None:
    """The router alone sees the other level: with it the routes are those of the other, and nothing else changes."""
    net, (condition, chunk) = made(), seen()
    low, high = torch.full((7,), 0.1), torch.full((7,), 0.9)
    own, other, asked = list[Routed](), list[Routed](), list[Routed]()
    with torch.no_grad():
        plain = net(chunk, low, condition, own)
        net(chunk, high, condition, other)
        turned = net(chunk, low, condition, asked, routed_as=high)
        assert torch.equal(plain, net(chunk, low, condition, routed_as=low))
    assert torch.equal(asked[0].logits, other[0].logits)
    assert not torch.equal(asked[0].logits, own[0].logits)
    assert not torch.allclose(plain, turned)
