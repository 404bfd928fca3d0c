"""The check of cause and effect: does the state move after the action, or did it move before?"""

from __future__ import annotations

import numpy as np

from imitari.core.episode import ACTION, Array
from imitari.data.doctor._steps import Finding, Steps

REACH = 5  # steps looked at in either direction
ROWS = 200_000  # steps that are enough to judge by
DIMENSIONS = 64  # wider states (features, flattened simulators) are not searched
SAMPLES = 12  # steps an episode needs for a judgement of its own
LEAST = 0.5  # correlation below which action and state are not taken to be related
CONTRAST = 3.0  # how many times more stays unexplained without the lag
TIGHT = 0.9  # correlation over all episodes from which on a single episode can be judged
SINGLE_CONTRAST = 10.0  # the same for one episode, of which there are few steps


def action_lag(steps: Steps) -> list[Finding]:
    """Actions recorded too late (they follow the motion that they should cause) or long before their effect.

    For every action dimension the state dimension and the reading that correlate best at any lag are chosen over all
    episodes: a velocity or step (a_t against s_{t+1} - s_t) or a target (a_t - a_{t-1} against the same). The lag at
    which these pairs correlate best is then judged, for all episodes together and, where coupling is tight, for each.
    """
    keys = [key for key in steps.numeric() if key != ACTION and steps.values(key).shape[1] <= DIMENSIONS]
    if ACTION not in steps.numeric() or not keys:
        return []
    rows = _chosen_rows(steps)
    state = np.concatenate([steps.values(key)[rows].astype(np.float64) for key in keys], axis=1)
    action = steps.values(ACTION)[rows].astype(np.float64)
    episode, step = steps.episode[rows], steps.step[rows]
    good = np.asarray(np.isfinite(state).all(1) & np.isfinite(action).all(1))
    state, action = np.where(good[:, None], state, 0), np.where(good[:, None], action, 0)
    same = np.zeros(len(rows), bool)  # the next row is the next step of the same episode
    same[:-1] = episode[1:] == episode[:-1]
    moved = np.zeros_like(state)
    moved[:-1] = (state[1:] - state[:-1]) * same[:-1, None]
    changed = np.zeros_like(action)
    changed[1:] = (action[1:] - action[:-1]) * (episode[1:] == episode[:-1])[:, None]
    commands = np.concatenate([action, changed], axis=1)
    pairs = _pairs(commands, moved, episode, action.shape[1])
    if not pairs:
        return []
    curve = _curves(commands, moved, episode, step, pairs)
    return _judge(steps, curve)


def _chosen_rows(steps: Steps) -> Array:
    """All steps of evenly spread episodes, about ROWS of them."""
    every = max(1, int(np.ceil(steps.demos.steps / ROWS)))
    return np.flatnonzero(steps.episode % every == 0)


def _shifted(values: Array, episode: Array, lag: int) -> tuple[Array, Array]:
    """(values `lag` steps later, whether that step is in the same episode)."""
    out, there = np.zeros_like(values), np.zeros(len(values), bool)
    if lag >= 0:
        stop = len(values) - lag
        out[:stop], there[:stop] = values[lag:], episode[lag:] == episode[:stop]
    else:
        out[-lag:], there[-lag:] = values[:lag], episode[:lag] == episode[-lag:]
    return out, there


def _pairs(commands: Array, moved: Array, episode: Array, count: int) -> list[tuple[int, int]]:
    """(command, state dimension) that belong together, at most one an action dimension."""
    best = np.zeros((commands.shape[1], moved.shape[1]))
    for lag in range(-REACH, REACH + 1):
        later, there = _shifted(moved, episode, lag)
        best = np.maximum(best, np.abs(_correlation(commands[there], later[there])))
    found: list[tuple[int, int]] = []
    for dimension in range(count):
        options = best[[dimension, dimension + count]]
        reading, partner = np.unravel_index(int(np.argmax(options)), options.shape)
        if options[reading, partner] >= LEAST:
            found.append((dimension + int(reading) * count, int(partner)))
    return found


