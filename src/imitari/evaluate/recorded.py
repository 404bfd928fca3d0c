"""How far an actor is from what was recorded, where there is no world to roll it out in."""

from __future__ import annotations

import numpy as np

from imitari.core.demos import Demos
from imitari.core.episode import ACTION, Array
from imitari.core.task import Actor


def action_error(actor: Actor, demos: Demos) -> Array:
    """(E,) error of the actions in each episode: 1 says no more than their mean does, 0 is exact.

    The actor is shown what was observed, step by step, whatever it did itself: what it would do, not where that leads.
    Numbers: mean squared difference, in variances of the recorded actions; choices: share that differ.

    Args:
        actor: all episodes are one batch of it.
        demos: with actions; those that are not known do not count.
    """
    length, start = demos.table.length, demos.table.start
    memory = actor.reset(len(demos))
    choice = demos.spec.action.kind == "choice"
    width = demos.columns[ACTION].take(demos.known_rows()).reshape(-1, demos.spec.action.size)
    spread = np.maximum(width.astype(np.float64).std(0), 1e-6)
    total, count = np.zeros(len(demos)), np.zeros(len(demos))
    for step in range(int(length.max())):
        rows = start + np.minimum(step, length - 1)
        obs = {key: demos.columns[key].take(rows) for key in demos.spec.obs}
        action, memory = actor.act(obs, memory)
        truth = demos.columns[ACTION].take(rows)
        known = demos.known(rows)
        counts = (step < length) & (True if known is None else known)
        apart = (action != truth).reshape(len(rows), -1).any(1) if choice else _squares(action, truth, spread)
        total += np.where(counts, apart, 0.0)
        count += counts
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _squares(action: Array, truth: Array, spread: Array) -> Array:
    apart = (action.astype(np.float64) - truth).reshape(len(action), -1) / spread
    return (apart**2).mean(1)
