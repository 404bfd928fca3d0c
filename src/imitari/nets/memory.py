"""A causal transformer that remembers a fixed number of steps, its memory plain tensors with the batch first."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from imitari.nets.recurrent import State


class MemoryTransformer(nn.Module):
    """Every step sees itself and the `memory - 1` steps before it, in training and in acting alike.

    What acting carries along are the inputs of each layer at the last steps (Dai et al. 2019, "Transformer-XL");
    where a step lies is told by a learned bias for each distance and head.

    Args:
        inputs: features a step.
        width: of the tokens, and of the output.
        layers, heads: of attention; heads must divide the width.
        memory: steps that are seen, at least 1.
    """

    def __init__(self, inputs: int, width: int, layers: int, heads: int, memory: int) -> None:
        super().__init__()
        self.memory, self.width = memory, width
        self.inlet = nn.Linear(inputs, width)
        self.layers = nn.ModuleList(_Block(width, heads, memory) for _ in range(layers))

    def start(self, count: int) -> State:
        """Empty memory for `count` sequences: layer inputs (count, layers, memory, width), and steps kept (count,)."""
        device = self.inlet.weight.device
        kept = torch.zeros(count, len(self.layers), self.memory, self.width, device=device)
        return kept, torch.zeros(count, device=device)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """(B, T, inputs) and a memory to (B, T, width) and the memory after the last step."""
        kept, filled = self.start(len(x)) if state is None else state
        before = 0 if state is None else self.memory  # a blank memory holds nothing to attend to
        distance, seen = self._distance(x.shape[1], before, x.device)
        mask = seen[None] & (torch.arange(before + x.shape[1], device=x.device) >= before - filled[:, None])[:, None]
        x, after = self.inlet(x), []
        for number, layer in enumerate(self.layers):
            past = kept[:, number, self.memory - before :].to(x.dtype)
            whole = torch.cat([past, x], 1)
            after.append(torch.cat([kept[:, number], x.float()], 1)[:, -self.memory :].detach())
            x = layer(x, whole, distance, mask)
        # float32 also under autocast, so that a carried state has one type.
        return x, (torch.stack(after, 1), (filled + x.shape[1]).clamp(max=self.memory))

    def _distance(self, steps: int, before: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """(T, before + T) how far back each step lies, and whether it is seen."""
        back = before + torch.arange(steps, device=device)[:, None] - torch.arange(before + steps, device=device)
        return back.clamp(0, self.memory - 1), (back >= 0) & (back < self.memory)


class _Block(nn.Module):
    """Attention with a bias for each distance, and two linear layers; each with a norm before it and a skip."""

    def __init__(self, width: int, heads: int, memory: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.bias = nn.Parameter(torch.zeros(heads, memory))
        self.linear = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, whole: Tensor, distance: Tensor, mask: Tensor) -> Tensor:
        """Steps (B, T, W) attend to (B, M + T, W) where mask (B, T, M + T) is True."""
        memory = self.norms[0](whole)
        query = self.query(memory[:, -x.shape[1] :]).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        key, value = self.key_value(memory).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        score = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5 + self.bias[:, distance]
        weight = functional.softmax(score.float().masked_fill(~mask[:, None], -torch.inf), -1)
        x = x + self.out((weight.to(value.dtype) @ value).transpose(1, 2).flatten(2))
        return x + self.linear(self.norms[1](x))
