"""robomimic HDF5: one file, /data/demo_N with obs, next_obs, actions, rewards, dones; filter keys under /mask."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, cast

import numpy as np

from imitari.core.demos import Demos, Provenance
from imitari.core.episode import ACTION, REWARD, Array, Ending, Episode
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.data.formats import _hdf5
from imitari.data.formats._assemble import Draft, Frames, assemble, is_image, observation_name, wanted
from imitari.data.opening import ReadOptions, notice

DONE = "next.done"
ROBOSUITE, GYM = 1, 2  # types of environments
OWN = "imitari"  # attribute that keeps what the layout has no place for: spec, provenance, endings, sources
READ_KEYS = {"obs", "next_obs", "actions", "rewards", "dones"}


def detect(path: Path) -> bool:
    keys = _hdf5.demo_keys(path)
    if keys is None:  # a damaged file of this suffix: reading it says what is wrong
        return path.suffix in _hdf5.SUFFIXES and path.is_file()
    return "obs" in keys


def read(path: Path, options: ReadOptions) -> Demos:
    """Observations become `observation.<key>`, images `observation.images.<key without _image>`.

    The final observation is the last row of next_obs, where there is one. Filter keys go to source["masks"],
    env_args and model_file to the source too. Success is taken from sparse robosuite rewards only.
    """
    with _hdf5.opened(path) as file:
        if "data" not in file:
            raise UserError(
                f"{path}: group 'data' is missing: this is no robomimic file; name another reader by --format"
            )
        data = file["data"]
        about = _hdf5.attributes(data)
        env = about.get("env_args", {})
        masks = _masks(file)
        names = _hdf5.by_number(data)
        if not names:
            raise UserError(f"{path}: group 'data' holds no demo: record some, or choose another path")
        drafts = [_draft(path, data[name], name, env, masks.get(name, []), options) for name in names]
    own = cast("dict[str, Any]", about.get(OWN, {}))
    if not own:
        _warn_of_range(path, drafts)
        return assemble(path, "robomimic", drafts, options)
    spec = Spec.from_json(own["spec"])
    demos = assemble(path, "robomimic", drafts, options, spec, spec.action)
    old = own["provenance"]
    history = (*old["steps"], f"read from {old['path']}, kept as robomimic")
    return Demos(demos.spec, demos.columns, demos.table, Provenance(str(path), "robomimic", history))


def write(demos: Demos, path: Path) -> None:
    """Writes the layout that robomimic trains from; `demo_0 ...` in the order of `demos`.

    A column of text or of labels goes beside the actions. Rewards are required there: where none were recorded, success
    (1 at the last step) or zeros stand in, and a notice says so.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    _warn(demos, path)
    try:
        with _hdf5.opened(partial, "w") as file:
            data = file.create_group("data")
            data.attrs["total"] = demos.steps
            data.attrs["env_args"] = json.dumps(_env_args(demos))
            data.attrs[OWN] = json.dumps({"spec": demos.spec.to_json(), "provenance": demos.provenance.to_json()})
            for number in range(len(demos)):
                _write_demo(data.create_group(f"demo_{number}"), demos[number])
            _write_masks(file, demos)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _warn_of_range(path: Path, drafts: list[Draft]) -> None:
    """Actions of this layout are in [-1, 1]: who made these did not scale them."""
    for draft in drafts:
        if draft.action.dtype.kind == "f" and (np.abs(draft.action) > 1).any():
            notice(
                f"{path}: episode {draft.name}: actions leave [-1, 1], the range of this layout: here they are scaled "
                "by what the training part holds, other tools would cut them"
            )
            return


def _draft(path: Path, group: Any, name: str, env: Any, masks: list[str], options: ReadOptions) -> Draft:
    for key in ("obs", "actions"):
        if key not in group:
            raise UserError(
                f"{path}: episode {name}: column '{key}' is missing: it holds {', '.join(group) or 'nothing'}; copy "
                "the file again, or leave out the episode"
            )
    action = _hdf5.values(path, name, group, "actions")
    after = group["next_obs"] if "next_obs" in group and set(group["obs"]) <= set(group["next_obs"]) else None
    obs: dict[str, Array] = {}
    frames: dict[str, Frames] = {}
    for key, values in group["obs"].items():
        if is_image(values.shape, values.dtype):
            column = observation_name(key, image=True)
            if wanted(column, options):
                rows = values.shape[0] + (after is not None)
                frames[column] = Frames((rows, *values.shape[1:]), _frames(path, name, key, after is not None))
            continue
        found = _hdf5.values(path, name, group["obs"], key)
        if after is not None:
            found = np.concatenate([found, _hdf5.values(path, name, after, key)[-1:]])
        obs[observation_name(key)] = found
    reward = _hdf5.values(path, name, group, "rewards") if "rewards" in group else None
    done = _hdf5.values(path, name, group, "dones") if "dones" in group else None
    extra = {
        key: _hdf5.values(path, name, group, key) for key in group if key not in READ_KEYS and _stepwise(group[key])
    }
    attributes = _hdf5.attributes(group)
    own = cast("dict[str, Any]", attributes.get(OWN, {}))
    if done is not None and own.get("done", True):
        extra[DONE] = done.astype(bool)
    success = own.get("success", _success(env, reward))
    source: dict[str, Any] = {"name": name, "env_args": env}
    if masks:
        source["masks"] = masks
    if "model_file" in attributes:
        source["model_file"] = attributes["model_file"]
    source.update(own.get("source", {}))
    if not own.get("reward", True):
        reward = None
    ended = own.get("ended", _ending(done, success))
    return Draft(name, action, obs, frames, reward, extra, ended, success, source)


