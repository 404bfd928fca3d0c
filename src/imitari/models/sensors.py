"""What a world model reads and predicts: an encoder and a decoder for every observation, numbers and pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.nets.encoder import NumberEncoder
from imitari.nets.mlp import Activation, mlp

LEAST = 2e-3  # deviation of a predicted number, in scaled units: below it nothing is gained
HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)
Spread = Literal["learned", "unit"]


@dataclass
class Likelihood:
    """How likely an observation is under a prediction.

    Attributes:
        loss: (...,) -log p, summed over its numbers or pixels, each times its predicted deviation where that is wanted.
        deviation: (...,) mean predicted deviation of its numbers, without gradient; None where none is learned.
    """

    loss: Tensor
    deviation: Tensor | None = None


class NumberSensor(nn.Module):
    """Numbers or symbols: read as they are (angles as sine and cosine) or through a perceptron.

    Args:
        spec: with this one observation.
        features: that the decoder sees.
        hidden: widths of the decoder's layers.
        encoder: widths of the encoder's layers; empty: the numbers themselves.
        spread: a deviation of each number is predicted, or all are 1.
        reweighted: multiply each -log p by its predicted deviation (beta-NLL with beta 0.5, Seitzer et al. 2022).
    """

    def __init__(
        self,
        spec: Spec,
        features: int,
        hidden: tuple[int, ...],
        *,
        encoder: tuple[int, ...] = (),
        spread: Spread = "learned",
        reweighted: bool = False,
        activation: Activation = "elu",
        norm: bool = False,
    ) -> None:
        super().__init__()
        self.numbers = NumberEncoder(spec)
        size = self.numbers.width
        learned = spread == "learned" and next(iter(spec.obs.values())).kind == "number"
        self.learned, self.reweighted = learned, reweighted and learned
        self.width = encoder[-1] if encoder else size
        self.encoder = mlp(size, encoder[:-1], encoder[-1], activation=activation, norm=norm) if encoder else None
        self.decoder = mlp(features, hidden, size * (1 + learned), activation=activation, norm=norm)

    def forward(self, obs: dict[str, Tensor]) -> Tensor:
        """Observations (..., *shape) to (..., width)."""
        value = self.numbers(obs)
        return value if self.encoder is None else self.encoder(value)

    def predict(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation (..., size) of the numbers that `numbers` gives."""
        out = self.decoder(features).float()
        if not self.learned:
            return out, torch.ones_like(out)
        mean, raw = out.chunk(2, -1)
        return mean, functional.softplus(raw) + LEAST

    def likelihood(self, features: Tensor, obs: dict[str, Tensor]) -> Likelihood:
        mean, deviation = self.predict(features)
        each = 0.5 * ((self.numbers(obs) - mean) / deviation) ** 2 + torch.log(deviation) + HALF_LOG_TAU
        fixed = deviation.detach()
        loss = (each * fixed if self.reweighted else each).sum(-1)
        return Likelihood(loss, fixed.mean(-1) if self.reweighted else None)


