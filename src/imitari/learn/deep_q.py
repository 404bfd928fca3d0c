"""Deep Q-learning: a network with a value for every choice, learned towards what its own copy says of the next state.

Mnih et al. 2015, "Human-level control through deep reinforcement learning"; van Hasselt, Guez & Silver 2016, "Deep
Reinforcement Learning with Double Q-learning". What the methods that learn so by acting and from recorded steps share.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from imitari.core.batch import Batch
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.learn.learner import Lagged, Learner
from imitari.learn.tried import LEARNED, Tried, observed_as
from imitari.nets.action_values import ActionValues
from imitari.nets.actor_critic import NEVER, check_mask
from imitari.nets.running import RunningStandard


@dataclass(frozen=True)
class ActionValued:
    """Settings of a `DeepQ`."""

    hidden: tuple[int, ...] = (256, 256)  # widths of the layers
    target_every: int = 500  # updates after which the target network is a copy of the network again
    double: bool = True  # the network says which choice is best next, the target network its value; else that does both
    huber: bool = True  # errors count linearly beyond 1; else squared throughout
    epsilon: float = 0.0  # share of the choices that the trained policy leaves to chance
    mask: str = ""  # observation that is 0 for choices that are not allowed, else 1

    def check(self) -> None:
        """Raises UserError for values that cannot be."""
        if self.target_every < 1:
            raise UserError(f"target_every is {self.target_every}: it must be at least 1")
        if not 0 <= self.epsilon <= 1:
            raise UserError(f"epsilon is {self.epsilon:g}: it must lie between 0 and 1")

    @property
    def mask_key(self) -> str:
        """The observation that masks; "" where there is none."""
        return observed_as(self.mask)


class DeepQ(Learner):
    """The network and its target.

    Args:
        settings: of both.
        spec: observations and action, which must be a choice.
        learned_mask: whether the mask "learned" is known: who acts while learning fills its table.
        moving: whether observations are standardised by running statistics, which whoever acts moves.
    """

    def __init__(self, settings: ActionValued, spec: Spec, *, learned_mask: bool = False, moving: bool = False) -> None:
        super().__init__()
        self.separate, self.huber, self.epsilon = settings.double, settings.huber, settings.epsilon
        self.tried = Tried(spec) if learned_mask and settings.mask == LEARNED else None
        self.mask = "" if self.tried is not None else settings.mask
        if self.mask:
            check_mask(spec, self.mask)
        seen = spec.select([key for key in spec.obs if key != self.mask])
        self.standard = RunningStandard(seen) if moving else None
        self.values = ActionValues(seen, settings.hidden)
        self.target = Lagged(self.values, tau=1.0, every=settings.target_every)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        value = self.values(self.seen(batch.obs)).gather(1, batch.action.long()).squeeze(1)
        backup = self.backup(batch)
        return {
            "value_loss": self.value_loss(value, backup),
            "_value": value.detach().mean(),
            "_error": (value.detach() - backup).abs().mean(),
        }

    def value_loss(self, value: Tensor, backup: Tensor) -> Tensor:
        """Half the squared error; with `huber` its gradient is cut at 1 (Mnih et al. 2015, methods)."""
        return functional.huber_loss(value, backup) if self.huber else 0.5 * functional.mse_loss(value, backup)

    @torch.no_grad()
    def backup(self, batch: Batch) -> Tensor:
        """y = r + discount * Q'(s', a'), (B,). a' is the best choice by Q' itself, or with `double` by Q."""
        assert batch.next_obs is not None
        seen = self.seen(batch.next_obs)
        target: Tensor = self.target(seen)
        judge: Tensor = self.values(seen) if self.separate else target
        best = self.best(judge, batch.next_obs)
        return batch.reward + batch.discount * target.gather(1, best).squeeze(1)

    def seen(self, obs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Observations as the networks are given them."""
        return obs if self.standard is None else self.standard(obs)

    def allowed(self, obs: dict[str, Tensor]) -> Tensor | None:
        """(B, K) bool; all choices where none is left. None: there is no mask."""
        if self.tried is None and not self.mask:
            return None
        allowed = (self.tried(obs) if self.tried is not None else obs[self.mask]) != 0
        return allowed | ~allowed.any(1, keepdim=True)

    def best(self, values: Tensor, obs: dict[str, Tensor]) -> Tensor:
        """Of values (B, K) the choice with the largest that is allowed, (B, 1)."""
        allowed = self.allowed(obs)
        if allowed is not None:
            values = values.masked_fill(~allowed, NEVER)
        return values.argmax(1, keepdim=True)

    def act(self, obs: dict[str, Tensor]) -> Tensor:
        """The best choice, but a random one with chance `epsilon`. While it learns, whoever lets it act explores."""
        now = {key: value[:, -1] for key, value in obs.items()}
        values = self.values(self.seen(now))
        chosen = self.best(values, now)
        if self.epsilon and not self.training:
            random = self.best(torch.rand_like(values), now)
            chosen = torch.where(torch.rand(len(chosen), 1, device=chosen.device) < self.epsilon, random, chosen)
        return chosen.unsqueeze(1)
