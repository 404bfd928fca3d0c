"""Logits as a soft Q-function over texts: a state is what was written up to now, an action the next token.

V(s) is the logarithm of the summed exponentials of the logits, the policy is exp(Q - V), and the reward that explains
it is Q(s, a) - gamma V(s'), where nothing follows the end of a text. A text that was cut off has no end: what might
have followed counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from imitari.core.batch import Batch
from imitari.language.batches import RESPONSE, TERMINAL


@dataclass(frozen=True)
class SoftValues:
    """Of every token but the first, (B, T - 1).

    Attributes:
        chosen: Q(s, a), the logit of the token that was written.
        value: V(s) before it.
        after: V(s') after it, 0 after the end.
        mask: float, 1 at tokens of the response.
    """

    chosen: Tensor
    value: Tensor
    after: Tensor
    mask: Tensor

    @staticmethod
    def of(logits: Tensor, batch: Batch, level: Tensor | float = 0.0) -> SoftValues:
        """From the logits (B, T, vocabulary) at all tokens of a batch; `level` is taken off every logit."""
        logits = logits.float() - level
        value = torch.logsumexp(logits, -1)
        chosen = logits[:, :-1].gather(-1, batch.action[:, 1:, None])[..., 0]
        after = value[:, 1:].masked_fill(batch.extra[TERMINAL][:, 1:], 0.0)
        return SoftValues(chosen, value[:, :-1], after, batch.extra[RESPONSE][:, 1:].float())

    @property
    def log_likelihood(self) -> Tensor:
        """(B, T - 1) log pi(a | s)."""
        return self.chosen - self.value

    def reward(self, gamma: float) -> Tensor:
        """(B, T - 1) what the token brings: Q(s, a) - gamma V(s')."""
        return self.chosen - gamma * self.after

    def mean(self, each: Tensor) -> Tensor:
        """Mean of (B, T - 1) over the tokens of responses."""
        return (each * self.mask).sum() / self.mask.sum()

    def share(self, each: Tensor, which: Tensor) -> Tensor:
        """Mean of (B, T - 1) over the tokens of the responses `which` (B,)."""
        mask = self.mask * which[:, None]
        return (each * mask).sum() / mask.sum().clamp(min=1)

    def total(self, each: Tensor) -> Tensor:
        """(B,) sums over the tokens of each response."""
        return (each * self.mask).sum(-1)


def entropy(logits: Tensor) -> Tensor:
    """Entropy in nats of the next token, (..., vocabulary) to (...)."""
    logs = torch.log_softmax(logits.float(), -1)
    return -(logs.exp() * logs).sum(-1)


def divergence(logits: Tensor, first: nn.Module, tokens: Tensor) -> Tensor:
    """KL(next token of `logits` || of a frozen model that reads the same tokens), (B, T, vocabulary) to (B, T)."""
    first.eval()
    with torch.no_grad():
        before = torch.log_softmax(first(tokens).float(), -1)
    now = torch.log_softmax(logits.float(), -1)
    return (now.exp() * (now - before)).sum(-1)
