"""Cycles through pairs of videos against a plain loop and, in one dimension, against their closed form."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from imitari.nets.cycles import CycleLoss, cycles


def plain(vectors: Tensor, time: Tensor, temperature: float, kind: CycleLoss) -> float:
    count, frames, size = vectors.shape
    scale, losses = size * temperature, list[float]()
    for i in range(count):
        for j in range(count):
            if i == j:
                continue
            for k in range(frames):
                near = [math.exp(-float(((vectors[i, k] - other) ** 2).sum()) / scale) for other in vectors[j]]
                met = sum(weight * other for weight, other in zip(near, vectors[j], strict=True)) / sum(near)
                logits = [-float(((met - own) ** 2).sum()) / scale for own in vectors[i]]
                chance = torch.tensor(logits, dtype=torch.float64).softmax(0).tolist()
                mean = sum(p * float(t) for p, t in zip(chance, time[i], strict=True))
                variance = sum(p * (float(t) - mean) ** 2 for p, t in zip(chance, time[i], strict=True))
                error = mean - float(time[i, k])
                if kind == "classification":
                    label = [0.1 / frames + 0.9 * (m == k) for m in range(frames)]
                    losses.append(-sum(w * math.log(p) for w, p in zip(label, chance, strict=True)))
                elif kind == "huber":
                    losses.append(error**2 / 2 if abs(error) <= 0.1 else 0.1 * (abs(error) - 0.05))
                elif kind == "variance":
                    losses.append(error**2 / variance + 0.001 * math.log(variance))
                else:
                    losses.append(error**2)
    return sum(losses) / len(losses)


@pytest.mark.parametrize("kind", ["regression", "variance", "huber", "classification"])
def test_loss_is_the_plain_loop(kind: CycleLoss) -> None:
    torch.manual_seed(0)
    vectors, time = torch.randn(3, 4, 5), torch.rand(3, 4).sort(-1).values
    found = cycles(vectors, time, 0.3).loss(kind)
    assert float(found) == pytest.approx(plain(vectors, time, 0.3, kind), rel=1e-4)


def test_in_one_dimension_two_frames_have_a_closed_form() -> None:
    """Of frames at 0 and x in both videos, the way there and the way back are logistic functions of x."""
    for x in (0.5, 1.0, 3.0):
        vectors = torch.tensor([[[0.0], [x]], [[0.0], [x]]], dtype=torch.float64)
        mean, variance = cycles(vectors, torch.tensor([[0.0, 0.5]] * 2), 1.0).predicted()
        there = 1 / (1 + math.exp(-x * x))  # weight of the equal frame
        met = (1 - there) * x, there * x  # of the frames at 0 and at x
        late = [1 / (1 + math.exp((m - x) ** 2 - m * m)) for m in met]  # weight of the later frame
        assert mean[0].tolist() == pytest.approx([0.5 * p for p in late], rel=1e-5)
        assert variance[0].tolist() == pytest.approx([0.25 * p * (1 - p) for p in late], rel=1e-5)


def test_apart_enough_every_frame_is_led_back_and_collapsed_none() -> None:
    time = torch.linspace(0, 0.9, 10).expand(3, -1)
    way = time[..., None] * torch.tensor([30.0, -30.0])
    assert float(cycles(way, time, 0.1).error()) < 1e-3
    assert float(cycles(way, time, 0.1).loss("regression")) < 1e-5
    gone = cycles(torch.ones(3, 10, 2), time, 0.1)
    assert float(gone.error()) == pytest.approx(0.25, abs=1e-6)  # mean distance from the middle
    assert float(gone.predicted()[0].std()) < 1e-6
