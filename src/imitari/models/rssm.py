"""Recurrent state-space model: what a body observes, given what it does, with a memory h and a stochastic latent s.

    h_t = GRU(h_{t-1}, [s_{t-1}, a_{t-1}])     prior p(s_t | h_t)     posterior q(s_t | h_t, e_t)     p(o_t | h_t, s_t)

a_{t-1} is the action that led to o_t, zeros at the first step of an episode; h and s are zero before it. Only the GRU
and the posterior are computed step by step: encoders, priors and decoders see all steps at once.
Hafner et al. 2019, "Learning Latent Dynamics for Planning from Pixels"; the two parameterisations are those of Zhang et
al. 2023, "Action Inference by Maximising Evidence" and its published code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.data.sampling import Windows
from imitari.learn.learner import Learner
from imitari.learn.method import Trained
from imitari.models.latents import CategoricalLatent, GaussianLatent, Latent, balanced
from imitari.models.sensors import Sensors
from imitari.nets.critics import action_width, flat_action
from imitari.nets.mlp import ACTIVATIONS, Activation, mlp

State = tuple[Tensor, Tensor]  # memory (B, H) and latent (B, S)
# What is done before observation t is seen: (state after observation t - 1, t) to a flat action (B, A).
Doing = Callable[[State, int], Tensor]
# What is believed of the latent: (memory (B, H), t) to stats.
Belief = Callable[[Tensor, int], Tensor]


@dataclass(frozen=True)
class WorldSettings(Trained):
    """Settings of methods that train an `RSSM`."""

    model: Literal["rssm", "rssmo"] = "rssm"  # parameterisation: deviations learned and reweighted, or as in Dreamer
    latent: Literal["gaussian", "categorical"] = "gaussian"  # kind of the stochastic latents
    memory: int = 512  # width of the recurrent state
    stochastic: int = 128  # stochastic latents
    classes: int = 32  # of each categorical latent
    width: int = 128  # of the layers of encoders, decoders, prior and posterior
    channels: int = 32  # of the first convolution of pictures
    length: int = 50  # steps of a training sequence
    free_nats: float = 0.0  # divergence a step below which the model is not pressed, in its own training
    balance: float = 0.0  # share of the divergence that trains the prior; 0: the divergence's own gradient
    model_steps: int = 100_000  # optimiser steps of the world model
    model_lr: float = 3e-4  # peak learning rate of the world model

    def __post_init__(self) -> None:
        counts = (self.memory, self.stochastic, self.width, self.channels, self.model_steps)
        if min(counts) < 1 or self.classes < 2 or self.length < 2 or self.model_lr <= 0:
            raise UserError(
                f"memory {self.memory}, stochastic {self.stochastic}, width {self.width}, channels {self.channels}, "
                f"model_steps {self.model_steps}, classes {self.classes}, length {self.length}, model_lr "
                f"{self.model_lr:g}: the first five must be at least 1, classes and length 2, the rate above 0"
            )
        if self.free_nats < 0 or not 0 <= self.balance <= 1:
            raise UserError(
                f"free_nats {self.free_nats:g}, balance {self.balance:g}: the first must be at least 0, the second "
                "between 0 and 1"
            )

    def latents(self) -> Latent:
        if self.latent == "categorical":
            return CategoricalLatent(self.stochastic, self.classes)
        return GaussianLatent(self.stochastic, "softplus" if self.model == "rssm" else "sigmoid")


@dataclass
class Path:
    """States along T steps, with the beliefs that they were drawn from.

    Attributes:
        memory: (B, T, H). value: (B, T, S).
        posterior, prior: (B, T, P) stats of the latent; the posterior is None where nothing was seen.
        action: (B, T, A) that led to each step.
    """

    memory: Tensor
    value: Tensor
    prior: Tensor
    posterior: Tensor | None
    action: Tensor

    @property
    def features(self) -> Tensor:
        """(B, T, H + S)."""
        return torch.cat([self.memory, self.value], -1)


class RSSM(nn.Module):
    """The model. Observations and actions are scaled; a choice is one-hot.

    Attributes:
        features: width H + S of a state.
    """

    def __init__(self, settings: WorldSettings, spec: Spec) -> None:
        super().__init__()
        plain, width = settings.model == "rssm", settings.width
        activation: Activation = "elu" if plain else "silu"
        self.spec, self.latent = spec, settings.latents()
        self.features = settings.memory + self.latent.width
        hidden = (width, width)
        self.sensors = Sensors(
            spec,
            self.features,
            hidden,
            encoder=() if plain else hidden,
            spread="learned" if plain else "unit",
            reweighted=plain,
            activation=activation,
            norm=not plain,
            channels=settings.channels,
        )
        inputs = self.latent.width + action_width(spec.action)
        act, norm = ACTIVATIONS[activation], not plain
        self.inlet = (
            nn.Identity()
            if plain
            else nn.Sequential(nn.Linear(inputs, width), nn.LayerNorm(width), ACTIVATIONS["silu"]())
        )
        self.cell = nn.GRUCell(inputs if plain else width, settings.memory)
        self.prior = mlp(settings.memory, hidden, self.latent.parameters, activation=activation, norm=norm)
        # The posterior's first layer in two parts: what is seen of all steps goes through its own at once.
        self.recall, self.sight = nn.Linear(settings.memory, width, bias=False), nn.Linear(self.sensors.width, width)
        self.posterior = nn.Sequential(
            nn.LayerNorm(width) if norm else nn.Identity(),
            act(),
            mlp(width, (width,), self.latent.parameters, activation=activation, norm=norm),
        )

    def start(self, count: int) -> State:
        """Zero states."""
        place = self.cell.weight_hh.device
        return torch.zeros(count, self.cell.hidden_size, device=place), torch.zeros(
            count, self.latent.width, device=place
        )

    def before(self, action: Tensor, valid: Tensor) -> Tensor:
        """The actions that led to each step as flat numbers (B, T, A), 0 where there was none (`valid` (B, T))."""
        return flat_action(action, self.spec.action).float() * valid.unsqueeze(-1)

    def forward(self, state: State, action: Tensor) -> Tensor:
        """The memory after doing a flat action (B, A)."""
        memory, value = state
        return self.cell(self.inlet(torch.cat([value, action], -1)), memory).float()

    def filter(self, obs: dict[str, Tensor], action: Tensor, state: State) -> State:
        """The state after an observation (B, ...) that a flat action (B, A) led to; its latent is the likeliest."""
        memory = self.forward(state, action)
        stats = self.posterior(self.recall(memory) + self.sight(self.sensors(obs)))
        return memory, self.latent.mode(stats)

    def observe(self, embedding: Tensor, doing: Tensor | Doing, state: State | None = None) -> Path:
        """Latents drawn from the posterior along a sequence.

        Args:
            embedding: (B, T, E), of `sensors`.
            doing: (B, T, A) the flat actions that led to each step, or whoever decides on them.
            state: before the first step; None: zero.
        """
        seen = self.sight(embedding).unbind(1)

        def believe(memory: Tensor, step: int) -> Tensor:
            return self.posterior(self.recall(memory) + seen[step])

        if isinstance(doing, Tensor):
            given = doing.unbind(1)
            doing = lambda _, step: given[step]  # noqa: E731
        state = self.start(len(embedding)) if state is None else state
        memory, value, stats, action = self._along(state, doing, believe, embedding.shape[1])
        return Path(memory, value, self.prior(memory), stats, action)

    def imagine(self, state: State, doing: Doing, steps: int) -> Path:
        """Latents drawn from the prior for `steps` steps from a state on, nothing seen."""
        memory, value, stats, action = self._along(state, doing, lambda memory, _: self.prior(memory), steps)
        return Path(memory, value, stats, None, action)

    def _along(self, state: State, doing: Doing, believe: Belief, steps: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Memories, latents, their stats and actions of `steps` steps, (B, T, ...) each."""
        noise = self.latent.noise(steps, len(state[0]), like=state[0]).unbind(0)
        found: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        for step in range(steps):
            action = doing(state, step)
            memory = self.forward(state, action)
            stats = believe(memory, step)
            state = memory, self.latent.draw(stats, noise[step])
            found.append((*state, stats, action))
        memory, value, stats, action = (torch.stack(part, 1) for part in zip(*found, strict=True))
        return memory, value, stats, action

    def evidence(
        self, obs: dict[str, Tensor], path: Path, *, free_nats: float = 0.0, balance: float = 0.0
    ) -> dict[str, Tensor]:
        """The negative evidence lower bound of a sequence in its parts, each summed over steps: `<sensor>_loss` for
        every observation and `kl_loss`. Where likelihoods are reweighted, so is the divergence, by the mean predicted
        deviation of its step; `_weight` is the mean of these.
        """
        assert path.posterior is not None
        found = self.sensors.likelihoods(path.features, obs)
        terms = {f"{key}_loss": value.loss.sum(1).mean() for key, value in found.items()}
        spreads = [value.deviation for value in found.values() if value.deviation is not None]
        weight = torch.stack(spreads).mean(0) if spreads else None
        divergence = balanced(self.latent, path.posterior, path.prior, balance=balance, weight=weight).mean()
        terms["kl_loss"] = path.memory.shape[1] * divergence.clamp_min(free_nats)
        terms["_weight"] = torch.ones(()) if weight is None else weight.mean()
        return terms


class WorldModel(Learner):
    """An `RSSM` in its own training: maximises the evidence of what was observed, given what was done."""

    def __init__(self, settings: WorldSettings, spec: Spec) -> None:
        super().__init__()
        self.free_nats, self.balance = settings.free_nats, settings.balance
        self.rssm = RSSM(settings, spec)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        model = self.rssm
        path = model.observe(model.sensors(batch.obs), model.before(batch.action, batch.valid))
        return model.evidence(batch.obs, path, free_nats=self.free_nats, balance=self.balance)


def sequences(demos: Demos, length: int, *, unknown: bool = False) -> Windows:
    """Stretches of `length` observations, each with the action that led to it: o_t with a_{t-1}, which is not valid at
    the first step of an episode.

    Args:
        unknown: actions need not be known.

    Raises:
        UserError: when every episode is shorter than that.
    """
    kept = demos.table.rows >= length
    if not kept.any():
        raise UserError(
            f"{demos.provenance.path}: its longest episode has {int(demos.table.rows.max())} observations, and a "
            f"sequence {length}: lower --length"
        )
    part = demos if kept.all() else demos.keep(kept, f"at least {length} observations")
    return Windows(part, range(length), range(-1, length - 1), inside=True, unknown=unknown)
