"""A stochastic policy and a state value, with networks of their own or with one in common."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.nets.critics import Gaussian
from imitari.nets.encoder import ObsEncoder
from imitari.nets.heads.actions import Choice, action_head
from imitari.nets.mlp import ACTIVATIONS, Activation, mlp

NEVER = -1e9  # logit of a choice that is not allowed: its probability is exactly 0, its gradient too


class ActorCritic(nn.Module):
    """Policy: encoder, layers, head; a Gaussian with one deviation a dimension for numbers, a categorical for choices.

    Initial weights are orthogonal, with small ones (0.01) before the distribution, as in most published code.

    Args:
        spec: observations and action.
        hidden: widths of the layers.
        activation: between them.
        shared: the value reads the policy's layers; else it has layers of its own.
        mask: observation (K,) that is 0 for choices that are not allowed; the networks do not see it. "": none. Where
            an observation comes without it, all are allowed.
        deviation: of the Gaussian at the beginning, in scaled actions.
    """

    def __init__(
        self,
        spec: Spec,
        hidden: Sequence[int],
        *,
        activation: Activation = "tanh",
        shared: bool = False,
        mask: str = "",
        deviation: float = 1.0,
    ) -> None:
        super().__init__()
        self.mask, self.shared = mask, shared
        self.discrete = spec.action.kind == "choice"
        if mask:
            check_mask(spec, mask)
        seen = spec.select([key for key in spec.obs if key != mask])
        self.last = ACTIVATIONS[activation]()
        self.encoder = ObsEncoder(seen, crop=1.0)
        self.body = mlp(self.encoder.width, hidden[:-1], hidden[-1], activation=activation)
        self.head = action_head("mse", hidden[-1], spec.action)
        if not self.discrete:
            self.log_scale = nn.Parameter(torch.full((spec.action.size,), math.log(deviation)))
        if not shared:
            self.value_encoder = ObsEncoder(seen, crop=1.0)
            self.value_body = mlp(self.value_encoder.width, hidden[:-1], hidden[-1], activation=activation)
            _orthogonal(self.value_body, math.sqrt(2))
        self.value_head = nn.Linear(hidden[-1], 1)
        _orthogonal(self.body, math.sqrt(2))
        _orthogonal(self.head, 0.01)
        _orthogonal(self.value_head, 1.0)

    def forward(self, obs: dict[str, Tensor]) -> tuple[Gaussian | Choice, Tensor]:
        """Observations (B, ...) to the policy and the value (B,)."""
        features = self._features(obs)
        return self._policy(features, obs), self._value(features if self.shared else self._value_features(obs))

    def policy(self, obs: dict[str, Tensor]) -> Gaussian | Choice:
        return self._policy(self._features(obs), obs)

    def value(self, obs: dict[str, Tensor], *, alone: bool = False) -> Tensor:
        """(B,). `alone`: without a gradient to layers that the policy reads."""
        if not self.shared:
            return self._value(self._value_features(obs))
        features = self._features(obs)
        return self._value(features.detach() if alone else features)

    def policy_parameters(self) -> dict[str, Tensor]:
        """Name -> parameter of what decides the action, but the deviation."""
        parts = ("encoder.", "body.", "head.")
        return {name: value for name, value in self.named_parameters() if name.startswith(parts)}

    @torch.no_grad()
    def rescale_value(self, before: tuple[Tensor, Tensor], after: tuple[Tensor, Tensor]) -> None:
        """Leaves mean + deviation * value as it was when (mean, deviation) change (van Hasselt et al. 2016, PopArt)."""
        (old_mean, old), (mean, new) = before, after
        self.value_head.weight.mul_(old / new)
        self.value_head.bias.copy_((old * self.value_head.bias + old_mean - mean) / new)

    def _features(self, obs: dict[str, Tensor]) -> Tensor:
        return self.last(self.body(self.encoder(obs)))

    def _value_features(self, obs: dict[str, Tensor]) -> Tensor:
        return self.last(self.value_body(self.value_encoder(obs)))

    def _value(self, features: Tensor) -> Tensor:
        return self.value_head(features).squeeze(-1).float()

    def _policy(self, features: Tensor, obs: dict[str, Tensor]) -> Gaussian | Choice:
        out = self.head(features)
        if not self.discrete:
            return Gaussian(out.mean.float(), self.log_scale)
        logits = out.logits.float()
        allowed = obs.get(self.mask)
        return Choice(logits if allowed is None else logits.masked_fill(allowed == 0, NEVER))


def entropy(policy: Gaussian | Choice) -> Tensor:
    """(B,), in nats."""
    if isinstance(policy, Gaussian):
        each = policy.log_scale + 0.5 * math.log(2 * math.pi * math.e)
        return each.sum(-1).expand(policy.mean.shape[:-1])
    log_chance = torch.log_softmax(policy.logits, -1)
    return -(log_chance.exp() * log_chance).sum(-1)


def kl(first: Gaussian | Choice, second: Gaussian | Choice) -> Tensor:
    """KL(first || second) = E_first[log first - log second], (B,)."""
    if isinstance(first, Gaussian) and isinstance(second, Gaussian):
        shift = (first.mean - second.mean) * torch.exp(-second.log_scale)
        difference = first.log_scale - second.log_scale
        return (0.5 * (torch.exp(2 * difference) + shift**2 - 1) - difference).sum(-1)
    if isinstance(first, Choice) and isinstance(second, Choice):
        one, other = torch.log_softmax(first.logits, -1), torch.log_softmax(second.logits, -1)
        return (one.exp() * (one - other)).sum(-1)
    raise TypeError("a Gaussian and a categorical distribution have no divergence")


def check_mask(spec: Spec, mask: str) -> None:
    """Raises UserError where the observation `mask` cannot say which choices are allowed."""
    if spec.action.kind != "choice":
        raise UserError(f"mask '{mask}': only choices can be masked, and this action is of numbers: leave out --mask")
    if mask not in spec.obs:
        raise UserError(f"mask '{mask}' is no observation of this task: choose from {', '.join(spec.obs)}")
    if spec.obs[mask].shape != (spec.action.choices,):
        raise UserError(
            f"mask '{mask}' has shape {spec.obs[mask].shape}: with {spec.action.choices} choices it must be "
            f"({spec.action.choices},)"
        )


def _orthogonal(module: nn.Module, gain: float) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.orthogonal_(layer.weight, gain)
            nn.init.zeros_(layer.bias)
