"""Observations of any mixture of numbers, symbols and images, to one vector a step or to tokens."""

from __future__ import annotations

import copy
import math
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.nets.frames import FrameEncoder
from imitari.nets.vision import ImageEncoder, ImageTokens

# A symbol with a known bound becomes an indicator of at most this many values a dimension.
MOST_CODES = 256


class NumberEncoder(nn.Module):
    """Numbers and symbols side by side: angles as sine and cosine, symbols of known bound as indicators.

    Args:
        spec: which observations there are; images are left out.

    Attributes:
        width: of the output; 0 where there is nothing to encode.
    """

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        kept = {key: feature for key, feature in spec.obs.items() if feature.kind in ("number", "symbol", "choice")}
        self.sizes = {key: (len(feature.shape), feature.size) for key, feature in kept.items()}
        self.coded = [key for key, feature in kept.items() if feature.kind != "number" and _codes(feature)]
        self.turning = [key for key, feature in kept.items() if feature.kind == "number" and feature.periodic]
        self.width = 0
        for key, feature in kept.items():
            if key in self.coded:
                counts = torch.tensor(_codes(feature))
                self.register_buffer(f"first_{_key(key)}", counts.cumsum(0) - counts, persistent=False)
                self.register_buffer(f"last_{_key(key)}", counts - 1, persistent=False)
                self.width += int(counts.sum())
            else:
                self.width += feature.size + (len(feature.periodic) if key in self.turning else 0)
            if key in self.turning:
                plain = [number for number in range(feature.size) if number not in feature.periodic]
                self.register_buffer(f"angles_{_key(key)}", torch.tensor(feature.periodic), persistent=False)
                self.register_buffer(f"plain_{_key(key)}", torch.tensor(plain, dtype=torch.long), persistent=False)

    def forward(self, obs: dict[str, Tensor]) -> Tensor:
        """Name -> (..., *shape) to (..., width)."""
        parts: list[Tensor] = []
        for key, (dimensions, size) in self.sizes.items():
            value = obs[key]
            flat = value if dimensions == 1 else value.reshape(*value.shape[: value.ndim - dimensions], size)
            if key in self.coded:
                parts.append(self._indicators(key, flat))
            elif key in self.turning:
                angle = flat.index_select(-1, getattr(self, f"angles_{_key(key)}"))
                plain = flat.index_select(-1, getattr(self, f"plain_{_key(key)}"))
                parts += [plain, torch.sin(angle), torch.cos(angle)]
            else:
                parts.append(flat.float())
        return torch.cat(parts, -1)

    def _indicators(self, key: str, codes: Tensor) -> Tensor:
        first, last = getattr(self, f"first_{_key(key)}"), getattr(self, f"last_{_key(key)}")
        at = torch.minimum(codes.long().clamp(min=0), last) + first
        empty = torch.zeros(*codes.shape[:-1], int(first[-1] + last[-1] + 1), device=codes.device)
        return empty.scatter(-1, at, 1.0)


class ObsEncoder(nn.Module):
    """Numbers and symbols are concatenated (see `NumberEncoder`), each camera goes through an encoder of its own.

    Args:
        spec: which observations there are.
        image_width: features an image.
        crop: share of the image side that random crops keep in training (centre crop in evaluation); 1: none.

    Attributes:
        width: of the output.
    """

    def __init__(self, spec: Spec, image_width: int = 64, crop: float = 0.9) -> None:
        super().__init__()
        self.numbers = NumberEncoder(spec)
        self.cameras = list(spec.images)
        self.images = nn.ModuleList(_of_camera(spec.images[key].shape, image_width, crop) for key in self.cameras)
        self.width = self.numbers.width + image_width * len(self.cameras)
        _refuse_nothing(self.width)

    def forward(self, obs: dict[str, Tensor]) -> Tensor:
        """Scaled observations name -> (..., *shape) to (..., width); images uint8 (..., height, width, channels)."""
        parts = [self.numbers(obs)] if self.numbers.width else []
        parts += [encoder(obs[key]) for key, encoder in zip(self.cameras, self.images, strict=True)]
        return torch.cat([part.float() for part in parts], -1)


class TunedEncoder(nn.Module):
    """A pretrained frame encoder and a linear layer, in the place of an `ImageEncoder`; no random crops.

    Its batch norm keeps the statistics of the pretraining, also while its weights are tuned.
    """

    def __init__(self, encoder: FrameEncoder, features: int) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(encoder).requires_grad_(True)
        self.out = nn.Linear(encoder.width, features)

    def train(self, mode: bool = True) -> TunedEncoder:
        super().train(mode)
        self.encoder.eval()
        return self

    def forward(self, image: Tensor) -> Tensor:
        flat = image.reshape(-1, *image.shape[-3:])
        return self.out(self.encoder(flat)).reshape(*image.shape[:-3], -1)


_BEGINNING: ContextVar[tuple[FrameEncoder, list[TunedEncoder]] | None] = ContextVar("beginning", default=None)


@contextmanager
def beginning_with(encoder: FrameEncoder) -> Generator[list[TunedEncoder]]:
    """Within it, each `ObsEncoder` that is made begins with copies of `encoder`, which are listed in what it gives."""
    begun: list[TunedEncoder] = []
    token = _BEGINNING.set((encoder, begun))
    try:
        yield begun
    finally:
        _BEGINNING.reset(token)


def _of_camera(shape: tuple[int, ...], features: int, crop: float) -> nn.Module:
    beginning = _BEGINNING.get()
    if beginning is None:
        return ImageEncoder(shape, features, crop)
    made = TunedEncoder(beginning[0], features)
    beginning[1].append(made)
    return made


class ObsTokens(nn.Module):
    """One token for the numbers of a step and one for each cell of each camera's feature map, for transformers.

    Args:
        spec: which observations there are.
        width: of a token.
        history: steps H.
        crop: see `ObsEncoder`.

    Attributes:
        count: tokens in all.
    """

    def __init__(self, spec: Spec, width: int, history: int = 1, crop: float = 0.9) -> None:
        super().__init__()
        self.numbers = NumberEncoder(spec)
        self.project = nn.Linear(self.numbers.width, width) if self.numbers.width else None
        self.cameras = list(spec.images)
        self.images = nn.ModuleList(ImageTokens(spec.images[key].shape, width, crop) for key in self.cameras)
        each = (self.project is not None) + sum(int(encoder.count) for encoder in self.images)  # pyright: ignore[reportArgumentType]
        _refuse_nothing(each)
        self.count = each * history
        self.position = nn.Parameter(torch.randn(history, each, width) / math.sqrt(width))

    def forward(self, obs: dict[str, Tensor]) -> Tensor:
        """Scaled observations name -> (B, H, *shape) to (B, count, width), positions added."""
        parts = [self.project(self.numbers(obs)).unsqueeze(-2)] if self.project else []
        parts += [encoder(obs[key]) for key, encoder in zip(self.cameras, self.images, strict=True)]
        tokens = torch.cat([part.float() for part in parts], -2) if len(parts) > 1 else parts[0].float()
        return (tokens + self.position).flatten(1, 2)


def _refuse_nothing(width: int) -> None:
    if width == 0:
        raise UserError("there is no number or image among the observations: choose some with --obs")


def _key(name: str) -> str:
    return name.replace(".", "_")


def _codes(feature: Feature) -> list[int]:
    """Values each dimension can take, or [] where that is unknown or too many."""
    if not feature.high:
        return []
    counts = [int(high) + 1 for high in feature.high]
    counts = counts * feature.size if len(counts) == 1 else counts
    return counts if len(counts) == feature.size and max(counts) <= MOST_CODES else []
