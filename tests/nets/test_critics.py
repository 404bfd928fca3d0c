"""Stacked critics equal separate networks; densities equal those of torch.distributions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from imitari.core.spec import Feature, Spec
from imitari.nets import critics as critics_module
from imitari.nets.critics import (
    Critics,
    Gaussian,
    GaussianActor,
    StackedLinear,
    StackedNorm,
    TanhGaussian,
    TanhGaussianActor,
    flat_action,
    stacked_mlp,
)
from imitari.nets.heads.actions import Choice

SPEC = Spec({"observation.state": Feature((3,))}, Feature((2,)))


def separate(stack: nn.Sequential, number: int) -> nn.Sequential:
    """Network `number` of a stack, made of ordinary layers."""
    layers: list[nn.Module] = []
    for layer in stack:
        if isinstance(layer, StackedLinear):
            inputs, outputs = layer.weight.shape[1:]
            linear = nn.Linear(inputs, outputs)
            linear.weight.data = layer.weight.data[number].T.clone()
            linear.bias.data = layer.bias.data.view(layer.count, -1)[number].clone()
            layers.append(linear)
        elif isinstance(layer, StackedNorm):
            norm = nn.LayerNorm(layer.width)
            norm.weight.data = layer.gain.data.view(layer.count, -1)[number].clone()
            norm.bias.data = layer.shift.data.view(layer.count, -1)[number].clone()
            layers.append(norm)
        else:
            layers.append(layer)
    return nn.Sequential(*layers)


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_stack_equals_separate_networks_forward_and_backward(norm: bool, count: int) -> None:
    torch.manual_seed(0)
    stack = stacked_mlp(count, 5, (16, 8), 1, norm=norm)
    for parameter in stack.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    x, goal = torch.randn(7, 5), torch.randn(7, 1)
    out = stack(x)
    ((out - goal) ** 2).mean((1, 2)).sum().backward()
    first = stack[0]
    assert isinstance(first, StackedLinear)
    assert first.weight.grad is not None
    for number in range(count):
        net = separate(stack, number)
        alone = net(x)
        torch.testing.assert_close(out[number], alone)
        ((alone - goal) ** 2).mean().backward()
        linear = net[0]
        assert isinstance(linear, nn.Linear)
        assert linear.weight.grad is not None
        torch.testing.assert_close(first.weight.grad[number], linear.weight.grad.T)


@pytest.mark.parametrize("only", [None, torch.tensor([3, 1])])
def test_networks_one_by_one_equal_the_stack_forward_and_backward(
    only: Tensor | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    stack = stacked_mlp(5, 6, (16, 8), 1, norm=True)
    x = torch.randn(7, 6)
    found: list[list[Tensor]] = []
    for cache in (0, 1 << 40):
        monkeypatch.setattr(critics_module, "CACHE", cache)
        stack.zero_grad()
        out = stack(x, only)
        out.square().sum().backward()
        found.append([out, *(p.grad for p in stack.parameters() if p.grad is not None)])
    assert len(found[0]) == 1 + len(list(stack.parameters()))
    for one, together in zip(*found, strict=True):
        torch.testing.assert_close(one, together)
    if only is not None:
        torch.testing.assert_close(found[0][0], stack(x)[only])


def test_critics_of_many_actions_a_state_equal_one_at_a_time() -> None:
    torch.manual_seed(0)
    critics = Critics(SPEC, (16,), count=3, norm=True)
    obs, actions = {"observation.state": torch.randn(4, 3)}, torch.randn(4, 6, 2)
    together = critics(obs, actions)
    assert together.shape == (3, 4, 6)
    for number in range(6):
        torch.testing.assert_close(together[:, :, number], critics(obs, actions[:, number]))


def test_initial_weights_differ_between_critics_and_biases_are_vectors() -> None:
    critics = Critics(SPEC, (16,))
    value = critics({"observation.state": torch.randn(4, 3)}, torch.randn(4, 2))
    assert not torch.allclose(value[0], value[1])
    assert all(parameter.ndim in (1, 3) for parameter in critics.parameters())


def test_choices_enter_as_one_hot() -> None:
    feature = Feature((1,), "int64", "choice", high=(3.0,))
    flat = flat_action(torch.tensor([[2], [0]]), feature)
    assert flat.tolist() == [[0, 0, 1, 0], [1, 0, 0, 0]]
    critics = Critics(Spec(SPEC.obs, feature), (16,))
    assert critics({"observation.state": torch.randn(2, 3)}, torch.tensor([[2], [0]])).shape == (2, 2)


def test_gaussian_density_equals_torch() -> None:
    torch.manual_seed(0)
    mean, log_scale, action = torch.randn(6, 2), torch.randn(2), torch.randn(6, 2)
    expected = -torch.distributions.Normal(mean, log_scale.exp()).log_prob(action).sum(-1)
    torch.testing.assert_close(Gaussian(mean, log_scale).loss(action), expected)


def test_squashed_density_equals_torch_and_integrates_to_one() -> None:
    torch.manual_seed(0)
    mean, log_scale = torch.randn(6, 2), 0.5 * torch.randn(6, 2)
    policy = TanhGaussian(mean, log_scale)
    action, density = policy.draw()
    inner = torch.distributions.Normal(mean, log_scale.exp())
    expected = torch.distributions.TransformedDistribution(inner, torch.distributions.TanhTransform()).log_prob(action)
    torch.testing.assert_close(density, expected.sum(-1), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(policy.loss(action), -density, rtol=1e-3, atol=1e-3)
    grid = torch.linspace(-0.999999, 0.999999, 200_001).unsqueeze(-1)
    single = TanhGaussian(torch.tensor([[0.3]]), torch.tensor([[-0.5]]))
    mass = torch.trapezoid(torch.exp(-single.loss(grid)), grid.squeeze(-1))
    assert float(mass) == pytest.approx(1.0, abs=1e-3)


def test_squashed_density_is_finite_at_the_border() -> None:
    policy = TanhGaussian(torch.zeros(1, 2, requires_grad=True), torch.zeros(1, 2))
    loss = policy.loss(torch.tensor([[1.0, -1.0]])).sum()
    loss.backward()
    assert bool(torch.isfinite(loss))


def test_actors_give_actions_within_the_box_and_gradients_everywhere() -> None:
    torch.manual_seed(0)
    obs = {"observation.state": torch.randn(5, 3)}
    for actor in (GaussianActor(SPEC, (16,)), TanhGaussianActor(SPEC, (16,))):
        policy = actor(obs)
        mode: Tensor = policy.mode
        assert mode.shape == (5, 2)
        assert float(mode.detach().abs().max()) <= 1
        policy.loss(torch.rand(5, 2) - 0.5).mean().backward()
        assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in actor.parameters())


def test_an_actor_of_choices_is_categorical() -> None:
    spec = Spec(SPEC.obs, Feature((1,), "int64", "choice", high=(3.0,)))
    policy = GaussianActor(spec, (16,))({"observation.state": torch.randn(5, 3)})
    assert isinstance(policy, Choice)
    assert policy.loss(torch.zeros(5, 1)).shape == (5,)
    assert policy.mode.shape == (5, 1)
