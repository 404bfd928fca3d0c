"""Conservative Q-learning: its penalty against integrals and by hand, its multiplier, and who is trained by what."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from imitari.core.batch import Batch
from imitari.core.spec import Feature, Spec
from imitari.methods.offline.cql import LARGEST, ConservativeQ, ConservativeQLearning

KEY = "observation.state"
SPEC = Spec({KEY: Feature((3,))}, Feature((2,), low=(-1.0, -1.0), high=(1.0, 1.0)))
SMALL = {"hidden": (16, 16)}


def made(spec: Spec = SPEC, **settings: object) -> ConservativeQ:
    torch.manual_seed(0)
    learner = ConservativeQLearning(**{**SMALL, **settings}).learner(spec)  # type: ignore[arg-type]
    assert isinstance(learner, ConservativeQ)
    return learner


def batch(count: int = 4, size: int = 2) -> Batch:
    torch.manual_seed(3)
    return Batch(
        obs={KEY: torch.randn(count, 3)},
        action=torch.rand(count, size) * 2 - 1,
        reward=torch.randn(count),
        discount=torch.full((count,), 0.9),
        next_obs={KEY: torch.randn(count, 3)},
    )


def test_proposals_are_of_three_kinds_with_their_densities() -> None:
    learner, given = made(drawn=6), batch()
    with torch.no_grad():  # policies that differ between o and o'
        learner.actor.body[-1].weight.normal_()  # type: ignore[union-attr]
        actions, log_density = learner.proposals(given)
    assert actions.shape == (4, 18, 2)
    assert torch.allclose(log_density[:, :6], torch.full((4, 6), 2 * math.log(0.5)))
    for begin, obs in ((6, given.obs), (12, given.next_obs)):
        policy = learner.actor(obs)
        raw = torch.atanh(actions[:, begin : begin + 6].double())
        inner = Normal(policy.mean.double()[:, None], policy.log_scale.double().exp()[:, None])
        expected = (inner.log_prob(raw) - torch.log(1 - torch.tanh(raw) ** 2)).sum(-1)
        inside = (actions[:, begin : begin + 6].abs() < 0.999).all(-1)  # where atanh keeps its digits
        assert inside.any()
        assert torch.allclose(log_density[:, begin : begin + 6][inside].double(), expected[inside], atol=1e-2)


def test_the_soft_maximum_estimates_an_integral() -> None:
    """With N draws of each kind, exp of it over 3 N tends to the integral of exp Q(o, a) over all actions."""
    spec = Spec({KEY: Feature((3,))}, Feature((1,), low=(-1.0,), high=(1.0,)))
    learner, given = made(spec, drawn=20_000), batch(2, size=1)
    with torch.no_grad():
        for value in learner.critics.body.parameters():
            value.mul_(3)
        grid = torch.linspace(-1, 1, 4001)[:, None]
        values = learner.critics(given.obs, grid.expand(2, -1, -1))  # (2, B, 4001)
        assert (values.amax(-1) - values.amin(-1)).min() > 0.3  # an action matters
        exact = torch.log(torch.trapezoid(values.exp(), dx=2 / 4000, dim=-1))
        found = learner.soft_maximum(given) - math.log(3 * 20_000)
    assert torch.allclose(found, exact, atol=0.03)


def test_the_penalty_is_what_the_formula_says(monkeypatch: pytest.MonkeyPatch) -> None:
    learner, given = made(drawn=3, weight=0.7, gap=2.0), batch()
    actions, log_density = torch.rand(4, 9, 2) * 2 - 1, torch.randn(4, 9)
    monkeypatch.setattr(learner, "proposals", lambda _: (actions, log_density))
    with torch.no_grad():
        learner.log_multiplier.fill_(0.4)
        terms = learner.critic_losses(given)
        expected = 0.0
        for critic in range(2):
            penalty = 0.0
            for row in range(4):
                obs = {KEY: given.obs[KEY][row : row + 1]}
                total = 0.0
                for action, density in zip(actions[row], log_density[row], strict=True):
                    total += math.exp(float(learner.critics(obs, action[None])[critic, 0]) - float(density))
                penalty += (math.log(total) - float(learner.critics(obs, given.action[row : row + 1])[critic, 0])) / 4
            expected += math.exp(0.4) * (0.7 * penalty - 2.0)
    assert float(terms["conservative_loss"]) == pytest.approx(expected, rel=1e-4)
    assert float(terms["multiplier_loss"]) == pytest.approx(-expected / 2, rel=1e-4)


@pytest.mark.parametrize(("gap", "grows"), [(-50.0, True), (50.0, False)])
def test_the_multiplier_grows_while_the_gap_is_exceeded(gap: float, grows: bool) -> None:
    learner = made(gap=gap)
    learner.critic_losses(batch())["multiplier_loss"].backward()
    assert learner.log_multiplier.grad is not None
    assert (float(learner.log_multiplier.grad) < 0) == grows  # a step goes against the gradient


def test_the_multiplier_is_bounded() -> None:
    learner = made()
    with torch.no_grad():
        learner.log_multiplier.fill_(40.0)
    assert float(learner.critic_losses(batch())["_multiplier"]) == pytest.approx(LARGEST)


def test_each_term_reaches_its_own_parameters_alone() -> None:
    learner, given = made(), batch()
    reached = {
        "critic_loss": {"critics"}, "conservative_loss": {"critics"}, "multiplier_loss": {"log_multiplier"},
        "actor_loss": {"actor"}, "temperature_loss": {"log_temperature"},
    }  # fmt: skip
    for term, parts in reached.items():
        learner.zero_grad()
        learner.losses(given)[term].backward()
        found = {name.split(".")[0] for name, value in learner.named_parameters() if value.grad is not None}
        assert found == parts, term


def test_the_target_has_no_entropy_and_the_least_critic() -> None:
    learner, given = made(), batch()
    torch.manual_seed(5)
    found = learner.backup(given)
    torch.manual_seed(5)
    action, _ = learner.actor(given.next_obs).draw()
    values: Tensor = learner.target(given.next_obs, action)
    assert torch.allclose(found, given.reward + 0.9 * torch.minimum(values[0], values[1]))
    assert learner.target_entropy == -2


def test_the_policy_begins_in_the_middle_of_all_actions() -> None:
    policy = made().actor(batch(100).obs)
    assert policy.mean.abs().max() < 0.05
    assert policy.log_scale.abs().max() < 0.05


def test_actions_that_the_data_lack_are_rated_low() -> None:
    """Recorded actions are near 0.5 and earn nothing, as anything else does: only the penalty tells them apart."""
    spec = Spec({KEY: Feature((1,))}, Feature((1,), low=(-1.0,), high=(1.0,)))
    learner = made(spec, hidden=(32, 32), gap=1.0)
    optimiser = torch.optim.Adam((value for value in learner.parameters() if value.requires_grad), 3e-3)
    for _ in range(200):
        seen = {KEY: torch.zeros(64, 1)}
        action = 0.5 + 0.05 * torch.randn(64, 1)
        terms = learner.losses(Batch(seen, action, reward=torch.zeros(64), discount=torch.zeros(64), next_obs=seen))
        optimiser.zero_grad()
        sum(value for name, value in terms.items() if not name.startswith("_")).backward()  # type: ignore[union-attr]
        optimiser.step()
    with torch.no_grad():
        recorded, other = learner.critics({KEY: torch.zeros(1, 1)}, torch.tensor([[[0.5], [-0.5]]]))[:, 0].mean(0)
    assert recorded > other + 0.5
