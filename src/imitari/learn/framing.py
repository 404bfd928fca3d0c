"""Framing: how a stream of steps is cut for a policy: what it sees, what it predicts, what of that is executed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from imitari.core.errors import UserError


@dataclass(frozen=True)
class Framing:
    """Attributes:
    history: observations a decision sees (the newest last).
    chunk: actions a decision predicts, starting at the present step.
    execute: actions carried out before the next decision.
    renew: a recurrent policy forgets its state every so many steps; 0: never within an episode.
    ensemble: execute the mean of all predictions made so far for a step, the i-th of them, counted from the oldest,
        weighted by exp(-ensemble i) (temporal ensembling, Zhao et al. 2023); None: execute the newest.
    """

    history: int = 1
    chunk: int = 1
    execute: int = 1
    renew: int = 0
    ensemble: float | None = None

    def __post_init__(self) -> None:
        if self.history < 1 or self.chunk < 1 or not 1 <= self.execute <= self.chunk:
            raise UserError(
                f"history {self.history}, chunk {self.chunk}, execute {self.execute}: "
                "history and chunk must be at least 1, and execute must be between 1 and chunk"
            )

    @property
    def obs_offsets(self) -> range:
        return range(1 - self.history, 1)

    @property
    def action_offsets(self) -> range:
        return range(self.chunk)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
