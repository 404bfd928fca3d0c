"""A causal transformer that reads a map patch by patch and then writes a plan backwards, one move after the other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from imitari.nets.causal import CausalTransformer
from imitari.nets.procedure import convolutions

PATCH = 2  # cells a side that are read as one token


class PlanModel(nn.Module):
    """p(x_l | x_0 ... x_{l-1}, s), where x_l is the move that leads to the cell that the plan has come back to.

    Args:
        shape: (W, W, channels) of the map.
        moves: what each adds to the place of the agent: pairs (x, y).
        widths: channels of the convolutions that look at the neighbourhood of each cell.
        width, heads, layers: of the transformer.
        longest: moves of the longest plan.
        dropout: inside the transformer.
    """

    moves: Tensor

    def __init__(
        self,
        shape: Sequence[int],
        moves: Sequence[tuple[int, int]],
        widths: Sequence[int],
        width: int,
        heads: int,
        layers: int,
        longest: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.side, self.longest = shape[0], longest
        self.register_buffer("moves", torch.tensor(moves), persistent=False)
        self.patches = (-(-self.side // PATCH)) ** 2
        bent = [part for layer in convolutions(shape[2], widths) for part in (layer, nn.ReLU(inplace=True))]
        self.look = nn.Sequential(*bent)
        self.read = nn.Linear(widths[-1] * PATCH**2, width)
        self.inlet = nn.Linear(widths[-1], width)
        self.place = nn.Parameter(0.02 * torch.randn(self.side**2, width))
        self.last = nn.Embedding(len(moves) + 1, width)  # the move that a token stands for; none at the beginning
        self.body = CausalTransformer(0, width, heads, layers, self.patches + longest, dropout)
        self.outlet = nn.Linear(width, len(moves))

    def seen(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, W, W, C) to one vector a cell (B, W W, width), and the patches (B, P, width)."""
        maps = self.look(state.permute(0, 3, 1, 2))
        cells = self.inlet(maps.permute(0, 2, 3, 1).flatten(1, 2)) + self.place
        spare = -self.side % PATCH
        patches = functional.unfold(functional.pad(maps, (0, spare, 0, spare)), PATCH, stride=PATCH)
        return cells, self.read(patches.transpose(1, 2))

    def tokens(self, cells: Tensor, place: Tensor, move: Tensor) -> Tensor:
        """Places (B, N, 2) and the moves from there (B, N) as vectors (B, N, width)."""
        inside = place.clamp(0, self.side - 1)
        index = (inside[..., 0] * self.side + inside[..., 1])[..., None].expand(-1, -1, cells.shape[-1])
        return cells.gather(1, index) + self.last(move)

    def forward(self, state: Tensor, begin: Tensor, plan: Tensor) -> Tensor:
        """Map, cell (B, 2) where the plan ends, and moves (B, N) from there back, any behind its end, to logits
        (B, N, moves) of each move from those before."""
        cells, patches = self.seen(state)
        done = plan[:, :-1]
        place = torch.cat([begin[:, None], begin[:, None] - self.moves[done].cumsum(1)], 1)
        none = torch.full_like(plan[:, :1], len(self.moves))
        read = torch.cat([patches, self.tokens(cells, place, torch.cat([none, done], 1))], 1)
        return self.outlet(self.body.features(read)[:, self.patches :])

    def generate(self, state: Tensor, begin: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
        """The likeliest moves one after the other, from `begin` back until they come to `end`, both (B, 2).

        Returns:
            The last move (B,), and whether it begins at the end (B,).
        """
        cells, read = self.seen(state)
        cache = self.body.cache(self.patches + self.longest)
        place, last = begin.clone(), torch.full((len(state),), len(self.moves), device=state.device)
        going = torch.arange(len(state), device=state.device)
        for number in range(self.longest):
            token = self.tokens(cells[going], place[going, None], last[going, None])
            read = token if number else torch.cat([read, token], 1)
            move = self.outlet(self.body.features(read, cache=cache)[:, -1]).argmax(-1)
            last[going] = move
            place[going] -= self.moves[move]
            left = (place[going] != end[going]).any(1).nonzero()[:, 0]
            if not len(left):
                break
            if len(left) < len(going):
                going = going[left]
                cache.pick(left)
        return last, (place == end).all(1)
