"""Image encoders for small pictures: a residual convolutional trunk with a spatial soft-max, and random crops."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class _Block(nn.Module):
    """Two 3x3 convolutions with group norm and a skip (He et al. 2016, group norm as in Chi et al. 2023)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.GroupNorm(max(1, outputs // 16), outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.GroupNorm(max(1, outputs // 16), outputs),
        )
        self.skip = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.body(x) + self.skip(x))


class SpatialSoftmax(nn.Module):
    """Expected image position of each channel's activation (Finn et al. 2016): (N, C, h, w) -> (N, 2 C), in [-1, 1]."""

    def forward(self, x: Tensor) -> Tensor:
        count, channels, height, width = x.shape
        weight = functional.softmax(x.float().flatten(2), -1).view(count, channels, height, width)
        rows = torch.linspace(-1, 1, height, device=x.device)
        columns = torch.linspace(-1, 1, width, device=x.device)
        return torch.cat([(weight.sum(3) * rows).sum(2), (weight.sum(2) * columns).sum(2)], 1)


class ImageEncoder(nn.Module):
    """uint8 (..., height, width, channels) to (..., features).

    Args:
        shape: (height, width, channels).
        features: of the output.
        crop: share of the side kept: one random crop a sample in training, the centre otherwise.
        widths: channels of the stages; each halves the resolution.
    """

    def __init__(
        self, shape: tuple[int, ...], features: int, crop: float = 0.9, widths: tuple[int, ...] = (32, 64, 64)
    ) -> None:
        super().__init__()
        height, width, channels = shape
        self.crop = (max(8, round(height * crop)), max(8, round(width * crop)))
        stem = nn.Conv2d(channels, widths[0], 5, 2, 2)
        blocks = [_Block(inputs, outputs, 2) for inputs, outputs in zip(widths[:1] + widths[:-1], widths, strict=True)]
        self.trunk = nn.Sequential(stem, nn.ReLU(), *blocks)
        self.pool = SpatialSoftmax()
        self.out = nn.Linear(2 * widths[-1], features)

    def forward(self, image: Tensor) -> Tensor:
        lead = image.shape[:-3]
        x = image.reshape(-1, *image.shape[-3:])
        x = random_crop(x, self.crop) if self.training else centre_crop(x, self.crop)
        x = x.permute(0, 3, 1, 2).float() / 127.5 - 1
        return self.out(self.pool(self.trunk(x))).reshape(*lead, -1)


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
