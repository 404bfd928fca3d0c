"""Batch-constrained values: their target against a plain loop, and what they may and may not ask about."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from imitari.core.batch import Batch
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.learn.batch_constrained import BatchConstrained, ConstrainedValues
from imitari.learn.learner import trailing
from imitari.methods.offline.bcq import BatchConstrainedQLearning

KEY = "observation.state"
SPEC = Spec({KEY: Feature((3,))}, Feature((2,), low=(-1.0, -1.0), high=(1.0, 1.0)))
SETTINGS = BatchConstrained(hidden=(16, 16), sampler_hidden=(16,), tried=7, pessimism=0.6)


def batch(count: int = 5) -> Batch:
    torch.manual_seed(3)
    return Batch(
        obs={KEY: torch.randn(count, 3)},
        action=torch.rand(count, 2) * 2 - 1,
        reward=torch.randn(count),
        discount=torch.tensor([0.0, *[0.9] * (count - 1)]),
        next_obs={KEY: torch.randn(count, 3)},
    )


def made(**changes: object) -> ConstrainedValues:
    torch.manual_seed(0)
    values = ConstrainedValues(BatchConstrained(**{**SETTINGS.__dict__, **changes}), SPEC)  # type: ignore[arg-type]
    with torch.no_grad():  # targets that are not what they follow
        for copied in trailing(values):
            for value in copied.copy.parameters():
                value.add_(0.3 * torch.randn_like(value))
    return values


@pytest.mark.parametrize("perturbation", [0.0, 0.3])
@torch.no_grad()
def test_the_target_is_that_of_a_plain_loop(perturbation: float) -> None:
    values, given = made(perturbation=perturbation), batch()
    torch.manual_seed(9)
    found = values.backup(given)
    torch.manual_seed(9)
    drawn = values.sampler.draw(given.next_obs[KEY], SETTINGS.tried)
    for row in range(len(given)):
        seen, best = given.next_obs[KEY][row], -float("inf")
        for action in drawn[row]:
            if perturbation:
                assert values.actor_target is not None
                change = torch.tanh(values.actor_target.copy.net(torch.cat([seen, action])))
                action = (action + perturbation * change).clamp(-1, 1)
            pair = [float(value) for value in values.target({KEY: seen[None]}, action[None])[:, 0]]
            best = max(best, 0.6 * min(pair) + 0.4 * max(pair))
        expected = float(given.reward[row]) + float(given.discount[row]) * best
        assert float(found[row]) == pytest.approx(expected, abs=1e-5)
    assert float(found[0]) == float(given.reward[0])  # after a terminal state nothing follows


def test_each_term_reaches_its_own_network_alone() -> None:
    values, given = made(perturbation=0.1), batch()
    reached = {
        "sampler_loss": {"sampler"}, "sampler_kl": {"sampler"}, "critic_loss": {"critics"}, "actor_loss": {"actor"},
    }  # fmt: skip
    for term, parts in reached.items():
        values.zero_grad()
        values.losses(given)[term].backward()
        found = {name.split(".")[0] for name, value in values.named_parameters() if value.grad is not None}
        assert found == parts, term


def test_moved_actions_stay_within_reach_and_range() -> None:
    values = made(perturbation=0.2)
    assert values.actor is not None
    with torch.no_grad():
        values.actor.net[-1].bias.copy_(torch.tensor([100.0, -100.0]))
    actions = torch.tensor([[0.0, 0.0], [0.95, -0.95]])
    moved = values.actor(torch.zeros(2, 3), actions)
    assert torch.allclose(moved, torch.tensor([[0.2, -0.2], [1.0, -1.0]]), atol=1e-6)


def quadratic(values: ConstrainedValues, best: Tensor) -> None:
    """Q_1(o, a) = -|a - best|^2 and Q_2 = 0, whatever o is."""

    def rated(features: Tensor, flat: Tensor, only: Tensor | None = None) -> Tensor:
        first = -((flat - best) ** 2).sum(-1)
        return torch.stack([first, torch.zeros_like(first)])

    values.critics.of_features = rated  # type: ignore[method-assign]


def test_acting_takes_the_proposal_that_the_first_critic_prefers(monkeypatch: pytest.MonkeyPatch) -> None:
    values = made()
    grid = torch.rand(50, 2) * 2 - 1
    monkeypatch.setattr(values.sampler, "draw", lambda condition, count=1: grid[:count].expand(len(condition), -1, -1))
    best = torch.tensor([0.3, -0.2])
    quadratic(values, best)
    nearest = grid[((grid - best) ** 2).sum(-1).argmin()]
    found = values.best_actions({KEY: torch.randn(4, 3)}, 50)
    assert torch.equal(found, nearest.expand(4, -1))
    worth = values.state_values(torch.randn(1000, 3), 50)
    assert torch.allclose(worth, -((nearest - best) ** 2).sum().expand(1000))


def test_values_come_to_those_of_the_best_recorded_action() -> None:
    """One decision: actions near -0.5 earn 0, near 0.5 they earn 1. Nobody ever tried others."""
    torch.manual_seed(0)
    method = BatchConstrainedQLearning(hidden=(32, 32), sampler_hidden=(32, 32), sampler_kl=0.01, lr=5e-3)
    learner = method.learner(Spec({KEY: Feature((1,))}, Feature((1,), low=(-1.0,), high=(1.0,))))
    optimiser = torch.optim.Adam((value for value in learner.parameters() if value.requires_grad), 5e-3)
    for _ in range(150):
        side = torch.randint(0, 2, (128, 1)).float()
        given = Batch(
            obs={KEY: torch.zeros(128, 1)},
            action=side - 0.5 + 0.05 * torch.randn(128, 1),
            reward=side[:, 0],
            discount=torch.zeros(128),
            next_obs={KEY: torch.zeros(128, 1)},
        )
        terms = learner.losses(given)
        optimiser.zero_grad()
        sum(value for name, value in terms.items() if not name.startswith("_")).backward()  # type: ignore[union-attr]
        optimiser.step()
    with torch.no_grad():
        action = learner.act({KEY: torch.zeros(200, 1, 1)})[:, 0, 0]
    assert ((action - 0.5).abs() < 0.3).float().mean() > 0.95


def test_settings_and_choices_that_cannot_be_are_refused() -> None:
    choices = Spec({KEY: Feature((3,))}, Feature((1,), "int64", "choice", low=(0.0,), high=(2.0,)))
    with pytest.raises(UserError, match="numbers"):
        ConstrainedValues(SETTINGS, choices)
    for wrong in ({"pessimism": 1.5}, {"tried": 0}, {"acted": 0}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            BatchConstrainedQLearning(**wrong)  # type: ignore[arg-type]


def test_targets_follow_by_tau() -> None:
    values = made(tau=0.25)
    before = copy.deepcopy(values.target.copy.state_dict())
    values.target.follow(1)
    for name, value in values.target.copy.state_dict().items():
        expected = before[name] + 0.25 * (values.critics.state_dict()[name] - before[name])
        assert torch.allclose(value, expected)
