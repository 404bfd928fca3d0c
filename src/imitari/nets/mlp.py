"""Multi-layer perceptrons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

Activation = Literal["relu", "gelu", "silu", "mish", "elu", "tanh"]
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "mish": nn.Mish, "elu": nn.ELU, "tanh": nn.Tanh,
}  # fmt: skip


def mlp(
    inputs: int,
    hidden: Sequence[int],
    outputs: int,
    *,
    activation: Activation = "relu",
    norm: bool = False,
    dropout: float = 0.0,
) -> nn.Sequential:
    """Linear layers with `activation` between them; `norm` puts LayerNorm before each activation.

    Args:
        inputs, hidden, outputs: widths.
        dropout: after each activation.
    """
    layers: list[nn.Module] = []
    width = inputs
    for size in hidden:
        layers.append(nn.Linear(width, size))
        if norm:
            layers.append(nn.LayerNorm(size))
        layers.append(ACTIVATIONS[activation]())
        if dropout:
            layers.append(nn.Dropout(dropout))
        width = size
    layers.append(nn.Linear(width, outputs))
    return nn.Sequential(*layers)


class ResidualMLP(nn.Module):
    """Pre-norm residual blocks of constant width: x + W2 act(W1 norm(x))."""

    def __init__(
        self,
        inputs: int,
        width: int,
        blocks: int,
        outputs: int,
        *,
        activation: Activation = "gelu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.inlet = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width),
                nn.Linear(width, width),
                ACTIVATIONS[activation](),
                nn.Dropout(dropout),
                nn.Linear(width, width),
            )
            for _ in range(blocks)
        )
        self.outlet = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, outputs))

    def forward(self, x: Tensor) -> Tensor:
        x = self.inlet(x)
        for block in self.blocks:
            x = x + block(x)
        return self.outlet(x)
