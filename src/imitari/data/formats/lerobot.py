"""LeRobotDataset v3: Parquet, MP4 and meta in few large files (read and write; the native format)."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.data.formats import _lerobot_parquet as parquet
from imitari.data.formats._lerobot_layout import (
    Entry,
    Layout,
    fill,
    frame_rate,
    need,
    read_features,
    read_json,
    version_of,
)
from imitari.data.formats._lerobot_read import assemble
from imitari.data.opening import ReadOptions


def detect(path: Path) -> bool:
    """A folder with meta/info.json of v3, or with one that cannot be understood (so that reading it says why)."""
    version = version_of(path)
    if version is None:
        return (path / "meta" / "info.json").is_file()
    return not version.startswith("v2")


def read(path: Path, options: ReadOptions) -> Demos:
    """Reads the folder.

    Raises:
        UserError: naming file and field, episode or column.
    """
    return assemble(_layout(path), options, "lerobot")


def write(
    demos: Demos, path: Path, *, images: Literal["video", "image"] = "video", fps: int | None = None, crf: int = 23
) -> None:
    """Writes a folder that LeRobot opens and that reads back exactly (videos: as exactly as their codec).

    Args:
        demos: episodes of at least one action each.
        path: a folder that does not exist or is empty.
        images: "video": MP4, small and lossy. "image": PNG inside the Parquet files, lossless.
        fps: steps a second; None: what the first episode's source says, or 10.
        crf: constant rate factor of the video; smaller is better and larger.
    """
    from imitari.data.formats._lerobot_write import write_demos

    write_demos(demos, path, images, fps, crf)


def _layout(root: Path) -> Layout:
    place = root / "meta" / "info.json"
    info = read_json(place)
    version = str(need(info, "codebase_version", str, place))
    if not version.startswith("v3"):
        raise UserError(
            f"{place}: field 'codebase_version' is {version}: this reads v2.0, v2.1 and v3: convert the data set"
        )
    features = read_features(info, place)
    cameras = [key for key, stored in features.items() if stored.dtype == "video"]
    templates = (need(info, "data_path", str, place), need(info, "video_path", str, place) if cameras else "")
    entries = _entries(root, place, cameras, templates)
    total = info.get("total_episodes", len(entries))
    if total != len(entries):
        raise UserError(
            f"{place}: field 'total_episodes' is {total} and meta/episodes lists {len(entries)}: copy meta again"
        )
    fps = frame_rate(info, place)
    return Layout(root, version, fps, info.get("robot_type"), features, tuple(entries), _tasks(root))


def _entries(root: Path, place: Path, cameras: list[str], templates: tuple[str, str]) -> list[Entry]:
    paths = sorted((root / "meta" / "episodes").glob("*/*.parquet"))
    if not paths:
        raise UserError(f"{root / 'meta' / 'episodes'}: holds no Parquet file: copy meta again")
    wanted = ["episode_index", "length", "data/chunk_index", "data/file_index"]
    for key in cameras:
        wanted += [f"videos/{key}/{field}" for field in ("chunk_index", "file_index", "from_timestamp")]
    entries: list[Entry] = []
    for path in paths:
        for cells in parquet.batches(path, wanted, optional=("tasks",)):
            entries += [_entry(row, root, place, path, cameras, templates) for row in cells.to_pylist()]
    entries.sort(key=lambda entry: entry.number)
    for before, after in pairwise(entries):
        if before.number == after.number:
            raise UserError(f"{paths[0].parent.parent}: episode {after.number} is listed twice: copy meta again")
    return entries


def _entry(
    row: dict[str, Any], root: Path, place: Path, path: Path, cameras: list[str], templates: tuple[str, str]
) -> Entry:
    number = row["episode_index"]
    for field in ("episode_index", "length", "data/chunk_index", "data/file_index"):
        if not isinstance(row[field], int) or row[field] < 0:
            raise UserError(f"{path}: column '{field}' of episode {number} is {row[field]!r}: copy the file again")
    where = {"chunk_index": row["data/chunk_index"], "file_index": row["data/file_index"]}
    videos: dict[str, tuple[Path, float]] = {}
    for key in cameras:
        cells = {field: row[f"videos/{key}/{field}"] for field in ("chunk_index", "file_index", "from_timestamp")}
        if any(value is None for value in cells.values()):
            continue
        begin = float(cells.pop("from_timestamp"))
        videos[key] = (root / fill(templates[1], place, {**cells, "video_key": key}), begin)
    tasks = tuple(str(task) for task in row.get("tasks") or ())
    return Entry(number, row["length"], root / fill(templates[0], place, where), tasks, videos)


def _tasks(root: Path) -> dict[int, str]:
    """Task texts: a column `task_index`, and the text as the table's index, under whatever name it was given."""
    path = root / "meta" / "tasks.parquet"
    cells = parquet.table(path)
    words = [name for name in cells.column_names if name != "task_index"]
    if "task_index" not in cells.column_names or not words:
        raise UserError(f"{path}: needs a column 'task_index' and one with the texts: copy the file again")
    name = "task" if "task" in words else words[0]
    return dict(zip(cells["task_index"].to_pylist(), map(str, cells[name].to_pylist()), strict=True))
