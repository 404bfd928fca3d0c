"""Networks that clean a noisy action chunk, given a condition and the noise level: the parts of generative policies."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from imitari.nets.acting import MOST_ROWS, Linear

# (noisy chunk (B, C, A), noise level (B,)) -> (B, C, A), to be called at the levels it was made for, in their order.
Along = Callable[[Tensor, Tensor], Tensor]


class LevelEmbedding(nn.Module):
    """Sines and cosines of the noise level: (B,) in [0, 1] to (B, width)."""

    frequencies: Tensor

    def __init__(self, width: int, highest: float = 200.0) -> None:
        super().__init__()
        frequencies = torch.exp(torch.linspace(0, math.log(highest), width // 2))
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, level: Tensor) -> Tensor:
        angle = level.float()[:, None] * self.frequencies
        return torch.cat([torch.sin(angle), torch.cos(angle)], -1)


class _Block(nn.Module):
    """A residual MLP whose norm is shifted, scaled and gated by the condition (AdaLN-Zero, Peebles & Xie 2023)."""

    def __init__(self, width: int, expansion: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = Linear(width, 3 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        self.body = nn.Sequential(
            Linear(width, expansion * width), nn.SiLU(), nn.Dropout(dropout), Linear(expansion * width, width)
        )

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        shift, scale, gate = modulation.chunk(3, -1)
        return x + (1 + gate) * self.body(self.norm(x) * (1 + scale) + shift)


class ChunkMLP(nn.Module):
    """A residual MLP over the flattened chunk, conditioned through its norms.

    Args:
        condition: width of the condition vector.
        chunk, action: shape of what is denoised.
        width, depth, expansion: of the blocks.
        dropout: inside the blocks.
    """

    def __init__(
        self,
        condition: int,
        chunk: int,
        action: int,
        width: int = 256,
        depth: int = 4,
        expansion: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.shape = (chunk, action)
        self.level = LevelEmbedding(64)
        self.read_level = Linear(64, width)
        self.read_condition = nn.Sequential(Linear(condition, width), nn.SiLU(), Linear(width, width))
        self.inlet = Linear(chunk * action, width)
        self.blocks = nn.ModuleList(_Block(width, expansion, dropout) for _ in range(depth))
        last = Linear(width, chunk * action)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.outlet = nn.Sequential(nn.LayerNorm(width), last)

    def forward(self, noisy: Tensor, level: Tensor, condition: Tensor) -> Tensor:
        """Noisy chunk (B, C, A), level (B,), condition (B, F) to (B, C, A)."""
        seen = self.read_condition(condition)
        return self._modulated(noisy, seen, self._modulations(self.level(level), seen))

    def along(self, levels: Tensor, condition: Tensor) -> Along:
        """`forward` for calls at each of the `levels` (S,), in this order: all modulations are made at once."""
        seen = self.read_condition(condition)
        if len(levels) * len(seen) > MOST_ROWS:  # one product a step does as well there, and needs less memory
            return lambda noisy, level: self._modulated(noisy, seen, self._modulations(self.level(level), seen))
        steps = zip(*self._modulations(self.level(levels).unsqueeze(1), seen), strict=True)
        return lambda noisy, _: self._modulated(noisy, seen, next(steps))

    def _modulations(self, level: Tensor, seen: Tensor) -> list[Tensor]:
        """Embedded levels (..., E) and condition (B, W) to shift, scale and gate of each block (..., B, 3 W)."""
        mixed = functional.silu(seen + self.read_level(level))
        return [cast(_Block, block).modulation(mixed) for block in self.blocks]

    def _modulated(self, noisy: Tensor, seen: Tensor, modulations: Iterable[Tensor]) -> Tensor:
        x = self.inlet(noisy.flatten(1)) + seen
        for block, modulation in zip(self.blocks, modulations, strict=True):
            x = block(x, modulation)
        return self.outlet(x).unflatten(-1, self.shape)
