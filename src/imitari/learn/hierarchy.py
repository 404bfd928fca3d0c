"""Plan and follow: a planner draws what should be seen some steps ahead, a recurrent actor goes there for a while.

What hierarchical behaviour cloning and IRIS share. Planner and actor are trained independently on the same stretches:
the planner to give o_{t+H} from o_t, the actor to repeat the actions given the o_{t+H} that came. They differ in which
of the plans is chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from imitari.core.batch import Batch
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.learn.framing import Framing
from imitari.learn.learner import Learner
from imitari.learn.method import Trained
from imitari.nets.encoder import NumberEncoder
from imitari.nets.heads.actions import Prediction, action_head, masked_mean
from imitari.nets.mlp import mlp
from imitari.nets.recurrent import Cell, Recurrent, State
from imitari.nets.variational import ConditionalVAE, Prior


@dataclass(frozen=True)
class HierarchySettings(Trained):
    """Settings of methods that train a `Hierarchy`."""

    ahead: int = 10  # steps from an observation to its goal
    hold: int = 10  # steps for which acting keeps a goal; the actor's memory is cleared with it
    length: int = 10  # steps of a training sequence of the actor
    latent: int = 16  # numbers that a plan is drawn from
    planner_hidden: tuple[int, ...] = (256, 256)  # widths of the planner's layers
    planner_kl: float = 5e-4  # weight of the plan's divergence from its prior
    planner_prior: Prior = "mixture"  # of the plan: a standard normal, or a learned mixture of Gaussians
    planner_modes: int = 10  # components of that mixture
    head: Literal["mse", "tanh", "gmm"] = "tanh"  # of the actor: squared error (of a squashed action), or a mixture
    modes: int = 5  # components of the actor's mixture
    cell: Cell = "lstm"  # of the actor: lstm or gru
    width: int = 128  # of the actor's hidden state
    layers: int = 2  # recurrent layers of the actor
    after_layers: int = 0  # layers between the actor's recurrent ones and the action
    after_width: int = 1024  # of those layers
    masked: bool = False  # leave actions beyond the episode's end out of the loss, instead of repeating the last one

    def __post_init__(self) -> None:
        for name in ("ahead", "hold", "length", "latent"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}: it must be at least 1")

    def framing(self) -> Framing:
        return Framing(renew=self.hold)

    @property
    def obs_offsets(self) -> list[int]:
        """Steps of a stretch, then that of its goal."""
        return [*range(self.length), self.ahead]


class Hierarchy(Learner):
    """Planner and goal-conditioned actor. A goal is an encoded observation (B, F).

    The state that acting carries is that of the recurrent layers, the goal, and how long it was kept (B, 1).
    """

    recurrent = True

    def __init__(self, settings: HierarchySettings, spec: Spec) -> None:
        super().__init__()
        if spec.images:
            raise UserError(
                f"this method plans observations of numbers, and the data hold the pictures {', '.join(spec.images)}: "
                "leave them out, or choose another method"
            )
        self.masked = settings.masked
        self.encoder = NumberEncoder(spec)
        width = self.encoder.width
        self.planner = ConditionalVAE(
            width,
            width,
            settings.latent,
            settings.planner_hidden,
            prior=settings.planner_prior,
            modes=settings.planner_modes,
        )
        self.planner_kl = settings.planner_kl
        self.body = Recurrent(2 * width, settings.width, settings.layers, settings.cell)
        self.after, last = nn.Identity(), settings.width
        if settings.after_layers:
            last = settings.after_width
            self.after = nn.Sequential(mlp(settings.width, [last] * (settings.after_layers - 1), last), nn.ReLU())
        self.head = action_head(settings.head, last, spec.action, settings.modes)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Of observations (B, T + 1, ...), the last of them the goal, and actions (B, T, A)."""
        seen = self.encoder(batch.obs)
        features, goal = seen[:, :-1], seen[:, -1]
        error, divergence = self.planner.terms(goal, features[:, 0])
        prediction, _ = self.follow(features, goal, None)
        counted = batch.valid if self.masked else batch.known
        return {
            "goal_loss": error.mean(),
            "goal_kl": self.planner_kl * divergence.mean(),
            "action_loss": masked_mean(prediction.loss(batch.action), counted),
            "_divergence": divergence.detach().mean(),
        }

    def follow(self, features: Tensor, goal: Tensor, state: State | None) -> tuple[Prediction, State]:
        """Encoded observations (B, T, F), a goal (B, F) and the state before them to a prediction of (B, T, A) and the
        state after them."""
        both = torch.cat([features, goal.unsqueeze(1).expand(-1, features.shape[1], -1)], -1)
        out, after = self.body(both, state)
        return self.head(self.after(out)), after

    def plan(self, features: Tensor) -> Tensor:
        """Goals (B, F) from encoded observations (B, F)."""
        return self.planner.draw(features).squeeze(1)

    def start(self, count: int) -> State:
        hidden = self.body.start(count)
        goal = torch.zeros(count, self.encoder.width, device=hidden[0].device)
        return *hidden, goal, goal[:, :1]

    def act_recurrent(self, obs: dict[str, Tensor], state: State) -> tuple[Tensor, State]:
        *hidden, goal, age = state
        features = self.encoder(obs)
        if not age[0]:  # all episodes are in step
            goal = self.plan(features[:, -1])
        prediction, after = self.follow(features, goal, tuple(hidden))
        return prediction.sample(), (*after, goal, age + 1)
