"""One line of facts about the outcomes of one policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from imitari.core.outcome import Outcome
from imitari.core.task import Task
from imitari.evaluate.diversity import shown
from imitari.evaluate.intervals import wilson


def summary(outcomes: Sequence[Outcome], task: Task | None = None) -> dict[str, Any]:
    """Counts always beside the rate; means of return, best reward of an episode, and length.

    Args:
        outcomes: of one policy.
        task: where they come from; where it knows ways of being solved, those that were seen are told too.
    """
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
        **({"behaviours": behaviours(outcomes, task)} if task and task.behaviours else {}),
    }


def behaviours(outcomes: Sequence[Outcome], task: Task) -> dict[str, Any]:
    """The ways in which a task was solved, see `diversity.Shown.facts`."""
    return shown(outcomes, len(task.behaviours), task.context).facts(task.behaviours)


def ways_row(name: str, outcomes: Sequence[Outcome], task: Task) -> tuple[str, str, str, str]:
    """Name, success, ways seen and entropy of one policy's rollouts."""
    found = behaviours(outcomes, task)
    wins = sum(outcome.success for outcome in outcomes)
    even = found["pooled"] if found["ceiling"] == 0 else found["entropy"]
    seen = f"{found['seen']} of {found['possible']}"
    return name, f"{wins / len(outcomes):.1%} ({wins} of {len(outcomes)})", seen, f"{even:.3f}"


def in_words(found: dict[str, Any]) -> str:
    """One line about what `behaviours` gives."""
    words = f"{found['seen']} of {found['possible']} ways seen, entropy "
    if found["ceiling"] == 0:  # one rollout from each start
        words += f"{found['pooled']:.3f} over all starts together"
    else:
        words += _conditional(found)
    return words + (f"; {found['unknown']} solved in no known way" if found["unknown"] else "")


def _conditional(found: dict[str, Any]) -> str:
    words = f"{found['entropy']:.3f}"
    if found["contexts"] > 1:
        words += f" over {found['contexts']} contexts"
    if found["contexts_solved"] < found["contexts"] and found["entropy_of_solved"] is not None:
        words += f" ({found['entropy_of_solved']:.3f} over the {found['contexts_solved']} with a success)"
    if found["ceiling"] < 0.9995:
        words += f", at most {found['ceiling']:.3f} with so few rollouts"
    return words
