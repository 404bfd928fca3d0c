"""The problems of the group `success`: demonstrations in each peer's native form, its view of the world, the score."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.harness import ROOT
from imitari.core.demos import Demos
from imitari.core.episode import ACTION, Array, Episode
from imitari.core.interaction import interact
from imitari.core.spec import Feature, Spec
from imitari.core.task import Task
from imitari.data.formats import lerobot, robomimic
from imitari.data.opening import ReadOptions, open_demos
from imitari.envs import task_named

DATA = Path(os.environ.get("IMITARI_DATA") or ROOT.parent / "shared" / "data")
STATE, REST = "observation.state", "observation.environment_state"
Sight = Callable[[Array], Array]


def whole(state: Array) -> Array:
    """What the world gives."""
    return state


def pose(state: Array) -> Array:
    """Push-T: agent x, y, block x, y, sine and cosine of the block's angle: (..., 5) to (..., 6)."""
    angle = state[..., 4:5]
    return np.concatenate([state[..., :4], np.sin(angle), np.cos(angle)], -1).astype(np.float32)


def corners(state: Array) -> Array:
    """Push-T: agent x, y and x, y of the block's eight corners, as gym-pusht gives them: (..., 5) to (..., 18)."""
    angle = state[..., 4:5]
    x, y = _outline().T
    turned = np.stack([np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y], -1)
    placed = turned + state[..., None, 2:4]
    return np.concatenate([state[..., :2], placed.reshape(*state.shape[:-1], 16)], -1).astype(np.float32)


SIGHTS: dict[str, Sight] = {"whole": whole, "pose": pose, "corners": corners}


@cache
def _outline() -> Array:
    """(8, 2) the corners of a block at the origin that is not turned."""
    world = task_named("pusht", keypoints=True).make(1)
    obs, _ = world.reset(options={"state": np.array([[0.0, 0.0, 256.0, 256.0, 0.0]])})
    return obs[REST].reshape(8, 2) - 256.0


@dataclass(frozen=True)
class Problem:
    """What is to be reached.

    Attributes:
        name: for lines.
        task: where policies are judged.
        thresholds: of the mean score.
        score: an episode to a number in [0, 1].
        measure: what the score is, in words.
        own: how many of the observed numbers are the robot's (LeRobot keeps the others apart).
        demos: the demonstrations, as our world sees them.
        stored: where our side reads them.
    """

    name: str
    task: Task
    thresholds: tuple[float, ...]
    score: Callable[[Episode], float]
    measure: str
    own: int
    demos: Demos
    stored: Path


def pusht() -> Problem:
    place = DATA / "pusht_human" / "pusht_cchi_v7_replay.zarr"
    return Problem(
        "Push-T, 206 human demonstrations",
        task_named("pusht"),
        (0.8, 0.9),
        lambda episode: float(np.asarray(episode.reward).max()),
        "mean largest reward",
        2,
        open_demos(place, None, ReadOptions(cameras=())).select([STATE]),
        place,
    )


def arm(folder: Path, count: int, name: str = "pick-place-v3") -> Problem:
    """A task of Meta-World with demonstrations of its script from starts 0, 1, ..."""
    task = task_named(f"metaworld/{name}")
    world = task.make(count)
    episodes = [episode for episode in interact(task.expert(world), world, range(count)) if episode.success]
    demos = Demos.from_episodes(episodes, task.spec)
    for entry in demos.table.source:
        entry["fps"] = 10
    lerobot.write(demos, folder / "arm")
    return Problem(
        f"Meta-World {name}, {len(demos)} scripted demonstrations",
        task,
        (0.8,),
        lambda episode: float(bool(episode.success)),
        "success",
        4,
        demos,
        folder / "arm",
    )


@dataclass(frozen=True)
class Form:
    """Demonstrations on disk for a peer, and how its numbers are read.

    Attributes:
        path: what its worker opens.
        see: the world's state to the worker's observation.
        do: the worker's action to the world's.
    """

    path: Path
    see: Sight
    do: Sight


def stored(problem: Problem, form: str, sight: str, folder: Path) -> Form:
    """Writes the demonstrations as `form`: "lerobot" (raw units), or "arrays" and "robomimic" (unit deviation)."""
    rows = problem.demos.rows()
    values = SIGHTS[sight](problem.demos.columns[STATE].take(rows))
    action = problem.demos.columns[ACTION].take(rows)
    lengths = [int(length) for length in problem.demos.table.length]
    path = folder / f"{form}-{sight}"
    if form == "lerobot":
        features = {STATE: values[:, : problem.own], REST: values[:, problem.own :]}
        _save(features, action, lengths, path, lerobot.write)
        return Form(path, SIGHTS[sight], whole)
    middle, width = values.mean(0), values.std(0)
    width = np.where(width < 1e-6, 1.0, width)
    feature = problem.demos.spec.action if problem.demos.spec.action.low else problem.task.spec.action
    low, high = np.asarray(feature.low, np.float32), np.asarray(feature.high, np.float32)
    scaled = ((values - middle) / width).astype(np.float32)
    target = np.clip(2 * (action - low) / (high - low) - 1, -1, 1).astype(np.float32)
    if form == "robomimic":
        path = path.with_suffix(".hdf5")
        _save({STATE: scaled}, target, lengths, path, robomimic.write)
    else:
        path = path.with_suffix(".npz")
        end = np.zeros(len(rows), bool)
        end[np.cumsum(lengths) - 1] = True
        np.savez(path, obs=scaled, action=target, end=end)
    return Form(
        path,
        lambda state: (SIGHTS[sight](state) - middle) / width,
        lambda done: (low + (done + 1) / 2 * (high - low)).astype(np.float32),
    )


def _save(
    obs: dict[str, Array], action: Array, lengths: Sequence[int], path: Path, write: Callable[[Demos, Path], None]
) -> None:
    spec = Spec({key: Feature(value.shape[1:]) for key, value in obs.items()}, Feature(action.shape[1:]))
    cuts = np.cumsum(lengths)[:-1]
    parts = {key: np.split(value, cuts) for key, value in obs.items()}
    episodes = [
        Episode({key: parts[key][number] for key in obs}, one, source={"fps": 10})
        for number, one in enumerate(np.split(action, cuts))
    ]
    write(Demos.from_episodes(episodes, spec), path)
