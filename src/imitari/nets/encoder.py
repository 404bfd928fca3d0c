"""ObsEncoder: any mixture of numbers and images to one vector a step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.nets.vision import ImageEncoder


class ObsEncoder(nn.Module):
    """Numbers are concatenated (angles as sine and cosine), each image goes through its own encoder.

    Args:
        spec: which observations there are.
        image_width: features an image.
        crop: share of the image side that random crops keep in training (centre crop in evaluation); 1: none.

    Attributes:
        width: of the output.
    """

    def __init__(self, spec: Spec, image_width: int = 64, crop: float = 0.9) -> None:
        super().__init__()
        self.numbers = list(spec.numbers)
        self.symbols = [key for key, feature in spec.obs.items() if feature.kind in ("symbol", "choice")]
        self.images = nn.ModuleDict(
            {_key(key): ImageEncoder(feature.shape, image_width, crop) for key, feature in spec.images.items()}
        )
        self._image_keys = {_key(key): key for key in spec.images}
        for key in self.numbers:
            self.register_buffer(f"periodic_{_key(key)}", _mask(spec.obs[key]), persistent=False)
        self.width = sum(spec.obs[key].size + len(spec.obs[key].periodic) for key in self.numbers)
        self.width += sum(spec.obs[key].size for key in self.symbols) + image_width * len(self.images)
        if self.width == 0:
            raise UserError("there is no number or image among the observations: choose some with --obs")

    def forward(self, obs: dict[str, Tensor]) -> Tensor:
        """Scaled observations name -> (..., *shape) to (..., width). Images are uint8 (..., height, width, channels)."""
        parts: list[Tensor] = []
        for key in self.numbers:
            mask = getattr(self, f"periodic_{_key(key)}")
            parts.append(_unrolled(obs[key].flatten(obs[key].ndim - mask.ndim), mask))
        parts += [obs[key].float() for key in self.symbols]
        parts += [encoder(obs[self._image_keys[name]]) for name, encoder in self.images.items()]
        return torch.cat(parts, -1)


def _key(name: str) -> str:
    return name.replace(".", "_")


def _mask(feature: Feature) -> Tensor:
    mask = torch.zeros(feature.shape, dtype=torch.bool)
    for dimension in feature.periodic:
        mask.view(-1)[dimension] = True
    return mask


def _unrolled(value: Tensor, mask: Tensor) -> Tensor:
    flat = mask.view(-1)
    if not bool(flat.any()):
        return value
    angle = value[..., flat]
    return torch.cat([value[..., ~flat], torch.sin(angle), torch.cos(angle)], -1)