def _frames(path: Path, name: str, key: str, final: bool) -> Any:
    def load() -> Array:
        with _hdf5.opened(path) as file:
            group = file["data"][name]
            images = _hdf5.values(path, name, group["obs"], key)
            return np.concatenate([images, group["next_obs"][key][-1:]]) if final else images

    return load


def _stepwise(entry: Any) -> bool:
    return getattr(entry, "ndim", 0) >= 1


def _success(env: Any, reward: Array | None) -> bool | None:
    """robosuite's sparse reward is 1 exactly where the task is solved; other rewards say nothing certain."""
    sparse = isinstance(env, dict) and cast("dict[str, Any]", env).get("type", env.get("env_type")) == ROBOSUITE
    if not sparse or reward is None or not np.isin(reward, (0.0, 1.0)).all():
        return None
    return bool(reward.any())


def _ending(done: Array | None, success: bool | None) -> Ending:
    if done is None or len(done) == 0:
        return "unknown"
    # `done` may mark success, the end of the recording or both: at the end of a failed attempt it is a time limit.
    return "terminated" if bool(done[-1]) and success is not False else "truncated"


def _masks(file: Any) -> dict[str, list[str]]:
    """Demo name -> its filter keys."""
    out: dict[str, list[str]] = {}
    for key in file.get("mask", {}):
        for name in _hdf5.text(file["mask"][key][()]):
            out.setdefault(name, []).append(key)
    return out


def _env_args(demos: Demos) -> dict[str, Any]:
    """The environment that the episodes were recorded in; unnamed where they do not say it or differ."""
    known = [source.get("env_args") for source in demos.table.source]
    if known[0] and all(env == known[0] for env in known):
        return cast("dict[str, Any]", known[0])
    names = {str(source.get("env_id", source.get("task", ""))) for source in demos.table.source}
    # The documented key is env_type; robomimic's own tools write and read it as type.
    return {"env_name": names.pop() if len(names) == 1 else "", "env_type": GYM, "type": GYM, "env_kwargs": {}}


def _write_demo(group: Any, episode: Episode) -> None:
    steps = len(episode)
    group.attrs["num_samples"] = steps
    source = {key: value for key, value in episode.source.items() if key not in ("env_args", "model_file", "masks")}
    if "model_file" in episode.source:
        group.attrs["model_file"] = episode.source["model_file"]
    own = {
        "ended": episode.ended,
        "success": episode.success,
        "reward": episode.reward is not None,
        "done": DONE in episode.extra,
        "source": source,
    }
    group.attrs[OWN] = json.dumps(own)
    group["actions"] = np.asarray(episode.action)
    group["rewards"] = _rewards(episode)
    done = np.zeros(steps, np.int64)
    done[-1:] = episode.ended == "terminated"
    group["dones"] = np.asarray(episode.extra[DONE]).reshape(-1).astype(np.int64) if DONE in episode.extra else done
    for key, value in episode.extra.items():
        if key not in READ_KEYS and key != DONE:
            _write_values(group, key, value)
    obs = group.create_group("obs")
    after = group.create_group("next_obs") if episode.rows > steps else None
    for key, value in episode.obs.items():
        name = stored_name(key)
        _write_values(obs, name, value[:steps])
        if after is not None:
            _write_values(after, name, value[1:])


def stored_name(key: str) -> str:
    """What the file calls an observation: the inverse of the reader's naming."""
    if key.startswith("observation.images."):
        return key.removeprefix("observation.images.") + "_image"
    return key.removeprefix("observation.")


def _write_values(group: Any, key: str, value: Array) -> None:
    if value.dtype.kind in "OU":
        group[key] = [str(item).encode("utf-8") for item in value.reshape(-1)]
    else:
        group[key] = value


def _rewards(episode: Episode) -> Array:
    if episode.reward is not None:
        return np.asarray(episode.reward)
    reward = np.zeros(len(episode), np.float32)
    reward[-1:] = bool(episode.success)
    return reward


def _write_masks(file: Any, demos: Demos) -> None:
    members: dict[str, list[bytes]] = {}
    for number, source in enumerate(demos.table.source):
        for key in source.get("masks", []):
            members.setdefault(key, []).append(f"demo_{number}".encode())
    for key, names in members.items():
        file[f"mask/{key}"] = names


def _warn(demos: Demos, path: Path) -> None:
    if REWARD not in demos.columns:
        notice(f"{path}: the data has no rewards: 1 at the last step of a success, else 0, is written in their place")
    actions = demos.columns[ACTION].take(demos.rows())
    if demos.spec.action.kind == "number" and actions.size and np.abs(actions).max() > 1:
        notice(f"{path}: actions leave [-1, 1], the range that robomimic's heads can give: scale them first")
