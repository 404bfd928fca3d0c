"""A causal transformer over a window of observations and noisy actions in turn, which takes the noise away."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from imitari.nets.causal import CausalTransformer
from imitari.nets.denoiser import Along, LevelEmbedding


def narrow_transformer(width: int, heads: int, layers: int, longest: int, dropout: float) -> CausalTransformer:
    """A causal transformer over embeddings whose weights begin with deviation 1 / sqrt(inputs).

    The small deviation that suits language lets narrow layers add next to nothing at first, and learning begins late.
    """
    body = CausalTransformer(0, width, heads, layers, longest, dropout)
    for module in body.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
    return body


class WindowTransformer(nn.Module):
    """Tokens [level, o_1, a_1, ..., o_T, a_T]; what is estimated of an action is read off its token, which sees the
    observations up to it and the noisy actions before it. Windows may be shorter than the longest. With `joined`, o_t
    and a_t are one token, the sum of both.

    Args:
        features: of one observation F.
        action: size of an action A.
        window: longest T.
        width, heads, layers: of the transformer.
        dropout: of embeddings, attention and the blocks' outputs.
        joined: one token a step and not two.
        alone: actions are hidden from the steps after them; not with `joined`.

    Source: Reuss et al. 2023 (score-based policies with transformers), without goals.
    """

    among: Tensor | None

    def __init__(
        self,
        features: int,
        action: int,
        window: int,
        width: int,
        heads: int,
        layers: int,
        dropout: float = 0.0,
        joined: bool = False,
        alone: bool = False,
    ) -> None:
        super().__init__()
        self.each = 1 if joined else 2  # tokens a step
        count = 1 + 2 * window
        actions = (torch.arange(count) > 0) & (torch.arange(count) % 2 == 0)
        among = ~actions | torch.eye(count, dtype=torch.bool)
        self.register_buffer("among", among if alone else None, persistent=False)
        self.level = nn.Sequential(LevelEmbedding(width), nn.Linear(width, width))
        self.observe = nn.Linear(features, width)
        self.inlet = nn.Linear(action, width)
        self.body = narrow_transformer(width, heads, layers, 1 + self.each * window, dropout)
        self.outlet = nn.Linear(width, action)

    def prepare(self, features: Tensor) -> Tensor:
        """Features (B, T, F) of the observations to the condition of `forward`: the same at every noise level."""
        return self.observe(features)

    def forward(self, noisy: Tensor, level: Tensor, condition: Tensor) -> Tensor:
        """Noisy actions (B, T, A), level (B,) and a prepared condition to (B, T, A)."""
        return self._seeing(noisy, self.level(level).unsqueeze(1), condition)

    def along(self, levels: Tensor, condition: Tensor) -> Along:
        """`forward` for calls at each of the `levels` (S,), in this order: all their tokens are made at once."""
        tokens = iter(self.level(levels).unsqueeze(1).split(1))
        return lambda noisy, _: self._seeing(noisy, next(tokens).expand(len(noisy), -1, -1), condition)

    def _seeing(self, noisy: Tensor, level: Tensor, condition: Tensor) -> Tensor:
        parts = [condition, self.inlet(noisy)]
        steps = parts[0] + parts[1] if self.each == 1 else torch.stack(parts, 2).flatten(1, 2)
        tokens = torch.cat([level, steps], 1)
        among = None if self.among is None else self.among[: tokens.shape[1], : tokens.shape[1]]
        return self.outlet(self.body.features(tokens, among=among)[:, self.each :: self.each])
