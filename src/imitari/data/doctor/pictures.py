"""Checks of cameras: videos that are not there, frames that stand still or show nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from imitari.core.episode import Array
from imitari.data.doctor._steps import Finding, Steps

FROZEN_RUN = 10  # equal frames in a row, while something else moves
TOLERANCE = 2  # grey levels: what compression leaves of an unchanged frame
MOVING = 0.02  # of its range: a change of the state that a camera would have to show
SPAN = 64  # frames looked at together
STRIDE = 61  # pixels between those that are looked at first; no divisor of common widths


def missing_video(steps: Steps) -> list[Finding]:
    """Video files that the description of a LeRobot folder names and that do not lie there."""
    found: list[Finding] = []
    for key, episode, path in _named_videos(steps.folder):
        if not path.is_file():
            message = f"its video {path.relative_to(steps.folder)} is not there"
            remedy = "copy the file, or train without this camera (observations of the other columns)"
            found.append(Finding("error", "missing_video", message, remedy, episode, 0, key))
    return found


def frozen_video(steps: Steps) -> list[Finding]:
    """Cameras that show one colour, or the same frame again and again while the robot moves."""
    found: list[Finding] = []
    moving = _motion(steps) if steps.demos.spec.images else None
    for key in steps.demos.spec.images:
        blank = np.zeros(len(steps.length), bool)
        for episode in steps.filled:
            same, empty = _compare(steps, key, int(episode))
            blank[episode] = empty
            run, frame = _longest(same)
            begin, length = int(steps.first[episode]), int(steps.length[episode])
            moved = moving[begin + frame : begin + frame + run].sum() if moving is not None else run
            if run >= FROZEN_RUN and moved >= FROZEN_RUN / 2 and not empty:
                message = f"the same frame {run + 1} times from frame {frame} on, while the robot moves"
                message += " (the whole episode)" if run + 1 >= length else ""
                remedy = f"check the camera's connection; leave the episode out: {steps.drop(int(episode))}"
                found.append(Finding("error", "frozen_video", message, remedy, int(episode), frame, key))
        found += _blank(steps, key, blank)
    return found


def _blank(steps: Steps, key: str, blank: Array) -> list[Finding]:
    if blank[steps.filled].all() and len(steps.filled):
        message = "shows a single colour in every episode: a filler where there was no camera"
        return [Finding("warning", "frozen_video", message, "train without this camera", None, None, key)]
    remedy = "check the camera, train without it, or leave the episode out: "
    return [
        Finding(
            "error", "frozen_video", "shows a single colour", remedy + steps.drop(int(episode)), int(episode), 0, key
        )
        for episode in np.flatnonzero(blank)
    ]


def _compare(steps: Steps, key: str, episode: int) -> tuple[Array, bool]:
    """((T - 1,) whether a frame equals the one before it, whether all frames are one colour)."""
    column, table = steps.demos.columns[key], steps.demos.table
    begin, stop = int(table.start[episode]), int(table.start[episode] + table.length[episode])
    same = np.zeros(max(0, stop - begin - 1), bool)
    blank = True
    for start in range(begin, stop, SPAN):
        frames = column.span(start, min(start + SPAN + 1, stop))  # one more, to compare across the border
        frames = frames.reshape(len(frames), -1, frames.shape[-1])
        blank = blank and _within(np.ptp(frames[:, ::STRIDE], axis=1)) and _within(np.ptp(frames, axis=1))
        # Most frames differ already in a few of their pixels; only the others are compared as a whole.
        few = frames[:, ::STRIDE].astype(np.int16)
        alike = np.asarray((np.abs(few[1:] - few[:-1]) <= TOLERANCE).all((1, 2)))
        for at in np.flatnonzero(alike):
            alike[at] = _within(np.abs(frames[at + 1].astype(np.int16) - frames[at]))
        same[start - begin : start - begin + len(alike)] = alike
    return same, blank


def _within(values: Array) -> bool:
    return bool((values <= TOLERANCE).all())


def _motion(steps: Steps) -> Array | None:
    """(N,) whether the state changed visibly since the step before; None where there is no numeric state."""
    keys = [key for key in steps.demos.spec.numbers if steps.values(key).size]
    if not keys:
        return None
    moving = np.zeros(steps.demos.steps, bool)
    for key in keys:
        values = steps.values(key).astype(np.float64)
        span = np.ptp(values, axis=0)
        moving[1:] |= (np.abs(np.diff(values, axis=0)) > MOVING * np.where(span > 0, span, np.inf)).any(1)
    return moving & (steps.step > 0)


def _longest(same: Array) -> tuple[int, int]:
    """(length, first step) of the longest run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(np.int8)))
    if len(edges) == 0:
        return 0, 0
    lengths = edges[1::2] - edges[0::2]
    best = int(np.argmax(lengths))
    return int(lengths[best]), int(edges[2 * best])


def _named_videos(folder: Path) -> Iterator[tuple[str, int, Path]]:
    """(camera, episode, file) of a LeRobot folder of version 2 or 3; nothing for other data."""
    place = folder / "meta" / "info.json"
    if not place.is_file():
        return
    info: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    cameras = [key for key, entry in info.get("features", {}).items() if entry.get("dtype") == "video"]
    template = str(info.get("video_path", ""))
    if not cameras or not template:
        return
    if str(info.get("codebase_version", "")).startswith("v2"):
        size = int(info.get("chunks_size", 1000))
        for episode in range(int(info.get("total_episodes", 0))):
            for key in cameras:
                name = template.format(episode_chunk=episode // size, video_key=key, episode_index=episode)
                yield key, episode, folder / name
        return
    import pyarrow.parquet as parquet

    for file in sorted((folder / "meta" / "episodes").glob("*/*.parquet")):
        wanted = [f"videos/{key}/{part}" for key in cameras for part in ("chunk_index", "file_index")]
        table = parquet.read_table(file, columns=["episode_index", *wanted]).to_pydict()
        for at, episode in enumerate(table["episode_index"]):
            for key in cameras:
                chunk, number = (table[f"videos/{key}/{part}"][at] for part in ("chunk_index", "file_index"))
                yield key, int(episode), folder / template.format(video_key=key, chunk_index=chunk, file_index=number)
