"""Recurrent networks over sequences, with their state as plain tensors with the batch first."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Cell = Literal["lstm", "gru"]
State = tuple[Tensor, ...]


class Recurrent(nn.Module):
    """LSTM (Hochreiter & Schmidhuber 1997) or GRU (Cho et al. 2014) layers.

    Args:
        inputs: features a step.
        width: of the hidden state, and of the output.
        layers: stacked on each other.
        cell: which kind.
    """

    def __init__(self, inputs: int, width: int, layers: int = 1, cell: Cell = "lstm") -> None:
        super().__init__()
        kind = nn.LSTM if cell == "lstm" else nn.GRU
        self.parts = 2 if cell == "lstm" else 1
        self.net = kind(inputs, width, layers, batch_first=True)

    def start(self, count: int) -> State:
        """Zero state for `count` sequences: `parts` tensors (count, layers, width)."""
        device = next(self.parameters()).device
        shape = (count, self.net.num_layers, self.net.hidden_size)
        return tuple(torch.zeros(shape, device=device) for _ in range(self.parts))

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """(B, T, inputs) and a state to (B, T, width) and the state after the last step."""
        state = self.start(len(x)) if state is None else state
        layered = tuple(part.transpose(0, 1).contiguous() for part in state)
        out, after = self.net(x, layered if self.parts == 2 else layered[0])
        # float32 also under autocast, so that a carried state has one type.
        return out, tuple(part.transpose(0, 1).float() for part in (after if self.parts == 2 else (after,)))
