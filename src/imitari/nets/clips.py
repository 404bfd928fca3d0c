"""Encoders of clips: one vector for each of (B, T) steps, with or without neighbouring steps fused at the beginning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.nets.distortion import Distortion
from imitari.nets.encoder import NumberEncoder
from imitari.nets.mlp import mlp

Network = Literal["residual", "strided"]


class _Residual(nn.Module):
    """x + conv(relu(conv(relu(x)))), 3x3 each."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, 1, 1)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(functional.relu(self.first(functional.relu(x))))


def frame_network(inputs: int, channels: Sequence[int], network: Network) -> nn.Sequential:
    """Maps (N, inputs, h, w) to (N, channels[-1], h', w'), each entry of `channels` halves the side.

    "residual": convolution, max-pool, group norm of one group and two residual blocks a stage (the large network of
    Espeholt et al. 2018, "IMPALA", with the norm of Baker et al. 2022). "strided": one convolution a stage.
    """
    layers: list[nn.Module] = []
    for size in channels:
        if network == "strided":
            layers += [nn.Conv2d(inputs, size, 3, 2, 1), nn.ReLU(inplace=True)]
        else:
            layers += [nn.Conv2d(inputs, size, 3, 1, 1), nn.MaxPool2d(3, 2, 1), nn.GroupNorm(1, size)]
            layers += [_Residual(size), _Residual(size)]
        inputs = size
    return nn.Sequential(*layers, *([nn.ReLU()] if network == "residual" else []))


class ClipEncoder(nn.Module):
    """uint8 (B, T, height, width, channels) to (B, T, width).

    Args:
        shape: (height, width, channels) of a frame.
        width: of the output.
        channels: of the stages of the network that sees each frame.
        network: see `frame_network`.
        kernel: frames that are fused before it, by a convolution over time that is 1x1 in space; 1: none, each frame is
            encoded alone ("late" fusion is then left to whatever follows).
        filters: of that convolution.
        dense: features of a layer between the flattened maps and the output; 0: none.
        causal: it sees the past only.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        width: int,
        channels: Sequence[int],
        network: Network = "residual",
        kernel: int = 1,
        filters: int = 128,
        dense: int = 0,
        *,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.kernel, self.causal = kernel, causal
        inputs = shape[2]
        if kernel > 1:
            # Neighbouring frames side by side as channels: convolving them over time is then a 1x1 convolution.
            self.fuse: nn.Module = nn.Sequential(nn.Conv2d(kernel * inputs, filters, 1), nn.ReLU(inplace=True))
            inputs = filters
        else:
            self.fuse = nn.Identity()
        self.frames = frame_network(inputs, channels, network)
        sides = list(shape[:2])
        for _ in channels:
            sides = [(side + 1) // 2 for side in sides]
        flat = channels[-1] * sides[0] * sides[1]
        between = [nn.Linear(flat, dense), nn.ReLU()] if dense else []
        self.out = nn.Sequential(*between, nn.Linear(dense or flat, width), nn.ReLU())
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def forward(self, clip: Tensor) -> Tensor:
        kind = (
            torch.get_autocast_dtype(clip.device.type) if torch.is_autocast_enabled(clip.device.type) else torch.float32
        )
        frames = clip.to(kind).mul_(1 / 127.5).sub_(1)
        if self.kernel > 1:
            frames = beside(frames, self.kernel, causal=self.causal)
        # Channels lie last already: seen as (N, channels, height, width) nothing is copied.
        maps = self.frames(self.fuse(frames.flatten(0, 1).permute(0, 3, 1, 2)))
        return self.out(maps.flatten(1)).unflatten(0, clip.shape[:2])


class StepEncoder(nn.Module):
    """Observations (B, T, ...) to (B, T, width): a `ClipEncoder` a camera, a perceptron for numbers, joined by a layer.

    Args:
        spec: which observations there are.
        width, channels, network, kernel, filters, dense, causal: see `ClipEncoder`; numbers are stacked with their
            neighbours where pictures are convolved over time.
        distortion: of pictures in training.
    """

    def __init__(
        self,
        spec: Spec,
        width: int,
        channels: Sequence[int],
        network: Network = "residual",
        kernel: int = 1,
        filters: int = 128,
        dense: int = 0,
        *,
        causal: bool = False,
        distortion: Distortion | None = None,
    ) -> None:
        super().__init__()
        self.kernel, self.causal, self.distortion = kernel, causal, distortion
        self.numbers, self.cameras = NumberEncoder(spec), list(spec.images)
        encoders = [
            ClipEncoder(spec.images[key].shape, width, channels, network, kernel, filters, dense, causal=causal)
            for key in self.cameras
        ]
        self.images = nn.ModuleList(encoders)
        stacked = kernel * self.numbers.width
        self.state = mlp(stacked, (width,), width) if stacked else None
        parts = len(self.cameras) + bool(stacked)
        if not parts:
            raise UserError("there is no number or image among the observations: choose some with --obs")
        self.join = nn.Linear(parts * width, width) if parts > 1 else nn.Identity()

    def forward(self, obs: dict[str, Tensor]) -> Tensor:
        parts: list[Tensor] = []
        for key, encoder in zip(self.cameras, self.images, strict=True):
            changed = self.training and self.distortion is not None
            parts.append(encoder(self.distortion(obs[key]) if changed and self.distortion else obs[key]))
        if self.state is not None:
            parts.append(self.state(beside(self.numbers(obs), self.kernel, causal=self.causal)))
        return self.join(torch.cat([part.float() for part in parts], -1))


def beside(steps: Tensor, kernel: int, *, causal: bool = False) -> Tensor:
    """(B, T, ..., C) to (B, T, ..., kernel C): each step with its neighbours, its own place in their middle (at their
    end where it is causal); the first and last step stand for what lies beyond them."""
    count = steps.shape[1]
    first = 1 - kernel if causal else -(kernel // 2)
    at = torch.arange(first, first + count + kernel - 1, device=steps.device)
    longer = steps[:, at.clamp(0, count - 1)]  # copied once; what is put side by side are views of it
    return torch.cat([longer[:, shift : shift + count] for shift in range(kernel)], -1)
