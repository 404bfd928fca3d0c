"""A causal transformer over tokens or given embeddings, with a cache of what it has read (Radford et al. 2019;
rotary positions: Su et al. 2021, equation 34)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from imitari.nets.transformer import Layer, Past, Turn


class Cache:
    """What a causal transformer has read of B sequences, so that the next tokens cost one step each.

    Attributes:
        layers: keys and values of every layer.
        valid: (B, L) bool, False where a token read is padding; None where none is.
    """

    def __init__(self, layers: int, capacity: int) -> None:
        self.layers = [Past(capacity) for _ in range(layers)]
        self.valid: Tensor | None = None

    @property
    def length(self) -> int:
        """Tokens read, padding included."""
        return self.layers[0].length

    def pick(self, rows: Tensor) -> None:
        """Keeps the sequences `rows` (n,), in that order; some may be there several times."""
        for layer in self.layers:
            layer.pick(rows)
        self.valid = None if self.valid is None else self.valid[rows]


class CausalTransformer(nn.Module):
    """Pre-norm blocks in which every token sees itself and those before it.

    Args:
        vocabulary: number of tokens; 0: it is given embeddings and gives features (`features`) alone.
        width, heads, layers: of the blocks; heads must divide the width.
        longest: tokens of the longest sequence (learned positions end there).
        dropout: of embeddings, attention and the blocks' outputs.
        rotary: positions are turned into queries and keys instead of learned vectors that are added.
        tied: logits are products with the tokens' embeddings instead of with weights of their own.

    Attributes:
        settings: all of these, as JSON values.
    """

    def __init__(
        self,
        vocabulary: int,
        width: int = 64,
        heads: int = 4,
        layers: int = 2,
        longest: int = 256,
        dropout: float = 0.0,
        rotary: bool = False,
        tied: bool = False,
    ) -> None:
        super().__init__()
        self.settings = {
            "vocabulary": vocabulary,
            "width": width,
            "heads": heads,
            "layers": layers,
            "longest": longest,
            "dropout": dropout,
            "rotary": rotary,
            "tied": tied,
        }
        self.longest = longest
        self.tokens = nn.Embedding(vocabulary, width) if vocabulary else None
        self.outlet = nn.Linear(width, vocabulary, bias=False) if vocabulary and not tied else None
        self.place = None if rotary else nn.Embedding(longest, width)
        self.layers = nn.ModuleList(Layer(width, heads, 4 * width, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.drop = nn.Dropout(dropout)
        self._turns = width // heads
        self.apply(_begin)

    def cache(self, capacity: int) -> Cache:
        """An empty cache for `capacity` tokens a sequence."""
        return Cache(len(self.layers), min(capacity, self.longest))

    def forward(self, tokens: Tensor, valid: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """Tokens (B, T) to logits (B, T, vocabulary) of the token that follows each; see `features`."""
        return self.logits(self.features(self.embed(tokens), valid, cache))

    def embed(self, tokens: Tensor) -> Tensor:
        """Tokens (B, T) to their embeddings (B, T, W)."""
        assert self.tokens is not None, "a transformer without vocabulary is given embeddings"
        return self.tokens(tokens)

    def logits(self, features: Tensor) -> Tensor:
        """Features (..., W) to logits (..., vocabulary)."""
        assert self.tokens is not None, "a transformer without vocabulary has no logits"
        return self.outlet(features) if self.outlet is not None else functional.linear(features, self.tokens.weight)

    def features(
        self,
        embedded: Tensor,
        valid: Tensor | None = None,
        cache: Cache | None = None,
        among: Tensor | None = None,
    ) -> Tensor:
        """Embeddings (B, T, W) to what the last block gives at each of them (B, T, W).

        Args:
            valid: (B, T) bool, False at padding, wherever it stands; nothing that is valid depends on it. None: no
                padding.
            cache: what came before these tokens; they are added to it.
            among: (T, T) bool, True where a token may look at another, of those before it; not with the other two.

        Raises:
            ValueError: when a sequence is longer than `longest`.
        """
        before = cache.length if cache else 0
        mask, place = self._arrange(embedded, valid, cache, before)
        if among is not None:
            mask = among.tril()[None]
        if self.place is not None:
            embedded = embedded + self.place(place)
        turn = None if self.place is not None else _turn(place, self._turns)
        x = self.drop(embedded)
        causal = mask is None and embedded.shape[1] > 1
        for number, layer in enumerate(self.layers):
            x = layer(x, mask=mask, causal=causal, turn=turn, past=cache.layers[number] if cache else None)
        return self.norm(x)

    def _arrange(
        self, embedded: Tensor, valid: Tensor | None, cache: Cache | None, before: int
    ) -> tuple[Tensor | None, Tensor]:
        """What may be looked at, (B or 1, T, before + T) or None where the plain causal order says it; and the
        positions (B or 1, T), counted without padding."""
        count, steps, device = len(embedded), embedded.shape[1], embedded.device
        if before + steps > self.longest:
            raise ValueError(f"a sequence of {before + steps} tokens is longer than {self.longest}")
        seen = cache.valid if cache else None
        rows = torch.arange(before, before + steps, device=device)
        if valid is None and seen is None:
            late = None if before == 0 or steps == 1 else rows[:, None] >= torch.arange(before + steps, device=device)
            return (None if late is None else late[None]), rows[None]
        now = torch.ones(count, steps, dtype=torch.bool, device=device) if valid is None else valid
        past = now.new_ones(count, before) if seen is None else seen
        every = torch.cat([past, now], 1)
        if cache:
            cache.valid = every
        columns = torch.arange(before + steps, device=device)
        # A padding token sees itself, so that no row of the attention is empty.
        own = rows[:, None] == columns
        mask = (rows[:, None] >= columns) & every[:, None] | own
        return mask, (every.long().cumsum(1)[:, before:] - 1).clamp(min=0)


def _turn(place: Tensor, width: int) -> Turn:
    """Rotates pairs of dimensions (d, d + width / 2) of queries and keys by an angle in proportion to the position."""
    rate = 10_000.0 ** (-torch.arange(0, width, 2, device=place.device) / width)
    angle = (place[..., None] * rate)[:, None]
    cos, sin = angle.cos(), angle.sin()

    def turn(x: Tensor) -> Tensor:
        left, right = x.chunk(2, -1)
        return torch.cat([left * cos - right * sin, right * cos + left * sin], -1).to(x.dtype)

    return turn


def _begin(module: nn.Module) -> None:
    """Small normal weights, so that a fresh model gives nearly equal logits."""
    for name, weight in module.named_parameters(recurse=False):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.zeros_(weight) if name == "bias" else nn.init.normal_(weight, std=0.02)
