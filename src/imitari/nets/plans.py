"""A causal transformer that reads a map patch by patch and then writes a plan: pairs of a cell and a move."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from imitari.nets.causal import CausalTransformer
from imitari.nets.procedure import convolutions

PATCH = 2  # cells a side that are read as one token


class PlanModel(nn.Module):
    """p(x_l | x_0 ... x_{l-1}, s), where x_l = cell * moves + move.

    Args:
        shape: (W, W, channels) of the map.
        moves: how many there are.
        widths: channels of the convolutions that look at the neighbourhood of each cell.
        width, heads, layers: of the transformer.
        longest: pairs of the longest plan.
        dropout: inside the transformer.
    """

    def __init__(
        self,
        shape: Sequence[int],
        moves: int,
        widths: Sequence[int],
        width: int,
        heads: int,
        layers: int,
        longest: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.moves, self.longest = moves, longest
        cells, self.patches = shape[0] * shape[1], -(-shape[0] // PATCH) * -(-shape[1] // PATCH)
        bent = [part for layer in convolutions(shape[2], widths) for part in (layer, nn.ReLU(inplace=True))]
        self.look = nn.Sequential(*bent)
        self.read = nn.Linear(widths[-1] * PATCH**2, width)
        self.inlet = nn.Linear(widths[-1], width)
        self.place = nn.Parameter(0.02 * torch.randn(cells, width))
        self.move = nn.Embedding(moves, width)
        self.begin = nn.Parameter(0.02 * torch.randn(width))
        self.body = CausalTransformer(0, width, heads, layers, self.patches + longest, dropout)
        self.outlet = nn.Linear(width, cells * moves)

    def seen(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, W, W, C) to one vector a cell (B, W W, width), and what is read before a plan (B, P + 1, width)."""
        maps = self.look(state.permute(0, 3, 1, 2))
        cells = self.inlet(maps.permute(0, 2, 3, 1).flatten(1, 2)) + self.place
        spare = [-side % PATCH for side in maps.shape[2:]]
        patches = functional.unfold(functional.pad(maps, (0, spare[1], 0, spare[0])), PATCH, stride=PATCH)
        begin = self.begin.expand(len(cells), 1, -1)
        return cells, torch.cat([self.read(patches.transpose(1, 2)), begin], 1)

    def pairs(self, cells: Tensor, tokens: Tensor) -> Tensor:
        """Tokens (B, N) as vectors (B, N, width): what is known of the cell, and the move."""
        where = tokens.div(self.moves, rounding_mode="floor")
        found = cells.gather(1, where[..., None].expand(-1, -1, cells.shape[-1]))
        return found + self.move(tokens.remainder(self.moves))

    def forward(self, state: Tensor, tokens: Tensor) -> Tensor:
        """Map and plan (B, N), any token behind its end, to logits (B, N, W W moves) of each pair from those before."""
        cells, before = self.seen(state)
        features = self.body.features(torch.cat([before, self.pairs(cells, tokens[:, :-1])], 1))
        return self.outlet(features[:, self.patches :])

    def generate(self, state: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
        """The likeliest pairs one after the other until one is at the cell `end` (B,).

        Returns:
            The last pair (B,), and whether it is at the end (B,).
        """
        cells, read = self.seen(state)
        cache = self.body.cache(self.patches + self.longest)
        last = torch.zeros(len(state), dtype=torch.long, device=state.device)
        going = torch.arange(len(state), device=state.device)
        for _ in range(self.longest):
            pair = self.outlet(self.body.features(read, cache=cache)[:, -1]).argmax(-1)
            last[going] = pair
            left = (pair.div(self.moves, rounding_mode="floor") != end[going]).nonzero()[:, 0]
            if not len(left):
                break
            if len(left) < len(going):
                going = going[left]
                cache.pick(left)
            read = self.pairs(cells[going], last[going, None])
        return last, last.div(self.moves, rounding_mode="floor") == end
