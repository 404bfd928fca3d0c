"""Demonstrations beside a replay: how they scale what is seen, and as transitions to learn from."""

from __future__ import annotations

import dataclasses

import numpy as np

from imitari.core.columns import ArrayColumn
from imitari.core.demos import ENDINGS, Demos
from imitari.core.episode import ACTION, REWARD
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.data.sampling import Transitions
from imitari.data.scaling import Scaler, Scaling
from imitari.learn.policy_start import plain

BORDER = 0.999  # of the action box: where demonstrated actions are clipped, so that a squashed policy can reach them


def box_scaler(spec: Spec, demos: Demos | None, mask: str = "") -> Scaler:
    """Actions from their bounds to [-1, 1], choices as they are; observations to mean 0, deviation 1 of the
    demonstrations, or as they are, as `mask` always is.

    Raises:
        UserError: when an action of numbers has no bounds.
    """
    if demos is not None:
        scalings = {key: value for key, value in Scaler.fit(demos, "meanstd").scalings.items() if key != ACTION}
    else:
        scalings = {key: plain(feature) for key, feature in spec.numbers.items()}
    if mask in scalings:
        scalings[mask] = plain(spec.obs[mask])
    if spec.action.kind != "choice":
        low, high = spec.action.low, spec.action.high
        if spec.action.kind != "number" or low is None or high is None:
            raise UserError("a squashed policy needs actions of numbers with bounds: choose a task that gives them")
        bottom, top = np.asarray(low, np.float32), np.asarray(high, np.float32)
        scalings[ACTION] = Scaling("minmax", (bottom + top) / 2, (top - bottom) / 2)
    return Scaler(scalings)


def prior(demos: Demos, gamma: float, without_reward: bool, spec: Spec) -> Transitions:
    """The transitions of the demonstrations.

    Without reward every reward is 0, and an end that is no known success is taken for a time limit: among rewards that
    are never positive, an end of value 0 would be worth seeking. (Where the observation after such an end is not
    stored, its last step is left out.)
    """
    if without_reward:
        rows = demos.columns[ACTION].shape[0]
        table = demos.table
        ended = np.where(table.success == 1, table.ended, ENDINGS.index("truncated")).astype(table.ended.dtype)
        demos = demos.with_columns({REWARD: ArrayColumn(np.zeros(rows, np.float32))}, "rewards set to 0")
        demos = demos.with_table(dataclasses.replace(table, ended=ended), "only successes end")
    return Transitions(demos if spec.action.kind == "choice" else _off_the_border(demos, spec), 1, gamma)


def _off_the_border(demos: Demos, spec: Spec) -> Demos:
    low, high = (np.asarray(bound, np.float32) for bound in (spec.action.low, spec.action.high))
    middle, half = (low + high) / 2, BORDER * (high - low) / 2
    column = demos.columns[ACTION]
    clipped = np.clip(column.take(np.arange(column.shape[0])), middle - half, middle + half)
    return demos.with_columns({ACTION: ArrayColumn(clipped.astype(column.dtype))}, "actions moved off the border")
