"""Rollouts: the steps of a policy in environments that never stop, as arrays, with the advantages of its actions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from imitari.core.batch import Batch
from imitari.core.continuing import Continuing, Moved
from imitari.core.episode import Array, Obs
from imitari.core.spec import Spec
from imitari.learn.precision import autocast
from imitari.learn.scaled import DeviceScaler
from imitari.nets.critics import Gaussian
from imitari.nets.heads.actions import Choice

SPAN = 8192  # observations that go through the networks at once
# Columns of a rollout.
LOG_DENSITY, ADVANTAGE, RETURN, VALUE, PRIOR = "log_density", "advantage", "return", "value", "prior_"

# Steps in recorded units (n, ...) -> rewards (n,): obs, action as executed, the world's reward, next_obs, and as
# discount 0 where the world ended the episode, else 1.
Reward = Callable[[Batch], Array]


class Policy(Protocol):
    """Whoever gives a distribution over scaled actions for scaled observations."""

    def policy(self, obs: dict[str, Tensor]) -> Gaussian | Choice: ...


class Valuing(Policy, Protocol):
    """A policy with a value."""

    def value(self, obs: dict[str, Tensor]) -> Tensor: ...


class Guide(Protocol):
    """Whoever may act in the place of the policy while it learns. Its steps are learned from like the policy's own."""

    def act(self, obs: Obs, action: Array) -> Array:
        """Observations name -> (B, ...) and the policy's actions (B, A), in recorded units, to those that are taken."""
        ...

    def saw(self, moved: Moved) -> None:
        """What the actions led to, before whatever ended begins again."""
        ...

    def enter(self, start: int) -> None:
        """All environments begin anew, from now on always from one start."""
        ...

    def notes(self) -> dict[str, float]:
        """What is worth logging of the last round."""
        ...

    def stored(self) -> dict[str, Array]:
        """All that it knows, as arrays."""
        ...

    def restore(self, stored: dict[str, Array]) -> None:
        """Goes back to where `stored` was taken."""
        ...


