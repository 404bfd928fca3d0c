"""Rollouts: advantages against a plain loop and closed forms; ends and time limits; the reward hook; the prior."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from imitari.core.batch import Batch
from imitari.core.continuing import Continuing
from imitari.core.episode import Array, Obs
from imitari.core.spec import Feature, Spec
from imitari.core.task import Task
from imitari.envs._batched import BatchedWorld, State
from imitari.learn.policy_start import started_from
from imitari.learn.rollout import ADVANTAGE, LOG_DENSITY, RETURN, VALUE, Practice, advantages
from imitari.learn.scaled import DeviceScaler
from imitari.nets.critics import Gaussian

KEY = "observation.state"
SPEC = Spec({KEY: Feature((1,))}, Feature((1,), low=(-2.0,), high=(2.0,)))
LIMIT = 7


class Counter(BatchedWorld):
    """Counts its steps up from its seed; those that began at an even seed end after four steps. Reward 1."""

    def start(self, rng: np.random.Generator) -> State:
        return {"place": np.array(float(rng.integers(100))), "age": np.array(0)}

    def observe(self, state: State) -> Obs:
        return {KEY: state["place"][:, None].astype(np.float32)}

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        age = state["age"] + 1
        over = (age == 4) & ((state["place"] - state["age"]).astype(int) % 2 == 0)
        return {"place": state["place"] + 1, "age": age}, np.ones(len(age)), over, over


class Fixed:
    """A policy around 0.5 times the observation; the value is the observation itself."""

    def policy(self, obs: dict[str, Tensor]) -> Gaussian:
        return Gaussian(0.5 * obs[KEY], torch.full((1,), -1.0))

    def value(self, obs: dict[str, Tensor]) -> Tensor:
        return obs[KEY][:, 0]


def practice(count: int = 3, **settings: object) -> Practice:
    task = Task("counter", SPEC, LIMIT, lambda count: Counter(count, SPEC, LIMIT))
    spec, scaler = started_from(task, None, None, "")
    scale = DeviceScaler(scaler, spec, torch.device("cpu"))
    stream = Continuing(task, count, lambda number: number)
    return Practice(stream, Fixed(), scale, spec, "fp32", 0.9, 0.8, **settings)  # type: ignore[arg-type]


def plain(reward: Array, value: Array, following: Array, ended: Array, gamma: float, lam: float) -> Array:
    """Equation 16 as a sum, one sample after the other."""
    out = np.zeros(reward.shape)
    for env in range(reward.shape[1]):
        for first in range(len(reward)):
            weight = 1.0
            for step in range(first, len(reward)):
                error = reward[step, env] + gamma * following[step, env] - value[step, env]
                out[first, env] += weight * error
                weight *= gamma * lam
                if ended[step, env]:
                    break
    return out


def random_steps(rng: np.random.Generator) -> tuple[Array, Array, Array, Array]:
    reward, value, following = rng.normal(size=(3, 20, 5))
    return reward, value, following, rng.random((20, 5)) < 0.2


@pytest.mark.parametrize("gae_lambda", [0.0, 0.5, 0.95, 1.0])
def test_advantages_are_the_sums_that_define_them(gae_lambda: float) -> None:
    reward, value, following, ended = random_steps(np.random.default_rng(0))
    found, returns = advantages(reward, value, following, ended, 0.9, gae_lambda)
    np.testing.assert_allclose(found, plain(reward, value, following, ended, 0.9, gae_lambda), rtol=1e-10)
    np.testing.assert_allclose(returns, found + value)


def test_with_lambda_one_they_are_discounted_sums_to_the_end() -> None:
    rng = np.random.default_rng(1)
    reward, value = rng.normal(size=(2, 12, 1))
    following = np.concatenate([value[1:], [[7.0]]])
    ended = np.zeros((12, 1), bool)
    ended[4] = True
    following[4] = 0.0
    found, returns = advantages(reward, value, following, ended, 0.9, 1.0)
    powers = 0.9 ** np.arange(12)
    np.testing.assert_allclose(returns[0], powers[:5] @ reward[:5])
    np.testing.assert_allclose(returns[5], powers[:7] @ reward[5:] + 0.9**7 * 7.0)
    np.testing.assert_allclose(found, returns - value)


def test_nothing_follows_an_end_and_values_follow_a_time_limit() -> None:
    acting = practice()
    horizon = 30
    rollout = acting.act(horizon)
    place = rollout.obs[KEY].reshape(horizon, 3)
    advantage = rollout.extra[ADVANTAGE].reshape(horizon, 3)
    np.testing.assert_array_equal(rollout.extra[VALUE].reshape(horizon, 3), place)
    np.testing.assert_allclose(rollout.extra[RETURN], rollout.extra[ADVANTAGE] + rollout.extra[VALUE], rtol=1e-5)
    seen = set()
    for env in range(3):
        begins = [0, *(1 + np.flatnonzero(np.diff(place[:, env]) != 1)), horizon]
        for first, stop in pairwise(begins):
            if stop == horizon:
                continue
            even = int(place[first, env]) % 2 == 0
            assert stop - first == (4 if even else LIMIT)
            seen.add(even)
            follows = 0.0 if even else place[stop - 1, env] + 1
            expected = 1 + 0.9 * follows - place[stop - 1, env]
            np.testing.assert_allclose(advantage[stop - 1, env], expected, rtol=1e-5)
            inside = 1 + 0.9 * place[stop - 1, env] - place[stop - 2, env] + 0.72 * expected
            np.testing.assert_allclose(advantage[stop - 2, env], inside, rtol=1e-5)
    assert seen == {True, False}
    last = 1 + 0.9 * (place[-1] + 1) - place[-1]
    going = acting.stream._steps > 0
    np.testing.assert_allclose(advantage[-1][going], last[going], rtol=1e-5)


def test_densities_are_those_of_the_actions_that_were_drawn() -> None:
    torch.manual_seed(0)
    rollout = practice().act(50)
    scaled = rollout.action[:, 0] / 2
    normal = torch.distributions.Normal(torch.from_numpy(0.5 * rollout.obs[KEY][:, 0]), float(np.exp(-1.0)))
    expected = normal.log_prob(torch.from_numpy(scaled)).numpy()
    np.testing.assert_allclose(rollout.extra[LOG_DENSITY], expected, rtol=1e-3, atol=1e-4)
    assert (np.abs(rollout.action) > 2).any(), "the world bounds actions, the samples keep what was drawn"


def test_a_given_reward_sees_executed_actions_and_last_observations() -> None:
    calls: list[Batch] = []

    def reward(steps: Batch) -> Array:
        calls.append(steps)
        return 10 * steps.reward + steps.action[:, 0]

    rollout = practice(reward=reward).act(30)
    (steps,) = calls
    assert steps.next_obs is not None
    obs, action, after, world = steps.obs[KEY], steps.action, steps.next_obs[KEY], steps.reward
    assert obs.shape == after.shape == (90, 1)
    assert action.shape == (90, 1)
    assert np.abs(action).max() <= 2
    np.testing.assert_array_equal(after, obs + 1)  # also at the end of an episode
    np.testing.assert_array_equal(world, np.ones(90))
    fourth = np.flatnonzero(steps.discount == 0)  # those that began at an even seed end after four steps
    assert len(fourth)
    assert all((obs[index - 9, 0] == obs[index, 0] - 3) and obs[index - 9, 0] % 2 == 0 for index in fourth)
    torch.manual_seed(0)
    assert np.abs(rollout.extra[RETURN]).max() > 10


def test_the_prior_is_stored_with_the_samples() -> None:
    rollout = practice(prior=Fixed()).act(5)
    np.testing.assert_allclose(rollout.extra["prior_mean"], 0.5 * rollout.obs[KEY])
    np.testing.assert_array_equal(rollout.extra["prior_log_scale"], np.full((15, 1), -1.0, np.float32))


def test_the_divergence_is_that_between_the_policies() -> None:
    torch.manual_seed(0)
    acting = practice(count=50)
    rollout = acting.act(400)
    assert acting.divergence(rollout) == pytest.approx(0, abs=1e-6)

    class Moved(Fixed):
        def policy(self, obs: dict[str, Tensor]) -> Gaussian:
            return Gaussian(0.5 * obs[KEY] + 0.1, torch.full((1,), -1.0))

    acting.learner = Moved()
    exact = 0.5 * (0.1 * np.exp(1.0)) ** 2
    assert acting.divergence(rollout) == pytest.approx(exact, rel=0.1)
