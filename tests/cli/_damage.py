"""Good data sets and run folders of the smallest task, made once, and ways to damage a copy of one."""

from __future__ import annotations

import dataclasses
import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from imitari.core.columns import ArrayColumn
from imitari.core.demos import Demos
from imitari.core.episode import ACTION, REWARD
from imitari.core.spec import Feature, Spec
from imitari.data.opening import save_demos
from imitari.envs import task_named
from imitari.jobs.demonstrations import demonstrate
from imitari.jobs.training import TrainRequest, train

STATE = "observation.state"
TINY = {"steps": 5, "batch": 8, "hidden": (8,)}
TRAIN = ["train", "bc", "--task", "two_ways", "--steps", "5", "--batch", "8", "--hidden", "8", "--quiet"]


class Workshop:
    """Good things, each made when it is first asked for.

    Args:
        folder: where they are kept; nobody may change what lies there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.task = task_named("two_ways")
        self.demos = demonstrate(self.task, range(6))

    def copy(self, name: str, to: Path) -> Path:
        """A copy of the good thing `name`, to be damaged."""
        place = self.folder / name
        if not place.exists():
            getattr(self, f"make_{name.split('.')[0]}")(place)
        target = to / name
        if place.is_dir():
            return Path(shutil.copytree(place, target))
        return Path(shutil.copy(place, target))

    def make_lerobot(self, place: Path) -> None:
        save_demos(self.demos, place)

    def make_video(self, place: Path) -> None:
        save_demos(demonstrate(task_named("two_ways", pixels=64), range(2)), place)

    def make_demos(self, place: Path) -> None:
        """demos.npz, demos.hdf5"""
        save_demos(self.demos, place, {".npz": "npz", ".hdf5": "robomimic"}[place.suffix])

    def make_buffer(self, place: Path) -> None:
        """buffer.zarr, in the layout of Diffusion Policy."""
        import zarr

        root = zarr.open_group(str(place), mode="w", zarr_format=2)
        rows = self.demos.rows()
        for key, name in ((STATE, "state"), (ACTION, "action")):
            values = self.demos.columns[key].take(rows)
            root.create_array(f"data/{name}", data=values, chunks=(16, values.shape[1]))
        root.create_array("meta/episode_ends", data=np.cumsum(self.demos.table.length))

    def make_steps(self, place: Path) -> None:
        """steps.tfrecord, a record a step."""
        one = self.demos[0]
        kinds = [0, *[1] * (len(one) - 2), 2]
        place.write_bytes(
            b"".join(
                _record(
                    {
                        "observation": _message(2, _message(1, one.obs[STATE][step].astype("<f4").tobytes())),
                        "action": _message(2, _message(1, one.action[step].astype("<f4").tobytes())),
                        "step_type": _message(1, _message(1, struct.pack("<i", kind))),
                    }
                )
                for step, kind in enumerate(kinds)
            )
        )

    def make_run(self, place: Path) -> None:
        train(TrainRequest("bc", TINY, task="two_ways", data=("memory",), show=False), place, self.demos, self.task)

    def make_other(self, place: Path) -> None:
        """A run in a task of our own of the same spec, under another name."""
        task = dataclasses.replace(self.task, name="three_ways")
        train(TrainRequest("bc", TINY, task="three_ways", data=("memory",), show=False), place, self.demos, task)


def changed(demos: Demos, key: str, edit: Callable[[np.ndarray], np.ndarray]) -> Demos:
    """The demos with another column `key`, its feature included."""
    values = edit(np.array(demos.columns[key].span(0, demos.columns[key].shape[0])))
    spec = demos.spec
    feature = Feature(values.shape[1:], values.dtype.name)
    if key in spec.obs:
        spec = Spec({**spec.obs, key: feature}, spec.action)
    elif key == ACTION:
        spec = Spec(spec.obs, feature)
    return demos.with_columns({key: ArrayColumn(values)}, "changed", spec)


def without(demos: Demos, key: str) -> Demos:
    """The demos without the column `key`."""
    return Demos(demos.spec, {name: value for name, value in demos.columns.items() if name != key}, demos.table)


def shorter(demos: Demos, steps: int) -> Demos:
    """Episodes of their first `steps` steps, without final observation or reward."""
    table = demos.table
    length = np.full(len(table), steps)
    plain = without(demos, REWARD)
    cut_off = dataclasses.replace(table, length=length, rows=length, ended=np.zeros_like(table.ended))
    return plain.with_table(cut_off, "cut")


def spoilt(row: int, value: float) -> Callable[[np.ndarray], np.ndarray]:
    """Puts one wrong value into a row."""

    def edit(values: np.ndarray) -> np.ndarray:
        values[row] = value
        return values

    return edit


def cut(path: Path, share: float) -> Path:
    """Keeps only the first part of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def flip(path: Path, place: int) -> Path:
    """Inverts one byte."""
    data = bytearray(path.read_bytes())
    data[place] ^= 0xFF
    path.write_bytes(bytes(data))
    return path


def edit_json(path: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    data = json.loads(path.read_text())
    edit(data)
    path.write_text(json.dumps(data))
    return path


def edit_table(path: Path, edit: Callable[[Any], Any]) -> Path:
    """Rewrites a Parquet file."""
    import pyarrow.parquet as pq

    pq.write_table(edit(pq.read_table(path)), path)
    return path


def only(folder: Path, pattern: str) -> Path:
    """The first file that fits."""
    return sorted(folder.rglob(pattern))[0]


def rearranged(path: Path, edit: Callable[[dict[str, np.ndarray]], dict[str, Any]], **options: Any) -> Path:
    """Writes other arrays into an npz file of the plain kind."""
    with np.load(path) as file:
        arrays = {key: file[key] for key in file.files}
    np.savez(path, **options, **edit(arrays))
    return path


def _record(features: dict[str, bytes]) -> bytes:
    from imitari.data.formats._tfrecord import masked_crc

    entries = b"".join(_message(1, _message(1, key.encode()) + _message(2, value)) for key, value in features.items())
    data = _message(1, entries)
    head = struct.pack("<Q", len(data))
    return head + struct.pack("<I", masked_crc(head)) + data + struct.pack("<I", masked_crc(data))


def _message(field: int, data: bytes) -> bytes:
    size, length = bytearray(), len(data)
    while length >= 0x80:
        size.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([field << 3 | 2, *size, length]) + data
