"""Which experts tokens are sent to, and how evenly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Balanced = Literal["drawn", "all", "path"]


@dataclass
class Routed:
    """Where a layer sent its T tokens.

    Attributes:
        logits: (M, N) of the experts, for M samples whose tokens share them, or for every token.
        chosen: (T, k) experts of each token.
        weight: (T, k) what their outputs are multiplied by; sums to 1.
    """

    logits: Tensor
    chosen: Tensor
    weight: Tensor

    def shares(self) -> Tensor:
        """(N,) share of tokens that were sent to each expert; sums to k."""
        counts = torch.bincount(self.chosen.flatten(), minlength=self.logits.shape[1])
        return counts.to(self.logits.dtype) / len(self.chosen)

    def weights(self) -> Tensor:
        """(T, N) what the output of each expert is multiplied by for each token: 0 where it was not chosen."""
        empty = torch.zeros(len(self.chosen), self.logits.shape[1], dtype=self.weight.dtype, device=self.weight.device)
        return empty.scatter(1, self.chosen, self.weight)

    def balance(self, of: Balanced = "drawn") -> Tensor:
        """N sum_e f_e P_e: smallest where tokens are spread evenly (Fedus et al. 2022, equation 4).

        f_e is the share of tokens sent to e, P_e the mean weight of e: 0 where it was not drawn (`of` "drawn", as in
        the authors' code), or its chance whether it was drawn or not (else).
        """
        weight = self.weights() if of == "drawn" else functional.softmax(self.logits, -1)
        return self.logits.shape[1] * (self.shares() * weight.mean(0)).sum()

    def excess(self) -> Tensor:
        """Mean squared logarithm of the partition function (router z-loss, Zoph et al. 2022, equation 5)."""
        return self.logits.logsumexp(-1).square().mean()


def chosen_experts(chances: Tensor, active: int, draw: bool) -> tuple[Tensor, Tensor]:
    """(T, N) chances to `active` experts (T, k) and their chances among themselves (T, k).

    With `draw` they are drawn one after the other without replacement, else they are the likeliest.
    """
    chosen = torch.multinomial(chances.detach(), active) if draw else chances.topk(active, -1).indices
    picked = chances.gather(-1, chosen)
    return chosen, picked / picked.sum(-1, keepdim=True)
