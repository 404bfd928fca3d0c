"""What a LeRobot folder of any version says about itself: features, episodes and the files that hold them."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imitari.core.episode import ACTION
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec

BOOKKEEPING = ("timestamp", "frame_index", "episode_index", "index", "task_index")
"""Columns that LeRobot adds itself."""

TASK = "task"
"""The column with the task text of every step, where a set holds more than one task."""


@dataclass(frozen=True)
class Entry:
    """One episode on disk.

    Attributes:
        number: its episode_index.
        length: steps T.
        data: the Parquet file that holds its rows.
        tasks: task texts.
        videos: camera -> (file, seconds at which the episode begins in it).
    """

    number: int
    length: int
    data: Path
    tasks: tuple[str, ...] = ()
    videos: dict[str, tuple[Path, float]] = field(default_factory=dict[str, tuple[Path, float]])


@dataclass(frozen=True)
class Stored:
    """One feature of info.json."""

    key: str
    dtype: str
    shape: tuple[int, ...]
    names: tuple[str, ...] | None

    @property
    def picture(self) -> bool:
        return self.dtype in ("image", "video")

    @property
    def text(self) -> bool:
        return self.dtype in ("string", "str", "large_string")


@dataclass(frozen=True)
class Layout:
    """A whole data set, before anything large was read."""

    root: Path
    version: str
    fps: float
    robot: str | None
    features: dict[str, Stored]
    entries: tuple[Entry, ...]
    tasks: dict[int, str]

    @property
    def info_path(self) -> Path:
        """The file that names the features, for messages."""
        return self.root / ("train" if self.version == "v1" else "meta/info.json")

    @property
    def steps(self) -> int:
        return sum(entry.length for entry in self.entries)

    def keep(self, entries: list[Entry]) -> Layout:
        return dataclasses.replace(self, entries=tuple(entries))


def version_of(path: Path) -> str | None:
    """The codebase_version of a LeRobot folder, or None when this is none or cannot be told."""
    try:
        info = json.loads((path / "meta" / "info.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    version = info.get("codebase_version") if isinstance(info, dict) else None
    return str(version) if version is not None else None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file that has to be there."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: is missing: copy the data set again") from error
    except ValueError as error:
        raise UserError(f"{path}: is damaged ({error}): copy the file again") from error
    if not isinstance(value, dict):
        raise UserError(f"{path}: should hold a JSON object: copy the file again")
    return value


def need(info: dict[str, Any], key: str, kind: type | tuple[type, ...], path: Path) -> Any:
    """A field of info.json that has to be there and of a type."""
    if key not in info:
        raise UserError(f"{path}: field '{key}' is missing: copy the file again, or add the field")
    value = info[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise UserError(f"{path}: field '{key}' is {value!r}, which is not of the right type: correct it")
    return value


def frame_rate(info: dict[str, Any], path: Path) -> float:
    """Steps a second."""
    fps = float(need(info, "fps", (int, float), path))
    if not 0 < fps < float("inf"):
        raise UserError(f"{path}: field 'fps' is {fps:g}: it must be a number above 0, correct it")
    return fps


def fill(template: str, place: Path, names: dict[str, Any]) -> str:
    """A file name from the pattern that info.json gives."""
    try:
        return template.format(**names)
    except (KeyError, IndexError, ValueError) as error:
        raise UserError(f"{place}: path '{template}' cannot be filled in ({error}): correct it") from error


def read_features(info: dict[str, Any], path: Path) -> dict[str, Stored]:
    """The features of info.json; image shapes as (height, width, channels), however they are stored."""
    found: dict[str, Stored] = {}
    for key, entry in need(info, "features", dict, path).items():
        if not isinstance(entry, dict) or "dtype" not in entry or "shape" not in entry:
            raise UserError(f"{path}: feature '{key}' needs the fields 'dtype' and 'shape': add them")
        shape = entry["shape"]
        if not isinstance(shape, list) or not all(isinstance(side, int) and side > 0 for side in shape):
            raise UserError(f"{path}: feature '{key}' has shape {shape!r}: it must be a list of positive integers")
        names = _names(entry.get("names"))
        stored = Stored(key, str(entry["dtype"]), tuple(shape), names)
        if stored.picture:
            stored = _upright(stored, path)
        found[key] = stored
    return found


def _names(value: Any) -> tuple[str, ...] | None:
    """Names come as a list, as a list inside a list, or as {"motors": [...]}."""
    if isinstance(value, dict):
        value = [name for group in value.values() for name in (group if isinstance(group, list) else [group])]
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    return tuple(str(name) for name in value) if isinstance(value, list) and value else None


def _upright(stored: Stored, path: Path) -> Stored:
    if len(stored.shape) != 3:
        raise UserError(
            f"{path}: feature '{stored.key}' is a picture of shape {list(stored.shape)}: it must have 3 sides"
        )
    if stored.names and stored.names[0].startswith("channel"):
        return dataclasses.replace(stored, shape=(*stored.shape[1:], stored.shape[0]))
    return stored


def spec_of(layout: Layout, cameras: list[str], pixels: int | None) -> Spec:
    """Observations (everything that starts with `observation`, and the chosen cameras) and the action."""
    path = layout.info_path
    if ACTION not in layout.features:
        known = ", ".join(key for key in layout.features if key not in BOOKKEEPING)
        raise UserError(
            f"{path}: feature 'action' is missing (there are: {known}): rename the column that holds the actions"
        )
    obs: dict[str, Feature] = {}
    for key, stored in layout.features.items():
        if stored.picture:
            if key in cameras:
                side = (pixels, pixels) if pixels else stored.shape[:2]
                obs[key] = Feature((*side, stored.shape[2]), "uint8", "image")
        elif key.startswith("observation"):
            obs[key] = Feature((), "object", "text") if stored.text else _number(stored)
    return Spec(obs, _number(layout.features[ACTION]))


def _number(stored: Stored) -> Feature:
    size = 1
    for side in stored.shape:
        size *= side
    names = stored.names if stored.names and len(stored.names) == size else None
    return Feature(stored.shape, stored.dtype, "number", names)
