"""The conditional variational autoencoder against closed forms, Monte Carlo and data whose distribution is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from imitari.nets.critics import Gaussian
from imitari.nets.variational import LOG_VARIANCE, ConditionalVAE, MixturePrior, NormalPrior

LATENT, CONDITION = 3, 2


def posterior(count: int = 4) -> Gaussian:
    torch.manual_seed(1)
    return Gaussian(torch.randn(count, LATENT), 0.3 * torch.randn(count, LATENT) - 0.5)


def mixture(modes: int) -> MixturePrior:
    """A prior whose parameters differ from mode to mode and with the condition."""
    torch.manual_seed(2)
    prior = MixturePrior(CONDITION, LATENT, (8,), modes)
    with torch.no_grad():
        for value in prior.parameters():
            value.copy_(0.7 * torch.randn_like(value))
    return prior


def test_divergence_from_a_standard_normal_is_the_closed_form() -> None:
    given = posterior()
    exact = kl_divergence(Normal(given.mean, given.log_scale.exp()), Normal(0.0, 1.0)).sum(-1)
    found = NormalPrior(LATENT).divergence(given, torch.full_like(given.mean, torch.nan), torch.zeros(4, CONDITION))
    assert torch.allclose(found, exact, atol=1e-5)


def test_one_sample_estimates_average_to_the_closed_form_of_one_gaussian() -> None:
    """A mixture of one component is a Gaussian: there the divergence is known."""
    prior, given = mixture(1), posterior(2)
    condition = torch.randn(2, CONDITION)
    only = prior(condition)
    other = Normal(only.means[:, 0], only.scales[:, 0])
    exact = kl_divergence(Normal(given.mean, given.log_scale.exp()), other).sum(-1)
    many = Gaussian(*(part.repeat(40_000, 1) for part in (given.mean, given.log_scale)))
    with torch.no_grad():
        each = prior.divergence(many, many.sample(), condition.repeat(40_000, 1)).view(40_000, 2)
    error = each.std(0) / math.sqrt(len(each))
    assert ((each.mean(0) - exact).abs() < 4 * error).all()
    assert (error < 0.05 * exact).all()


def test_divergence_from_a_mixture_is_that_of_its_density() -> None:
    """Against a density that is summed by hand."""
    prior, given = mixture(3), posterior(1)
    condition = torch.randn(1, CONDITION)
    drawn = given.sample()
    parts = prior(condition)
    weight = parts.logits[0].softmax(-1)
    density = sum(
        weight[mode] * Normal(parts.means[0, mode], parts.scales[0, mode]).log_prob(drawn[0]).sum().exp()
        for mode in range(3)
    )
    own = Normal(given.mean, given.log_scale.exp()).log_prob(drawn).sum()
    assert torch.allclose(prior.divergence(given, drawn, condition), own - torch.log(torch.as_tensor(density)))


def test_draws_from_a_mixture_have_its_moments() -> None:
    prior = mixture(3)
    condition = torch.randn(1, CONDITION)
    parts = prior(condition)
    weight = parts.logits.softmax(-1).unsqueeze(-1)
    mean = (weight * parts.means).sum(1)
    variance = (weight * (parts.scales**2 + parts.means**2)).sum(1) - mean**2
    with torch.no_grad():
        drawn = prior.draw(condition.expand(100_000, -1))
    scale = variance.sqrt()
    assert ((drawn.mean(0) - mean[0]).abs() < 4 * scale[0] / math.sqrt(len(drawn))).all()
    assert torch.allclose(drawn.std(0), scale[0], rtol=0.05)


def test_log_variances_stay_within_their_bounds() -> None:
    model = ConditionalVAE(2, CONDITION, LATENT, (4,), prior="mixture", modes=2)
    with torch.no_grad():
        for net in (model.encoder, model.prior.net):
            net[-1].bias.fill_(-1e4)
    found = model.encode(torch.zeros(1, 2), torch.zeros(1, CONDITION)).log_scale
    assert torch.allclose(found, torch.full_like(found, LOG_VARIANCE[0] / 2))
    scales = model.prior(torch.zeros(1, CONDITION)).scales
    assert torch.allclose(scales, torch.full_like(scales, math.exp(LOG_VARIANCE[0] / 2)))


@pytest.mark.parametrize("prior", ["normal", "mixture"])
def test_it_learns_both_of_two_ways_and_what_the_condition_says(prior: str) -> None:
    """x is c plus or minus a half; between both there is nothing."""
    torch.manual_seed(0)
    model = ConditionalVAE(1, 1, 2, (32, 32), prior=prior, modes=4)  # type: ignore[arg-type]
    optimiser = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(300):
        condition = 0.5 * torch.randn(128, 1)
        x = condition + 0.5 * torch.sign(torch.randn(128, 1))
        error, divergence = model.terms(x, condition)
        optimiser.zero_grad()
        (error + 0.01 * divergence).mean().backward()
        optimiser.step()
    condition = torch.tensor([[-0.4], [0.3]])
    with torch.no_grad():
        drawn = model.draw(condition, 2000)
    assert drawn.shape == (2, 2000, 1)
    away = drawn - condition.unsqueeze(1)
    near = (away.abs() - 0.5).abs() < 0.15
    assert near.float().mean() > 0.6  # of one Gaussian with these moments 0.29
    assert 0.3 < (away > 0).float().mean() < 0.7


def test_squashed_draws_stay_within_the_range_of_actions() -> None:
    model = ConditionalVAE(2, CONDITION, LATENT, (4,), squash=True)
    with torch.no_grad():
        model.decoder[-1].bias.copy_(torch.tensor([50.0, -50.0]))
    drawn = model.draw(torch.zeros(1, CONDITION))
    assert torch.equal(drawn[0, 0], torch.tensor([1.0, -1.0]))
