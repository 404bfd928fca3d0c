"""Transformers (Vaswani et al. 2017): attention, encoder and decoder layers, and a denoiser of action chunks."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from imitari.nets.acting import Linear
from imitari.nets.denoiser import Along, LevelEmbedding
from imitari.nets.norms import RMSNorm

# Queries and keys (B, heads, N, W / heads) to the same with their positions turned into them.
Turn = Callable[[Tensor], Tensor]


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


class Attention(nn.Module):
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
        query = self.query(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        key, value = self.key_value(memory).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        if self.norms is not None:
            query, key = self.norms[0](query), self.norms[1](key)
        if turn is not None:
            query, key = turn(query), turn(key)
        if past is not None:
            key, value = past.extend(key, value)
        if mask is not None:
            mask = mask[:, None, None, :] if mask.ndim == 2 else mask[:, None]
        # On CPUs the backward pass of the fused kernel takes twice the time of the plain formula in bfloat16, and less
        # than half of it in float32.
        plain = x.device.type == "cpu" and query.dtype == torch.bfloat16 and torch.is_grad_enabled()
        with sdpa_kernel(SDPBackend.MATH) if plain else nullcontext():
            seen = functional.scaled_dot_product_attention(
                query,
                key,
                value,
                attn_mask=mask,
                dropout_p=self.dropout if self.training else 0.0,
                is_causal=causal,
            )
        return self.out(seen.transpose(1, 2).flatten(2))


class Layer(nn.Module):
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
    ) -> Tensor:
        """The part that does not depend on the memory: self-attention."""
        norm = self.norms[0]
        inside = norm(x) if self.first else x
        return self._joined(x, self.own(inside, inside, mask, causal, turn, past), norm)

    def finish(self, x: Tensor, memory: Tensor | None = None) -> Tensor:
        """What comes after `begin`."""
        if self.other is not None and memory is not None:
            norm = self.norms[1]
            x = self._joined(x, self.other(norm(x) if self.first else x, memory), norm)
        norm = self.norms[-1]
        return self._joined(x, self._widened(norm(x) if self.first else x), norm)

    def _widened(self, x: Tensor) -> Tensor:
        if self.training or torch.is_grad_enabled():
            return self.linear(x)
        inlet, _, _, outlet = self.linear  # at one sample, calls that do nothing are a tenth of the time
        return outlet(torch.ops.aten.gelu_(inlet(x)))  # in place: wide tensors cost more to allocate than to bend

    def _joined(self, x: Tensor, added: Tensor, norm: nn.Module) -> Tensor:
        x = x + (self.drop(added) if self.training else added)
        return x if self.first else norm(x)


class Transformer(nn.Module):
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
        return self.norm(x)

    def finish(self, begun: Tensor, memory: Tensor) -> Tensor:
        """`forward` of a sequence with which the first layer has begun (`Layer.begin`)."""
        first, *others = self.layers
        x = cast(Layer, first).finish(begun, memory)
        for layer in others:
            x = layer(x, memory)
        return self.norm(x)


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
