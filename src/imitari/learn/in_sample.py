"""In-sample maximisation: twin critics, a state value near the best recorded actions, a policy that clones by weight.

What implicit Q-learning, extreme Q-learning, f-DVL and ReCOIL share. None of them asks for the value of an action
outside the data to learn the state value. A method adds how the state value is drawn upwards and what its critics
learn.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from imitari.core.batch import Batch
from imitari.core.spec import Spec
from imitari.learn.learner import Lagged, Learner
from imitari.learn.offline import OnTransitions
from imitari.learn.optim import Schedule
from imitari.nets.critics import Critics, GaussianActor, StateValue

LARGEST_WEIGHT = 100.0


@dataclass(frozen=True)
class InSample(OnTransitions):
    """Settings of methods with an `InSampleLearner`."""

    temperature: float = 3.0  # inverse temperature: 0 clones, larger values trust the advantage more
    tau: float = 0.005  # share of the critics that the target critics take over a step
    hidden: tuple[int, ...] = (256, 256)  # widths of the layers
    norm: bool = False  # LayerNorm in critics and state value
    dropout: float = 0.0  # in the policy
    actor_schedule: Schedule = "cosine"  # of the policy's learning rate: constant or cosine


class InSampleLearner(Learner):
    """State value, twin critics with their targets, and policy.

    Args:
        settings: of the networks and the policy's weights.
        spec: of observations and action.
        value_spec: what state value and critics see, where that is more.
    """

    compiles = True

    def __init__(self, settings: InSample, spec: Spec, value_spec: Spec | None = None) -> None:
        super().__init__()
        seen = value_spec or spec
        self.temperature = settings.temperature
        self.value = StateValue(seen, settings.hidden, norm=settings.norm)
        self.critics = Critics(seen, settings.hidden, norm=settings.norm)
        self.target = Lagged(self.critics, settings.tau)
        self.actor = GaussianActor(spec, settings.hidden, dropout=settings.dropout)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        # The sum is minimised by one Adam, which is three separate updates at the same weights: the networks share no
        # parameter, each term reaches only its own network (whatever comes from another is detached), and Adam treats
        # every number by itself. Only a bound on the common gradient norm (clip > 0) would couple them.
        value = self.value(batch.obs)
        with torch.no_grad():
            value_of_action = self.target(batch.obs, batch.action).amin(0)
            backup = batch.reward + batch.discount * self.value(batch.next_obs)
        advantage = value_of_action - value
        return {
            "value_loss": self.value_loss(batch, advantage, value),
            "critic_loss": self.critic_loss(batch, backup),
            "actor_loss": self.actor_loss(batch, advantage.detach()),
            "_advantage": advantage.detach().mean(),
            "_backup": backup.mean(),
            "_largest_value": value.detach().abs().amax(),
        }

    def value_loss(self, batch: Batch, advantage: Tensor, value: Tensor) -> Tensor:
        """How V is drawn upwards: a scalar of Q(s, a) - V(s), (B,), through which the gradient reaches V."""
        raise NotImplementedError

    def critic_loss(self, batch: Batch, backup: Tensor) -> Tensor:
        """What the critics learn from r + discount * V(s'), (B,): the squared error, summed over them."""
        return ((self.critics(batch.obs, batch.action) - backup) ** 2).mean(1).sum()

    def actor_loss(self, batch: Batch, advantage: Tensor) -> Tensor:
        """-exp(temperature * advantage) log pi(a | s), the weight bounded."""
        return (self.weight(advantage) * self.actor(batch.obs).loss(batch.action)).mean()

    def weight(self, advantage: Tensor) -> Tensor:
        """What a recorded action counts in cloning."""
        return torch.exp(self.temperature * advantage).clamp(max=LARGEST_WEIGHT)

    def act(self, obs: dict[str, Tensor]) -> Tensor:
        """The mean of the policy (the most likely choice)."""
        return self.actor({key: value[:, -1] for key, value in obs.items()}).mode.unsqueeze(1)
