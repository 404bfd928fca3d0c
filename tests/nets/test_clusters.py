"""k-means against plain loops and against every partition, the focal loss in closed form, the head by hand."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch
from torch.nn import functional

from imitari.core.errors import UserError
from imitari.nets.heads.clusters import Clustered, ClusterHead, focal_loss, k_means, nearest_centre


def cost(points: np.ndarray, owner: np.ndarray, count: int) -> float:
    """Sum of squared distances to the means of the groups."""
    total = 0.0
    for group in range(count):
        own = points[owner == group]
        total += float(((own - own.mean(0)) ** 2).sum()) if len(own) else 0.0
    return total


@pytest.mark.parametrize("seed", range(5))
def test_it_finds_the_best_of_all_partitions_of_groups_that_lie_apart(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = np.concatenate([middle + 0.1 * rng.normal(size=(3, 2)) for middle in ((0, 0), (3, 0), (0, 3))])
    best = min(cost(points, np.array(owner), 3) for owner in product(range(3), repeat=len(points)))
    centres = k_means(torch.from_numpy(points), 3, seed=seed).numpy()
    nearest = ((points[:, None] - centres) ** 2).sum(-1)
    assert nearest.min(1).sum() == pytest.approx(best, rel=1e-4)


def test_it_ends_where_each_centre_is_the_mean_of_what_is_nearest_to_it() -> None:
    points = torch.from_numpy(np.random.default_rng(0).normal(size=(500, 3))).float()
    centres = k_means(points, 7, iterations=500)
    owner = np.array([np.argmin([((p - c) ** 2).sum() for c in centres.numpy()]) for p in points.numpy()])
    for number, centre in enumerate(centres.numpy()):
        assert np.allclose(points.numpy()[owner == number].mean(0), centre, atol=1e-4)
    assert np.array_equal(nearest_centre(points, centres).numpy(), owner)


def test_more_iterations_are_never_worse_and_the_seed_alone_decides() -> None:
    points = torch.from_numpy(np.random.default_rng(1).uniform(size=(400, 2)))

    def left(iterations: int) -> float:
        centres = k_means(points, 16, iterations).double()
        return float(torch.cdist(points, centres).square().amin(1).sum())

    errors = [left(iterations) for iterations in (0, 1, 2, 5, 50)]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > errors[-1]
    assert torch.equal(k_means(points, 16), k_means(points, 16))
    assert not torch.equal(k_means(points, 16), k_means(points, 16, seed=1))


def test_more_centres_than_different_actions_are_refused() -> None:
    points = torch.tensor([[0.0], [0.0], [1.0]])
    assert sorted(k_means(points, 2).flatten().tolist()) == [0, 1]
    with pytest.raises(UserError, match="2 different actions"):
        k_means(points, 3)


def test_the_focal_loss_is_the_closed_form() -> None:
    torch.manual_seed(0)
    logits, target = torch.randn(5, 4, 3), torch.randint(3, (5, 4))
    losses = focal_loss(logits, target, 2.0)
    for row, column in product(range(5), range(4)):
        values = [math.exp(float(value)) for value in logits[row, column]]
        chance = values[int(target[row, column])] / sum(values)
        assert float(losses[row, column]) == pytest.approx(-((1 - chance) ** 2) * math.log(chance), rel=1e-4)
    plain = functional.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none")
    assert torch.allclose(focal_loss(logits, target, 0.0).flatten(), plain, atol=1e-6)


def test_only_the_offset_of_the_nearest_centre_is_regressed() -> None:
    centres = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    offsets = torch.tensor([[[0.1, 0.0], [9.0, 9.0]]])
    said = Clustered(torch.tensor([[2.0, -1.0]]), offsets, centres, gamma=0.0, offset_weight=3.0)
    classes, errors = said.losses(torch.tensor([[0.3, 0.2]]))
    assert float(classes) == pytest.approx(math.log(1 + math.exp(-3)), rel=1e-5)
    assert float(errors) == pytest.approx(3 * (0.2**2 + 0.2**2) / 2, rel=1e-5)
    assert float(said.loss(torch.tensor([[0.3, 0.2]]))) == pytest.approx(float(classes + errors))
    assert said.mode.tolist() == [[pytest.approx(0.1), 0.0]]


def test_classes_are_drawn_by_their_probability_each_with_its_offset() -> None:
    torch.manual_seed(0)
    head = ClusterHead(2, 1, 3)
    head.learn(torch.tensor([[-1.0], [0.0], [0.0], [2.0]]))
    order = head.centres.flatten().argsort()
    assert head.centres.flatten()[order].tolist() == [-1, 0, 2]
    said = head(torch.randn(1, 2).expand(40_000, 2))
    chance = said.logits[0].softmax(-1).detach()
    values = (head.centres + said.offsets[0]).flatten().detach()
    drawn = said.sample().flatten().detach()
    for number in range(3):
        share = float((drawn == values[number]).float().mean())
        assert share == pytest.approx(float(chance[number]), abs=0.01)