def _correlation(left: Array, right: Array) -> Array:
    if len(left) < 3:
        return np.zeros((left.shape[1], right.shape[1]))
    left, right = left - left.mean(0), right - right.mean(0)
    norm = np.sqrt(np.outer((left**2).sum(0), (right**2).sum(0)))
    return np.divide(left.T @ right, norm, out=np.zeros_like(norm), where=norm > 1e-12)


def _curves(
    commands: Array, moved: Array, episode: Array, step: Array, pairs: list[tuple[int, int]]
) -> dict[int, Array]:
    """Episode -> (2 REACH + 1,) mean correlation of the pairs at every lag; -1 is all episodes together."""
    numbers, owner = np.unique(episode, return_inverse=True)
    left, right = commands[:, [pair[0] for pair in pairs]], moved[:, [pair[1] for pair in pairs]]
    curves = np.zeros((len(numbers) + 1, 2 * REACH + 1))
    for place, lag in enumerate(range(-REACH, REACH + 1)):
        later, there = _shifted(right, episode, lag)
        one, other, who = left[there], later[there], owner[there]
        count = np.maximum(np.bincount(who, minlength=len(numbers)), 1)[:, None]
        sums = [_sums(value, who, len(numbers)) for value in (one, other, one * other, one**2, other**2)]
        curves[:-1, place] = _mean_correlation([value / count for value in sums])
        curves[-1, place] = _mean_correlation([value.sum(0, keepdims=True) / count.sum() for value in sums])[0]
    lengths = np.bincount(owner)
    judged = {int(number): curves[at] for at, number in enumerate(numbers) if lengths[at] >= SAMPLES}
    return {**judged, -1: curves[-1]}


def _sums(values: Array, owner: Array, count: int) -> Array:
    return np.stack([np.bincount(owner, column, minlength=count) for column in values.T], axis=1)


def _mean_correlation(means: list[Array]) -> Array:
    """Mean over pairs of |correlation|, from the means of x, y, xy, xx, yy: (E, P) -> (E,)."""
    x, y, xy, xx, yy = means
    scale = np.sqrt(np.maximum(xx - x**2, 0) * np.maximum(yy - y**2, 0))
    return np.divide(np.abs(xy - x * y), scale, out=np.zeros_like(scale), where=scale > 1e-12).mean(1)


def _lag(curve: Array, least: float, contrast: float) -> int:
    """The lag in steps that explains clearly more than none; 0 otherwise."""
    best = int(np.argmax(curve))
    if curve[best] < least or (1 - curve[REACH] ** 2) < contrast * (1 - min(curve[best], 1.0) ** 2) + 1e-6:
        return 0
    return best - REACH


def _judge(steps: Steps, curves: dict[int, Array]) -> list[Finding]:
    overall = curves.pop(-1)
    lags = {episode: _lag(curve, TIGHT, SINGLE_CONTRAST) for episode, curve in curves.items()}
    common = _lag(overall, LEAST, CONTRAST)
    found: list[Finding] = []
    if common:
        first = next((episode for episode, lag in lags.items() if lag == common), 0)
        found.append(_finding(common, overall, first, "in the data set as a whole "))
    elif overall.max() >= TIGHT:
        found += [_finding(lag, curves[episode], episode, "") for episode, lag in lags.items() if lag]
    return found


def _finding(lag: int, curve: Array, episode: int, where: str) -> Finding:
    seen = f"(correlation {curve[REACH + lag]:.2f} there against {curve[REACH]:.2f} in step)"
    if lag < 0:
        message = f"{where}the action follows the motion it should cause by {-lag} steps {seen}"
        remedy = (
            f"pair every observation with the action {-lag} steps later: as it is, a policy learns to repeat the past"
        )
        return Finding("warning", "action_lag", message, remedy, episode, 0, ACTION)
    message = f"{where}the state follows the action only after {lag} steps {seen}"
    remedy = "latency of this size asks for action chunks or a history; check that both clocks agree"
    return Finding("note", "action_lag", message, remedy, episode, 0, ACTION)