class PictureSensor(nn.Module):
    """Square pictures of 16, 32, 64, ... pixels a side: 4x4 convolutions of stride 2, and their like transposed. The
    likelihood is Gaussian of unit deviation a pixel, of brightness from 0 to 1, summed over all pixels.

    Args:
        key: of the observation.
        feature: its shape.
        features: that the decoder sees.
        channels: of the first convolution; each further one has twice as many.
    """

    def __init__(self, key: str, feature: Feature, features: int, channels: int = 32) -> None:
        super().__init__()
        height, width, colours = feature.shape
        self.key, stages = key, int(math.log2(height)) - 2
        if height != width or height != 2 ** (stages + 2) or stages < 2:
            raise UserError(
                f"observation '{key}' is a picture of {width} x {height} pixels: a world model reads squares of 16, "
                "32, 64, ... pixels: record it so, with --pixels 64"
            )
        widths = [channels * 2**stage for stage in range(stages)]
        down: list[nn.Module] = []
        for inputs, outputs in zip([colours, *widths], widths, strict=False):
            down += [nn.Conv2d(inputs, outputs, 4, 2), nn.ELU()]
        self.down = nn.Sequential(*down)
        # Without padding, the last map of any such side is two by two, and these kernels lead back to it.
        self.width = 4 * widths[-1]
        self.inlet = nn.Linear(features, self.width)
        kernels = [5] * (stages - 2) + [6, 6]
        outlets = [*widths[-2::-1], colours]
        up: list[nn.Module] = []
        for inputs, outputs, kernel in zip([self.width, *outlets], outlets, kernels, strict=False):
            up += [nn.ConvTranspose2d(inputs, outputs, kernel, 2), nn.ELU()]
        self.up = nn.Sequential(*up[:-1])

    def forward(self, obs: dict[str, Tensor]) -> Tensor:
        """uint8 (..., side, side, colours) to (..., width)."""
        image = self._brightness(obs).flatten(0, -4)
        return self.down(image - 0.5).flatten(1).unflatten(0, obs[self.key].shape[:-3])

    def predict(self, features: Tensor) -> Tensor:
        """Brightness (..., colours, side, side)."""
        flat = self.inlet(features).reshape(-1, self.width, 1, 1)
        return torch.sigmoid(self.up(flat).float()).unflatten(0, features.shape[:-1])

    def likelihood(self, features: Tensor, obs: dict[str, Tensor]) -> Likelihood:
        error = (self._brightness(obs) - self.predict(features)) ** 2
        pixels = error.shape[-1] * error.shape[-2] * error.shape[-3]
        return Likelihood(0.5 * error.sum((-1, -2, -3)) + HALF_LOG_TAU * pixels)

    def _brightness(self, obs: dict[str, Tensor]) -> Tensor:
        """(..., colours, side, side), from 0 to 1."""
        return obs[self.key].movedim(-1, -3).float() / 255


class Sensors(nn.Module):
    """All observations of a spec, each with a sensor of its own.

    Args:
        spec: which there are; text is left out.
        features: that decoders see.
        hidden: widths of the decoders' layers.
        encoder, spread, reweighted, activation, norm: see `NumberSensor`.
        channels: see `PictureSensor`.

    Attributes:
        width: of all that is read, side by side.
    """

    def __init__(
        self,
        spec: Spec,
        features: int,
        hidden: tuple[int, ...],
        *,
        encoder: tuple[int, ...] = (),
        spread: Spread = "learned",
        reweighted: bool = False,
        activation: Activation = "elu",
        norm: bool = False,
        channels: int = 32,
    ) -> None:
        super().__init__()
        self.keys = [key for key, feature in spec.obs.items() if feature.kind != "text"]
        if not self.keys:
            raise UserError("there is no number or image among the observations: choose some with --obs")
        parts: list[NumberSensor | PictureSensor] = []
        for key in self.keys:
            if spec.obs[key].kind == "image":
                parts.append(PictureSensor(key, spec.obs[key], features, channels))
                continue
            parts.append(
                NumberSensor(
                    spec.select([key]),
                    features,
                    hidden,
                    encoder=encoder,
                    spread=spread,
                    reweighted=reweighted,
                    activation=activation,
                    norm=norm,
                )
            )
        self.parts = nn.ModuleList(parts)
        self.width = sum(part.width for part in parts)

    def forward(self, obs: dict[str, Tensor]) -> Tensor:
        """Observations name -> (..., *shape) to (..., width)."""
        return torch.cat([part(obs) for part in self.parts], -1)

    def likelihoods(self, features: Tensor, obs: dict[str, Tensor]) -> dict[str, Likelihood]:
        """Of every observation, by its name."""
        found: dict[str, Likelihood] = {}
        for key, part in zip(self.keys, self.parts, strict=True):
            assert isinstance(part, NumberSensor | PictureSensor)
            found[key.removeprefix("observation.")] = part.likelihood(features, obs)
        return found
