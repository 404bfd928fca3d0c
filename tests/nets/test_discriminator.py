"""Discriminators: their optimum, what they see, the penalty on their slope, and the rewards that are made of them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from imitari.core.batch import Batch
from imitari.core.spec import Feature, Spec
from imitari.nets.discriminator import Discriminator, RewardForm, Sees, imitation_reward

KEY = "observation.state"
TABLE = Spec({KEY: Feature((1,), "int64", "symbol", low=(0,), high=(2,))}, Feature((1,), "int64", "choice", high=(1,)))
NUMBERS = Spec({KEY: Feature((2,))}, Feature((3,)))
STEPS = np.array(list(product(range(3), range(2), range(3), range(2))))  # state, action, next state, discount


def table_batch(rows: np.ndarray) -> Batch:
    state, action, after, discount = torch.from_numpy(rows).T
    return Batch({KEY: state[:, None]}, action[:, None], discount=discount.float(), next_obs={KEY: after[:, None]})


def numbers_batch(count: int) -> Batch:
    return Batch(
        {KEY: torch.randn(count, 2)},
        torch.randn(count, 3),
        discount=torch.ones(count),
        next_obs={KEY: torch.randn(count, 2)},
    )


@pytest.mark.parametrize(
    ("sees", "kept"), [("state", [0]), ("action", [0, 1]), ("next", [0, 2]), ("all", [0, 1, 2, 3])]
)
def test_the_optimum_is_the_log_ratio_of_what_is_seen(sees: Sees, kept: list[int]) -> None:
    """Goodfellow et al. 2014, proposition 1: D = p / (p + q), also where the second group has three times as many."""
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 8, (2, len(STEPS)))
    rows = np.concatenate([np.repeat(STEPS, count, 0) for count in (counts[0], 3 * counts[1])])
    first = torch.arange(len(rows)) < counts[0].sum()
    torch.manual_seed(0)
    net = Discriminator(TABLE, (64,), sees=sees)
    optimiser = torch.optim.Adam(net.parameters(), 0.02)
    for _ in range(600):
        loss = net.losses(table_batch(rows), first, 0.0)["discriminator_loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    seen = [tuple(row) for row in STEPS[:, kept]]
    mass = [dict.fromkeys(seen, 0.0) for _ in range(2)]
    for group in range(2):
        for cell, count in zip(seen, counts[group] / counts[group].sum(), strict=True):
            mass[group][cell] += count
    expected = [np.log(mass[0][cell] / mass[1][cell]) for cell in seen]
    with torch.no_grad():
        np.testing.assert_allclose(net(table_batch(STEPS)).numpy(), expected, atol=0.05)


@pytest.mark.parametrize("sees", ["state", "action", "next", "all"])
def test_what_is_not_seen_makes_no_difference(sees: Sees) -> None:
    torch.manual_seed(0)
    net, steps, other = Discriminator(NUMBERS, (8,), sees=sees), numbers_batch(5), numbers_batch(5)
    changed = {
        "state": Batch(other.obs, steps.action, discount=steps.discount, next_obs=steps.next_obs),
        "action": Batch(steps.obs, other.action, discount=steps.discount, next_obs=steps.next_obs),
        "next": Batch(steps.obs, steps.action, discount=steps.discount, next_obs=other.next_obs),
        "end": Batch(steps.obs, steps.action, discount=torch.zeros(5), next_obs=steps.next_obs),
    }
    visible = {"state": {"state"}, "action": {"state", "action"}, "next": {"state", "next"}, "all": set(changed)}[sees]
    for part, batch in changed.items():
        assert torch.equal(net(batch), net(steps)) == (part not in visible), part


def test_the_penalty_of_a_linear_discriminator_is_that_of_its_weight() -> None:
    torch.manual_seed(0)
    net = Discriminator(NUMBERS, (), sees="action")
    first = torch.tensor([True] * 4 + [False] * 9)
    terms = net.losses(numbers_batch(13), first, 3.0)
    weight = net.body[0].weight
    assert isinstance(weight, Tensor)
    torch.testing.assert_close(terms["penalty_loss"], 3 * (weight.norm() - 1) ** 2)
    terms["penalty_loss"].backward()
    assert weight.grad is not None
    steepest = 6 * (weight.norm() - 1) * weight / weight.norm()
    torch.testing.assert_close(weight.grad, steepest.detach())
    assert "penalty_loss" not in net.losses(numbers_batch(13), first, 0.0)


def test_it_tells_how_often_it_is_right() -> None:
    net = Discriminator(NUMBERS, (), sees="state")
    with torch.no_grad():
        net.body[0].weight.copy_(torch.tensor([[1.0, 0.0]]))  # type: ignore[operator]
        net.body[0].bias.zero_()  # type: ignore[operator]
    obs = {KEY: torch.tensor([[1.0, 0.0], [2.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])}
    terms = net.losses(Batch(obs, torch.zeros(5, 3)), torch.tensor([True, True, True, False, False]), 0.0)
    assert float(terms["_recognised"]) == pytest.approx(2 / 3)
    assert float(terms["_mistaken"]) == pytest.approx(1 / 2)


@pytest.mark.parametrize("form", ["positive", "negative", "logit"])
def test_rewards_are_their_formulae(form: RewardForm) -> None:
    logit = torch.linspace(-9, 9, 37, dtype=torch.float64)
    chance = 1 / (1 + np.exp(-logit.numpy()))
    formulae = {
        "positive": -np.log(1 - chance),
        "negative": np.log(chance),
        "logit": np.log(chance) - np.log(1 - chance),
    }
    found = imitation_reward(logit, form).numpy()
    np.testing.assert_allclose(found, formulae[form], rtol=1e-9, atol=1e-12)
    signs = {"positive": found >= 0, "negative": found <= 0, "logit": np.sign(found) == np.sign(logit.numpy())}
    assert signs[form].all()
    assert torch.isfinite(imitation_reward(torch.tensor([-200.0, 200.0]), form)).all()
