"""Processes against a Gaussian target, where the ideal network, the error it leaves and the samples are known."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from imitari.core.errors import UserError
from imitari.nets.diffusion import Bounds, Flow, Network, NoiseDiffusion, Process, ScoreDiffusion, Target, kept_variance

MEAN, DEVIATION = 0.3, 0.4


def ideal_noise(process: NoiseDiffusion) -> Network:
    """E[noise | x] for x = sqrt(kept) clean + sqrt(1 - kept) noise."""

    def network(x: Tensor, level: Tensor) -> Tensor:
        kept = process.kept.double()[(level.double() * process.levels).round().long()].view(-1, 1)
        total = kept * DEVIATION**2 + 1 - kept
        return (1 - kept).sqrt() * (x.double() - kept.sqrt() * MEAN) / total

    return network


def ideal_mixture(process: NoiseDiffusion) -> Network:
    """E[sqrt(kept) noise - sqrt(1 - kept) clean | x], the velocity of x as the angle of the two shares turns."""

    def network(x: Tensor, level: Tensor) -> Tensor:
        kept = process.kept.double()[(level.double() * process.levels).round().long()].view(-1, 1)
        trust = kept.sqrt() * DEVIATION**2 / (kept * DEVIATION**2 + 1 - kept)
        clean = MEAN + trust * (x.double() - kept.sqrt() * MEAN)
        return (kept.sqrt() * x.double() - clean) / (1 - kept).sqrt()

    return network


def ideal_score(process: ScoreDiffusion) -> Network:
    """What the network must give for the preconditioned denoiser to be E[clean | x]."""

    def network(scaled: Tensor, level: Tensor) -> Tensor:
        noise = process.least * (process.most / process.least) ** level.double().view(-1, 1)
        total, data = noise**2 + process.deviation**2, process.deviation
        x = scaled.double() * total.sqrt()
        clean = (DEVIATION**2 * x + noise**2 * MEAN) / (DEVIATION**2 + noise**2)
        return (clean - data**2 / total * x) * total.sqrt() / (noise * data)

    return network


def ideal_velocity(_: Flow) -> Network:
    """E[clean - noise | x] for x = (1 - level) clean + level noise."""

    def network(x: Tensor, level: Tensor) -> Tensor:
        level = level.double().view(-1, 1)
        total = (1 - level) ** 2 * DEVIATION**2 + level**2
        slope = ((1 - level) * DEVIATION**2 - level) / total
        return MEAN + slope * (x.double() - (1 - level) * MEAN)

    return network


EXACT: list[tuple[Process, Callable[..., Network], float]] = [
    (NoiseDiffusion(100, 100, 1.0, None), ideal_noise, 0.05),
    (NoiseDiffusion(100, 100, 0.0, None), ideal_noise, 0.02),
    (NoiseDiffusion(1000, 1000, 1.0, None, "linear"), ideal_noise, 0.02),
    (NoiseDiffusion(100, 100, 1.0, None, target="velocity"), ideal_mixture, 0.05),
    (ScoreDiffusion(60), ideal_score, 0.01),
    (ScoreDiffusion(200, least=1e-3, curve=None, solver="ddim"), ideal_score, 0.02),
    (Flow(200), ideal_velocity, 0.01),
    (Flow(20, "heun"), ideal_velocity, 0.01),
    (ScoreDiffusion(400, least=1e-3, curve=None, solver="ancestral"), ideal_score, 0.02),
]
NAMES = ["ddpm", "ddim", "linear", "ddpm velocity", "edm", "edm ddim", "euler", "heun", "edm ancestral"]


@pytest.mark.parametrize(("process", "ideal", "tolerance"), EXACT, ids=NAMES)
def test_the_ideal_network_samples_the_target(
    process: Process, ideal: Callable[..., Network], tolerance: float
) -> None:
    torch.manual_seed(0)
    count = 40_000
    samples = process.sample(ideal(process), torch.randn(count, 1))
    # Beyond the method's own error, four standard errors of the estimate.
    assert abs(samples.mean().item() - MEAN) < tolerance * DEVIATION + 4 * DEVIATION / math.sqrt(count)
    assert abs(samples.std().item() / DEVIATION - 1) < tolerance + 4 / math.sqrt(2 * count)


@pytest.mark.parametrize(("process", "ideal", "tolerance"), [EXACT[1], *EXACT[4:8]], ids=[NAMES[1], *NAMES[4:8]])
def test_deterministic_samplers_follow_the_exact_path(
    process: Process, ideal: Callable[..., Network], tolerance: float
) -> None:
    noise = torch.linspace(-2, 2, 9).view(-1, 1)
    samples = process.sample(ideal(process), noise)
    assert torch.allclose(samples, (MEAN + DEVIATION * noise).to(samples.dtype), atol=4 * tolerance * DEVIATION)


@pytest.mark.parametrize(
    ("make", "ideal", "order"),
    [
        (lambda steps: Flow(steps), ideal_velocity, 1),
        (lambda steps: Flow(steps, "heun"), ideal_velocity, 2),
        (lambda steps: ScoreDiffusion(steps, least=1e-4), ideal_score, 2),
        (lambda steps: ScoreDiffusion(steps, least=1e-4, curve=None, solver="ddim"), ideal_score, 1),
    ],
    ids=["euler", "heun", "edm", "edm ddim"],
)
def test_the_error_falls_with_the_order_of_the_solver(
    make: Callable[[int], Process], ideal: Callable[..., Network], order: int
) -> None:
    noise = torch.tensor([[2.0]], dtype=torch.float64)
    errors = []
    for steps in (20, 40):
        process, exact = make(steps), MEAN + 2 * DEVIATION
        if isinstance(process, ScoreDiffusion):  # the largest noise still carries a trace of the data
            trace = DEVIATION / math.hypot(DEVIATION, process.most)
            exact = MEAN + (2 * process.most - MEAN) * trace
        errors.append(abs(float(process.sample(ideal(process), noise)) - exact))
    assert errors[1] < errors[0] / (2**order - 0.5)


@pytest.mark.parametrize(
    ("process", "ideal"),
    [
        (NoiseDiffusion(100), ideal_noise),
        (NoiseDiffusion(100, target="velocity"), ideal_mixture),
        (Flow(), ideal_velocity),
        (ScoreDiffusion(), ideal_score),
        (ScoreDiffusion(density="logistic", centre=math.log(0.5), width=0.5, least=0.2, most=5.0), ideal_score),
    ],
    ids=["noise", "velocity", "flow", "score", "score logistic"],
)
def test_the_ideal_network_leaves_only_the_posterior_variance(process: Process, ideal: Callable[..., Network]) -> None:
    torch.manual_seed(0)
    clean = MEAN + DEVIATION * torch.randn(200_000, 1)
    network = ideal(process)
    measured = process.error(network, clean)
    assert measured.shape == clean.shape
    assert measured.mean().item() == pytest.approx(remaining(process), rel=0.03)
    for shift in (-0.1, 0.1):  # no other network is better
        assert process.error(lambda x, level, by=shift: network(x, level) + by, clean).mean() > measured.mean()


def remaining(process: Process) -> float:
    """E Var[target | x] over the levels of training, by quadrature."""
    variance = DEVIATION**2
    if isinstance(process, NoiseDiffusion):
        kept = process.kept.double().numpy()
        # Var[noise | x] = kept / (1 - kept) Var[clean | x], and Var[velocity | x] = Var[clean | x] / (1 - kept).
        return float(np.mean((kept if process.target == "noise" else 1) * variance / (kept * variance + 1 - kept)))
    if isinstance(process, Flow):
        level = (np.arange(10_000) + 0.5) / 10_000
        # Var[clean - noise | x] = Var[clean | x] / level^2, as noise = (x - (1 - level) clean) / level.
        return float(np.mean(variance / ((1 - level) ** 2 * variance + level**2)))
    assert isinstance(process, ScoreDiffusion)
    standard = np.linspace(-6, 6, 10_001)
    noise = np.exp(process.centre + process.width * standard)
    weight = np.exp(-(standard**2) / 2)
    if process.density == "logistic":
        weight = (noise > process.least) * (noise < process.most) / np.cosh(standard / 2) ** 2
    out = noise * process.deviation / np.sqrt(noise**2 + process.deviation**2)
    left = variance * noise**2 / (variance + noise**2) / out**2
    return float((left * weight).sum() / weight.sum())


@pytest.mark.parametrize("steps", [2, 5])
def test_few_ancestral_steps_have_the_moments_of_their_chain(steps: int) -> None:
    """With the ideal denoiser each step is a linear map of a Gaussian with fresh noise: mean and variance follow."""
    process = ScoreDiffusion(steps, least=0.05, most=1.0, curve=5.0, solver="ancestral")
    mean, variance = 0.0, process.noises[0] ** 2
    for now, then in zip(process.noises[:-1], process.noises[1:], strict=True):
        trust = DEVIATION**2 / (DEVIATION**2 + now**2)  # of x in E[clean | x]
        fresh = then**2 * (now**2 - then**2) / now**2
        kept = (then**2 - fresh) ** 0.5 / now  # of x in the step
        slope = kept + (1 - kept) * trust
        mean = slope * mean + (1 - kept) * (1 - trust) * MEAN
        variance = slope**2 * variance + fresh
    torch.manual_seed(0)
    count = 200_000
    samples = process.sample(ideal_score(process), torch.randn(count, 1))
    assert abs(samples.mean().item() - mean) < 4 * math.sqrt(variance / count)
    assert abs(samples.var().item() / variance - 1) < 4 * math.sqrt(2 / count)
    assert len(process.path) == steps


def test_the_range_of_the_data_bounds_each_dimension_of_what_is_sampled() -> None:
    torch.manual_seed(0)
    bounds = Bounds(2)
    noise = 3 * torch.randn(500, 2)
    assert torch.equal(bounds(noise), noise)
    bounds.learn(torch.tensor([[0.1, -2.0], [0.4, 1.0], [0.2, 0.0]]))
    drawn = NoiseDiffusion(4, 4, 1.0, bounds).sample(lambda x, _: torch.zeros_like(x), noise)
    assert torch.allclose(drawn.amin(0), torch.tensor([0.1, -2.0]))
    assert torch.allclose(drawn.amax(0), torch.tensor([0.4, 1.0]))


@pytest.mark.parametrize(("target", "ideal"), [("noise", ideal_noise), ("velocity", ideal_mixture)])
def test_only_an_error_of_the_noise_is_blown_up_where_all_is_noise(
    target: Target, ideal: Callable[..., Network]
) -> None:
    """The noisiest of four levels keeps 1.4e-4 of the variance as data: an error of the noise is divided by 0.012."""
    process, error = NoiseDiffusion(4, 4, 1.0, None, target=target), 0.05
    network = ideal(process)

    def wrong(x: Tensor, level: Tensor) -> Tensor:
        return network(x, level) + error * (level > 0.7).view(-1, 1)

    means: list[float] = []
    for told in (network, wrong):
        torch.manual_seed(0)
        means.append(process.sample(told, torch.randn(99, 1)).mean().item())
    kept = process.kept.double().tolist()[::-1]
    moved = error * math.sqrt(1 - kept[0]) * (1 if target == "velocity" else kept[0] ** -0.5)
    # DDPM's step (Ho et al. 2020, eq. 7) from x, of which the clean estimate has trusted its share but for the first.
    for number, (here, after) in enumerate(zip(kept, [*kept[1:], 1.0], strict=True)):
        from_clean = math.sqrt(after) * (1 - here / after) / (1 - here)
        from_x = math.sqrt(here / after) * (1 - after) / (1 - here)
        trust = math.sqrt(here) * DEVIATION**2 / (here * DEVIATION**2 + 1 - here)
        moved *= from_clean * trust + from_x if number else from_clean
    assert means[1] - means[0] == pytest.approx(-moved, rel=1e-3)


def test_evenly_spaced_steps_are_the_exact_solution_for_one_point() -> None:
    """Data at one point: the estimate never changes, and each step of DDIM is exact whatever its length."""
    process = ScoreDiffusion(4, least=0.01, curve=None, solver="ddim")
    ratios = torch.tensor(process.noises[:-2]) / torch.tensor(process.noises[1:-1])
    assert torch.allclose(ratios, torch.full((3,), (80 / 0.01) ** (1 / 3)))
    assert torch.allclose(process.path, torch.tensor([1, 2 / 3, 1 / 3, 0]), atol=1e-6)
    seen: list[float] = []

    def network(scaled: Tensor, level: Tensor) -> Tensor:
        noise = process.least * (process.most / process.least) ** level.view(-1, 1)
        total = noise**2 + process.deviation**2
        x = scaled * total.sqrt()
        seen.append(float(((x - MEAN) / noise)[0]))
        return (MEAN - process.deviation**2 / total * x) * total.sqrt() / (noise * process.deviation)

    samples = process.sample(network, torch.tensor([[1.5]]))
    assert samples.item() == pytest.approx(MEAN, abs=1e-5)
    # The first x lacks the mean, by an amount that no later step changes in units of the noise.
    assert seen == pytest.approx([1.5 - MEAN / process.most] * 4, abs=1e-3)


def test_the_density_of_training_noise_is_the_truncated_logistic() -> None:
    torch.manual_seed(0)
    process = ScoreDiffusion(density="logistic", centre=-0.7, width=0.5, least=0.1, most=1.0)
    drawn: list[Tensor] = []

    def network(x: Tensor, level: Tensor) -> Tensor:
        drawn.append(process.least * (process.most / process.least) ** level)
        return x

    process.error(network, torch.zeros(100_000, 1))
    noise = drawn[0].double().numpy()
    assert noise.min() >= 0.0999
    assert noise.max() <= 1.0001

    def below(value: float) -> float:
        return 1 / (1 + (value / math.exp(-0.7)) ** (-1 / 0.5))

    for value in (0.15, 0.3, 0.5, 0.8):
        exact = (below(value) - below(0.1)) / (below(1.0) - below(0.1))
        assert (noise < value).mean() == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 100_000))


def test_the_squared_cosine_schedule_has_the_published_values() -> None:
    kept = kept_variance(100, "cosine")
    time = (np.arange(1, 100) / 100 + 0.008) / 1.008 * np.pi / 2
    first = np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    assert np.allclose(kept[:99].numpy(), np.cos(time) ** 2 / first)
    assert kept[99] == pytest.approx(float(kept[98]) * 1e-3)  # the last step would leave nothing: it is capped


def test_samples_stay_within_the_bound_and_few_steps_suffice() -> None:
    torch.manual_seed(0)
    process = NoiseDiffusion(100, 10, 0.0, 1.0)

    def two_points(x: Tensor, level: Tensor) -> Tensor:
        """E[noise | x] for data at -0.9 and 0.9 with equal chances."""
        kept = process.kept[(level * process.levels).round().long()].view(-1, 1)
        clean = 0.9 * torch.tanh(0.9 * kept.sqrt() * x / (1 - kept))
        return (x - kept.sqrt() * clean) / (1 - kept).sqrt()

    samples = process.sample(two_points, torch.randn(4000, 1))
    assert (samples.abs() - 0.9).abs().max() < 0.02
    assert abs((samples > 0).float().mean().item() - 0.5) < 0.04

    wild = process.sample(lambda x, _: -10 * torch.ones_like(x), torch.randn(100, 1))
    assert wild.abs().max() <= 1


def test_more_steps_than_levels_are_refused() -> None:
    with pytest.raises(UserError, match="200 of 100"):
        NoiseDiffusion(100, 200)
