"""One line of facts about the outcomes of one policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from imitari.core.outcome import Outcome
from imitari.evaluate.intervals import wilson


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Counts always beside the rate; means of return, best reward of an episode, and length."""
    count = len(outcomes)
    wins = sum(outcome.success for outcome in outcomes)
    interval = wilson(wins, count)
    return {
        "task": outcomes[0].task,
        "episodes": count,
        "successes": wins,
        "success": wins / count,
        "low": interval.low,
        "high": interval.high,
        "return": float(np.mean([outcome.total for outcome in outcomes])),
        "best_reward": float(np.mean([outcome.best for outcome in outcomes])),
        "length": float(np.mean([outcome.length for outcome in outcomes])),
        "starts": [outcomes[0].start, outcomes[-1].start],
    }
