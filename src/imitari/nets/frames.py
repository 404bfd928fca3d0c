"""Encoders of single frames for pretraining: a residual convolutional network with batch norm, one vector a frame."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from imitari.core.errors import UserError

Readout = Literal["mean", "cells"]
Stem = Literal["small", "large"]


@dataclass(frozen=True)
class FrameNetwork:
    """Shape of a `FrameEncoder`, as plain values: what a saved encoder is rebuilt from.

    Attributes:
        channels: of the stages; each halves the side, but the first behind a large stem.
        blocks: residual blocks a stage.
        stem: "small": a 3x3 convolution of stride 2; "large": 7x7 of stride 2 and pooling of stride 2, which with
            channels 64, 128, 256, 512, two blocks and the readout "mean" is ResNet-18 (He et al. 2016).
        readout: "mean" over the cells of the last map; "cells": their values side by side, so that places are kept.
        width: of the output; 0: as the readout gives it.
        norm: batch norm of the output, with a scale and an offset that are learned.
    """

    channels: tuple[int, ...] = (32, 64, 128)
    blocks: int = 1
    stem: Stem = "small"
    readout: Readout = "cells"
    width: int = 128
    norm: bool = True

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> FrameNetwork:
        values: dict[str, Any] = {**data, "channels": tuple(data["channels"])}
        return FrameNetwork(**values)


class FrameEncoder(nn.Module):
    """uint8 (N, height, width, channels) to (N, network.width). It changes nothing about the frames: no crops.

    Args:
        shape: (height, width, channels) of a frame.
        network: its layers.

    Attributes:
        width: of the output.
        maps: channels and side lengths of the last map.
    """

    def __init__(self, shape: tuple[int, ...], network: FrameNetwork) -> None:
        super().__init__()
        self.shape, self.network = shape, network
        sizes, large = network.channels, network.stem == "large"
        stem = nn.Conv2d(shape[2], sizes[0], 7 if large else 3, 2, 3 if large else 1, bias=False)
        layers: list[nn.Module] = [stem, nn.BatchNorm2d(sizes[0]), nn.ReLU(inplace=True)]
        layers += [nn.MaxPool2d(3, 2, 1)] if large else []
        inputs = sizes[0]
        for number, size in enumerate(sizes):
            for block in range(network.blocks):
                stride = 1 if block or (large and number == 0) else 2
                layers.append(_Block(inputs, size, stride))
                inputs = size
        self.layers = nn.Sequential(*layers)
        halvings = len(sizes) + 1
        height, width = (-(-side // 2**halvings) for side in shape[:2])
        if min(shape[:2]) < 2**halvings:
            raise UserError(
                f"frames of {shape[0]} x {shape[1]} are too small for {halvings} halvings: use more --pixels"
            )
        self.maps = (inputs, height, width)
        features = inputs * (height * width if network.readout == "cells" else 1)
        self.width = network.width or features
        out = [nn.Linear(features, network.width)] if network.width else []
        self.out = nn.Sequential(*out, *([nn.BatchNorm1d(self.width)] if network.norm else []))
        # Pictures arrive channel-last: weights laid out alike save a reordering of every map.
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def forward(self, frames: Tensor) -> Tensor:
        return self.read(self.mapped(frames))

    def mapped(self, frames: Tensor) -> Tensor:
        """uint8 (N, height, width, channels) to the last maps (N, *self.maps)."""
        return self.layers(pixels(frames))

    def read(self, maps: Tensor) -> Tensor:
        """Maps (N, *self.maps) to (N, width)."""
        return self.out(maps.mean((2, 3)) if self.network.readout == "mean" else maps.flatten(1))


class _Block(nn.Module):
    """Two 3x3 convolutions with batch norm and a skip (He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        changed = stride > 1 or inputs != outputs
        self.skip = (
            nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
            if changed
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.body(x) + self.skip(x), inplace=True)


def pixels(frames: Tensor) -> Tensor:
    """uint8 (N, height, width, channels) to numbers in [-1, 1], (N, channels, height, width)."""
    kind = (
        torch.get_autocast_dtype(frames.device.type) if torch.is_autocast_enabled(frames.device.type) else torch.float32
    )
    return frames.permute(0, 3, 1, 2).to(kind).mul_(1 / 127.5).sub_(1)
