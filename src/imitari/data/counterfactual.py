"""What would have happened on another way: demonstrations deformed, taken once more, and judged by the task."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from imitari.core.demos import Demos, Provenance
from imitari.core.episode import Array, Episode
from imitari.core.errors import UserError
from imitari.core.interaction import interact
from imitari.core.task import Task

STATE = "observation.state"
POINTS = 100  # of a demonstration that is deformed
DENSE = 400  # of a path that is followed
BATCH = 250
STREAM = 0xCF


def by_arc_length(paths: Sequence[Array], count: int) -> Array:
    """Paths (T_b, D) to `count` points each at equal distances along the way: (B, count, D)."""
    out = np.empty((len(paths), count, paths[0].shape[-1]))
    wanted = np.linspace(0, 1, count)
    for row, path in zip(out, paths, strict=True):
        gone = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
        for dimension in range(path.shape[1]):
            row[:, dimension] = np.interp(wanted * gone[-1], gone, path[:, dimension])
    return out


def deformed(paths: Array, rng: np.random.Generator, low: Array, high: Array) -> Array:
    """Each path pulled at a random stretch towards a random place (Wang et al. 2024).

    y'_t = y_t + exp(-5 (t - c)^2 / (a - c)^2) (y* - y_t), with a stretch from a to b, at least two points long, its
    middle c, and y* uniform in the box.

    Args:
        paths: (B, T, D).
        low, high: (D,) of the box.
    """
    batch, length, width = paths.shape
    first = rng.integers(0, length - 2, batch)
    last = first + 2 + (rng.random(batch) * (length - 2 - first)).astype(np.int64)
    middle = (first + last) / 2
    time = np.arange(length)
    pull = np.exp(-5 * (time - middle[:, None]) ** 2 / ((first - middle) ** 2)[:, None])
    place = rng.uniform(low, high, (batch, width))
    return paths + pull[..., None] * (place[:, None] - paths)


def replays(task: Task, demos: Demos, each: int, seed: int) -> tuple[list[Episode], list[Episode]]:
    """`each` deformed demonstrations that succeeded in the task, and as many that failed.

    Args:
        task: can be asked to follow a path (`Task.follow_for`); failing must not end an episode early.
        demos: successful episodes of its starts (`Episode.source["seed"]`).
        each: how many of either kind.
        seed: of what is drawn.

    Raises:
        UserError: when the task follows no paths, when the demonstrations do not name their starts, or when one kind
            hardly ever comes about.
    """
    if task.follow_for is None:
        raise UserError(f"task '{task.name}' follows no paths: changed demonstrations cannot be tried there")
    episodes = list(demos)
    starts = [episode.source.get("seed") for episode in episodes]
    if None in starts:
        raise UserError(f"{demos.provenance.path}: demonstrations do not name their starts: record them in the task")
    paths = by_arc_length([episode.obs[STATE] for episode in episodes], POINTS)
    feature = task.spec.obs[STATE]
    low, high = np.asarray(feature.low, np.float64), np.asarray(feature.high, np.float64)
    rng = np.random.default_rng([seed, STREAM])
    found: dict[bool, list[Episode]] = {True: [], False: []}
    for _ in range(4 * max(1, each // BATCH) + 20):
        chosen = rng.integers(len(episodes), size=BATCH)
        ways = by_arc_length(list(deformed(paths[chosen], rng, low, high)), DENSE)
        world = task.make(BATCH)
        for episode in interact(task.follow_for(world, ways), world, [int(starts[one]) for one in chosen]):
            found[bool(episode.success)].append(episode)
        if min(len(found[True]), len(found[False])) >= each:
            return found[True][:each], found[False][:each]
    raise UserError(
        f"of the changed demonstrations {len(found[True])} succeeded and {len(found[False])} failed in '{task.name}', "
        f"where {each} of each are needed: ask for fewer"
    )


def labelled(demos: Demos, good: Sequence[Episode], bad: Sequence[Episode]) -> Demos:
    """Successes and failures as one data set, `success` telling which."""
    return Demos.from_episodes([*good, *bad], demos.spec, Provenance("changed demonstrations", "memory", ()))
