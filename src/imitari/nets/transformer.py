"""Transformers (Vaswani et al. 2017): attention, encoder and decoder layers, and a denoiser of action chunks."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from imitari.nets.acting import Fixed, Linear, direct, gelu_, joined
from imitari.nets.denoiser import Along, LevelEmbedding
from imitari.nets.norms import RMSNorm

# Queries and keys (B, heads, N, W / heads) to the same with their positions turned into them.
Turn = Callable[[Tensor], Tensor]
# A layer or a norm: a module, or a function that does the same.
Step = Callable[[Tensor], Tensor]


class Past:
    """Keys and values of the tokens that a layer has read: room for `capacity` of them, of which `length` are used."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.length = capacity, 0
        self._kept: Tensor | None = None  # (2, B, heads, capacity, W / heads)

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Adds keys and values (B, heads, N, W / heads); returns all up to now."""
        end = self.length + key.shape[2]
        if end > self.capacity:
            raise ValueError(f"a cache for {self.capacity} tokens is given {end}")
        if self._kept is None:
            self._kept = key.new_empty(2, *key.shape[:2], self.capacity, key.shape[3])
        self._kept[0, :, :, self.length : end], self._kept[1, :, :, self.length : end] = key, value
        self.length = end
        return self._kept[0, :, :, :end], self._kept[1, :, :, :end]

    def pick(self, rows: Tensor) -> None:
        """Keeps the sequences `rows` (n,), in that order; some may be there several times."""
        if self._kept is not None:
            self._kept = self._kept[:, rows]


class Projections(NamedTuple):
    """The linear layers of an attention.

    Attributes:
        together: query, key and value of a sequence's attention to itself as one, where that is kept.
    """

    query: Step
    key_value: Step
    out: Step
    together: Step | None = None


class Attention(Fixed):
    """Multi-head attention of one sequence to another.

    Args:
        width: of all tokens.
        heads: must divide the width.
        dropout: of attention weights, in training.
        normed: queries and keys of each head have norms (Henry et al. 2020, with RMS norms).
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0, normed: bool = False) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query = Linear(width, width)
        self.key_value = Linear(width, 2 * width)
        self.out = Linear(width, width)
        self.norms = nn.ModuleList(RMSNorm(width // heads) for _ in range(2)) if normed else None

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        mask: Tensor | None = None,
        causal: bool = False,
        turn: Turn | None = None,
        past: Past | None = None,
    ) -> Tensor:
        """(B, N, W) attends to (B, M, W).

        Args:
            mask: (B, M), or (B, N, M) where queries differ: True where the memory may be looked at.
            causal: query n sees the memory up to n; not together with a mask.
            turn: puts positions into queries and keys.
            past: what was read before; this memory is added to it, and M counts both.
        """
        through = self._projections()
        if through.together is not None and x is memory:
            query, key, value = self._split(through.together(x), 3)
            query = self._normed(query, 0)
        else:
            query = self._asked(x, through)
            key, value = self._split(through.key_value(memory), 2)
        key = self._normed(key, 1)
        if turn is not None:
            query, key = turn(query), turn(key)
        if past is not None:
            key, value = past.extend(key, value)
        if mask is not None:
            mask = mask[:, None, None, :] if mask.ndim == 2 else mask[:, None]
        return through.out(self._seen(query, key, value, mask, causal))

    def ask(self, x: Tensor) -> Tensor:
        """The queries (B, heads, N, W / heads) of (B, N, W)."""
        return self._asked(x, self._projections())

    def answer(self, query: Tensor, memory: Tensor) -> Tensor:
        """`forward` of a sequence that asked (`ask`) already, without what is said there in further arguments."""
        through = self._projections()
        key, value = self._split(through.key_value(memory), 2)
        return through.out(self._seen(query, self._normed(key, 1), value))

    def _asked(self, x: Tensor, through: Projections) -> Tensor:
        return self._normed(through.query(x).unflatten(-1, (self.heads, -1)).transpose(1, 2), 0)

    def _split(self, projected: Tensor, parts: int) -> tuple[Tensor, ...]:
        """(B, N, parts W) to as many (B, heads, N, W / heads)."""
        return projected.unflatten(-1, (parts, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)

    def _normed(self, x: Tensor, number: int) -> Tensor:
        return x if self.norms is None else self.norms[number](x)

    def _projections(self) -> Projections:
        if self.fixed:
            return self.keep(self._kept_projections)
        return Projections(self.query, self.key_value, self.out)

    def _kept_projections(self) -> Projections:
        each = direct(self.query), direct(self.key_value), direct(self.out)
        return Projections(*each, joined(self.query, self.key_value))

    def _seen(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        """(B, heads, N, W / heads) and (B, heads, M, W / heads) to (B, N, W)."""
        # On CPUs the backward pass of the fused kernel takes twice the time of the plain formula in bfloat16, and less
        # than half of it in float32.
        plain = torch.is_grad_enabled() and query.dtype == torch.bfloat16 and query.device.type == "cpu"
        with sdpa_kernel(SDPBackend.MATH) if plain else nullcontext():
            seen = functional.scaled_dot_product_attention(
                query,
                key,
                value,
                attn_mask=mask,
                dropout_p=self.dropout if self.training else 0.0,
                is_causal=causal,
            )
        return seen.transpose(1, 2).flatten(2)


class Begun(NamedTuple):
    """A sequence (B, N, W) behind a layer's self-attention, and its queries to a memory where there is one."""

    x: Tensor
    query: Tensor | None

    def over(self, count: int) -> Begun:
        """The same for `count` samples, begun with one."""
        if count == 1:
            return self
        return Begun(self.x.expand(count, -1, -1), None if self.query is None else self.query.expand(count, -1, -1, -1))


class Layer(Fixed):
    """Self-attention, attention to a memory (where there is one), and two linear layers, each with a skip.

    Args:
        width, heads: of the attention.
        inner: width of the linear layers.
        dropout: of attention weights and of each part's output.
        cross: with attention to a memory.
        first: normalise the input of each part ("pre-norm", Xiong et al. 2020), not its output with the skip.
    """

    def __init__(
        self, width: int, heads: int, inner: int, dropout: float = 0.0, cross: bool = False, first: bool = True
    ) -> None:
        super().__init__()
        self.first = first
        self.own = Attention(width, heads, dropout)
        self.other = Attention(width, heads, dropout) if cross else None
        self.linear = nn.Sequential(Linear(width, inner), nn.GELU(), nn.Dropout(dropout), Linear(inner, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3 if cross else 2))
        self.drop = nn.Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        memory: Tensor | None = None,
        mask: Tensor | None = None,
        causal: bool = False,
        turn: Turn | None = None,
        past: Past | None = None,
    ) -> Tensor:
        """(B, N, W) to (B, N, W); mask (B, N) hides tokens of the sequence itself where it is False. The last
        arguments are those of `Attention`, of the sequence to itself."""
        return self.finish(self.begin(x, mask, causal, turn, past), memory)

    def begin(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        causal: bool = False,
        turn: Turn | None = None,
        past: Past | None = None,
    ) -> Begun:
        """The part that does not depend on the memory: self-attention, and what it asks the memory then."""
        norms, _ = self._steps()
        inside = norms[0](x) if self.first else x
        x = self._joined(x, self.own(inside, inside, mask, causal, turn, past), norms[0])
        if self.other is None:
            return Begun(x, None)
        return Begun(x, self.other.ask(norms[1](x) if self.first else x))

    def finish(self, begun: Begun, memory: Tensor | None = None) -> Tensor:
        """What comes after `begin`."""
        norms, widened = self._steps()
        x, query = begun
        if self.other is not None and query is not None and memory is not None:
            x = self._joined(x, self.other.answer(query, memory), norms[1])
        return self._joined(x, widened(norms[-1](x) if self.first else x), norms[-1])

    def _steps(self) -> tuple[list[Step], Step]:
        """The norms, and the linear layers with what is between them."""
        if self.fixed:
            return self.keep(self._kept_steps, list)  # of no weights as they are: they hold the weights themselves
        linear = self.linear if self.training or torch.is_grad_enabled() else _bent(self.linear[0], self.linear[-1])
        return list(self.norms), linear

    def _kept_steps(self) -> tuple[list[Step], Step]:
        return [direct(norm) for norm in self.norms], _bent(direct(self.linear[0]), direct(self.linear[-1]))

    def _joined(self, x: Tensor, added: Tensor, norm: Step) -> Tensor:
        x = x + (self.drop(added) if self.training else added)
        return x if self.first else norm(x)


def _bent(inlet: Step, outlet: Step) -> Step:
    """Two linear layers with GELU between them, where nothing needs gradients: in place, since wide tensors cost more
    to allocate than to bend."""
    return lambda x: outlet(gelu_(inlet(x)))


class Transformer(Fixed):
    """Layers one after the other, with a norm at the end where they normalise their inputs."""

    def __init__(
        self,
        width: int,
        heads: int,
        layers: int,
        inner: int,
        dropout: float = 0.0,
        cross: bool = False,
        first: bool = True,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(width, heads, inner, dropout, cross, first) for _ in range(layers))
        self.norm = nn.LayerNorm(width) if first else nn.Identity()

    def forward(
        self, x: Tensor, memory: Tensor | None = None, mask: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        for layer in self.layers:
            x = layer(x, memory, mask, causal)
        return self._last()(x)

    def finish(self, begun: Begun, memory: Tensor) -> Tensor:
        """`forward` of a sequence with which the first layer has begun (`Layer.begin`)."""
        first, *others = self.layers
        x = cast(Layer, first).finish(begun, memory)
        for layer in others:
            x = layer(x, memory)
        return self._last()(x)

    def _last(self) -> Step:
        return self.keep(lambda: direct(self.norm), list) if self.fixed else self.norm


def positions(count: int, width: int) -> Tensor:
    """Sines and cosines of the position (Vaswani et al. 2017, section 3.5): (count, width)."""
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angle = torch.arange(count)[:, None] * rate
    return torch.stack([torch.sin(angle), torch.cos(angle)], -1).flatten(1)[:, :width]


class ChunkTransformer(nn.Module):
    """Denoises an action chunk token by token; each action sees the earlier ones, the noise level and the observations
    (Chi et al. 2023, time-series diffusion transformer).

    Args:
        condition: width of one observation's features; history: observations in the condition.
        chunk, action: shape of what is denoised.
        width, heads, layers: of the decoder.
        dropout: inside it.
        encoder_layers: of a transformer over the observations, behind the perceptron that reads each of them.
    """

    def __init__(
        self,
        condition: int,
        history: int,
        chunk: int,
        action: int,
        width: int = 256,
        heads: int = 4,
        layers: int = 8,
        dropout: float = 0.3,
        encoder_layers: int = 0,
    ) -> None:
        super().__init__()
        self.level = nn.Sequential(LevelEmbedding(width), nn.Linear(width, width))
        self.observe = Linear(condition, width)
        self.read = nn.Sequential(Linear(width, 4 * width), nn.SiLU(), Linear(4 * width, width))
        self.inlet = nn.Linear(action, width)
        self.place = nn.Parameter(0.02 * torch.randn(chunk, width))
        self.time = nn.Parameter(0.02 * torch.randn(1 + history, width))
        self.body = Transformer(width, heads, layers, 4 * width, dropout, cross=True)
        encoder = (width, heads, encoder_layers, 4 * width, dropout)
        self.relate = Transformer(*encoder) if encoder_layers else nn.Identity()
        self.outlet = nn.Linear(width, action)

    def prepare(self, features: Tensor) -> Tensor:
        """Features (B, H, F) of the observations to the condition of `forward`: the same at every noise level."""
        return self.relate(self.read(self.observe(features) + self.time[1:]))

    def forward(self, noisy: Tensor, level: Tensor, condition: Tensor) -> Tensor:
        """Noisy chunk (B, C, A), noise level (B,) and a prepared condition to (B, C, A)."""
        return self._seeing(noisy, self._token(level), condition)

    def along(self, levels: Tensor, condition: Tensor) -> Along:
        """`forward` for calls at each of the `levels` (S,), in this order: all their tokens are made at once."""
        tokens = iter(self._token(levels).split(1))
        return lambda noisy, _: self._seeing(noisy, next(tokens).expand(len(noisy), -1, -1), condition)

    def _token(self, level: Tensor) -> Tensor:
        return self.read(self.level(level).unsqueeze(1) + self.time[:1])

    def _seeing(self, noisy: Tensor, token: Tensor, condition: Tensor) -> Tensor:
        memory = torch.cat([token, condition], 1)
        return self.outlet(self.body(self.inlet(noisy) + self.place, memory, causal=True))
