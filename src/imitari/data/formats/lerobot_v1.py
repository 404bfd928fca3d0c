"""LeRobot data sets of 2024 (v1.x): Arrow tables and one video an episode (read; write them again as v3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from imitari.core.columns import ArrayColumn, Column
from imitari.core.demos import Demos, EpisodeTable, Provenance
from imitari.core.episode import ACTION, REWARD, Array
from imitari.core.errors import UserError
from imitari.data import video
from imitari.data.formats import _lerobot_parquet as parquet
from imitari.data.formats._lerobot_layout import BOOKKEEPING, Entry, Layout, Stored, spec_of
from imitari.data.formats._lerobot_video import Videos, choose_cameras, drop_missing
from imitari.data.opening import ReadOptions

DROPPED = ("episode_data_index_from", "episode_data_index_to")
"""Bookkeeping of this version only."""


def detect(path: Path) -> bool:
    """A folder with train/*.arrow and no meta/info.json."""
    return any((path / "train").glob("*.arrow")) and not (path / "meta" / "info.json").exists()


def read(path: Path, options: ReadOptions) -> Demos:
    """Reads the folder; tables in memory (these sets are small), frames through the cache.

    Raises:
        UserError: naming file and column. Sets without actions (hand-held recordings) are refused.
    """
    cells, place = _table(path)
    films = [field.name for field in cells.schema if _is_film(field.type)]
    lengths = _lengths(cells, place)
    layout = _layout(path, cells, place, films, lengths)
    cameras, kept = drop_missing(layout, choose_cameras(layout, options), options)
    spec = spec_of(layout, cameras, options.pixels)
    chosen = np.array(kept, np.int64)
    begins = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    rows = np.concatenate([np.arange(begins[at], begins[at] + lengths[at]) for at in kept])
    columns: dict[str, Column] = {}
    for key, stored in layout.features.items():
        if key in BOOKKEEPING or key in DROPPED or stored.picture:
            continue
        shape = () if stored.shape == (1,) and not key.startswith(("observation", ACTION)) else stored.shape
        values = _values(cells, key, stored, place)[rows]
        columns[key] = ArrayColumn(
            values.reshape(len(rows), *shape).astype("float32" if key == REWARD else values.dtype)
        )
    success = None
    if "next.success" in columns:
        ends = np.cumsum(lengths[chosen])
        column = columns["next.success"]
        success = [
            bool(column.span(int(end - length), int(end)).any())
            for end, length in zip(ends, lengths[chosen], strict=True)
        ]
    source = [{"episode": layout.entries[at].number, "fps": round(layout.fps)} for at in kept]
    table = EpisodeTable.of(lengths[chosen], success=success, source=source)
    share = Videos(layout, chosen, table, options.pixels, options.budget // max(1, len(cameras)))
    columns |= {key: share.column(layout.features[key]) for key in cameras}
    return Demos(spec, columns, table, Provenance(str(path), "lerobot_v1"))


def _table(root: Path) -> tuple[Any, Path]:
    """The whole table, mapped, and the first file, for messages."""
    import pyarrow as pa

    paths = sorted((root / "train").glob("*.arrow"))
    parts: list[Any] = []
    for path in paths:
        try:
            with pa.memory_map(str(path)) as file:
                parts.append(pa.ipc.open_stream(file).read_all())
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{path}: damaged or truncated Arrow file: copy it again") from error
    cells = pa.concat_tables(parts)
    for key in ("episode_index", "timestamp"):
        if key not in cells.column_names:
            raise UserError(f"{paths[0]}: column '{key}' is missing: copy the data set again")
    return cells, paths[0]


def _is_film(kind: Any) -> bool:
    import pyarrow.types as kinds

    return kinds.is_struct(kind) and kind.get_field_index("timestamp") >= 0


def _lengths(cells: Any, place: Path) -> Array:
    numbers = _values(cells, "episode_index", Stored("episode_index", "int64", (1,), None), place).reshape(-1)
    steps = np.diff(numbers)
    if len(numbers) == 0 or (steps < 0).any():
        raise UserError(f"{place}: column 'episode_index' is empty or goes back: copy the data set again")
    ends = np.concatenate([np.flatnonzero(steps) + 1, [len(numbers)]])
    return np.diff(ends, prepend=0)


def _layout(root: Path, cells: Any, place: Path, films: list[str], lengths: Array) -> Layout:
    times = _values(cells, "timestamp", Stored("timestamp", "float64", (1,), None), place).reshape(-1)
    gaps = np.diff(times)
    gaps = gaps[gaps > 0]
    fps = float(round(1 / np.median(gaps), 3)) if len(gaps) else 10.0
    begins = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(int)
    numbers = cells["episode_index"].take(begins.tolist()).to_pylist()
    heads = {key: cells[key].take(begins.tolist()).to_pylist() for key in films}
    entries: list[Entry] = []
    for at, number in enumerate(numbers):
        videos = {key: (root / heads[key][at]["path"], float(heads[key][at]["timestamp"])) for key in films}
        entries.append(Entry(int(number), int(lengths[at]), place, (), videos))
    features: dict[str, Stored] = {}
    for field in cells.schema:
        if field.name in films:
            there = [entry.videos[field.name][0] for entry in entries if entry.videos[field.name][0].exists()]
            size = video.size_of(there[0], field.name) if there else (1, 1)
            features[field.name] = Stored(field.name, "video", (*size, 3), None)
        else:
            shape, kind = _shape(field.type)
            features[field.name] = Stored(field.name, kind, shape, None)
    return Layout(root, "v1", fps, None, features, tuple(entries), {})


def _shape(kind: Any) -> tuple[tuple[int, ...], str]:
    import pyarrow.types as kinds

    shape: list[int] = []
    while kinds.is_fixed_size_list(kind):
        shape.append(kind.list_size)
        kind = kind.value_type
    return tuple(shape) or (1,), {"float": "float32", "double": "float64"}.get(str(kind), str(kind))


def _values(cells: Any, key: str, stored: Stored, place: Path) -> Array:
    parts = [parquet.values(part, stored.shape, stored.dtype, f"{place}: column '{key}'") for part in cells[key].chunks]
    return np.concatenate(parts)
