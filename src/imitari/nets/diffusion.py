"""From noise to data: noise schedules, training errors and samplers behind one interface.

Every process knows a network as a function (noisy (B, ...), level (B,)) -> (B, ...), where the level runs from 0
(clean) to 1 (noise only), and offers two things: `error`, what training makes small, and `sample`, what acting calls.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from imitari.core.errors import UserError

Network = Callable[[Tensor, Tensor], Tensor]


class Process(Protocol):
    """A way from standard normal noise to data of order one.

    Attributes:
        path: (S,) the levels at which `sample` calls the network, in this order, once each.
    """

    path: Tensor

    def error(self, network: Network, clean: Tensor) -> Tensor:
        """Squared error of each element of `clean` (B, ...), at a level drawn for each sample."""
        ...

    def sample(self, network: Network, noise: Tensor) -> Tensor:
        """Standard normal noise (B, ...) to samples (B, ...)."""
        ...


class Bounds(nn.Module):
    """The range of the data in each dimension, to which what is made from noise is held; before `learn`, everything.

    Args:
        size: dimensions A.
    """

    low: Tensor
    high: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("low", torch.full((size,), -torch.inf))
        self.register_buffer("high", torch.full((size,), torch.inf))

    def learn(self, data: Tensor) -> None:
        """Takes the range of data (N, A)."""
        self.low.copy_(data.amin(0))
        self.high.copy_(data.amax(0))

    def forward(self, x: Tensor) -> Tensor:
        """(..., A) to the nearest point (..., A) within the range."""
        return x.clamp(self.low, self.high)


Target = Literal["noise", "velocity"]


class NoiseDiffusion(nn.Module):
    """A fixed number of noise levels; the network predicts the noise (DDPM, Ho et al. 2020) or the velocity.

    Sampling visits `steps` of the levels, evenly spaced from the noisiest. With `spread` 1 it draws from the posterior
    of DDPM, with 0 it is deterministic (DDIM, Song et al. 2021, eq. 12 with their eta as `spread`).

    Args:
        levels: noise levels N in training.
        steps: levels visited in sampling.
        spread: share of the posterior's noise that sampling adds.
        bound: the clean estimate is clipped to [-bound, bound] in sampling (Chi et al. 2023: 1), or held to the range
            of the data; None: it is not clipped.
        schedule: "cosine", the squared cosine of Nichol & Dhariwal 2021 (eq. 17), or "linear" (Ho et al. 2020).
        target: of the network: "noise", or "velocity", sqrt(kept) noise - sqrt(1 - kept) clean (Salimans & Ho 2022,
            section 4). At the noisiest level of the cosine the clean estimate is the error of the noise times 160 with
            8 levels, times 85 with 4; it is the error of the velocity times 1 at most, whatever the level.
    """

    kept: Tensor
    path: Tensor

    def __init__(
        self,
        levels: int = 100,
        steps: int = 16,
        spread: float = 0.0,
        bound: float | Bounds | None = 1.0,
        schedule: Literal["cosine", "linear"] = "cosine",
        target: Target = "noise",
    ) -> None:
        super().__init__()
        if not 1 <= steps <= levels:
            raise UserError(f"sampling visits {steps} of {levels} noise levels: choose between 1 and {levels}")
        if not 0 <= spread <= 1:
            raise UserError(f"spread is {spread:g}: it must lie between 0 and 1")
        self.levels, self.spread, self.bound, self.target = levels, spread, bound, target
        # alpha-bar of the paper: the share of the variance that is still data after each level.
        self.register_buffer("kept", kept_variance(levels, schedule).float(), persistent=False)
        self.visited = [round(value) for value in torch.linspace(levels - 1, 0, steps).tolist()]
        self.register_buffer("path", torch.tensor([number / levels for number in self.visited]), persistent=False)

    def error(self, network: Network, clean: Tensor) -> Tensor:
        number = torch.randint(self.levels, (len(clean),), device=clean.device)
        noise = torch.randn_like(clean)
        kept = _spread(self.kept[number], clean)
        noisy = kept.sqrt() * clean + (1 - kept).sqrt() * noise
        wanted = noise if self.target == "noise" else kept.sqrt() * noise - (1 - kept).sqrt() * clean
        return (network(noisy, number / self.levels).float() - wanted).square()

    def sample(self, network: Network, noise: Tensor) -> Tensor:
        x = noise
        shares = [float(self.kept[number]) for number in self.visited]
        for level, kept, after in zip(self.path, shares, [*shares[1:], 1.0], strict=True):
            clean = self._clean(x, network(x, level.expand(len(x))).float(), kept)
            if self.bound is not None:
                bound = self.bound
                clean = bound(clean) if isinstance(bound, Bounds) else clean.clamp(-bound, bound)
            guess = (x - math.sqrt(kept) * clean) / math.sqrt(1 - kept)
            added = self.spread**2 * (1 - after) / (1 - kept) * (1 - kept / after)
            x = math.sqrt(after) * clean + math.sqrt(max(0.0, 1 - after - added)) * guess
            if added:
                x = x + math.sqrt(added) * torch.randn_like(x)
        return x

    def _clean(self, x: Tensor, told: Tensor, kept: float) -> Tensor:
        """The estimate of the clean data from x, where a share `kept` of the variance is data."""
        if self.target == "velocity":
            return math.sqrt(kept) * x - math.sqrt(1 - kept) * told
        return (x - math.sqrt(1 - kept) * told) / math.sqrt(kept)


class ScoreDiffusion(nn.Module):
    """Continuous noise levels and a preconditioned denoiser (EDM, Karras et al. 2022, algorithm 1 with "heun").

    Args:
        steps: of the sampler.
        deviation: of the data (sigma_data).
        least, most: noise in sampling (sigma_min, sigma_max).
        curve: how the steps crowd at low noise (rho); None: evenly in the logarithm, which is its limit.
        centre, width: of the logarithm of the noise in training (P_mean, P_std).
        solver: "heun", two network calls a step, the last of them one; "ddim", one call: exact where the estimate
            of the clean data stays the same over a step (DDIM, or DPM-Solver-1 of Lu et al. 2022); or "ancestral", one
            call: each step goes below its end and adds fresh noise up to there (Song et al. 2021, appendix F).
        density: of that logarithm: "normal", or "logistic", cut off at the least and the most noise.
    """

    path: Tensor

    def __init__(
        self,
        steps: int = 10,
        deviation: float = 0.5,
        least: float = 0.002,
        most: float = 80.0,
        curve: float | None = 7.0,
        centre: float = -1.2,
        width: float = 1.2,
        solver: Literal["heun", "ddim", "ancestral"] = "heun",
        density: Literal["normal", "logistic"] = "normal",
    ) -> None:
        super().__init__()
        self.deviation, self.least, self.most, self.centre, self.width = deviation, least, most, centre, width
        self.solver, self.density = solver, density
        ramp = torch.linspace(1, 0, steps, dtype=torch.float64)
        if curve is None:
            spread = least * (most / least) ** ramp
        else:
            low, high = least ** (1 / curve), most ** (1 / curve)
            spread = (low + ramp * (high - low)) ** curve
        self.noises = [*spread.tolist(), 0.0]
        calls = 2 if solver == "heun" else 1
        visited = [self.noises[0], *(noise for noise in self.noises[1:-1] for _ in range(calls))]
        self.register_buffer("path", self._level(torch.tensor(visited)), persistent=False)

    @staticmethod
    def logistic(steps: int, deviation: float = 0.5, least: float = 0.001, most: float = 80.0) -> ScoreDiffusion:
        """As in Reuss et al. 2023 and 2025: a log-logistic density around `deviation`, and DDIM in even steps."""
        return ScoreDiffusion(
            steps, deviation, least, most, None, math.log(deviation), 0.5, solver="ddim", density="logistic"
        )

    def error(self, network: Network, clean: Tensor) -> Tensor:
        noise = self._drawn(len(clean), clean.device)
        amount = _spread(noise, clean)
        noisy = clean + amount * torch.randn_like(clean)
        skip, out, into = self._factors(amount)
        # The weight 1 / out^2 of their eq. 8 makes this the plain error of the network's own output.
        return (network(into * noisy, self._level(noise)).float() - (clean - skip * noisy) / out).square()

    def sample(self, network: Network, noise: Tensor) -> Tensor:
        x = self.noises[0] * noise
        for now, then in zip(self.noises[:-1], self.noises[1:], strict=True):
            clean = self.denoise(network, x, now)
            if self.solver == "ddim":
                x = torch.lerp(clean, x, then / now)
                continue
            if self.solver == "ancestral":
                fresh = then * math.sqrt(1 - (then / now) ** 2)
                x = torch.lerp(clean, x, then**2 / now**2)
                x = x + fresh * torch.randn_like(x) if then else x
                continue
            slope = (x - clean) / now
            ahead = x + (then - now) * slope
            if then:
                slope = (slope + (ahead - self.denoise(network, ahead, then)) / then) / 2
                ahead = x + (then - now) * slope
            x = ahead
        return x

    def _drawn(self, count: int, device: torch.device) -> Tensor:
        """Noise of training samples (B,)."""
        if self.density == "normal":
            return torch.exp(self.centre + self.width * torch.randn(count, device=device))
        ends = ((math.log(end) - self.centre) / self.width for end in (self.least, self.most))
        low, high = (1 / (1 + math.exp(-end)) for end in ends)
        chance = torch.empty(count, device=device).uniform_(low, high)
        return torch.exp(self.centre + self.width * torch.logit(chance)).clamp(self.least, self.most)

    def denoise(self, network: Network, x: Tensor, noise: float) -> Tensor:
        """The estimate of the clean data from x = clean + noise * (standard normal)."""
        amount = torch.full((len(x),), noise, device=x.device)
        skip, out, into = self._factors(_spread(amount, x))
        return skip * x + out * network(into * x, self._level(amount)).float()

    def _factors(self, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        total = noise**2 + self.deviation**2
        return self.deviation**2 / total, noise * self.deviation / total.sqrt(), 1 / total.sqrt()

    def _level(self, noise: Tensor) -> Tensor:
        return torch.log(noise / self.least) / math.log(self.most / self.least)


class Flow(nn.Module):
    """Straight paths (1 - level) clean + level noise; the network predicts clean - noise (Lipman et al. 2023).

    Args:
        steps: of the sampler.
        solver: "euler" (one network call a step) or "heun" (two).
    """

    path: Tensor

    def __init__(self, steps: int = 10, solver: Literal["euler", "heun"] = "euler") -> None:
        super().__init__()
        self.steps, self.solver = steps, solver
        starts = 1 - torch.arange(steps) / steps
        path = starts if solver == "euler" else torch.stack([starts, starts - 1 / steps], 1).flatten()
        self.register_buffer("path", path, persistent=False)

    def error(self, network: Network, clean: Tensor) -> Tensor:
        level = torch.rand(len(clean), device=clean.device)
        noise = torch.randn_like(clean)
        noisy = torch.lerp(clean, noise, _spread(level, clean))
        return (network(noisy, level).float() - (clean - noise)).square()

    def sample(self, network: Network, noise: Tensor) -> Tensor:
        x, step, levels = noise, 1 / self.steps, iter(self.path)
        for _ in range(self.steps):
            velocity = network(x, next(levels).expand(len(x))).float()
            if self.solver == "heun":
                velocity = (velocity + network(x + step * velocity, next(levels).expand(len(x))).float()) / 2
            x = x + step * velocity
        return x


def kept_variance(levels: int, schedule: str) -> Tensor:
    """Share of the variance that is data after each of `levels` noise levels: (levels,), falling."""
    if schedule == "linear":
        added = torch.linspace(1e-4, 0.02, levels, dtype=torch.float64) * 1000 / levels
    elif schedule == "cosine":
        time = torch.linspace(0, 1, levels + 1, dtype=torch.float64)
        kept = torch.cos((time + 0.008) / 1.008 * math.pi / 2) ** 2
        added = 1 - kept[1:] / kept[:-1]
    else:
        raise UserError(f"noise schedule '{schedule}' is unknown: choose cosine or linear")
    return torch.cumprod(1 - added.clamp(max=0.999), 0)


def _spread(value: Tensor, like: Tensor) -> Tensor:
    """(B,) to (B, 1, ...), to be broadcast over `like`."""
    return value.view(-1, *[1] * (like.ndim - 1))
