"""A learner that acts by plans of a domain that was learned."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from imitari.core.errors import UserError
from imitari.core.symbols import Symbols
from imitari.learn.learner import Learner
from imitari.plan.action_models import LearnedModel
from imitari.plan.following import Followed, PlanFollower


class Planned(Learner):
    """Knows a domain and how a task is read in its words; the memory of acting is what is left of the plans.

    Attributes:
        model: the domain, None before it was learned.
        symbols: of the task.
    """

    recurrent: ClassVar[bool] = True
    model: LearnedModel | None = None
    symbols: Symbols | None = None
    _follower: PlanFollower | None = None

    @abstractmethod
    def planning(self, model: LearnedModel, symbols: Symbols) -> PlanFollower:
        """Who plans with what is known."""

    def know(self, model: LearnedModel, symbols: Symbols) -> None:
        """Takes over what was learned, and how the task is read."""
        self.model, self.symbols, self._follower = model, symbols, None

    @property
    def follower(self) -> PlanFollower:
        """Who plans; made when it is first asked for, since only then the planner's parts must be there."""
        if self.model is None or self.symbols is None:
            raise UserError("nothing was learned yet: fit the method first")
        if self._follower is None:
            self._follower = self.planning(self.model, self.symbols)
        return self._follower

    def start(self, count: int) -> tuple[Tensor, ...]:
        memory = self.follower.start(count)
        return tuple(torch.from_numpy(getattr(memory, field.name)) for field in dataclasses.fields(Followed))

    def proposed(self, obs: dict[str, Tensor], state: tuple[Tensor, ...]) -> Tensor:
        """Observations (B, 1, ...) to choices (B, 1, 1), `NO_CHOICE` where there is no plan. Changes `state`."""
        memory = Followed(*(part.numpy() for part in state))
        seen = {key: value[:, -1].cpu().numpy() for key, value in obs.items()}
        return torch.from_numpy(self.follower.propose(seen, memory))[:, None]

    def parts(self) -> dict[str, Any]:
        if self.model is None or self.symbols is None:
            return {}
        return {"model": self.model.to_json(), "symbols": self.symbols.to_json()}

    def recall(self, parts: dict[str, Any]) -> None:
        """Knows again what `parts` gave."""
        self.model, self.symbols = LearnedModel.from_json(parts["model"]), Symbols.from_json(parts["symbols"])