class LearnedReward(Protocol):
    """A reward that is learned anew in every round, after its steps were taken and before they are rewarded.

    Attributes:
        updates: of a round.
    """

    updates: int

    def batch(self, steps: Batch, number: int) -> Batch:
        """What update `number` of the training learns from, given the steps of the round (see `Reward`)."""
        ...

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Named terms of a scaled batch, by parameters of the learner that its own losses leave alone."""
        ...

    def reward(self, steps: Batch) -> Tensor:
        """Scaled steps (n, ...) to rewards (n,)."""
        ...


def advantages(
    reward: Array, value: Array, following: Array, ended: Array, gamma: float, gae_lambda: float
) -> tuple[Array, Array]:
    """Generalised advantage estimates (Schulman et al. 2016, equation 16) and the returns that go with them.

    delta_t = r_t + gamma V(s_{t+1}) - V(s_t),  A_t = delta_t + gamma lambda A_{t+1} within an episode.

    Args:
        reward: (T, N).
        value: (T, N) V(s_t).
        following: (T, N) V(s_{t+1}), 0 where s_{t+1} is terminal.
        ended: (T, N) bool, whether the episode ended with step t, for whatever reason.

    Returns:
        Advantages A_t and A_t + V(s_t), (T, N).
    """
    error = reward + gamma * following - value
    carry = (gamma * gae_lambda * ~ended).astype(error.dtype)
    out = np.zeros_like(error)
    later = np.zeros_like(error[0])
    for step in range(len(error) - 1, -1, -1):
        later = error[step] + carry[step] * later
        out[step] = later
    return out, out + value


@dataclass
class Rollout:
    """The samples of a round, flattened to (T * N, ...): a `Sampler`.

    Attributes:
        extra: the columns named above, (T * N, ...).
    """

    obs: Obs
    action: Array
    extra: dict[str, Array] = field(default_factory=dict[str, Array])

    def __len__(self) -> int:
        return len(self.action)

    def gather(self, index: Array, rng: np.random.Generator) -> Batch:
        return Batch(
            obs={key: value[index] for key, value in self.obs.items()},
            action=self.action[index],
            extra={key: value[index] for key, value in self.extra.items()},
        )


class Practice:
    """Acts with a policy that is being learned.

    Args:
        stream: the environments.
        learner: policy and value.
        scale: of what they see and give.
        spec: observations and action.
        precision: of the networks, the same as in training: else the first ratio of probabilities is not 1.
        gamma, gae_lambda: see `advantages`.
        prior: whose distributions are stored with the samples, or None.
        reward: in the place of the world's, or None.
        guide: who may act in the place of the policy, or None.
    """

    def __init__(
        self,
        stream: Continuing,
        learner: Valuing,
        scale: DeviceScaler,
        spec: Spec,
        precision: str,
        gamma: float,
        gae_lambda: float,
        prior: Policy | None = None,
        reward: Reward | None = None,
        guide: Guide | None = None,
    ) -> None:
        self.stream, self.learner, self.scale, self.spec, self.precision = stream, learner, scale, spec, precision
        self.gamma, self.gae_lambda, self.prior, self.reward, self.guide = gamma, gae_lambda, prior, reward, guide

    def act(self, horizon: int) -> Rollout:
        """`horizon` steps in each environment; values, densities and the prior are those of the weights that acted."""
        stream, count = self.stream, self.stream.count
        obs = {key: np.empty((horizon + 1, *stream.obs[key].shape), stream.obs[key].dtype) for key in self.spec.obs}
        action: list[Array] = []
        executed: list[Array] = []
        reward = np.zeros((horizon, count), np.float32)
        terminal, ended = np.zeros((horizon, count), bool), np.zeros((horizon, count), bool)
        last: list[Obs] = []  # observations of finished episodes, in the order of steps and environments
        for step in range(horizon):
            for key, value in obs.items():
                value[step] = stream.obs[key]
            sampled = self._sampled({key: value[step] for key, value in obs.items()})
            action.append(self.guide.act(stream.obs, sampled) if self.guide else sampled)
            executed.append(self._bounded(action[-1]))
            moved = stream.step(executed[-1])
            if self.guide:
                self.guide.saw(moved)
            reward[step], terminal[step] = moved.reward, moved.terminated
            ended[step] = moved.terminated | moved.truncated
            if ended[step].any():
                last.append({key: moved.obs[key][ended[step]] for key in obs})
        for key, value in obs.items():
            value[horizon] = stream.obs[key]
        final = {key: np.concatenate([one[key] for one in last]) for key in obs} if last else {}
        if self.reward:
            steps = self._steps(obs, np.concatenate(executed), final, terminal, ended, reward)
            reward = np.asarray(self.reward(steps), np.float32).reshape(reward.shape)
        return self._judged(obs, np.concatenate(action), reward, terminal, ended, final)

    def _steps(self, obs: Obs, executed: Array, final: Obs, terminal: Array, ended: Array, reward: Array) -> Batch:
        after = {key: value[1:].copy() for key, value in obs.items()}
        for key, value in final.items():
            after[key][ended] = value
        return Batch(
            obs={key: flat(value[:-1]) for key, value in obs.items()},
            action=executed,
            reward=flat(reward),
            discount=flat(~terminal).astype(np.float32),
            next_obs={key: flat(value) for key, value in after.items()},
        )

    def _judged(self, obs: Obs, action: Array, reward: Array, terminal: Array, ended: Array, final: Obs) -> Rollout:
        """Observations (T + 1, N, ...), actions (T * N, ...), rewards and flags (T, N) as samples with advantages."""
        rows = {key: flat(value) for key, value in obs.items()}
        value = self._spans(self.learner.value, rows).reshape(len(reward) + 1, -1)
        following = value[1:].copy()
        if final:
            following[ended] = self._spans(self.learner.value, final)
            following[terminal] = 0.0
        advantage, returns = advantages(reward, value[:-1], following, ended, self.gamma, self.gae_lambda)
        rollout = Rollout({key: flat(value[:-1]) for key, value in obs.items()}, action)
        rollout.extra = {ADVANTAGE: flat(advantage), RETURN: flat(returns), VALUE: flat(value[:-1])}
        rollout.extra[LOG_DENSITY] = self.log_density(rollout)
        return rollout if self.prior is None else self._with_prior(rollout, self.prior)

    def _with_prior(self, rollout: Rollout, prior: Policy) -> Rollout:
        columns: dict[str, list[Array]] = {}
        for obs in _spans(rollout.obs):
            with torch.inference_mode(), autocast(self.precision, self.scale.device):
                policy = prior.policy(self.scale.obs(obs))
            shape = policy.mean.shape if isinstance(policy, Gaussian) else policy.logits.shape
            for key, value in vars(policy).items():
                columns.setdefault(PRIOR + key, []).append(value.float().expand(shape).cpu().numpy())
        rollout.extra |= {key: np.concatenate(values) for key, values in columns.items()}
        return rollout

    def log_density(self, rollout: Rollout) -> Array:
        """Of the actions under the policy as it is now, (T * N,)."""

        def density(columns: dict[str, Tensor]) -> Tensor:
            action = columns.pop("action")
            return -self.learner.policy(columns).loss(action)

        return self._spans(density, {**rollout.obs, "action": rollout.action})

    def divergence(self, rollout: Rollout) -> float:
        """KL(policy that acted || policy as it is now), from the actions that were taken: the mean of r - 1 - log r."""
        log_ratio = self.log_density(rollout) - rollout.extra[LOG_DENSITY]
        return float(np.mean(np.expm1(log_ratio) - log_ratio))

    def _sampled(self, obs: Obs) -> Array:
        with torch.inference_mode(), autocast(self.precision, self.scale.device):
            return self.scale.unscale_action(self.learner.policy(self.scale.obs(obs)).sample())

    def _bounded(self, action: Array) -> Array:
        feature = self.spec.action
        if feature.kind == "number" and feature.low is not None and feature.high is not None:
            action = np.clip(action, np.asarray(feature.low), np.asarray(feature.high))
        return action.astype(np.dtype(feature.dtype))

    def _spans(self, function: Callable[[dict[str, Tensor]], Tensor], columns: Obs) -> Array:
        """`function` of columns name -> (n, ...), scaled, as float32 (n,); a span at a time."""
        parts: list[Array] = []
        for span in _spans(columns):
            with torch.inference_mode(), autocast(self.precision, self.scale.device):
                parts.append(function(self.scale.obs(span)).float().cpu().numpy())
        return np.concatenate(parts)


def flat(value: Array) -> Array:
    """(T, N, ...) as (T * N, ...)."""
    return value.reshape(-1, *value.shape[2:])


def rewards(learned: LearnedReward, steps: Batch, scale: DeviceScaler, precision: str) -> Array:
    """What a learned reward says of steps in recorded units, (n,); a span at a time."""
    parts: list[Array] = []
    for first in range(0, len(steps), SPAN):
        span = scale.batch(steps.map(lambda _, value, first=first: value[first : first + SPAN]))
        with torch.inference_mode(), autocast(precision, scale.device):
            parts.append(learned.reward(span).float().cpu().numpy())
    return np.concatenate(parts)


def _spans(columns: Obs) -> Iterator[Obs]:
    count = len(next(iter(columns.values())))
    for first in range(0, count, SPAN):
        yield {key: value[first : first + SPAN] for key, value in columns.items()}
