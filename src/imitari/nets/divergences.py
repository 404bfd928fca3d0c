"""f-divergences and the losses made of them, by which a state value is drawn towards the best values in the data.

A divergence D_f(p || q) = E_q[f(p/q)] enters a dual problem through the convex conjugate f*(y) = max_x [x y - f(x)],
or, where p must not be negative, f*_p(y) = max_{x >= 0} [x y - f(x)] (Sikchi et al. 2023, "Dual RL"). Generators:
chi-square f(x) = (x - 1)^2, total variation f(x) = |x - 1| / 2, reverse KL f(x) = x log x.

Losses take advantages (...,) = Q(s, a) - V(s), whose gradient reaches V, and give a scalar.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Divergence = Literal["chi_square", "total_variation"]


def chi_square_conjugate(y: Tensor) -> Tensor:
    """f*(y) = y^2 / 4 + y of f(x) = (x - 1)^2, the maximum at x = 1 + y / 2."""
    return y**2 / 4 + y


def chi_square_conjugate_nonnegative(y: Tensor) -> Tensor:
    """f*_p(y) of chi-square: y^2 / 4 + y down to y = -2, then constant -1 (the maximum lies at x = 0)."""
    return chi_square_conjugate(y.clamp(min=-2))


def chi_square_ratio(y: Tensor) -> Tensor:
    """The density ratio x >= 0 that attains f*_p(y) of chi-square, which is its derivative: max(1 + y / 2, 0)."""
    return (1 + y / 2).clamp(min=0)


def total_variation_conjugate_nonnegative(y: Tensor) -> Tensor:
    """f*_p(y) of total variation: y between -1/2 and 1/2, then constant -1/2; infinite above 1/2."""
    return torch.where(y > 0.5, torch.inf, y.clamp(min=-0.5))


def reverse_kl_conjugate(y: Tensor) -> Tensor:
    """f*(y) = exp(y - 1) of f(x) = x log x."""
    return torch.exp(y - 1)


def chi_square_ramp(y: Tensor) -> Tensor:
    """f*_p of chi-square as f-DVL uses it: y^2 / 4 + y above 0 and 0 below.

    The code of f-DVL takes max(y^2 / 4 + y, 0), which rises again below y = -4; there this is 0 too.
    """
    return chi_square_conjugate(y.clamp(min=0))


def total_variation_ramp(y: Tensor) -> Tensor:
    """f*_p of total variation as f-DVL uses it, moved so that it bends at 0: max(y, 0)."""
    return y.clamp(min=0)


RAMPS = {"chi_square": chi_square_ramp, "total_variation": total_variation_ramp}


def ramp_loss(advantage: Tensor, divergence: Divergence, balance: float) -> Tensor:
    """(1 - balance) E[-d] + balance E[f*_p(d)]: dual-V learning (f-DVL, Sikchi et al. 2023), V(s) being in d.

    Args:
        balance: lambda of the paper, in (0, 1]: the larger, the nearer V comes to the largest value in the data.
    """
    return balance * RAMPS[divergence](advantage).mean() - (1 - balance) * advantage.mean()


def expectile_loss(advantage: Tensor, expectile: float) -> Tensor:
    """|expectile - 1(d < 0)| d^2 (Kostrikov et al. 2021, equation 5)."""
    weight = torch.where(advantage > 0, expectile, 1 - expectile)
    return (weight * advantage**2).mean()


def gumbel_loss(advantage: Tensor, scale: float, largest: float) -> Tensor:
    """exp(z) - z - 1 with z = min(d / scale, largest): Gumbel regression (Garg et al. 2023, "Extreme Q-Learning").

    V is drawn towards scale * log E[exp(Q / scale)]. The loss is divided by exp(max z), at least by exp(-1), so that it
    cannot overflow; above the bound a sample has no gradient.

    Args:
        scale: of the Gumbel noise, above 0 (`alpha`): the smaller, the nearer V comes to the maximum.
        largest: bound on z; 0: none.
    """
    z = advantage / scale
    z = z.clamp(max=largest) if largest else z
    top = z.detach().amax().clamp(min=-1)
    return (torch.exp(z - top) - z * torch.exp(-top) - torch.exp(-top)).mean()
