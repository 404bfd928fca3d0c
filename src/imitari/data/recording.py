"""Recording that survives being killed: each episode becomes a whole file the moment it ends."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from imitari.core.episode import Array, Ending, Episode, Obs
from imitari.core.errors import UserError
from imitari.core.files import replace_arrays, replace_text
from imitari.core.interaction import Decide, Decision, begun
from imitari.core.task import World

ABOUT = "about.json"


def save_episode(episode: Episode, path: Path) -> None:
    """Writes one .npz without objects; it is there as a whole or not at all, even after a power cut.

    Raises:
        UserError: when it cannot be written.
    """
    facts = {"ended": episode.ended, "success": episode.success, "source": episode.source}
    arrays: dict[str, Array] = {"facts": np.array(json.dumps(facts)), "action": episode.action}
    arrays |= {f"obs/{key}": _storable(value) for key, value in episode.obs.items()}
    arrays |= {f"extra/{key}": value for key, value in episode.extra.items()}
    if episode.reward is not None:
        arrays["reward"] = episode.reward
    replace_arrays(path, arrays, "free space or choose another folder")


def load_episode(path: Path) -> Episode:
    """Reads what `save_episode` wrote.

    Raises:
        UserError: when the file is damaged.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            facts = json.loads(str(file["facts"]))
            ended: Ending = facts["ended"]
            return Episode(
                obs={key.removeprefix("obs/"): _restored(file[key]) for key in file.files if key.startswith("obs/")},
                action=file["action"],
                reward=file["reward"] if "reward" in file.files else None,
                ended=ended,
                success=facts["success"],
                extra={key.removeprefix("extra/"): file[key] for key in file.files if key.startswith("extra/")},
                source=facts["source"],
            )
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: is damaged ({error}): delete this file and record that episode again") from error


def _storable(value: Array) -> Array:
    """Text as fixed-width characters: arrays of Python objects could be stored as pickles only."""
    return value.astype(str) if value.dtype == object else value


def _restored(value: Array) -> Array:
    return value.astype(object) if value.dtype.kind == "U" else value


class Journal:
    """A folder of finished episodes, one file a number (the seed of its start), and what they have in common.

    Args:
        folder: created when it is not there.
        about: what decides the episodes (task, who acts, noise, ...): JSON values. An existing folder must hold equal
            ones: then recording goes on in it.

    Raises:
        UserError: when the folder belongs to another recording, or cannot be written.
    """

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if (folder / ABOUT).exists():
                self._compare(json.loads((folder / ABOUT).read_text(encoding="utf-8")), about)
            else:
                replace_text(folder / ABOUT, json.dumps(about, indent=1), "choose another folder")
        except OSError as error:
            raise UserError(f"{folder}: cannot be written ({error.strerror}): choose another folder") from error
        except ValueError as error:
            raise UserError(f"{folder / ABOUT}: is damaged ({error}): delete {folder}") from error

    def _compare(self, there: dict[str, Any], about: dict[str, Any]) -> None:
        differing = [key for key in sorted({*there, *about}) if there.get(key) != about.get(key)]
        if differing:
            raise UserError(
                f"{self.folder}: holds an unfinished recording with another {', '.join(differing)} "
                f"({', '.join(repr(there.get(key)) for key in differing)}): repeat it with that, or delete the folder"
            )

    def add(self, number: int, episode: Episode) -> None:
        """Keeps an episode for good."""
        save_episode(episode, self.path(number))

    def path(self, number: int) -> Path:
        return self.folder / f"{number:09d}.npz"

    def numbers(self) -> list[int]:
        """Of the episodes that are there, ascending."""
        return sorted(int(path.stem) for path in self.folder.glob("*.npz"))

    def load(self, number: int) -> Episode:
        return load_episode(self.path(number))

    def delete(self) -> None:
        """Removes the folder, once its episodes are elsewhere."""
        for path in [*self.folder.glob("*.npz"), *self.folder.glob("*.partial"), self.folder / ABOUT]:
            path.unlink(missing_ok=True)
        self.folder.rmdir()


class Recorder:
    """A world that hands over each episode in the step in which it ends, while the others go on.

    Args:
        world: the environments.
        decide: what is executed and recorded of the actor's proposals; None: the proposal.
        finished: called with (seed, episode). Its `source` holds the seed.

    Use it in both places: `interact(actor, recorder, seeds, decide=recorder.decide, record=False)`.
    """

    def __init__(self, world: World, finished: Callable[[int, Episode], None], decide: Decide | None = None) -> None:
        self.world, self.finished, self._decide = world, finished, decide
        self.num_envs = world.num_envs

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Obs, dict[str, Any]]:
        self.seeds: Sequence[int] = [int(one) for one in seed]
        obs, info = self.world.reset(seed=seed, options=options)
        self._obs: list[dict[str, list[Array]]] = [{key: [] for key in obs} for _ in self.seeds]
        self._steps: list[dict[str, list[Array]]] = [{} for _ in self.seeds]
        self._running = np.ones(self.num_envs, bool)
        self._see(obs)
        return obs, info

    def decide(self, obs: Obs, proposal: Array) -> Decision:
        self._decision = self._decide(obs, proposal) if self._decide else Decision(proposal, proposal, {})
        return self._decision

    def step(self, actions: Any) -> tuple[Obs, Array, Array, Array, dict[str, Any]]:
        obs, reward, terminated, truncated, info = self.world.step(actions)
        decision = self._decision
        columns = {"action": decision.record, "reward": reward, **decision.extra}
        for number in np.flatnonzero(self._running):
            for key, value in columns.items():
                self._steps[number].setdefault(key, []).append(np.array(value[number]))
        self._see(obs)
        for number in np.flatnonzero(self._running & (terminated | truncated)):
            source = begun(self.seeds[int(number)], info.get("behaviour"), int(number))
            self._hand_over(int(number), bool(terminated[number]), bool(info["success"][number]), source)
        return obs, reward, terminated, truncated, info

    def _see(self, obs: Obs) -> None:
        for number in np.flatnonzero(self._running):
            for key, value in obs.items():
                self._obs[number][key].append(np.array(value[number]))

    def _hand_over(self, number: int, terminated: bool, success: bool, source: dict[str, Any]) -> None:
        self._running[number] = False
        obs = {key: np.stack(values) for key, values in self._obs[number].items()}
        steps = {key: np.stack(values) for key, values in self._steps[number].items()}
        self._obs[number], self._steps[number] = {key: [] for key in obs}, {}
        action, reward = steps.pop("action"), steps.pop("reward").astype(np.float32)
        ended: Ending = "terminated" if terminated else "truncated"
        self.finished(self.seeds[number], Episode(obs, action, reward, ended, success, steps, source))

    def close(self) -> None:
        self.world.close()
