"""Implicit Q-learning against dynamic programming on a small decision process with full coverage."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import expectile as exact_expectile

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.episode import Episode
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.learn.agent import Agent
from imitari.learn.learner import trailing
from imitari.learn.offline import PartlyDecayed, reward_factor
from imitari.learn.run import Run
from imitari.methods.offline.iql import ImplicitQ, ImplicitQLearning

STATES, ACTIONS, GAMMA = 5, 3, 0.9
KEY = "observation.state"
SPEC = Spec({KEY: Feature((STATES,))}, Feature((1,), "int64", "choice", low=(0.0,), high=(float(ACTIONS - 1),)))
NUMBERS = Spec({KEY: Feature((3,))}, Feature((2,), low=(-1.0, -1.0), high=(1.0, 1.0)))


class Table:
    """A deterministic decision process in which the last state is terminal; behaviour is uniform over actions."""

    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        self.after = rng.integers(STATES, size=(STATES - 1, ACTIONS))
        self.reward = rng.uniform(-0.5, 0.5, (STATES - 1, ACTIONS))

    def values(self, expectile: float) -> tuple[np.ndarray, np.ndarray]:
        """The fixed point V(s) = expectile over a of Q(s, a), Q = r + gamma V(s'); expectile 1 is the maximum."""
        value = np.zeros(STATES)
        action_value = np.zeros_like(self.reward)
        for _ in range(300):
            action_value = self.reward + GAMMA * value[self.after]
            if expectile == 1:
                value[:-1] = action_value.max(1)
            else:
                value[:-1] = [exact_expectile(row, expectile) for row in action_value]
        return value[:-1], action_value

    def batch(self) -> Batch:
        state, action = (grid.reshape(-1) for grid in np.indices(self.reward.shape))
        eye = torch.eye(STATES)
        after = self.after[state, action]
        return Batch(
            obs={KEY: eye[state]},
            action=torch.from_numpy(action)[:, None],
            reward=torch.from_numpy(self.reward[state, action]).float(),
            discount=torch.from_numpy(GAMMA * (after != STATES - 1)).float(),
            next_obs={KEY: eye[after]},
        )


def solved(expectile: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """V, Q and greedy choices after training on every transition of the table."""
    method = ImplicitQLearning(
        expectile=expectile, hidden=(64,), lr=1e-2, tau=0.05, steps=900, temperature=20.0, schedule="cosine"
    )
    run = Run(seed=0, device="cpu", show=False)
    learner = run.build(lambda: method.learner(SPEC))
    assert isinstance(learner, ImplicitQ)
    batch = Table().batch()
    run.train(learner, lambda step: batch, method.optim(), method.steps)
    with torch.inference_mode():
        eye = {KEY: torch.eye(STATES)[:-1]}
        value = learner.value(eye).numpy()
        action_value = learner.critics(batch.obs, batch.action).mean(0).view(STATES - 1, ACTIONS).numpy()
        choice = learner.act({KEY: eye[KEY][:, None]})[:, 0, 0].numpy()
    return value, action_value, choice


@pytest.mark.parametrize("expectile", [0.5, 0.9])
def test_value_is_the_fixed_point_of_the_expectile_backup(expectile: float) -> None:
    value, action_value, _ = solved(expectile)
    exact_value, exact_action_value = Table().values(expectile)
    np.testing.assert_allclose(value, exact_value, atol=0.02)
    np.testing.assert_allclose(action_value, exact_action_value, atol=0.02)


def test_expectile_one_half_is_the_value_of_the_behaviour() -> None:
    table = Table()
    chances = np.zeros((STATES, STATES))
    for state in range(STATES - 1):
        for after in table.after[state]:
            chances[state, after] += 1 / ACTIONS
    mean_reward = np.append(table.reward.mean(1), 0)
    exact = np.linalg.solve(np.eye(STATES) - GAMMA * chances, mean_reward)
    np.testing.assert_allclose(table.values(0.5)[0], exact[:-1], atol=1e-6)


def test_a_high_expectile_approaches_value_iteration_and_the_policy_is_optimal() -> None:
    value, action_value, choice = solved(0.99)
    best, best_action_value = Table().values(1)
    behaviour = Table().values(0.5)[0]
    assert np.abs(value - best).max() < 0.15 * np.abs(behaviour - best).max()
    assert action_value.argmax(1).tolist() == best_action_value.argmax(1).tolist()
    assert choice.tolist() == best_action_value.argmax(1).tolist()


def number_batch(count: int, seed: int = 0) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    return Batch(
        obs={KEY: torch.randn(count, 3, generator=draw)},
        action=torch.rand(count, 2, generator=draw) * 2 - 1,
        reward=torch.randn(count, generator=draw),
        discount=torch.full((count,), 0.99),
        next_obs={KEY: torch.randn(count, 3, generator=draw)},
    )


def test_one_optimiser_on_the_sum_equals_three_separate_updates() -> None:
    method = ImplicitQLearning(hidden=(16, 16))
    torch.manual_seed(0)
    together = method.learner(NUMBERS)
    apart = copy.deepcopy(together)
    one = torch.optim.Adam(together.parameters(), 1e-3)
    parts = ["value", "critics", "actor"]
    three = {name: torch.optim.Adam(getattr(apart, name).parameters(), 1e-3) for name in parts}
    for step in range(5):
        batch = number_batch(32, step)
        terms = together.losses(batch)
        one.zero_grad()
        (terms["value_loss"] + terms["critic_loss"] + terms["actor_loss"]).backward()
        one.step()
        terms = apart.losses(batch)
        for name, loss in zip(parts, ("value_loss", "critic_loss", "actor_loss"), strict=True):
            three[name].zero_grad()
            terms[loss].backward(retain_graph=True)
            for other in parts:
                if other != name:
                    theirs = list(getattr(apart, other).parameters())
                    reached = torch.autograd.grad(terms[loss], theirs, retain_graph=True, allow_unused=True)
                    assert reached == (None,) * len(theirs)
        for optimiser in three.values():
            optimiser.step()
        for copy_of in trailing(together):
            copy_of.follow(step + 1)
        for copy_of in trailing(apart):
            copy_of.follow(step + 1)
    for (name, value), other in zip(together.state_dict().items(), apart.state_dict().values(), strict=True):
        torch.testing.assert_close(value, other, msg=name)


def test_losses_follow_the_equations() -> None:
    method = ImplicitQLearning(hidden=(16,), expectile=0.8, temperature=5.0)
    torch.manual_seed(0)
    learner = method.learner(NUMBERS)
    assert isinstance(learner, ImplicitQ)
    with torch.no_grad():
        for parameter in learner.target.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    batch = number_batch(64)
    terms = learner.losses(batch)
    u = learner.target(batch.obs, batch.action).min(0).values - learner.value(batch.obs)
    value_loss = (torch.abs(0.8 - (u < 0).float()) * u**2).mean()
    torch.testing.assert_close(terms["value_loss"], value_loss)
    backup = batch.reward + 0.99 * learner.value(batch.next_obs).detach()
    pair = learner.critics(batch.obs, batch.action)
    torch.testing.assert_close(terms["critic_loss"], ((pair[0] - backup) ** 2 + (pair[1] - backup) ** 2).mean())
    policy = learner.actor(batch.obs)
    density = torch.distributions.Normal(policy.mean, policy.log_scale.exp()).log_prob(batch.action).sum(-1)
    weight = torch.exp(5.0 * u).clamp(max=100).detach()
    torch.testing.assert_close(terms["actor_loss"], -(weight * density).mean())


def test_targets_trail_by_polyak_averaging() -> None:
    method = ImplicitQLearning(hidden=(16,), tau=0.25)
    torch.manual_seed(0)
    learner = method.learner(NUMBERS)
    assert isinstance(learner, ImplicitQ)
    expected = {name: value.clone() for name, value in learner.target.copy.named_parameters()}
    for step in range(3):
        with torch.no_grad():
            for name, value in learner.critics.named_parameters():
                value.add_(torch.randn_like(value))
                expected[name] = 0.75 * expected[name] + 0.25 * value
        for copy_of in trailing(learner):
            copy_of.follow(step + 1)
    for name, value in learner.target.copy.named_parameters():
        torch.testing.assert_close(value, expected[name])


def test_only_the_actors_rate_decays() -> None:
    method = ImplicitQLearning(hidden=(16,), steps=100, lr=1e-3)
    learner = method.learner(NUMBERS)
    optim = method.optim()
    assert isinstance(optim, PartlyDecayed)
    optimiser = optim.build(learner)
    optim.set_rate(optimiser, 50, 100)
    rates = {id(value): group["lr"] for group in optimiser.param_groups for value in group["params"]}
    for name, value in learner.named_parameters():
        if value.requires_grad:
            assert rates[id(value)] == pytest.approx(5e-4 if name.startswith("actor") else 1e-3)
        else:
            assert id(value) not in rates


def mixed_demos(episodes: int = 12) -> Demos:
    """A point on a line that is pushed by the first action; half of the episodes push the wrong way."""
    rng = np.random.default_rng(0)
    made: list[Episode] = []
    for number in range(episodes):
        action = np.clip(rng.normal(0.5 if number % 2 else -0.5, 0.3, (20, 2)), -1, 1).astype(np.float32)
        place = np.concatenate([[0], np.cumsum(action[:, 0])]).astype(np.float32)
        state = np.stack([place, np.ones(21), rng.normal(size=21)], 1).astype(np.float32)
        made.append(Episode({KEY: state}, action, action[:, 0], "truncated"))
    return Demos.from_episodes(made, NUMBERS)


def test_fit_prefers_the_rewarded_actions_and_the_agent_survives_saving(tmp_path: Path) -> None:
    method = ImplicitQLearning(hidden=(32,), steps=400, batch=64, lr=3e-3, gamma=0.5, temperature=10.0)
    agent = method.fit(mixed_demos(), Run(device="cpu", show=False, folder=tmp_path / "run"))
    obs = {KEY: np.array([[0.0, 1.0, 0.0]] * 4, np.float32)}
    action, _ = agent.act(obs, agent.reset(4))
    assert action.shape == (4, 2)
    assert float(action[:, 0].mean()) > 0.3  # the recorded actions average to 0
    agent.save(tmp_path / "agent")
    again = Agent.load(tmp_path / "agent")
    np.testing.assert_array_equal(again.act(obs, again.reset(4))[0], action)


def test_returns_scaling_makes_best_and_worst_differ_by_a_thousand() -> None:
    demos = mixed_demos()
    totals = [episode.total for episode in demos]
    assert reward_factor(demos, "returns") * (max(totals) - min(totals)) == pytest.approx(1000)
    same = Demos.from_episodes([dataclasses.replace(demos[0])] * 2, NUMBERS)
    with pytest.raises(UserError, match="sums to"):
        reward_factor(same, "returns")


def test_problems_are_one_sentence() -> None:
    with pytest.raises(UserError, match="expectile is 1"):
        ImplicitQLearning(expectile=1)
    plain = [dataclasses.replace(episode, reward=None) for episode in mixed_demos()]
    with pytest.raises(UserError, match=r"next\.reward"):
        ImplicitQLearning(steps=1).fit(Demos.from_episodes(plain, NUMBERS), Run(device="cpu", show=False))
