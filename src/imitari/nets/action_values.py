"""Values of all choices at once."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.nets.encoder import ObsEncoder
from imitari.nets.mlp import mlp


class ActionValues(nn.Module):
    """Q(s, .): encoder and layers, one output a choice (Mnih et al. 2015).

    Args:
        spec: observations and action.
        hidden: widths of the layers.

    Raises:
        UserError: when actions are no choices.
    """

    def __init__(self, spec: Spec, hidden: Sequence[int]) -> None:
        super().__init__()
        if spec.action.kind != "choice":
            raise UserError("this method needs actions that are choices: choose another method, or another task")
        self.encoder = ObsEncoder(spec, crop=1.0)
        self.body = mlp(self.encoder.width, hidden, spec.action.choices)

    def forward(self, obs: dict[str, Tensor]) -> Tensor:
        """Observations (B, ...) to (B, K)."""
        return self.body(self.encoder(obs)).float()
