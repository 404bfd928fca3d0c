"""Policy and value: distributions against torch's own, masks, running statistics, values that survive a new scale."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.nets.actor_critic import ActorCritic, entropy, kl
from imitari.nets.critics import Gaussian
from imitari.nets.heads.actions import Choice
from imitari.nets.running import RunningMoments, RunningStandard

KEY, MASK = "observation.state", "observation.allowed"
CHOICES = Spec(
    {KEY: Feature((3,)), MASK: Feature((4,), "float32")}, Feature((1,), "int64", "choice", low=(0,), high=(3,))
)


def test_entropy_and_divergence_are_torchs() -> None:
    torch.manual_seed(0)
    one = Gaussian(torch.randn(5, 3), torch.randn(3) / 2)
    other = Gaussian(torch.randn(5, 3), torch.randn(5, 3) / 2)
    normal = [torch.distributions.Normal(each.mean, each.log_scale.exp()) for each in (one, other)]
    torch.testing.assert_close(entropy(one), normal[0].entropy().sum(-1))
    torch.testing.assert_close(kl(one, other), torch.distributions.kl_divergence(*normal).sum(-1))
    first, second = Choice(torch.randn(5, 4)), Choice(torch.randn(5, 4))
    chance = [torch.distributions.Categorical(logits=each.logits) for each in (first, second)]
    torch.testing.assert_close(entropy(first), chance[0].entropy())
    torch.testing.assert_close(kl(first, second), torch.distributions.kl_divergence(*chance))


@pytest.mark.parametrize("shared", [False, True])
def test_masked_choices_are_never_taken_and_have_no_gradient(shared: bool) -> None:
    torch.manual_seed(0)
    net = ActorCritic(CHOICES, (16,), mask=MASK, shared=shared)
    allowed = (torch.rand(512, 4) < 0.5).float()
    allowed[:, 2] = 1.0
    obs = {KEY: torch.randn(512, 3), MASK: allowed}
    policy = net.policy(obs)
    assert isinstance(policy, Choice)
    assert allowed.gather(1, policy.sample()).all()
    assert allowed.gather(1, policy.mode).all()
    alone = Choice(net.head(net._features(obs)).logits)
    single = {KEY: obs[KEY], MASK: torch.eye(4)[torch.full((512,), 2)]}
    torch.testing.assert_close(entropy(net.policy(single)), torch.zeros(512))
    free = net.policy({**obs, MASK: torch.ones(512, 4)})
    assert isinstance(free, Choice)
    torch.testing.assert_close(free.logits, alone.logits)
    spread = entropy(policy).mean()
    spread.backward()
    assert all(torch.isfinite(value.grad).all() for value in net.parameters() if value.grad is not None)


def test_the_networks_do_not_see_the_mask() -> None:
    net = ActorCritic(CHOICES, (16,), mask=MASK)
    obs = torch.randn(8, 3)
    values = [net.value({KEY: obs, MASK: mask}) for mask in (torch.ones(8, 4), torch.eye(4).repeat(2, 1))]
    torch.testing.assert_close(*values)


@pytest.mark.parametrize(
    ("spec", "mask", "words"),
    [
        (CHOICES, "observation.nothing", "is no observation"),
        (CHOICES, KEY, r"must be \(4,\)"),
        (Spec({KEY: Feature((3,))}, Feature((2,))), KEY, "only choices"),
    ],
)
def test_a_mask_that_cannot_be_is_refused(spec: Spec, mask: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        ActorCritic(spec, (16,), mask=mask)


def test_a_value_alone_leaves_the_policys_layers() -> None:
    net = ActorCritic(CHOICES, (16,), shared=True)
    net.value({KEY: torch.randn(8, 3), MASK: torch.ones(8, 4)}, alone=True).sum().backward()
    assert all(value.grad is None for value in net.body.parameters())
    assert net.value_head.weight.grad is not None


def test_running_moments_are_those_of_all_that_was_seen() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.normal(5, 3, (count, 2)).astype(np.float32) for count in (1, 7, 300, 20)]
    moments = RunningMoments((2,))
    for part in parts:
        moments.update(torch.from_numpy(part))
    every = np.concatenate(parts)
    np.testing.assert_allclose(moments.mean, every.mean(0), rtol=1e-5)
    np.testing.assert_allclose(moments.deviation, every.std(0), rtol=1e-5)
    assert float(moments.count) == len(every)


def test_running_moments_forget() -> None:
    moments = RunningMoments((), memory=1.0)
    moments.update(torch.full((10,), 100.0))
    for _ in range(20):
        moments.update(torch.linspace(-1, 1, 10))
    assert abs(float(moments.mean)) < 1e-3


def test_angles_and_masks_stay_as_they_are() -> None:
    spec = Spec({KEY: Feature((3,), periodic=(1,)), MASK: Feature((4,))}, Feature((1,)))
    standard = RunningStandard(spec, without=(MASK,))
    obs = {KEY: 5 + 2 * torch.randn(1000, 3), MASK: torch.ones(1000, 4)}
    assert torch.equal(standard(obs)[KEY], obs[KEY].clamp(-10, 10))
    standard.update(obs)
    out = standard(obs)
    assert torch.equal(out[MASK], obs[MASK])
    torch.testing.assert_close(out[KEY][:, 1], obs[KEY][:, 1].clamp(-10, 10))
    torch.testing.assert_close(out[KEY][:, [0, 2]].mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(out[KEY][:, [0, 2]].std(0, unbiased=False), torch.ones(2))


def test_a_value_survives_a_new_scale() -> None:
    net = ActorCritic(CHOICES, (16,))
    obs = {KEY: torch.randn(8, 3), MASK: torch.ones(8, 4)}
    old, new = (torch.tensor(1.0), torch.tensor(2.0)), (torch.tensor(-3.0), torch.tensor(0.5))
    before = old[0] + old[1] * net.value(obs)
    net.rescale_value(old, new)
    torch.testing.assert_close(new[0] + new[1] * net.value(obs), before)
