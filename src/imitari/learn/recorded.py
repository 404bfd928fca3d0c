"""Episodes that a run gathers itself, kept in its folder so that a run that was cut off goes on with the same ones."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from imitari.core.episode import Array, Episode
from imitari.core.errors import UserError
from imitari.core.files import replace_arrays
from imitari.learn.run import Run


def kept(run: Run, name: str, facts: dict[str, Any], gather: Callable[[], list[Episode]]) -> list[Episode]:
    """The episodes `name` of the run: read from its folder where they are there, else gathered and written there.

    Args:
        run: without a folder nothing is kept.
        name: of the file, without ending.
        facts: what makes these episodes what they are (starts, policy): JSON values.
        gather: makes them.

    Raises:
        UserError: when the folder holds episodes under this name that were made from other facts.
    """
    if run.folder is None:
        return gather()
    path = run.folder / "episodes" / f"{name}.npz"
    if path.exists():
        episodes, stored = load_episodes(path)
        if stored != facts:
            raise UserError(f"{path}: holds episodes of another training: choose another --out, or delete that folder")
        return episodes
    episodes = gather()
    if run.processes.first:
        save_episodes(episodes, path, facts)
    return episodes


def save_episodes(episodes: Sequence[Episode], path: Path, facts: dict[str, Any] | None = None) -> None:
    """Writes episodes of equal columns, and facts about them, as one .npz without objects: the whole file or none.

    Raises:
        UserError: when the file cannot be written.
    """
    each = [{"ended": one.ended, "success": one.success, "source": one.source} for one in episodes]
    arrays: dict[str, Array] = {
        "facts": np.array(json.dumps({"facts": facts or {}, "episodes": each})),
        "rows": np.array([one.rows for one in episodes], np.int64),
        "steps": np.array([len(one) for one in episodes], np.int64),
        "action": np.concatenate([one.action for one in episodes]),
    }
    for key in episodes[0].obs:
        arrays[f"obs/{key}"] = np.concatenate([one.obs[key] for one in episodes])
    for key in episodes[0].extra:
        arrays[f"extra/{key}"] = np.concatenate([one.extra[key] for one in episodes])
    rewards = [one.reward for one in episodes if one.reward is not None]
    if len(rewards) == len(episodes):
        arrays["reward"] = np.concatenate(rewards)
    replace_arrays(path, arrays, "free space or choose another --out")


def load_episodes(path: Path) -> tuple[list[Episode], dict[str, Any]]:
    """Reads what `save_episodes` wrote: episodes and facts.

    Raises:
        UserError: when the file is damaged.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        stored: dict[str, Any] = json.loads(str(arrays["facts"]))
        rows, steps = (np.cumsum(arrays[key])[:-1] for key in ("rows", "steps"))
        obs = {key[4:]: np.split(value, rows) for key, value in arrays.items() if key.startswith("obs/")}
        extra = {key[6:]: np.split(value, steps) for key, value in arrays.items() if key.startswith("extra/")}
        action = np.split(arrays["action"], steps)
        reward = np.split(arrays["reward"], steps) if "reward" in arrays else None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not readable episodes ({error}): delete it, they are gathered again") from error
    episodes = [
        Episode(
            obs={key: value[number] for key, value in obs.items()},
            action=action[number],
            reward=reward[number] if reward is not None else None,
            ended=fact["ended"],
            success=fact["success"],
            extra={key: value[number] for key, value in extra.items()},
            source=fact["source"],
        )
        for number, fact in enumerate(stored["episodes"])
    ]
    return episodes, stored["facts"]
