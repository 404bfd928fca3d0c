"""RLDS / TFRecord (Open X-Embodiment, TF-Agents): an episode or a step a record, read without TensorFlow."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from imitari.core.demos import Demos
from imitari.core.episode import Array, Ending
from imitari.core.errors import UserError
from imitari.core.spec import Feature
from imitari.data.formats import _tfrecord
from imitari.data.formats._assemble import Draft, Frames, assemble, decoded, observation_name, wanted
from imitari.data.formats._tfrecord import Value
from imitari.data.opening import ReadOptions, notice

FEATURES = "features.json"
MARKS = ("is_first", "is_last", "is_terminal", "step_type", "next_step_type")
INSTRUCTIONS = ("language_instruction", "natural_language_instruction", "observation/natural_language_instruction")
IMAGE_HEADS = (b"\xff\xd8\xff", b"\x89PNG")
OTHER_DATA = (".npz", ".hdf5", ".h5", ".parquet")
FIRST, LAST = 0, 2  # of TF-Agents' step_type


@dataclass(frozen=True)
class _Kind:
    """What features.json says of one name: shape a step (None: unknown), dtype, and whether it is text or an image."""

    shape: tuple[int, ...] | None
    dtype: str
    form: str


def detect(path: Path) -> bool:
    return bool(_files(path))


def read(path: Path, options: ReadOptions) -> Demos:
    """`observation/<key>` becomes `observation.<key>` or `observation.images.<key>`, instructions source["task"].

    Every checksum is verified; images are decoded when they are first asked for. A last step whose action is all
    zeros is the bare final observation that RLDS stores, not an action. Action parts are joined in the order of names.
    """
    files = _files(path)
    if not files:
        raise UserError(f"{path}: holds no .tfrecord file: check the path")
    kinds = _kinds(files[0].parent / FEATURES)
    drafts: list[Draft] = []
    names: list[str] = []
    for file in files:
        for number, (values, steps) in enumerate(_episodes(file)):
            place = f"{file.name}, record {number}" if len(files) > 1 else f"{number}"
            draft, names = _Reader(path, place, steps, kinds, options).draft(values)
            split = re.search(r"-(\w+)\.tfrecord-\d", file.name)
            source = {**draft.source, "file": file.name, **({"split": split[1]} if split else {})}
            drafts.append(replace(draft, source=source))
    action = Feature(drafts[0].action.shape[1:], drafts[0].action.dtype.name, names=tuple(names)) if names else None
    return assemble(path, "rlds", drafts, options, action=action)


def _files(path: Path) -> list[Path]:
    """The record files: the path itself, those in the folder, or those of the only data set below it."""
    if path.is_file():
        return [path] if ".tfrecord" in path.name else []
    if not path.is_dir():
        return []
    here = sorted(file for file in path.iterdir() if ".tfrecord" in file.name and file.is_file())
    if here and ((path / FEATURES).is_file() or not any(file.suffix in OTHER_DATA for file in path.iterdir())):
        return here
    below = [*path.glob(f"*/{FEATURES}"), *path.glob(f"*/*/{FEATURES}")]
    return _files(below[0].parent) if len(below) == 1 else []


def _episodes(file: Path) -> Iterator[tuple[dict[str, Value], int | None]]:
    """(values, steps) of every episode; names without `steps/`. Steps are None where an episode is one record."""
    together: list[dict[str, Value]] = []
    marked = True
    for number, record in enumerate(_tfrecord.records(file)):
        try:
            values = _tfrecord.example(record)
        except (ValueError, KeyError) as error:
            raise UserError(f"{file}: record {number} is no tf.train.Example ({error}): check the file") from error
        if any(key.startswith("steps/") for key in values):
            yield {key.removeprefix("steps/"): value for key, value in values.items()}, None
            continue
        first = _is_first(values)
        marked = marked and first is not None
        if first and together:
            yield _joined(file, together), len(together)
            together = []
        together.append(values)
    if not marked:
        notice(f"{file}: no record says where an episode starts (step_type, is_first): read as one episode")
    if together:
        yield _joined(file, together), len(together)


def _is_first(values: Mapping[str, Value]) -> bool | None:
    if "step_type" in values:
        return _step_type(values["step_type"]) == FIRST
    if "is_first" in values:
        return bool(np.any(np.asarray(values["is_first"])))
    return None


def _step_type(value: Value) -> int:
    return int.from_bytes(value[0], "little") if isinstance(value, list) else int(value[0])


def _joined(file: Path, steps: list[dict[str, Value]]) -> dict[str, Value]:
    out: dict[str, Value] = {}
    for key in steps[0]:
        missing = next((number for number, step in enumerate(steps) if key not in step), None)
        if missing is not None:
            raise UserError(f"{file}: column '{key}' is missing at step {missing} of an episode: copy the file again")
        parts = [step[key] for step in steps]
        if isinstance(parts[0], list):
            out[key] = [item for part in parts for item in part]
        else:
            out[key] = np.concatenate([np.asarray(part) for part in parts])
    return out


class _Reader:
    """Turns the flat lists of one episode into arrays of one row a step."""

    def __init__(
        self, path: Path, name: str, steps: int | None, kinds: Mapping[str, _Kind], options: ReadOptions
    ) -> None:
        self.path, self.name, self.steps, self.kinds, self.options = path, name, steps, kinds, options

    def draft(self, values: dict[str, Value]) -> tuple[Draft, list[str]]:
        about = {key: values.pop(key) for key in list(values) if key.startswith("episode_metadata/")}
        steps = self._count(values)
        arrays = {key: self._array(key, value, steps) for key, value in sorted(values.items())}
        action, names = self._action(arrays)
        obs: dict[str, Array] = {}
        frames: dict[str, Frames] = {}
        extra: dict[str, Array] = {}
        for key, value in arrays.items():
            seen = key == "observation" or key.startswith("observation/")
            inner = key.removeprefix("observation/").replace("/", ".")
            if isinstance(value, Frames):
                column = observation_name(inner, image=True)
                if wanted(column, self.options):
                    frames[column] = value
            elif seen and value.dtype.kind in "fiub":
                obs[observation_name("state" if inner == "observation" else inner)] = value
            elif key not in (*MARKS, "reward"):
                extra[inner] = value
        reward = arrays.get("reward")
        ended = _ended(values)
        source = {key.removeprefix("episode_metadata/"): _plain(value) for key, value in about.items()}
        task = next((extra[key][0] for key in (name.split("/")[-1] for name in INSTRUCTIONS) if key in extra), None)
        if task is not None:
            source["task"] = str(task)
        draft = Draft(self.name, action, obs, frames, None if isinstance(reward, Frames) else reward, extra, ended)
        draft = replace(draft, source=source)
        return (_without_filler(draft) if _flag(values, "is_last") and (obs or frames) else draft), names

    def _count(self, values: Mapping[str, Value]) -> int:
        if self.steps is not None:
            return self.steps
        for key in MARKS[:3]:
            if key in values:
                return len(values[key])
        kind = self.kinds.get("action")
        if kind is not None and kind.shape is not None and "action" in values:
            return len(values["action"]) // int(np.prod(kind.shape))
        raise UserError(f"{self.path}: episode {self.name}: column 'steps/is_first' is missing: check the data set")

    def _array(self, key: str, value: Value, steps: int) -> Array | Frames:
        kind = self.kinds.get(key)
        if isinstance(value, list):
            if len(value) != steps:
                self._refuse(key, len(value), steps)
            if (kind is not None and kind.form == "image") or (kind is None and _looks_like_image(value)):
                return self._images(key, value, kind)
            if kind is not None and kind.form == "tensor" and kind.dtype != "object":
                rows = [np.frombuffer(item, kind.dtype).reshape(kind.shape or (-1,)) for item in value]
                return np.stack(rows)
            return np.array([bytes(item).decode("utf-8", "replace") for item in value], dtype=object)
        if len(value) % max(1, steps) or (kind and kind.shape and len(value) != steps * int(np.prod(kind.shape))):
            self._refuse(key, len(value), steps)
        shape = kind.shape if kind is not None and kind.shape is not None else (-1,)
        array = value.reshape(steps, *shape) if shape or len(value) != steps else value
        array = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 and kind is None else array
        return array.astype(kind.dtype) if kind is not None and kind.dtype not in ("object", "") else array

    def _images(self, key: str, encoded: list[memoryview], kind: _Kind | None) -> Frames:
        place = f"{self.path}: episode {self.name}: column '{key}'"
        shape = kind.shape if kind is not None else None
        if shape is None or len(shape) != 3 or min(shape) <= 0:
            shape = decoded(encoded[0], place).shape
        return Frames((len(encoded), *shape), lambda: np.stack([decoded(item, place) for item in encoded]))

    def _action(self, arrays: dict[str, Array | Frames]) -> tuple[Array, list[str]]:
        parts = {key: arrays.pop(key) for key in sorted(arrays) if key == "action" or key.startswith("action/")}
        numbers = {
            key: value for key, value in parts.items() if isinstance(value, np.ndarray) and value.dtype.kind in "fiub"
        }
        if not numbers:
            raise UserError(
                f"{self.path}: episode {self.name}: column 'action' is missing: it holds {', '.join(arrays)}; "
                "give features.json of this data set, or copy it again"
            )
        if len(numbers) == 1:
            return next(iter(numbers.values())), []
        flat = {key.removeprefix("action/"): value.reshape(len(value), -1) for key, value in numbers.items()}
        names = [f"{key}.{number}" for key, value in flat.items() for number in range(value.shape[1])]
        return np.concatenate([value.astype(np.float32) for value in flat.values()], axis=1), names

    def _refuse(self, key: str, count: int, steps: int) -> None:
        raise UserError(
            f"{self.path}: episode {self.name}: column '{key}' holds {count} values, which does not fit {steps} steps: "
            "features.json belongs to another data set, or the file is damaged"
        )


def _without_filler(draft: Draft) -> Draft:
    if len(draft.action) < 2 or np.any(draft.action[-1]):
        return draft
    reward = None if draft.reward is None else draft.reward[:-1]
    extra = {key: value[:-1] for key, value in draft.extra.items()}
    return replace(draft, action=draft.action[:-1], reward=reward, extra=extra)


def _ended(values: Mapping[str, Value]) -> Ending:
    if _flag(values, "is_terminal"):
        return "terminated"
    if _flag(values, "is_last"):
        return "truncated"
    kinds, discount = values.get("step_type"), values.get("discount")
    if kinds is not None and _step_type(kinds[-1:]) == LAST and isinstance(discount, np.ndarray):
        return "terminated" if discount[-1] == 0 else "truncated"
    return "unknown"


def _flag(values: Mapping[str, Value], key: str) -> bool:
    found = values.get(key)
    return isinstance(found, np.ndarray) and len(found) > 0 and bool(found[-1])


def _looks_like_image(value: list[memoryview]) -> bool:
    return bool(value) and bytes(value[0][:4]).startswith(IMAGE_HEADS)


def _plain(value: Value) -> Any:
    found = [bytes(item).decode("utf-8", "replace") for item in value] if isinstance(value, list) else value.tolist()
    return found[0] if len(found) == 1 else found


def _kinds(file: Path) -> dict[str, _Kind]:
    """features.json as flat names, as the records use them, without `steps/`."""
    if not file.is_file():
        return {}
    out: dict[str, _Kind] = {}
    try:
        _walk(json.loads(file.read_text(encoding="utf-8")), "", out)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file}: is damaged ({error}): copy the data set again") from error
    return {key.removeprefix("steps/"): value for key, value in out.items()}


def _walk(entry: dict[str, Any], prefix: str, out: dict[str, _Kind]) -> None:
    if "featuresDict" in entry:
        for key, inner in entry["featuresDict"]["features"].items():
            _walk(inner, f"{prefix}/{key}" if prefix else key, out)
    elif "sequence" in entry:
        _walk(entry["sequence"]["feature"], prefix, out)
    elif "text" in entry:
        out[prefix] = _Kind((), "object", "text")
    else:
        form = "image" if "image" in entry else "tensor"
        about = entry.get("image") or entry.get("tensor") or entry.get("scalar") or {}
        sides = about.get("shape", {}).get("dimensions", [])
        shape = tuple(int(side) for side in sides)
        dtype = str(about.get("dtype", "")).replace("string", "object")
        out[prefix] = _Kind(None if any(side < 0 for side in shape) else shape, dtype, form)
