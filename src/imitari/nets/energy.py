"""Energy-based models of actions: an energy is low where an action is likely. What trains them and draws from them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from imitari.nets.mlp import Activation, ResidualMLP

Energy = Callable[[Tensor], Tensor]  # actions (B, N, A) to energies (B, N)


class ActionEnergy(nn.Module):
    """A residual perceptron over an observation and an action.

    Args:
        features: of the observation F.
        action: size of an action A.
        width, blocks: of the perceptron.
    """

    def __init__(
        self, features: int, action: int, width: int = 128, blocks: int = 3, activation: Activation = "mish"
    ) -> None:
        super().__init__()
        self.body = ResidualMLP(features + action, width, blocks, 1, activation=activation)

    def forward(self, features: Tensor, action: Tensor) -> Tensor:
        """Features (B, F) and N actions for each (B, N, A) to energies (B, N)."""
        seen = features.unsqueeze(1).expand(-1, action.shape[1], -1)
        return self.body(torch.cat([seen, action], -1)).squeeze(-1)


def info_nce(energies: Tensor) -> Tensor:
    """-log of the share that the first of (B, 1 + N) actions has of all exp(-energy): (B,).

    Source: van den Oord et al. 2018; Florence et al. 2022, equation 3.
    """
    return -functional.log_softmax(-energies.float(), -1)[:, 0]


def steepness(energy: Energy, action: Tensor, most: float = 1.0) -> Tensor:
    """How far the largest slope of the energy in an action is above `most`, squared, (B, N): what keeps an energy
    smooth enough for `langevin`. Differentiable.

    Source: Florence et al. 2022, appendix B.3.1 (with the largest component as norm).
    """
    slope = _slope(energy, action, again=True)
    return (slope.abs().amax(-1) - most).clamp(min=0).square()


def langevin(
    energy: Energy,
    start: Tensor,
    steps: int,
    *,
    first: float = 0.1,
    last: float = 1e-5,
    power: float = 2.0,
    noise: float = 1.0,
    change: float = 0.1,
    bound: float = 1.0,
) -> Tensor:
    """Down the energy with noise: y <- y - rate (slope / 2 + noise * standard normal), without gradient to the weights.

    Args:
        energy: see `Energy`.
        start: (B, N, A).
        steps: K.
        first, last, power: the rate of step k is (first - last) (1 - k / K)^power + last.
        noise: its deviation in units of the rate.
        change: bound on each component of a step.
        bound: actions stay within [-bound, bound].

    Returns:
        (B, N, A).

    Source: Florence et al. 2022, "Implicit Behavioral Cloning", appendix B.3.
    """
    action = start.detach()
    for step in range(steps):
        rate = (first - last) * (1 - step / steps) ** power + last
        moved = rate * (_slope(energy, action) / 2 + noise * torch.randn_like(action))
        action = (action - moved.clamp(-change, change)).clamp(-bound, bound)
    return action


def _slope(energy: Energy, action: Tensor, again: bool = False) -> Tensor:
    """Gradient of the energies in their actions; `again`: it can itself be differentiated."""
    with torch.enable_grad():
        action = action.detach().requires_grad_()
        return torch.autograd.grad(energy(action).sum(), action, create_graph=again)[0]
