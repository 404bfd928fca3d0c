"""Targets and losses of the soft actor-critic against a plain loop over separate networks; which part moves what."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from imitari.core.batch import Batch
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.learn.actor_critic import SoftActorCritic, SoftSettings
from imitari.nets.critics import Critics, StackedLinear, StackedNorm

KEY = "observation.state"
SPEC = Spec({KEY: Feature((3,))}, Feature((2,), low=(-1.0, -1.0), high=(1.0, 1.0)))
COUNT, SIZE = 5, 7
SETTINGS = SoftSettings(critics=COUNT, hidden=(8, 6), temperature=0.3)


def made(**changes: object) -> tuple[SoftActorCritic, Batch]:
    torch.manual_seed(0)
    learner = SoftActorCritic(dataclasses.replace(SETTINGS, **changes), SPEC)  # type: ignore[arg-type]
    for parameter in learner.target.parameters():  # targets that are not the critics
        parameter.data += 0.1 * torch.randn_like(parameter)
    batch = Batch(
        obs={KEY: torch.randn(SIZE, 3)},
        action=torch.rand(SIZE, 2) * 2 - 1,
        reward=torch.randn(SIZE),
        discount=0.99 * (torch.arange(SIZE) % 3 > 0),
        next_obs={KEY: torch.randn(SIZE, 3)},
    )
    return learner, batch


def alone(critics: Critics, number: int, obs: Tensor, action: Tensor) -> Tensor:
    """One critic, layer by layer."""
    value = torch.cat([obs, action], 1)
    for layer in critics.body:
        if isinstance(layer, StackedLinear):
            value = value @ layer.weight[number] + layer.bias.view(COUNT, -1)[number]
        elif isinstance(layer, StackedNorm):
            centred = value - value.mean(1, keepdim=True)
            normal = centred / torch.sqrt(value.var(1, unbiased=False, keepdim=True) + 1e-5)
            value = normal * layer.gain.view(COUNT, -1)[number] + layer.shift.view(COUNT, -1)[number]
        else:
            assert isinstance(layer, nn.ReLU)
            value = value.clamp(min=0)
    return value[:, 0]


def drawn(learner: SoftActorCritic, obs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """An action and its log-density, written out."""
    policy = learner.actor(obs)
    raw = policy.mean + policy.log_scale.exp() * torch.randn_like(policy.mean)
    action = torch.tanh(raw)
    normal = torch.distributions.Normal(policy.mean, policy.log_scale.exp()).log_prob(raw)
    return action, (normal - torch.log(1 - action**2)).sum(1)


@pytest.mark.parametrize("entropy_backup", [True, False])
@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("subset", [1, 2, COUNT])
def test_targets_equal_a_plain_loop(entropy_backup: bool, norm: bool, subset: int) -> None:
    learner, batch = made(entropy_backup=entropy_backup, norm=norm, subset=subset)
    torch.manual_seed(3)
    backup = learner.backup(batch)
    torch.manual_seed(3)
    assert batch.next_obs is not None
    with torch.no_grad():
        action, log_density = drawn(learner, batch.next_obs)
    chosen = range(COUNT) if subset == COUNT else torch.randperm(COUNT)[:subset].tolist()
    assert isinstance(learner.target.copy, Critics)
    each = [alone(learner.target.copy, one, batch.next_obs[KEY], action) for one in chosen]
    for row in range(SIZE):
        value = min(float(values[row]) for values in each) - (0.3 * float(log_density[row]) if entropy_backup else 0.0)
        expected = float(batch.reward[row]) + float(batch.discount[row]) * value
        assert float(backup[row]) == pytest.approx(expected, abs=1e-4)
    assert not backup.requires_grad


@pytest.mark.parametrize("actor_value", ["mean", "min"])
def test_losses_equal_a_plain_loop(actor_value: str) -> None:
    learner, batch = made(actor_value=actor_value)
    torch.manual_seed(5)
    losses = learner.losses(batch)
    torch.manual_seed(5)
    action, log_density = drawn(learner, batch.obs)
    values = torch.stack([alone(learner.critics, one, batch.obs[KEY], action) for one in range(COUNT)])
    climbed = values.mean(0) if actor_value == "mean" else values.min(0).values
    torch.testing.assert_close(losses["actor_loss"], (0.3 * log_density - climbed).mean(), rtol=1e-4, atol=1e-5)
    gap = float(-log_density.detach().mean()) - learner.target_entropy
    assert learner.target_entropy == -0.5 * 2
    assert losses["temperature_loss"].item() == pytest.approx(0.3 * gap, rel=1e-4)
    # The draw of the next action is another one than inside: with a discount of 0 it does not matter.
    done = Batch(batch.obs, batch.action, reward=batch.reward, discount=0 * batch.discount, next_obs=batch.next_obs)
    errors = [
        ((alone(learner.critics, one, batch.obs[KEY], batch.action) - batch.reward) ** 2).mean().item()
        for one in range(COUNT)
    ]
    assert learner.critic_losses(done)["critic_loss"].item() == pytest.approx(np.mean(errors), rel=1e-4)


def moved(learner: SoftActorCritic, loss: Tensor) -> set[str]:
    """The parts that a loss sends gradients to."""
    learner.zero_grad(set_to_none=True)
    loss.backward()
    return {name.split(".")[0] for name, value in learner.named_parameters() if value.grad is not None}


def test_each_loss_reaches_its_own_part() -> None:
    learner, batch = made()
    assert moved(learner, learner.losses(batch)["critic_loss"]) == {"critics"}
    assert moved(learner, learner.losses(batch)["actor_loss"]) == {"actor"}
    assert moved(learner, learner.losses(batch)["temperature_loss"]) == {"log_temperature"}
    assert moved(learner, learner.critic_losses(batch)["critic_loss"]) == {"critics"}
    assert all(parameter.requires_grad for parameter in learner.critics.parameters())


def test_the_temperature_rises_where_the_policy_is_too_sure_and_falls_where_it_is_not() -> None:
    for density, sign in [(5.0, -1), (-5.0, 1)]:
        learner, _ = made()
        learner.temperature_loss(torch.full((SIZE,), density)).backward()
        assert learner.log_temperature.grad is not None
        assert math.copysign(1, float(learner.log_temperature.grad)) == sign


def test_it_samples_while_it_learns_and_then_acts_by_its_mean() -> None:
    learner, _ = made()
    obs = {KEY: torch.randn(4, 1, 3)}
    learner.train()
    assert not torch.equal(learner.act(obs), learner.act(obs))
    learner.eval()
    torch.testing.assert_close(learner.act(obs)[:, 0], torch.tanh(learner.actor({KEY: obs[KEY][:, 0]}).mean))
    sampling, _ = made(acting="sample")
    sampling.eval()
    assert not torch.equal(sampling.act(obs), sampling.act(obs))


def test_problems_are_one_sentence() -> None:
    with pytest.raises(UserError, match="subset is 6 of 5"):
        dataclasses.replace(SETTINGS, subset=6)
    with pytest.raises(UserError, match="temperature is 0"):
        dataclasses.replace(SETTINGS, temperature=0.0)
    choices = Spec(SPEC.obs, Feature((1,), "int64", "choice", high=(3.0,)))
    with pytest.raises(UserError, match="actions of numbers"):
        SoftActorCritic(SETTINGS, choices)
