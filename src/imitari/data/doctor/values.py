"""Checks of single values: not finite, never changing, outside their bounds, in another unit."""

from __future__ import annotations

import numpy as np

from imitari.core.episode import ACTION, Array
from imitari.data.doctor._steps import Finding, Steps, dimensions

CONVENTION = 1.0  # most action spaces are [-1, 1]
INSIDE = 0.99  # share of values inside it from which on that convention is taken to be meant
UNITS = {
    1000.0: "m against mm",
    180 / np.pi: "radians against degrees",
    100.0: "m against cm",
    255.0: "0-1 against 0-255",
}
JUMP = 20.0  # ratio of spreads that no ordinary episode reaches


def not_finite(steps: Steps) -> list[Finding]:
    """NaN or infinity in observations, actions, rewards or labels."""
    found: list[Finding] = []
    for key in dict.fromkeys([*steps.numeric(), *steps.extra(), ACTION]):
        if steps.demos.columns[key].dtype.kind != "f":
            continue
        values = steps.values(key)
        # A sum is not finite as soon as one value is not: one pass without a temporary of the size of the column.
        if np.isfinite(values.sum(dtype=np.float64)):
            continue
        bad = np.asarray(~np.isfinite(values).all(1))
        if key == ACTION:
            bad &= steps.known
        for episode, frame, count in steps.first_where(bad):
            found.append(
                Finding(
                    "error",
                    "not_finite",
                    f"NaN or infinity in {count} of {steps.length[episode]} steps",
                    f"leave the episode out: {steps.drop(episode)}",
                    episode,
                    frame,
                    key,
                )
            )
    return found


def constant(steps: Steps) -> list[Finding]:
    """Columns, or dimensions of them, that never change."""
    found: list[Finding] = []
    if steps.demos.steps < 2:
        return found
    for key in steps.numeric():
        values = steps.values(key)
        fixed = np.flatnonzero((values == values[0]).all(0))
        if len(fixed) == 0:
            continue
        names = steps.demos.feature(key).names
        if len(fixed) == values.shape[1]:
            message = f"never changes: {dimensions(fixed, names)} stay at {_short(values[0])}"
            remedy = "check the recording: this sensor or command was not connected; otherwise leave the column out"
            found.append(Finding("warning", "constant", message, remedy, column=key))
        else:
            message = f"{len(fixed)} of {values.shape[1]} dimensions never change: {dimensions(fixed, names)}"
            remedy = "nothing to do if that is so on the robot: scaling leaves such dimensions as they are"
            found.append(Finding("note", "constant", message, remedy, column=key))
    return found


def outside_bounds(steps: Steps) -> list[Finding]:
    """Values outside the bounds of the spec; without bounds, actions that leave [-1, 1] now and then."""
    found: list[Finding] = []
    for key in steps.numeric():
        feature, values = steps.demos.feature(key), steps.values(key)
        if feature.low is not None and feature.high is not None:
            low, high = (np.broadcast_to(np.asarray(bound), (feature.size,)) for bound in (feature.low, feature.high))
            margin = 1e-5 * (high - low)
            bad: Array = (values < low - margin) | (values > high + margin)
            kind, box = "error" if key == ACTION else "warning", "its bounds"
        elif key == ACTION:
            bad = np.abs(values) > CONVENTION + 1e-5
            share = 1 - float(bad.mean())
            if share < INSIDE or share == 1.0:
                continue
            kind, box = "warning", f"[-1, 1], where {share:.2%} of all values are"
        else:
            continue
        outside = np.asarray(bad.any(1))
        for episode, frame, count in steps.first_where(outside):
            row = int(steps.first[episode]) + frame
            which = np.flatnonzero(bad[row])
            worst = values[row, which[np.argmax(np.abs(values[row, which]))]]
            message = (
                f"{count} steps outside {box}; first {_short(worst)} in dimension {dimensions(which, feature.names)}"
            )
            remedy = f"clip the actions, correct the bounds, or leave the episode out: {steps.drop(episode)}"
            found.append(Finding(kind, "outside_bounds", message, remedy, episode, frame, key))
    return found


def unit_jump(steps: Steps) -> list[Finding]:
    """Episodes whose values spread over a wholly different scale: degrees among radians, millimetres among metres.

    An episode is compared with the median episode, by standard deviation and by root mean square, over the dimensions
    that move in most episodes.
    """
    found: list[Finding] = []
    if len(steps.filled) < 3:
        return found
    for key in steps.numeric():
        spread, size = _scales(steps, steps.values(key))
        usual, large = np.median(spread[steps.filled], 0), np.median(size[steps.filled], 0)
        moving = (usual > 1e-6 * np.maximum(large, 1e-12)) & (usual > 0)
        if not moving.any():
            continue
        ratio = np.maximum(spread[:, moving], 1e-12) / usual[moving]
        other = np.maximum(size[:, moving], 1e-12) / large[moving]
        for sign, word in ((1.0, "larger"), (-1.0, "smaller")):
            jumped = (np.log(ratio) * sign > np.log(JUMP)) & (np.log(other) * sign > np.log(JUMP / 4))
            for episode in np.flatnonzero((jumped.mean(1) >= 0.5) & (steps.length > 1)):
                factor = float(np.exp(np.median(np.log(ratio[episode][jumped[episode]]) * sign)))
                unit = _unit(factor)
                if unit is None:  # a quiet or a wild episode, not another unit
                    continue
                message = f"values spread {factor:.0f} times {word} than in the median episode ({unit}?)"
                remedy = f"convert the episode to the unit of the others, or leave it out: {steps.drop(int(episode))}"
                found.append(Finding("error", "unit_jump", message, remedy, int(episode), 0, key))
    return found


def _scales(steps: Steps, values: Array) -> tuple[Array, Array]:
    """(E, D) standard deviation and root mean square of each episode."""
    values = np.where(np.isfinite(values), values, 0).astype(np.float64)
    count = np.maximum(steps.length, 1)[:, None]
    mean = steps.per_episode(values, np.add) / count
    centred = values - np.repeat(mean, steps.length, axis=0)
    variance = steps.per_episode(centred**2, np.add) / count
    return np.sqrt(variance), np.sqrt(variance + mean**2)


def _unit(factor: float) -> str | None:
    """The change of unit that a factor of spreads speaks for, as episodes differ by a factor of about 1.6 anyway."""
    nearest = min(UNITS, key=lambda unit: abs(np.log(factor / unit)))
    return UNITS[nearest] if abs(np.log(factor / nearest)) < np.log(1.6) else None


def _short(value: Array) -> str:
    return ", ".join(f"{number:.4g}" for number in np.asarray(value, np.float64).reshape(-1)[:4].tolist())
