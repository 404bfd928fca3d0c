"""The explanation loss against a plain loop, the plan's matrix against the published one, and who is kept."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from imitari.core.batch import Batch
from imitari.language.plans import chain
from imitari.models.modes import PLACES, SHARPNESS, SUCCEEDED, ModeClassifier, Weights


def test_the_matrix_of_five_modes_is_the_published_one() -> None:
    assert chain(5) == [[0, 0, -1, -2, -3], [0, 0, 0, -1, -2], [0, 0, 0, 0, -1], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]


def plain_loss(chances: Tensor, succeeded: list[bool], feasible: list[list[float]], weights: Weights) -> list[float]:
    """The loss of each guess, step by step: chances (B, T, G, K)."""
    paths, length, guesses, modes = chances.shape
    found: list[float] = []
    for guess in range(guesses):
        terms: dict[str, list[float]] = {"step": [], "failure": [], "good_ends": [], "bad_ends": []}
        for path in range(paths):
            p = chances[path, :, guess].tolist()
            steps = [
                sum(p[t][i] * feasible[i][j] * p[t + 1][j] for i in range(modes) for j in range(modes))
                for t in range(length - 1)
            ]
            ends = -weights.first * math.log(p[0][0]) - weights.last * math.log(p[-1][-1])
            if succeeded[path]:
                terms["step"] += steps
                terms["good_ends"].append(ends)
            else:
                terms["failure"].append(max(sum(steps), -1.0))
                terms["bad_ends"].append(ends)
        found.append(
            -weights.success * float(np.mean(terms["step"]))
            + weights.failure * float(np.mean(terms["failure"]))
            + float(np.mean(terms["good_ends"]))
            + float(np.mean(terms["bad_ends"]))
        )
    return found


def test_the_loss_equals_a_plain_loop() -> None:
    torch.manual_seed(0)
    feasible, weights = chain(4), Weights(7.0, 2.0, 3.0, 4.0)
    net = ModeClassifier(2, feasible, guesses=3, hidden=8, weights=weights)
    paths, succeeded = 3 * torch.randn(6, 9, 2), torch.tensor([1, 0, 1, 1, 0, 0]).bool()
    each = plain_loss(net.log_chances(paths).exp().detach().double(), succeeded.tolist(), feasible, weights)
    np.testing.assert_allclose(net.explanation(paths, succeeded).detach(), each, rtol=1e-4)
    losses = net.losses(Batch({"x": paths}, None, extra={SUCCEEDED: succeeded}))
    np.testing.assert_allclose(
        float(sum(term.detach() for term in losses.values())), 0.9 * min(each) + 0.1 * np.mean(each), rtol=1e-4
    )


def line_classifier() -> ModeClassifier:
    """On the line: guess 0 calls everything the first mode; guess 1 has borders at 1 and 2."""
    net = ModeClassifier(1, chain(3), guesses=2, hidden=2)
    net.spread.fill_(SHARPNESS)  # states are then what the network sees
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        net.net[0].weight.copy_(torch.tensor([[1.0], [1.0]]))  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue, reportArgumentType]
        net.net[0].bias.copy_(torch.tensor([-1.0, -2.0]))  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue, reportArgumentType]
        out = torch.zeros(2, 3, 2)  # guess, mode, hidden unit
        out[1, 1] = torch.tensor([100.0, 0.0])
        out[1, 2] = torch.tensor([100.0, 300.0])
        net.net[2].weight.copy_(out.flatten(0, 1))  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue, reportArgumentType]
        bias = torch.tensor([[50.0, 0.0, 0.0], [1.0, 0.0, -1.0]])
        net.net[2].bias.copy_(bias.flatten())  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue, reportArgumentType]
    return net


def test_the_guess_that_predicts_success_is_chosen() -> None:
    net = line_classifier()
    smooth = torch.linspace(0, 3, 60)
    leap = torch.cat([torch.linspace(0, 0.9, 30), torch.linspace(2.2, 3, 30)])
    paths, succeeded = torch.stack([smooth, leap])[..., None], torch.tensor([True, False])
    assert net.predicted(paths)[:, 1].tolist() == [True, False]
    accuracy = net.choose(paths, succeeded)
    assert accuracy.tolist() == [0.5, 1.0]
    assert int(net.best) == 1
    assert net.modes_of(torch.tensor([[0.5], [1.5], [2.5]])).tolist() == [0, 1, 2]


def test_the_guess_that_explains_worst_is_left_out() -> None:
    net = line_classifier()
    smooth = torch.linspace(0, 3, 60)
    leap = torch.cat([torch.linspace(0, 0.9, 30), torch.linspace(2.2, 3, 30)])
    paths, succeeded = torch.stack([smooth, leap])[..., None], torch.tensor([True, False])
    both = net.explanation(paths, succeeded)
    assert both[0] > both[1]
    net.sift(paths, succeeded, 1)
    assert net.kept.tolist() == [False, True]
    assert torch.equal(net.explanation(paths, succeeded), both[1:])
    assert net.choose(paths, succeeded).tolist() == [1.0]
    assert int(net.best) == 1
    sum(net.losses(Batch({"x": paths}, None, extra={SUCCEEDED: succeeded})).values()).backward()  # pyright: ignore[reportAttributeAccessIssue]
    last = net.net[2].weight.grad
    assert isinstance(last, Tensor)
    assert not last[:3].any()


def test_what_lies_elsewhere_than_in_the_first_mode_is_its_share_of_the_range() -> None:
    """Guess 1 has borders at 1 and 2 of a range from -8 to 8, and scores of 1, 0 and -1 below the first."""
    net = line_classifier()
    each = net.elsewhere().tolist()
    assert each[0] < 1e-6
    below = math.e / (math.e + 1 + 1 / math.e)
    assert abs(each[1] - (1 - 9 / 16 * below)) < 2 / PLACES
    paths, succeeded = torch.linspace(0, 3, 60)[None, :, None].repeat(2, 1, 1), torch.tensor([True, False])
    plain = net.explanation(paths, succeeded)
    net.weights = Weights(elsewhere=5.0)
    torch.testing.assert_close(net.explanation(paths, succeeded) - plain, 5.0 * net.elsewhere())
