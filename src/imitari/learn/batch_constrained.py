"""Batch-constrained values: critics that are asked only about actions which the data's own distribution gives.

Fujimoto, Meger & Precup 2019, "Off-Policy Deep Reinforcement Learning without Exploration", as Mandlekar et al. 2021
use it; what BCQ and IRIS share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call

from imitari.core.batch import Batch
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.learn.learner import Lagged
from imitari.nets.critics import Critics, flat_action
from imitari.nets.encoder import ObsEncoder
from imitari.nets.mlp import mlp
from imitari.nets.variational import ConditionalVAE, Prior

ROWS = 1 << 15  # pairs of state and action that go through the networks at once


@dataclass(frozen=True)
class BatchConstrained:
    """Settings of methods with `ConstrainedValues`; their discount and rewards are elsewhere."""

    sampler_hidden: tuple[int, ...] = (300, 400)  # widths of the action sampler's layers
    sampler_latent: int = 0  # numbers that an action is drawn from; 0: twice those of the action
    sampler_kl: float = 0.05  # weight of the sampler's divergence from its prior
    sampler_prior: Prior = "normal"  # a standard normal, or a learned mixture of Gaussians
    sampler_modes: int = 10  # components of that mixture
    hidden: tuple[int, ...] = (300, 400)  # widths of the critics' layers
    tau: float = 5e-3  # share of the networks that their targets take over a step
    pessimism: float = 0.75  # weight of the least target critic in what is believed; the largest has the rest
    tried: int = 10  # actions that the target is the largest of
    perturbation: float = 0.0  # how far an actor may move sampled actions, as a share of half their range; 0: no actor

    def check(self) -> None:
        """Raises UserError for values that cannot be."""
        if not 0 <= self.pessimism <= 1:
            raise UserError(f"pessimism is {self.pessimism:g}: it must lie between 0 and 1 (0.75 is usual)")
        if self.tried < 1:
            raise UserError(f"tried is {self.tried}: it must be at least 1")


class Proposing(Protocol):
    """Moves actions (B, N, A) sampled for encoded observations (B, N, F)."""

    def __call__(self, features: Tensor, actions: Tensor) -> Tensor: ...


class Perturbation(nn.Module):
    """a' = clip(a + reach * tanh(xi(o, a))).

    Args:
        features: numbers of an encoded observation.
        actions: numbers of an action.
        hidden: widths of the layers.
        reach: largest change of a number.
    """

    def __init__(self, features: int, actions: int, hidden: tuple[int, ...], reach: float) -> None:
        super().__init__()
        self.reach = reach
        self.net = mlp(features + actions, hidden, actions)

    def forward(self, features: Tensor, actions: Tensor) -> Tensor:
        """(..., F) and (..., A) to (..., A)."""
        change = self.reach * torch.tanh(self.net(torch.cat([features, actions], -1)))
        return (actions + change).clamp(-1, 1)


class ConstrainedValues(nn.Module):
    """Action sampler, two critics with their targets and, where wanted, an actor with its target.

    Args:
        settings: of all of them.
        spec: observations and action (numbers).
    """

    def __init__(self, settings: BatchConstrained, spec: Spec) -> None:
        super().__init__()
        if spec.action.kind != "number":
            raise UserError("this method samples actions of numbers: choose another method, or another task")
        self.settings, self.action = settings, spec.action
        size = spec.action.size
        self.encoder = ObsEncoder(spec)
        self.sampler = ConditionalVAE(
            size,
            self.encoder.width,
            settings.sampler_latent or 2 * size,
            settings.sampler_hidden,
            prior=settings.sampler_prior,
            modes=settings.sampler_modes,
            squash=True,
        )
        self.critics = Critics(spec, settings.hidden)
        self.target = Lagged(self.critics, settings.tau)
        self.actor = self.actor_target = None
        if settings.perturbation:
            self.actor = Perturbation(self.encoder.width, size, settings.hidden, settings.perturbation)
            self.actor_target = Lagged(self.actor, settings.tau)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Named terms of transitions (B,): sampler, critics, actor."""
        # One Adam over the sum gives the same updates as one for each network, all at the weights before the step.
        features = self.encoder(batch.obs)
        action = flat_action(batch.action, self.action)
        error, divergence = self.sampler.terms(action, features)
        backup = self.backup(batch)
        value = self.critics(batch.obs, batch.action)
        terms = {
            "sampler_loss": error.mean(),
            "sampler_kl": self.settings.sampler_kl * divergence.mean(),
            "critic_loss": ((value - backup) ** 2).mean(1).sum(),
            "_divergence": divergence.detach().mean(),
            "_value": value.detach().mean(),
        }
        if self.actor is not None:
            terms["actor_loss"] = self.actor_loss(batch.obs, features.detach())
        return terms

    @torch.no_grad()
    def backup(self, batch: Batch) -> Tensor:
        """y = r + discount * max_i [p min_k Q'_k(o', a_i) + (1 - p) max_k Q'_k(o', a_i)], a_i sampled at o'; (B,)."""
        actions = self.proposals(self.encoder(batch.next_obs), self.settings.tried, self.actor_target)
        values: Tensor = self.target(batch.next_obs, actions.unflatten(-1, self.action.shape))
        share = self.settings.pessimism
        believed = share * values.amin(0) + (1 - share) * values.amax(0)
        return batch.reward + batch.discount * believed.amax(-1)

    def actor_loss(self, obs: dict[str, Tensor], features: Tensor) -> Tensor:
        """-Q_1(o, a'), a' the moved action."""
        assert self.actor is not None
        with torch.no_grad():
            drawn = self.sampler.draw(features).squeeze(1)
        moved = self.actor(features, drawn).unflatten(-1, self.action.shape)
        still = {name: value.detach() for name, value in self.critics.named_parameters()}
        value: Tensor = functional_call(self.critics, still, (obs, moved))
        return -value[0].mean()

    def proposals(self, features: Tensor, count: int, actor: Proposing | None) -> Tensor:
        """Encoded observations (B, F) to `count` actions each, (B, count, A)."""
        actions = self.sampler.draw(features, count)
        if actor is None:
            return actions
        return actor(features.unsqueeze(1).expand(-1, count, -1), actions)

    def best_actions(self, obs: dict[str, Tensor], count: int) -> Tensor:
        """Of `count` sampled actions for observations (B, ...) that with the largest Q_1: (B, *shape)."""
        actions = self.proposals(self.encoder(obs), count, self.actor).unflatten(-1, self.action.shape)
        best = self.critics(obs, actions)[0].argmax(-1)
        return actions[torch.arange(len(best), device=best.device), best]

    def state_values(self, features: Tensor, count: int) -> Tensor:
        """V(o) = max over `count` sampled actions of Q_1(o, a), for encoded observations (B, F) of numbers: (B,)."""
        parts: list[Tensor] = []
        for rows in features.split(max(1, ROWS // count)):
            actions = self.proposals(rows, count, self.actor)
            parts.append(self.critics.of_features(rows, actions)[0].amax(-1))
        return torch.cat(parts)
