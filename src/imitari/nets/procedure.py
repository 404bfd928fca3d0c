"""Networks over maps of cells: a step of a procedure, its repetition until it is done, and a map as one vector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.nn import functional


def convolutions(channels: int, widths: Sequence[int]) -> list[nn.Conv2d]:
    """3 x 3, stride 1, the side kept, weights laid out channel-last."""
    inputs = (channels, *widths[:-1])
    made = [nn.Conv2d(before, after, 3, padding=1) for before, after in zip(inputs, widths, strict=True)]
    return [layer.to(memory_format=torch.channels_last) for layer in made]  # pyright: ignore[reportCallIssue]


class StepModel(nn.Module):
    """One step of a procedure over a map: p(x_l | x_{l-1}, s), independent over cells given both.

    Args:
        channels: of the state's map.
        values: what a cell can hold, without "blank".
        widths: channels of the convolutions before the last one.
    """

    def __init__(self, channels: int, values: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.values = values
        layers = convolutions(channels + values + 1, (*widths, values + 1))
        bent = [part for layer in layers for part in (layer, nn.ReLU(inplace=True))]
        self.layers = nn.Sequential(*bent[:-1])

    def forward(self, state: Tensor, before: Tensor) -> Tensor:
        """State (B, W, W, C) and map (B, W, W) with -1 for blank to logits (B, W, W, values + 1), blank the last."""
        held = functional.one_hot(self.code(before), self.values + 1)
        inputs = torch.cat([state, held.to(state.dtype)], -1)
        return self.layers(inputs.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

    def code(self, written: Tensor) -> Tensor:
        """A map (...) with -1 for blank as classes, blank the last."""
        return torch.where(written < 0, self.values, written).long()

    def following(self, state: Tensor, before: Tensor) -> Tensor:
        """The likeliest next map (B, W, W), -1 for blank."""
        code = self(state, before).argmax(-1)
        return torch.where(code == self.values, -1, code)


def generate(
    step: StepModel,
    state: Tensor,
    done: Callable[[Tensor, Tensor], Tensor],
    most: int,
    context: AbstractContextManager[object],
) -> tuple[Tensor, Tensor]:
    """Runs learned steps from a blank map on, each state until it is done.

    Args:
        step: the model.
        state: (B, W, W, C).
        done: (numbers of states (n,), their maps (n, W, W)) -> (n,) bool.
        most: steps; a map that a step leaves as it was stays so for ever, and ends it too.
        context: in which the network runs.

    Returns:
        Maps (B, W, W) with -1 for blank, and the steps taken (B,).
    """
    written = torch.full(state.shape[:3], -1, device=state.device)
    steps = torch.zeros(len(state), dtype=torch.long, device=state.device)
    running = torch.arange(len(state), device=state.device)
    running = running[~done(running, written)]
    with context:
        for _ in range(most):
            if not len(running):
                break
            before = written[running]
            after = step.following(state[running], before)
            written[running] = after
            steps[running] += 1
            still = (after != before).flatten(1).any(1)
            running = running[still & ~done(running, after)]
    return written, steps


class MapEncoder(nn.Module):
    """A map of a fixed size to one vector: five convolutions, pooled by two after the first and the third.

    Args:
        shape: (W, W, channels).
        widths: channels of the five convolutions.
        features: of the vector.
    """

    def __init__(self, shape: Sequence[int], widths: Sequence[int], features: int) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for number, layer in enumerate(convolutions(shape[2], widths)):
            parts += [layer, nn.ReLU(inplace=True)]
            if number in (0, 2):
                parts.append(nn.MaxPool2d(2))
        self.layers = nn.Sequential(*parts)
        side = shape[0] // 4
        self.out = nn.Linear(widths[-1] * side * side, features)

    def forward(self, state: Tensor) -> Tensor:
        """(B, W, W, C) to (B, features)."""
        return self.out(self.layers(state.permute(0, 3, 1, 2)).flatten(1)).relu()


def moved(state: Tensor, written: Tensor | None, shift: float, zoom: float) -> tuple[Tensor, Tensor | None]:
    """Maps moved and zoomed at random, by the nearest cell; beyond their border lies what lies on it.

    Args:
        state: (B, W, W, C).
        written: (B, W, W) moved alike, or None.
        shift: largest move as a share of the side, drawn for both axes.
        zoom: largest change of scale, the same for both axes.
    """
    count, side = state.shape[:2]
    place = torch.arange(side, device=state.device) - (side - 1) / 2
    scale = 1 + zoom * (2 * torch.rand(count, 1, 1, device=state.device) - 1)
    offset = shift * side * (2 * torch.rand(count, 2, 1, device=state.device) - 1)
    source = (place / scale + offset + (side - 1) / 2).round().long().clamp(0, side - 1)
    which = torch.arange(count, device=state.device)[:, None, None], source[:, 0, :, None], source[:, 1, None, :]
    return state[which], None if written is None else written[which]
