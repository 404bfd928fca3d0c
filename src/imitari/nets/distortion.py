"""Random changes of pictures in training: one draw a sample, the same for all frames of a clip."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


class Distortion:
    """Shift, scale, brightness, contrast and saturation, each drawn uniformly up to a bound.

    Args:
        shift: of the picture, as a share of its side.
        scale: of the picture, as a share of its size.
        colour: of brightness, contrast and saturation, as a share.
        grey: share of the samples that lose their colours.
    """

    def __init__(self, shift: float = 0.0, scale: float = 0.0, colour: float = 0.0, grey: float = 0.0) -> None:
        self.shift, self.scale, self.colour, self.grey = shift, scale, colour, grey

    def __call__(self, clips: Tensor) -> Tensor:
        """uint8 (B, T, height, width, C) to the same, changed; what comes in from outside repeats the border."""
        if not (self.shift or self.scale or self.colour or self.grey):
            return clips
        count, length = clips.shape[:2]
        frames = clips.flatten(0, 1).permute(0, 3, 1, 2).float()
        if self.shift or self.scale:
            frames = self._moved(frames, count, length)
        if self.colour:
            frames = self._coloured(frames, count, length)
        if self.grey:
            without = (torch.rand(count, 1, 1, 1) < self.grey).to(frames.device).repeat_interleave(length, 0)
            frames = torch.where(without, frames.mean(1, keepdim=True), frames)
        return frames.clamp(0, 255).round().to(torch.uint8).permute(0, 2, 3, 1).unflatten(0, (count, length))

    def _moved(self, frames: Tensor, count: int, length: int) -> Tensor:
        # Drawn on the processor, as the loop's noise is, and then moved.
        size = 1 + self.scale * (2 * torch.rand(count) - 1)
        move = 2 * self.shift * (2 * torch.rand(count, 2) - 1)
        matrix = torch.zeros(count, 2, 3)
        matrix[:, 0, 0] = matrix[:, 1, 1] = size
        matrix[:, :, 2] = move
        grid = functional.affine_grid(matrix, [count, 1, *frames.shape[2:]], align_corners=False)
        grid = grid.to(frames.device).repeat_interleave(length, 0)
        return functional.grid_sample(frames, grid, padding_mode="border", align_corners=False)

    def _coloured(self, frames: Tensor, count: int, length: int) -> Tensor:
        factor = (1 + self.colour * (2 * torch.rand(3, count, 1, 1, 1) - 1)).to(frames.device)
        bright, contrast, saturation = (part.repeat_interleave(length, 0) for part in factor)
        frames = frames * bright
        grey = frames.mean(1, keepdim=True)
        frames = grey + saturation * (frames - grey)
        middle = frames.mean((1, 2, 3), keepdim=True)
        return middle + contrast * (frames - middle)
