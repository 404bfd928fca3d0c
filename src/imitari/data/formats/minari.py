"""Minari: a folder with metadata.json and main_data.hdf5, or one Arrow or Parquet folder an episode."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np

from imitari.core.demos import Demos
from imitari.core.episode import Array, Ending
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.data.formats import _hdf5
from imitari.data.formats._assemble import Draft, Frames, assemble, decoded, is_image, observation_name, wanted
from imitari.data.opening import ReadOptions

METADATA = "metadata.json"
MAIN = "main_data.hdf5"
Space = dict[str, Any]
# What a reader of either storage gives for one name: all values of one episode, nested as the space is.
Nested = Any


def detect(path: Path) -> bool:
    folder = _folder(path)
    if (folder / MAIN).is_file():
        return True
    about = folder / METADATA
    return about.is_file() and '"data_format"' in about.read_text(encoding="utf-8", errors="replace")


def read(path: Path, options: ReadOptions) -> Demos:
    """The observation of a flat space becomes `observation.state`, of a dictionary space `observation.<key>`.

    Infos that hold one number array a step become extra columns `info.<key>`; info `success` says whether the episode
    succeeded. Written against the layout of Minari 0.4 and 0.5; the package itself is not needed.
    """
    folder = _folder(path)
    about = _about(folder)
    table = _hdf5_episodes if (folder / MAIN).is_file() else _arrow_episodes
    episodes, about = table(folder, about)
    spaces = {key: _space(about, key) for key in ("observation_space", "action_space")}
    drafts = [_draft(path, episode, spaces["observation_space"], about, options) for episode in episodes]
    if not drafts:
        raise UserError(f"{path}: holds no episode: record some, or choose another path")
    return assemble(
        path, "minari", drafts, options, _bounds(spaces["observation_space"]), _action(spaces["action_space"])
    )


class _Found:
    """One episode of either storage."""

    def __init__(self, name: str, about: dict[str, Any], get: Callable[[str], Nested | None]) -> None:
        self.name, self.about, self.get = name, about, get


def _folder(path: Path) -> Path:
    return path / "data" if (path / "data" / METADATA).is_file() or (path / "data" / MAIN).is_file() else path


def _about(folder: Path) -> dict[str, Any]:
    file = folder / METADATA
    if not file.is_file():
        return {}
    try:
        return cast("dict[str, Any]", json.loads(file.read_text(encoding="utf-8")))
    except ValueError as error:
        raise UserError(f"{file}: is not JSON ({error}): copy the data set again") from error


def _space(about: dict[str, Any], key: str) -> Space:
    found = about.get(key, {})
    return cast("Space", json.loads(found) if isinstance(found, str) else found)


def _hdf5_episodes(folder: Path, about: dict[str, Any]) -> tuple[list[_Found], dict[str, Any]]:
    path = folder / MAIN
    found: list[_Found] = []
    with _hdf5.opened(path) as file:
        about = {**_hdf5.attributes(file), **about}
        for name in _hdf5.by_number(file):
            contents = {key: _tree(path, name, file[name], key) for key in file[name]}
            found.append(_Found(name, _hdf5.attributes(file[name]), contents.get))
    return found, about


def _tree(path: Path, episode: str, group: Any, key: str) -> Nested:
    """A group as a dictionary, an array of bytes as the encoded images it is, every other data set as its values."""
    entry = group[key]
    if hasattr(entry, "keys"):
        return {inner.removeprefix("_index_"): _tree(path, episode, entry, inner) for inner in entry}
    if len(entry) and _encoded(entry[0]):
        return [bytes(item) for item in entry[()]]
    if entry.dtype == np.uint8 and entry.ndim == 4:
        return Frames(entry.shape, _stored_images(path, f"{entry.name}"))
    return _hdf5.values(path, episode, group, key)


def _encoded(first: Any) -> bool:
    """Whether a row is the bytes of a JPEG: rows of one length are a matrix of bytes, others arrays of their own."""
    return isinstance(first, np.ndarray) and first.dtype == np.uint8 and bytes(first[:2]) == b"\xff\xd8"


def _stored_images(path: Path, name: str) -> Callable[[], Array]:
    def load() -> Array:
        with _hdf5.opened(path) as file:
            return file[name][()]

    return load


def _arrow_episodes(folder: Path, about: dict[str, Any]) -> tuple[list[_Found], dict[str, Any]]:
    names = _hdf5.by_number(entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name.isdigit())
    return [_arrow_episode(folder / name, about) for name in names], about


def _arrow_episode(folder: Path, about: dict[str, Any]) -> _Found:
    import pyarrow as pa
    import pyarrow.dataset as dataset

    try:
        source = dataset.dataset(
            str(folder), format=about.get("data_format", "arrow"), ignore_prefixes=["_", ".", METADATA]
        )
        table = source.to_table().combine_chunks()
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{folder}: is cut off or damaged ({str(error)[:120]}): copy the data set again") from error
    spaces = {"observations": _space(about, "observation_space"), "actions": _space(about, "action_space")}

    def get(key: str) -> Nested | None:
        if key not in table.column_names:
            return None
        values = _leaves(table.column(key), spaces.get(key, {}))
        # Steps are padded to the number of observations.
        return values if key in ("observations", "infos") else values[:-1]

    episode = folder / METADATA
    extra = json.loads(episode.read_text(encoding="utf-8")) if episode.is_file() else {}
    return _Found(folder.name, cast("dict[str, Any]", extra), get)


def _leaves(column: Any, space: Space) -> Nested:
    import pyarrow as pa

    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    kind = column.type
    if pa.types.is_struct(kind):
        inner = space.get("subspaces", {})
        inner = {str(number): entry for number, entry in enumerate(inner)} if isinstance(inner, list) else inner
        return {
            kind.field(number).name: _leaves(column.field(number), inner.get(kind.field(number).name, {}))
            for number in range(kind.num_fields)
        }
    if pa.types.is_binary(kind):
        return [item.as_py() for item in column]
    if pa.types.is_fixed_size_list(kind):
        return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), *(space.get("shape") or (-1,)))
    if pa.types.is_string(kind):
        return np.array([item.as_py() or "" for item in column], dtype=object)
    return column.to_numpy(zero_copy_only=False)


def _draft(path: Path, episode: _Found, space: Space, about: dict[str, Any], options: ReadOptions) -> Draft:
    required = {key: episode.get(key) for key in ("observations", "actions", "rewards", "terminations")}
    for key, value in required.items():
        if value is None:
            raise UserError(f"{path}: episode {episode.name}: column '{key}' is missing: copy or record it again")
    action: Any = required["actions"]
    if isinstance(action, dict):
        parts = [np.asarray(part) for part in cast("dict[str, Array]", action).values()]
        action = np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)
    obs: dict[str, Array] = {}
    frames: dict[str, Frames] = {}
    for key, value in _flat(required["observations"]).items():
        entry = _images(path, episode.name, key, value)
        if entry is None:
            obs[_name(key)] = value
        elif wanted(observation_name(key or "image", image=True), options):
            frames[observation_name(key or "image", image=True)] = entry
    steps = len(action)
    infos = {key: value for key, value in _flat(episode.get("infos") or {}).items() if isinstance(value, np.ndarray)}
    # The info of a reset comes first where infos have one row more than there are steps.
    infos = {key: value[1:] if len(value) == steps + 1 else value for key, value in infos.items()}
    extra = {f"info.{key}": value for key, value in infos.items() if len(value) == steps and value.dtype.kind in "fiub"}
    success = bool(infos["success"].astype(bool).any()) if "success" in infos and len(infos["success"]) else None
    source = {key: value for key, value in episode.about.items() if key in ("seed", "options")}
    source["env_id"] = _env_id(about)
    truncated = episode.get("truncations")
    ended: Ending = "terminated" if np.any(required["terminations"]) else "unknown"
    if ended == "unknown" and truncated is not None and np.any(truncated):
        ended = "truncated"
    return Draft(episode.name, action, obs, frames, required["rewards"], extra, ended, success, source)


def _flat(value: Nested, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    out: dict[str, Any] = {}
    for key, inner in cast("dict[str, Nested]", value).items():
        out.update(_flat(inner, f"{prefix}.{key}" if prefix else str(key)))
    return out


def _name(key: str) -> str:
    return observation_name("state" if key in ("", "observation") else key)


def _images(path: Path, name: str, key: str, value: Any) -> Frames | None:
    """The images behind a value: a late data set, encoded bytes or an array of them; None when it is something else."""
    if isinstance(value, Frames):
        return value
    if isinstance(value, np.ndarray) and is_image(value.shape, value.dtype):
        return Frames(value.shape, lambda: value)
    if not isinstance(value, list):
        return None
    encoded = cast("list[bytes]", value)
    place = f"{path}: episode {name}: column '{key}'"
    first = decoded(encoded[0], place)
    return Frames((len(encoded), *first.shape), lambda: np.stack([decoded(item, place) for item in encoded]))


def _env_id(about: dict[str, Any]) -> str:
    spec = about.get("env_spec")
    spec = json.loads(spec) if isinstance(spec, str) else spec
    return str(cast("dict[str, Any]", spec).get("id", "")) if isinstance(spec, dict) else ""


def _action(space: Space) -> Feature | None:
    if space.get("type") == "Discrete":
        return Feature((1,), "int64", "choice", high=(float(space["n"] - 1),))
    return _box(space) if space.get("type") == "Box" else None


def _bounds(space: Space) -> Spec:
    """Bounds of the observations, by column name."""
    flat = _flat_spaces(space)
    boxes = {_name(key): _box(entry) for key, entry in flat.items()}
    return Spec({key: value for key, value in boxes.items() if value is not None})


def _flat_spaces(space: Space, prefix: str = "") -> dict[str, Space]:
    inner = space.get("subspaces")
    if inner is None:
        return {prefix: space}
    pairs = enumerate(inner) if isinstance(inner, list) else inner.items()
    out: dict[str, Space] = {}
    for key, entry in pairs:
        out.update(_flat_spaces(entry, f"{prefix}.{key}" if prefix else str(key)))
    return out


def _box(space: Space) -> Feature | None:
    """A box as a feature; bounds only where all of them are finite."""
    if space.get("type") != "Box" or space.get("dtype") == "uint8":
        return None
    low, high = (np.asarray(space[key], np.float64).reshape(-1) for key in ("low", "high"))
    finite = bool(np.isfinite(low).all() and np.isfinite(high).all())
    shape = tuple(int(side) for side in space["shape"]) or (1,)
    bounds = (tuple(low.tolist()), tuple(high.tolist())) if finite else (None, None)
    return Feature(shape, str(space["dtype"]), low=bounds[0], high=bounds[1])
