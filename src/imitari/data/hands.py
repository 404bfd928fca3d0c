"""Clumsy hands: an actor whose actions are bent by a constant pull and by holding on to the last one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.errors import UserError
from imitari.core.spec import Feature
from imitari.core.task import Actor

STREAM = 0x4A2D5  # keeps this noise apart from what else the seed of a start decides


@dataclass(frozen=True)
class Hands:
    """How clumsy somebody is.

    Attributes:
        bias: from 0 to 1: the action is (1 - bias) * wanted + bias * pull, pull a corner of the action box.
        hold: probability that a step repeats the last action.
        side: which corner pulls, as a seed; it belongs to the person and is the same in every episode.
    """

    bias: float = 0.0
    hold: float = 0.0
    side: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.bias <= 1 or not 0 <= self.hold < 1:
            raise UserError(f"hands with bias {self.bias:g} and hold {self.hold:g}: bias is 0 to 1, hold 0 to below 1")


class Clumsy:
    """`actor` with such hands.

    Args:
        actor: who knows what should be done.
        hands: how it comes out.
        action: of the task; numbers with bounds.
    """

    def __init__(self, actor: Actor, hands: Hands, action: Feature) -> None:
        if action.kind != "number" or action.low is None or action.high is None:
            raise UserError(
                "clumsy hands need an action of numbers with bounds: choose another task, or bias and hold 0"
            )
        self.actor, self.hands = actor, hands
        low, high = np.asarray(action.low, np.float32), np.asarray(action.high, np.float32)
        self.pull = np.where(np.random.default_rng([hands.side, STREAM]).random(low.shape) < 0.5, low, high)

    def reset(self, count: int, seed: int = 0) -> dict[str, Any]:
        rng = np.random.default_rng([seed, STREAM])
        return {"inner": self.actor.reset(count, seed), "rng": rng, "last": None}

    def act(self, obs: Obs, memory: dict[str, Any]) -> tuple[Array, dict[str, Any]]:
        wanted, memory["inner"] = self.actor.act(obs, memory["inner"])
        action = ((1 - self.hands.bias) * wanted + self.hands.bias * self.pull).astype(wanted.dtype)
        held = memory["rng"].random(len(action)) < self.hands.hold
        if memory["last"] is not None:
            action = np.where(held[:, None], memory["last"], action)
        memory["last"] = action
        return action, memory
