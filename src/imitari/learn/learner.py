"""Learner: networks and their losses, and nothing else; and the slowly trailing copies that targets are made of."""

from __future__ import annotations

import copy
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from imitari.core.batch import Batch

Net = TypeVar("Net", bound=nn.Module)


class Learner(nn.Module):
    """What a method trains. It sees scaled data on its device and knows no optimiser, environment or file.

    Everything that must survive a restart is a parameter or a buffer (counters too).

    Attributes:
        recurrent: whether `act` carries a state (then it takes and returns one).
        compiles: whether compiled losses were measured to be faster on a processor.
        measures: whether `measure` must see the data's actions before training.
        any_size: whether it also takes maps of another height and width than those that it was trained on.
    """

    recurrent: ClassVar[bool] = False
    compiles: ClassVar[bool] = False
    measures: ClassVar[bool] = False
    any_size: ClassVar[bool] = False

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Named scalar terms; the loop minimises their sum. Names beginning with "_" are only logged."""
        raise NotImplementedError

    def act(self, obs: dict[str, Tensor]) -> Tensor:
        """Scaled observations name -> (B, H, ...) to scaled actions (B, C, A)."""
        raise NotImplementedError

    def start(self, count: int) -> tuple[Tensor, ...]:
        """State of a recurrent learner at the start of `count` episodes: tensors with the batch first."""
        raise NotImplementedError

    def act_recurrent(self, obs: dict[str, Tensor], state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """One step of a recurrent learner: observations (B, 1, ...) and state to actions (B, 1, A) and state."""
        raise NotImplementedError

    def rates(self) -> dict[str, float]:
        """Parameter-name prefix -> factor on the learning rate (default 1)."""
        return {}

    def parts(self) -> dict[str, Any]:
        """What the networks are made from besides settings and spec, such as a tokenizer learned from the data: JSON
        values, saved with the agent and given to `Method.rebuilt`."""
        return {}

    def measure(self, action: Tensor) -> None:
        """Takes from the scaled actions (N, A) of the data what is not trained, such as their range: into buffers."""

    def after_step(self) -> None:
        """Called after each optimiser step, after trailing copies have moved."""


class Lagged(nn.Module):
    """A copy of a module that trails it: target <- target + tau (online - target) after every optimiser step.

    The loop finds and moves all of them. The copy is called like the original and never receives a gradient.

    Args:
        online: what is followed; it is not registered here a second time.
        tau: share taken over a step (Polyak averaging).
        every: optimiser steps between moves.
    """

    def __init__(self, online: nn.Module, tau: float, every: int = 1) -> None:
        super().__init__()
        self.copy = copy.deepcopy(online).requires_grad_(False)
        self.tau, self.every = tau, every
        self._online = (online,)  # in a tuple, so that it is not registered as a child

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.copy(*args, **kwargs)

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Moves the copy when `step` (counted from 1) is a multiple of `every`."""
        if step % self.every:
            return
        mine: list[Tensor] = list(self.copy.parameters())
        theirs: list[Tensor] = list(self._online[0].parameters())
        torch._foreach_lerp_(mine, theirs, self.tau)  # pyright: ignore[reportPrivateUsage]
        for own, other in zip(self.copy.buffers(), self._online[0].buffers(), strict=True):
            own.copy_(other)


def trailing(learner: nn.Module) -> list[Lagged]:
    """Every trailing copy inside `learner`."""
    return [module for module in learner.modules() if isinstance(module, Lagged)]
