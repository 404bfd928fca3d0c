"""Writes LeRobotDataset v3, an episode at a time: memory does not grow with the data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from imitari.core.columns import Column, TextColumn
from imitari.core.demos import ENDINGS, Demos
from imitari.core.episode import ACTION, Array
from imitari.core.errors import UserError
from imitari.core.progress import Progress
from imitari.data import video
from imitari.data.formats import _lerobot_arrow as arrow
from imitari.data.formats import _lerobot_stats as statistics
from imitari.data.formats._lerobot_layout import BOOKKEEPING, TASK
from imitari.data.formats._lerobot_own import FINAL, FOLDER, OwnWriter

FILES = 1000
"""Files in a chunk folder."""
DATA_BYTES = 100 << 20
VIDEO_BYTES = 200 << 20
PATTERN = "chunk-{chunk_index:03d}/file-{file_index:03d}"
FRAMES = 64
"""Frames that are handed to the encoder together."""

Kind = Literal["number", "text", "image", "video"]


@dataclass(frozen=True)
class Field:
    """A column on its way to disk.

    Attributes:
        key: its name.
        kind: how it is stored.
        column: the values, or None where the writer makes them itself.
        shape: of one row in memory.
        dtype: in memory.
        names: of the dimensions, if known.
    """

    key: str
    kind: Kind
    column: Column | None
    shape: tuple[int, ...]
    dtype: str
    names: tuple[str, ...] | None = None

    @property
    def stored(self) -> tuple[int, ...]:
        """The shape that info.json names: never empty."""
        return self.shape or (1,)

    def to_json(self, fps: int, codec: str | None) -> dict[str, Any]:
        """The entry of info.json."""
        if self.kind == "text":
            return {"dtype": "string", "shape": [1], "names": None}
        if self.kind == "number":
            return {"dtype": self.dtype, "shape": list(self.stored), "names": list(self.names) if self.names else None}
        entry: dict[str, Any] = {
            "dtype": self.kind,
            "shape": list(self.shape),
            "names": ["height", "width", "channels"],
        }
        if self.kind == "video":
            entry["info"] = {
                "video.height": self.shape[0],
                "video.width": self.shape[1],
                "video.codec": {"libsvtav1": "av1"}.get(codec or "", codec),
                "video.pix_fmt": "yuv420p",
                "video.is_depth_map": False,
                "video.fps": fps,
                "video.channels": self.shape[2],
                "has_audio": False,
            }
        return entry


def write_demos(demos: Demos, path: Path, images: Literal["video", "image"], fps: int | None, crf: int) -> None:
    """See lerobot.write."""
    short = np.flatnonzero(demos.table.length == 0)
    if len(short):
        raise UserError(f"{path}: episode {short[0]} has no action: leave it out before writing")
    rate = fps or _rate(demos)
    writer = _Writer(demos, path, images, rate, crf)
    try:
        with Progress(f"writing {path.name}", len(demos)) as progress:
            for number in range(len(demos)):
                writer.add(number)
                progress.update(number + 1)
        writer.finish()
    finally:
        writer.close()


def _rate(demos: Demos) -> int:
    """Steps a second as the first episode tells; LeRobot knows whole numbers only."""
    said = demos.table.source[0].get("fps")
    return max(1, round(said)) if isinstance(said, int | float) else 10


def fields_of(demos: Demos, images: Literal["video", "image"]) -> dict[str, Field]:
    """Every column of the demos and how to store it."""
    fields: dict[str, Field] = {}
    for key, column in demos.columns.items():
        if "/" in key or key in BOOKKEEPING:
            raise UserError(f"column '{key}': LeRobot has no such column name: rename it before writing")
        known = demos.feature(key) if key == "action" or key in demos.spec.obs else None
        shape = tuple(int(side) for side in column.shape[1:])
        names = known.names if known else None
        if isinstance(column, TextColumn):
            fields[key] = Field(key, "text", column, shape, "object")
        elif (
            column.dtype == np.uint8
            and len(shape) == 3
            and shape[2] in (1, 3, 4)
            and (not known or known.kind == "image")
        ):
            even = shape[0] % 2 == 0 and shape[1] % 2 == 0 and shape[2] == 3
            kind: Kind = "video" if images == "video" and even and min(shape[:2]) >= 16 else "image"
            fields[key] = Field(key, kind, column, shape, "uint8")
        elif column.dtype.kind in "fiub":
            fields[key] = Field(key, "number", column, shape, str(column.dtype), names)
        else:
            raise UserError(f"column '{key}' holds {column.dtype}: only numbers, text and images can be written")
    return fields


def flags_of(demos: Demos) -> dict[str, Field]:
    """Columns that LeRobot users expect and the demos do not have: made from the episodes' endings and successes."""
    made: list[str] = []
    if (demos.table.success >= 0).any():
        made.append("next.success")
    if (demos.table.ended != ENDINGS.index("unknown")).any():
        made += ["next.done", "next.truncated"]
    return {key: Field(key, "number", None, (), "bool") for key in made if key not in demos.columns}


