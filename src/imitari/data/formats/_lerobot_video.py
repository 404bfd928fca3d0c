"""The video columns of a LeRobot folder: which cameras can be read, and their frames in the cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from imitari.core.columns import Column
from imitari.core.demos import EpisodeTable
from imitari.core.episode import Array
from imitari.core.errors import UserError
from imitari.data import frames, video
from imitari.data.formats._lerobot_layout import Layout, Stored
from imitari.data.opening import ReadOptions, notice


def choose_cameras(layout: Layout, options: ReadOptions) -> list[str]:
    """The picture columns that are asked for: all, or those named."""
    known = [key for key, stored in layout.features.items() if stored.picture]
    if options.cameras is None:
        return known
    for key in options.cameras:
        if key not in known:
            raise UserError(f"{layout.info_path}: there is no camera '{key}': choose from {', '.join(known) or 'none'}")
    return [key for key in known if key in options.cameras]


def drop_missing(layout: Layout, cameras: list[str], options: ReadOptions) -> tuple[list[str], list[int]]:
    """(cameras, positions of episodes) that remain where video files are missing; says what was left out."""
    positions = list(range(len(layout.entries)))
    there: dict[Path, bool] = {}
    absent: dict[str, list[int]] = {}
    for key in cameras:
        if layout.features[key].dtype != "video":
            continue
        lacking = [at for at in positions if not _has_video(layout, at, key, there)]
        if lacking:
            absent[key] = lacking
    if not absent:
        return cameras, positions
    for key, lacking in absent.items():
        first = layout.entries[lacking[0]].videos.get(key)
        name = first[0].relative_to(layout.root) if first else f"episode {layout.entries[lacking[0]].number}"
        gap = f"{len(lacking)} of {len(positions)} episodes have no video of camera '{key}' (first missing: {name})"
        if options.missing_video == "camera":
            notice(f"{layout.root}: {gap}: that camera is left out")
        else:
            notice(f"{layout.root}: {gap}: those episodes are left out")
    if options.missing_video == "camera":
        return [key for key in cameras if key not in absent], positions
    gone = {at for lacking in absent.values() for at in lacking}
    kept = [at for at in positions if at not in gone]
    if not kept:
        raise UserError(f"{layout.root}: no episode has all its videos: copy the videos, or leave the cameras out")
    return cameras, kept


def _has_video(layout: Layout, at: int, key: str, there: dict[Path, bool]) -> bool:
    place = layout.entries[at].videos.get(key)
    if place is None:
        return False
    if place[0] not in there:
        there[place[0]] = place[0].exists()
    return there[place[0]]


class Videos:
    """Decodes the video columns of the chosen episodes into the frame cache.

    Args:
        layout: of the data set.
        chosen: (N,) positions in layout.entries.
        table: (N,) where their rows go. An episode with a known final observation has one frame more.
        pixels: side to resize to, or None.
        budget: bytes a column may keep in memory.
    """

    def __init__(self, layout: Layout, chosen: Array, table: EpisodeTable, pixels: int | None, budget: int) -> None:
        self.layout, self.chosen, self.table, self.pixels, self.budget = layout, chosen, table, pixels, budget

    def column(self, stored: Stored) -> Column:
        """Frames (rows, height, width, 3) uint8, mapped."""
        if stored.shape[2] != 3:
            raise UserError(
                f"{self.layout.info_path}: feature '{stored.key}' is a video of {stored.shape[2]} "
                "channels: only 3 can be read"
            )
        clips = self._clips(stored.key)
        rows = int(self.table.rows.sum())
        side = (self.pixels, self.pixels) if self.pixels else stored.shape[:2]
        settings: dict[str, Any] = {
            "column": stored.key,
            "fps": self.layout.fps,
            "clips": [
                [(clip.begin, clip.count, clip.row) for clip in sorted(parts, key=_begin)] for parts in clips.values()
            ],
        }
        root = self.layout.root
        recipe = frames.Recipe(f"{root.name}-{stored.key}", root, list(clips), (rows, *side, 3), "uint8", settings)

        def fill(file: frames.ArrayFile, advance: Callable[[int], None]) -> None:
            done = 0
            for path, parts in clips.items():
                parts = sorted(parts, key=_begin)
                size = (stored.shape[0], stored.shape[1])
                for row, frame in video.decode(path, parts, self.layout.fps, size, self.pixels, stored.key):
                    file.write(row, frame[None])
                    done += 1
                    if done % 64 == 0 or done == rows:
                        advance(done)

        return frames.column(recipe, fill, f"decoding {stored.key}", rows, self.budget)

    def _clips(self, key: str) -> dict[Path, list[video.Clip]]:
        clips: dict[Path, list[video.Clip]] = {}
        for at, position in enumerate(self.chosen.tolist()):
            entry = self.layout.entries[position]
            path, begin = entry.videos[key]
            clip = video.Clip(entry.number, begin, int(self.table.rows[at]), int(self.table.start[at]))
            clips.setdefault(path, []).append(clip)
        return clips


def _begin(clip: video.Clip) -> float:
    return clip.begin
