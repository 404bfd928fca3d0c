"""LeRobotDataset v2.0 and v2.1: one Parquet file and one video an episode (read)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from imitari.core.demos import Demos
from imitari.core.errors import UserError
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
    """A folder whose meta/info.json says v2."""
    return (version_of(path) or "").startswith("v2")


def read(path: Path, options: ReadOptions) -> Demos:
    """Reads the folder.

    Raises:
        UserError: naming file and field, episode or column.
    """
    return assemble(_layout(path), options, "lerobot_v21")


def _layout(root: Path) -> Layout:
    place = root / "meta" / "info.json"
    info = read_json(place)
    features = read_features(info, place)
    cameras = [key for key, stored in features.items() if stored.dtype == "video"]
    data_path = need(info, "data_path", str, place)
    video_path = need(info, "video_path", str, place) if cameras else ""
    chunk = int(info.get("chunks_size") or 1000)
    entries: list[Entry] = []
    for line, row in _lines(root / "meta" / "episodes.jsonl"):
        where = f"{root / 'meta' / 'episodes.jsonl'}: line {line}"
        number, length = row.get("episode_index"), row.get("length")
        if not isinstance(number, int) or not isinstance(length, int):
            raise UserError(f"{where}: fields 'episode_index' and 'length' must be integers: copy the file again")
        names: dict[str, Any] = {"episode_chunk": number // chunk, "episode_index": number}
        videos = {key: (root / fill(video_path, place, {**names, "video_key": key}), 0.0) for key in cameras}
        tasks = tuple(str(task) for task in row.get("tasks") or ())
        entries.append(Entry(number, length, root / fill(data_path, place, names), tasks, videos))
    tasks = {
        int(row["task_index"]): str(row["task"])
        for _, row in _lines(root / "meta" / "tasks.jsonl", ("task_index", "task"))
    }
    entries.sort(key=lambda entry: entry.number)
    fps = frame_rate(info, place)
    return Layout(root, str(info["codebase_version"]), fps, info.get("robot_type"), features, tuple(entries), tasks)


def _lines(path: Path, fields: tuple[str, ...] = ()) -> list[tuple[int, dict[str, Any]]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(f"{path}: is missing: copy the data set again") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is damaged ({error.reason}): copy the file again") from error
    rows: list[tuple[int, dict[str, Any]]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(f"{path}: line {number} is damaged ({error}): copy the file again") from error
        if not isinstance(row, dict) or any(field not in row for field in fields):
            raise UserError(f"{path}: line {number} lacks {' or '.join(fields) or 'an object'}: copy the file again")
        rows.append((number, row))
    return rows
