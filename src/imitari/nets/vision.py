"""Encoders of small pictures: a residual convolutional trunk with random crops, read out as a vector or as tokens."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

LEAST = 6  # cells a side of the last map


class _Block(nn.Module):
    """Two 3x3 convolutions with group norm and a skip (He et al. 2016, group norm as in Chi et al. 2023)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.GroupNorm(max(1, outputs // 16), outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.GroupNorm(max(1, outputs // 16), outputs),
        )
        self.skip = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.body(x) + self.skip(x), inplace=True)


class SpatialSoftmax(nn.Module):
    """Expected image position of each channel's activation (Finn et al. 2016): (N, C, h, w) -> (N, 2 C), in [-1, 1]."""

    def forward(self, x: Tensor) -> Tensor:
        count, channels, height, width = x.shape
        weight = functional.softmax(x.float().flatten(2), -1).view(count, channels, height, width)
        rows = torch.linspace(-1, 1, height, device=x.device)
        columns = torch.linspace(-1, 1, width, device=x.device)
        return torch.cat([(weight.sum(3) * rows).sum(2), (weight.sum(2) * columns).sum(2)], 1)


class ConvTrunk(nn.Module):
    """uint8 (N, height, width, channels) to feature maps (N, widths[-1], h, w), h about height / 2^(len(widths) + 1).

    It stays at `LEAST` or above where the stem leaves so much: on coarser maps places can hardly be told apart.

    Args:
        shape: (height, width, channels).
        crop: share of the side kept: one random crop a sample in training, the centre otherwise.
        widths: channels of the stages; each halves the resolution, where enough is left, after a stem that halves it.

    Attributes:
        grid: (h, w) of the feature maps.
    """

    def __init__(self, shape: tuple[int, ...], crop: float = 0.9, widths: tuple[int, ...] = (32, 64, 64)) -> None:
        super().__init__()
        height, width, channels = shape
        self.crop = (_kept(height, crop), _kept(width, crop))
        stem = nn.Conv2d(channels, widths[0], 5, 2, 2)
        self.grid = (math.ceil(self.crop[0] / 2), math.ceil(self.crop[1] / 2))
        blocks: list[nn.Module] = []
        for inputs, outputs in zip(widths[:1] + widths[:-1], widths, strict=True):
            halved = (math.ceil(self.grid[0] / 2), math.ceil(self.grid[1] / 2))
            stride = 2 if min(halved) >= LEAST else 1
            self.grid = halved if stride == 2 else self.grid
            blocks.append(_Block(inputs, outputs, stride))
        self.layers = nn.Sequential(stem, nn.ReLU(inplace=True), *blocks)
        # Pictures arrive channel-last: weights laid out alike save a reordering of every map.
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def forward(self, image: Tensor) -> Tensor:
        x = random_crop(image, self.crop) if self.training else centre_crop(image, self.crop)
        kind = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else torch.float32
        return self.layers(x.permute(0, 3, 1, 2).to(kind).mul_(1 / 127.5).sub_(1))


class ImageEncoder(nn.Module):
    """uint8 (..., height, width, channels) to (..., features).

    Args:
        shape: (height, width, channels).
        features: of the output.
        crop, widths: see `ConvTrunk`.
    """

    def __init__(
        self, shape: tuple[int, ...], features: int, crop: float = 0.9, widths: tuple[int, ...] = (32, 64, 64)
    ) -> None:
        super().__init__()
        self.trunk = ConvTrunk(shape, crop, widths)
        self.pool = SpatialSoftmax()
        self.out = nn.Linear(2 * widths[-1], features)

    def forward(self, image: Tensor) -> Tensor:
        flat = image.reshape(-1, *image.shape[-3:])
        return self.out(self.pool(self.trunk(flat))).reshape(*image.shape[:-3], -1)


class ImageTokens(nn.Module):
    """uint8 (..., height, width, channels) to one token a cell of the feature map: (..., h w, width).

    Args:
        shape: (height, width, channels).
        width: of a token.
        crop, widths: see `ConvTrunk`.

    Attributes:
        count: tokens an image.
    """

    def __init__(
        self, shape: tuple[int, ...], width: int, crop: float = 0.9, widths: tuple[int, ...] = (32, 64, 64)
    ) -> None:
        super().__init__()
        self.trunk = ConvTrunk(shape, crop, widths)
        self.out = nn.Linear(widths[-1], width)
        self.count = self.trunk.grid[0] * self.trunk.grid[1]

    def forward(self, image: Tensor) -> Tensor:
        cells = self.trunk(image.reshape(-1, *image.shape[-3:])).permute(0, 2, 3, 1).flatten(1, 2)
        return self.out(cells).reshape(*image.shape[:-3], self.count, -1)


def centre_crop(image: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, height, width, C) -> (N, *size, C)."""
    top, left = (image.shape[1] - size[0]) // 2, (image.shape[2] - size[1]) // 2
    return image[:, top : top + size[0], left : left + size[1]]


def random_crop(image: Tensor, size: tuple[int, int]) -> Tensor:
    """One crop position a sample, by a single gather: (N, height, width, C) -> (N, *size, C)."""
    count, height, width, _ = image.shape
    if (height, width) == size:
        return image
    top = torch.randint(0, height - size[0] + 1, (count, 1, 1), device=image.device)
    left = torch.randint(0, width - size[1] + 1, (count, 1, 1), device=image.device)
    rows = top + torch.arange(size[0], device=image.device).view(1, -1, 1)
    columns = left + torch.arange(size[1], device=image.device).view(1, 1, -1)
    return image[torch.arange(count, device=image.device).view(-1, 1, 1), rows, columns]


def _kept(side: int, share: float) -> int:
    return min(side, max(8, round(side * share)))