class _Writer:
    """The files that are open."""

    def __init__(self, demos: Demos, root: Path, images: Literal["video", "image"], fps: int, crf: int) -> None:
        self.demos, self.root, self.fps, self.crf = demos, root, fps, crf
        self.own_fields = fields_of(demos, images)
        self.fields = {key: field for key, field in self.own_fields.items() if key != TASK} | flags_of(demos)
        self.films = [field for field in self.fields.values() if field.kind == "video"]
        self.tabled = [field for field in self.fields.values() if field.kind != "video"]
        self.codecs: dict[str, video.Codec] = {
            field.key: video.choose_codec(field.shape[0], field.shape[1]) for field in self.films
        }
        (root / FOLDER).mkdir(parents=True, exist_ok=True)
        self.own = OwnWriter(root)
        self.data = arrow.Rolling(root, "data/" + PATTERN + ".parquet", arrow.schema(self.tabled), DATA_BYTES, FILES)
        self.meta = arrow.Rolling(root, "meta/episodes/" + PATTERN + ".parquet", None, DATA_BYTES, FILES)
        self.final = arrow.Lazy(root / FOLDER / FINAL)
        self.encoders: dict[str, video.Encoder] = {}
        self.film_files = {field.key: 0 for field in self.films}
        self.pools = {key: statistics.Pool() for key in [*BOOKKEEPING, *self.fields] if not self._is_text(key)}
        self.tasks: dict[str, int] = {}
        self.frames = 0

    def _is_text(self, key: str) -> bool:
        return key in self.fields and self.fields[key].kind == "text"

    def add(self, number: int) -> None:
        """Appends episode `number` of the demos."""
        table = self.demos.table
        start, length, rows = (int(values[number]) for values in (table.start, table.length, table.rows))
        columns = self._bookkeeping(number, start, length)
        stats = {key: statistics.of_numbers(values[:, None]) for key, values in columns.items()}
        cells: dict[str, Any] = dict(columns)
        for field in self.tabled:
            values = self._step_values(field, number, start, length)
            cells[field.key] = values
            if field.kind == "image":
                stats[field.key] = statistics.of_pictures(values[statistics.sampled(length)])
            elif field.kind == "number":
                stats[field.key] = self._of_numbers(field, values.reshape(length, *field.stored), start)
        place = self.data.write(arrow.table(cells, self.tabled))
        row: dict[str, Any] = {
            "episode_index": number,
            "tasks": self._texts(columns["task_index"]),
            "length": length,
            "dataset_from_index": self.frames,
            "dataset_to_index": self.frames + length,
            "data/chunk_index": place[0],
            "data/file_index": place[1],
        }
        for field in self.films:
            row |= self._film(field, start, length, rows)
            stats[field.key] = statistics.of_pictures(_sample(field.column, start, length))
        if rows > length:
            last = {
                field.key: self._last(field, start + length)
                for field in self.own_fields.values()
                if field in self.tabled
            }
            self.final.write(arrow.final(number, last, [field for field in self.tabled if field.column is not None]))
        for key, value in stats.items():
            self.pools[key].add(value)
            row |= {f"stats/{key}/{name}": entry.tolist() for name, entry in value.items()}
        self.meta.write(arrow.row(row), row_place=True)
        self.own.add(ENDINGS[int(table.ended[number])], int(table.success[number]), rows > length, table.source[number])
        self.frames += length

    def _of_numbers(self, field: Field, values: Array, start: int) -> statistics.Stats:
        """Statistics of a column in an episode; of actions, of those that are known."""
        known = self.demos.known(start + np.arange(len(values))) if field.key == ACTION else None
        values = values if known is None else values[known]
        return statistics.of_numbers(values) if len(values) else statistics.of_nothing(field.stored)

    def _bookkeeping(self, number: int, start: int, length: int) -> dict[str, Array]:
        steps = np.arange(length)
        column = self.demos.columns.get(TASK)
        if isinstance(column, TextColumn):
            words = [str(word) for word in column.span(start, start + length)]
        else:
            words = [str(self.demos.table.source[number].get("task") or "")] * length
        tasks = np.array([self.tasks.setdefault(word, len(self.tasks)) for word in words], np.int64)
        return {
            "timestamp": (steps / self.fps).astype(np.float32),
            "frame_index": steps,
            "episode_index": np.full(length, number),
            "index": self.frames + steps,
            "task_index": tasks,
        }

    def _texts(self, codes: Array) -> list[str]:
        names = list(self.tasks)
        return [names[int(code)] for code in dict.fromkeys(codes.tolist())]

    def _step_values(self, field: Field, number: int, start: int, length: int) -> Array:
        if field.column is not None:
            return field.column.span(start, start + length)
        table = self.demos.table
        flag = np.zeros(length, bool)
        ending = ENDINGS[int(table.ended[number])]
        flag[-1] = {
            "next.success": int(table.success[number]) == 1,
            "next.done": ending == "terminated",
            "next.truncated": ending == "truncated",
        }[field.key]
        return flag

    def _last(self, field: Field, row: int) -> Array:
        assert field.column is not None
        return field.column.span(row, row + 1)

    def _film(self, field: Field, start: int, length: int, rows: int) -> dict[str, Any]:
        """Encodes an episode's frames, the final one included: it lies behind the time that LeRobot reads up to."""
        assert field.column is not None
        key = field.key
        encoder = self.encoders.get(key)
        if encoder is not None and encoder.bytes > VIDEO_BYTES:
            encoder.close()
            self.film_files[key] += 1
            encoder = None
        chunk, file = divmod(self.film_files[key], FILES)
        if encoder is None:
            path = self.root / "videos" / key / (PATTERN.format(chunk_index=chunk, file_index=file) + ".mp4")
            encoder = video.Encoder(path, self.fps, field.shape[0], field.shape[1], self.codecs[key], self.crf)
            self.encoders[key] = encoder
        begin = encoder.count
        for first in range(start, start + rows, FRAMES):
            encoder.write(field.column.span(first, min(first + FRAMES, start + rows)))
        return {
            f"videos/{key}/chunk_index": chunk,
            f"videos/{key}/file_index": file,
            f"videos/{key}/from_timestamp": begin / self.fps,
            f"videos/{key}/to_timestamp": (begin + length) / self.fps,
        }

    def finish(self) -> None:
        """Closes every file; info.json comes last, so that a folder without it is known to be unfinished."""
        self.close()
        columns = {
            key: {"shape": list(field.shape), "dtype": field.dtype, "storage": field.kind}
            for key, field in self.own_fields.items()
        }
        self.own.close(self.demos.spec, columns, self.demos.provenance, self.frames)
        arrow.write_tasks(list(self.tasks), self.root / "meta" / "tasks.parquet")
        pooled = {key: statistics.to_json(pool.result()) for key, pool in self.pools.items()}
        _dump(pooled, self.root / "meta" / "stats.json")
        _dump(self._info(), self.root / "meta" / "info.json")

    def _info(self) -> dict[str, Any]:
        features = {key: field.to_json(self.fps, self.codecs.get(key)) for key, field in self.fields.items()}
        for key in BOOKKEEPING:
            features[key] = {"dtype": "float32" if key == "timestamp" else "int64", "shape": [1], "names": None}
        robot = self.demos.table.source[0].get("robot")
        return {
            "codebase_version": "v3.0",
            "robot_type": robot if isinstance(robot, str) else None,
            "total_episodes": len(self.demos),
            "total_frames": self.frames,
            "total_tasks": len(self.tasks),
            "chunks_size": FILES,
            "data_files_size_in_mb": DATA_BYTES >> 20,
            "video_files_size_in_mb": VIDEO_BYTES >> 20,
            "fps": self.fps,
            "splits": {"train": f"0:{len(self.demos)}"},
            "data_path": "data/" + PATTERN + ".parquet",
            "video_path": "videos/{video_key}/" + PATTERN + ".mp4" if self.films else None,
            "features": features,
        }

    def close(self) -> None:
        self.data.close()
        self.meta.close()
        self.final.close()
        for encoder in self.encoders.values():
            encoder.close()
        self.encoders = {}


def _sample(column: Column | None, start: int, length: int) -> Array:
    assert column is not None
    return column.take(start + statistics.sampled(length))


def _dump(value: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(value, indent=4, ensure_ascii=False), encoding="utf-8")
