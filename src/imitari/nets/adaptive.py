"""A transformer over the tokens of an action chunk, conditioned through its norms (DiT, Peebles & Xie 2023)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from imitari.nets.acting import Linear
from imitari.nets.denoiser import Along, LevelEmbedding
from imitari.nets.transformer import Attention, positions


class AdaptiveLayer(nn.Module):
    """Self-attention and two linear layers; the condition shifts, scales and gates both (AdaLN-Zero).

    Args:
        width, heads: of the attention.
        inner: width between the linear layers.
        dropout: of attention weights and of each part's output.
    """

    def __init__(self, width: int, heads: int, inner: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.attention = Attention(width, heads, dropout)
        self.linear = nn.Sequential(Linear(width, inner), nn.GELU(approximate="tanh"), Linear(inner, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width, elementwise_affine=False) for _ in range(2))
        self.drop = nn.Dropout(dropout) if dropout else nn.Identity()
        self.modulation = zeroed(Linear(width, 6 * width))

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        """Tokens (B, N, W) and what `modulation` made of the condition, (B, 6 W), to tokens."""
        shift, scale, gate, shift_after, scale_after, gate_after = modulation.unsqueeze(1).chunk(6, -1)
        first, second = self.norms
        read = first(x) * (1 + scale) + shift
        x = x + gate * self.drop(self.attention(read, read))
        return x + gate_after * self.drop(self.linear(second(x) * (1 + scale_after) + shift_after))


class AdaptiveTransformer(nn.Module):
    """Denoises a chunk, one token an action; every token sees all others, and all see one condition vector.

    Args:
        condition: width of the condition vector.
        chunk, action: shape of what is denoised.
        width, heads, layers: of the transformer.
        dropout: inside it.
    """

    place: Tensor

    def __init__(
        self, condition: int, chunk: int, action: int, width: int = 768, heads: int = 8, layers: int = 8,
        dropout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.level = nn.Sequential(LevelEmbedding(width), Linear(width, width), nn.SiLU(), Linear(width, width))
        self.read = nn.Sequential(Linear(condition, 4 * width), nn.SiLU(), Linear(4 * width, width))
        self.inlet = Linear(action, width)
        self.register_buffer("place", positions(chunk, width), persistent=False)
        self.layers = nn.ModuleList(AdaptiveLayer(width, heads, 4 * width, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = zeroed(Linear(width, 2 * width))
        self.outlet = zeroed(Linear(width, action))

    def forward(self, noisy: Tensor, level: Tensor, condition: Tensor) -> Tensor:
        """Noisy chunk (B, C, A), noise level (B,), condition (B, F) to (B, C, A)."""
        return self._seeing(noisy, level, self.read(condition))

    def along(self, levels: Tensor, condition: Tensor) -> Along:
        """`forward` for calls at each of the `levels` (S,), in this order: the condition is read once."""
        seen = self.read(condition)
        return lambda noisy, level: self._seeing(noisy, level, seen)

    def _seeing(self, noisy: Tensor, level: Tensor, seen: Tensor) -> Tensor:
        mixed = functional.silu(seen + self.level(level))
        x = self.inlet(noisy) + self.place
        for layer in self.layers:
            x = layer(x, layer.get_submodule("modulation")(mixed))
        shift, scale = self.modulation(mixed).unsqueeze(1).chunk(2, -1)
        return self.outlet(self.norm(x) * (1 + scale) + shift)


def zeroed(layer: Linear) -> Linear:
    """The layer with weights that begin at 0."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
