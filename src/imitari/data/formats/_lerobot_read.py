"""From a LeRobot layout of any version to Demos: every column in memory where it is small, mapped where it is large."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from imitari.core.columns import ArrayColumn, Column, TextColumn
from imitari.core.demos import ENDINGS, Demos, EpisodeTable, Provenance
from imitari.core.episode import REWARD, Array
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.data import frames
from imitari.data.formats import _lerobot_own as own_files
from imitari.data.formats import _lerobot_parquet as parquet
from imitari.data.formats._lerobot_layout import BOOKKEEPING, TASK, Entry, Layout, Stored, spec_of
from imitari.data.formats._lerobot_own import Own
from imitari.data.formats._lerobot_video import Videos, choose_cameras, drop_missing
from imitari.data.opening import ReadOptions

IN_MEMORY = 64 << 20
"""Numeric columns beyond this many bytes in all are mapped."""

PICTURES = 32
"""Encoded pictures that are decoded together."""


class Sink(Protocol):
    def write(self, row: int, values: Array) -> None:
        """Consecutive rows from `row` on."""
        ...


class _Memory:
    def __init__(self, shape: tuple[int, ...], dtype: str) -> None:
        self.values = np.zeros(shape, dtype)

    def write(self, row: int, values: Array) -> None:
        self.values[row : row + len(values)] = values


@dataclass(frozen=True)
class _Want:
    """A column to be read: how it is stored, and what it becomes."""

    stored: Stored
    shape: tuple[int, ...]
    dtype: str


def assemble(layout: Layout, options: ReadOptions, name: str) -> Demos:
    """Reads everything that `options` asks for.

    Args:
        layout: what the folder says about itself.
        options: see ReadOptions.
        name: of the format, for the provenance.
    """
    own = own_files.load(layout)
    cameras = choose_cameras(layout, options)
    cameras, chosen = drop_missing(layout, cameras, options)
    return _Assembly(layout, options, own, cameras, chosen).run(name)


class _Assembly:
    def __init__(
        self, layout: Layout, options: ReadOptions, own: Own | None, cameras: list[str], chosen: list[int]
    ) -> None:
        self.layout, self.options, self.own, self.cameras = layout, options, own, cameras
        lengths = np.array([layout.entries[position].length for position in chosen], np.int64)
        picked = np.array(chosen, np.int64)
        if own is None:
            self.table = EpisodeTable.of(lengths)
        else:
            full = own.table(np.array([entry.length for entry in layout.entries], np.int64)).pick(picked)
            final = EpisodeTable.of(lengths, final=own.final[picked])
            self.table = EpisodeTable(final.start, lengths, final.rows, full.ended, full.success, full.source)
        self.chosen = picked
        self.first = dict(zip((layout.entries[at].number for at in chosen), self.table.start.tolist(), strict=True))
        self.rows = int(self.table.rows.sum())
        self.whole = len(chosen) == len(layout.entries)

    def run(self, name: str) -> Demos:
        wanted = self._wanted()
        numbers = {key: want for key, want in wanted.items() if not (want.stored.picture or want.stored.text)}
        pictures = {key: want for key, want in wanted.items() if want.stored.dtype == "image"}
        large = _bytes(numbers, self.rows) > IN_MEMORY
        films = [key for key, want in wanted.items() if want.stored.dtype == "video"]
        budget = self.options.budget // max(1, len(films) + len(pictures) + (len(numbers) if large else 0))
        columns: dict[str, Column] = {}
        if large:
            columns |= {key: self._mapped(want, parquet.BATCH, self.rows, budget) for key, want in numbers.items()}
        else:
            columns |= self._in_memory(numbers)
        columns |= {key: self._text(want.stored) for key, want in wanted.items() if want.stored.text}
        columns |= {key: self._mapped(want, PICTURES, self.rows, budget) for key, want in pictures.items()}
        videos = Videos(self.layout, self.chosen, self.table, self.options.pixels, budget)
        columns |= {key: videos.column(self.layout.features[key]) for key in films}
        if TASK not in columns and (len(self.layout.tasks) > 1 if self.own is None else TASK in self.own.columns):
            columns[TASK] = self._tasks()
        table = self.table if self.own else self._judged(columns)
        order = {key: columns[key] for key in (self.own.columns if self.own else columns) if key in columns}
        return Demos(self._spec(), order, table, self._provenance(name))

    def _wanted(self) -> dict[str, _Want]:
        wanted: dict[str, _Want] = {}
        for key, stored in self.layout.features.items():
            if key in BOOKKEEPING or (stored.picture and key not in self.cameras):
                continue
            shape, dtype = stored.shape, "uint8" if stored.picture else stored.dtype
            if self.own is not None:
                if key not in self.own.columns:
                    continue
                shape, dtype = tuple(self.own.columns[key]["shape"]), str(self.own.columns[key]["dtype"])
            elif key == REWARD:
                shape, dtype = (), "float32"
            elif shape == (1,) and not key.startswith(("observation", "action")):
                shape = ()
            if stored.picture and self.options.pixels:
                shape = (self.options.pixels, self.options.pixels, stored.shape[2])
            wanted[key] = _Want(stored, shape, dtype)
        return wanted

    def _spec(self) -> Spec:
        spec = spec_of(self.layout, self.cameras, self.options.pixels)
        if self.own is None:
            return spec
        kept = {
            key: spec.obs[key] if key in self.cameras else feature
            for key, feature in self.own.spec.obs.items()
            if key in self.cameras or feature.kind != "image" or not self.layout.features[key].picture
        }
        return Spec(kept, self.own.spec.action)

    def _provenance(self, name: str) -> Provenance:
        provenance = Provenance(str(self.layout.root), name)
        if self.own is not None:
            old = self.own.provenance
            provenance = Provenance(str(self.layout.root), name, (f"read {old.path} ({old.format})", *old.steps))
        if not self.whole:
            provenance = provenance.then(f"with video: {len(self.chosen)} of {len(self.layout.entries)} episodes")
        return provenance

    def _in_memory(self, wanted: dict[str, _Want]) -> dict[str, Column]:
        sinks = {key: _Memory((self.rows, *want.shape), want.dtype) for key, want in wanted.items()}
        self._pour(wanted, dict(sinks), parquet.BATCH)
        return {key: ArrayColumn(sink.values) for key, sink in sinks.items()}

    def _mapped(self, want: _Want, batch: int, total: int, budget: int) -> Column:
        key = want.stored.key
        settings = {
            "column": key,
            "pixels": self.options.pixels,
            "rows": [self.chosen.tolist(), self.table.rows.tolist()],
        }
        sources = [*dict.fromkeys(entry.data for entry in self.layout.entries)]
        if self.own and self.own.final_path.exists():
            sources.append(self.own.final_path)
        _all_there(sources)
        shape = (self.rows, *want.shape)
        recipe = frames.Recipe(f"{self.layout.root.name}-{key}", self.layout.root, sources, shape, want.dtype, settings)

        def fill(file: frames.ArrayFile, advance: Callable[[int], None]) -> None:
            self._pour({key: want}, {key: file}, batch, advance)

        return frames.column(recipe, fill, f"reading {key}", total, budget)

    def _pour(
        self,
        wanted: dict[str, _Want],
        sinks: dict[str, Any],
        batch: int,
        advance: Callable[[int], None] | None = None,
    ) -> None:
        """Streams the columns `wanted` from all data files, and from the file of final observations, into the sinks."""
        keys, done = list(wanted), 0
        for path, cells, begin, count, row in self._pieces(keys, batch):
            for key in keys:
                part = cells.column(key).slice(begin, count)
                sinks[key].write(row, self._convert(part, wanted[key], f"{path}: column '{key}'"))
            done += count
            if advance:
                advance(done)
        if self.own and self.own.final.any():
            self._pour_final(wanted, sinks, batch)

    def _pour_final(self, wanted: dict[str, _Want], sinks: dict[str, Any], batch: int) -> None:
        assert self.own is not None
        path = self.own.final_path
        keys = list(wanted)
        last = dict(self._final_rows())
        for cells in parquet.batches(path, ["episode_index", *keys], batch):
            numbers = cells.column("episode_index").to_pylist()
            for key in keys:
                values = self._convert(cells.column(key), wanted[key], f"{path}: column '{key}'")
                for at, number in enumerate(numbers):
                    if number in last:
                        sinks[key].write(last[number], values[at : at + 1])

    def _final_rows(self) -> Iterator[tuple[int, int]]:
        """(episode_index, row of its final observation)."""
        table = self.table
        for at in np.flatnonzero(table.rows > table.length):
            yield self.layout.entries[int(self.chosen[at])].number, int(table.start[at] + table.length[at])

    def _convert(self, part: Any, want: _Want, where: str) -> Array:
        stored = want.stored
        if stored.picture:
            cells, root, pixels = part.to_pylist(), self.layout.root, self.options.pixels
            return np.stack([parquet.picture(cell, root, where, stored.shape, pixels) for cell in cells])
        values = parquet.values(part, stored.shape, stored.dtype, where)
        return values.reshape(len(values), *want.shape).astype(want.dtype, copy=False)

    def _pieces(self, keys: list[str], batch: int) -> Iterator[tuple[Path, Any, int, int, int]]:
        """(file, batch, first row in it, rows, row in memory) of every stretch of a chosen episode, in order."""
        for path, group in groupby(self.layout.entries, key=lambda entry: entry.data):
            entries = list(group)
            if not any(entry.number in self.first for entry in entries):
                continue
            have, say = parquet.rows_in(path), sum(entry.length for entry in entries)
            if have != say:
                ends = np.cumsum([entry.length for entry in entries])
                first = entries[min(int(np.searchsorted(ends, have, side="right")), len(entries) - 1)].number
                raise UserError(
                    f"{path}: has {have} rows where meta says {say} "
                    f"(column 'length', episode {first} or before): copy the file again"
                )
            yield from self._split(path, entries, keys, batch)

    def _split(
        self, path: Path, entries: list[Entry], keys: list[str], batch: int
    ) -> Iterator[tuple[Path, Any, int, int, int]]:
        current, step = 0, 0
        for cells in parquet.batches(path, list(dict.fromkeys([*keys, "episode_index"])), batch):
            numbers = parquet.values(
                cells.column("episode_index"), (1,), "int64", f"{path}: column 'episode_index'"
            ).reshape(-1)
            begin = 0
            while begin < len(numbers):
                if step == entries[current].length:
                    current, step = current + 1, 0
                    continue
                entry = entries[current]
                count = min(entry.length - step, len(numbers) - begin)
                strange = np.flatnonzero(numbers[begin : begin + count] != entry.number)
                if len(strange):
                    raise UserError(
                        f"{path}: column 'episode_index' says {numbers[begin + strange[0]]} where "
                        f"episode {entry.number} is expected (its step {step + int(strange[0])}): copy the file again"
                    )
                if entry.number in self.first:
                    yield path, cells, begin, count, self.first[entry.number] + step
                begin, step = begin + count, step + count

    def _text(self, stored: Stored) -> Column:
        vocabulary: dict[str, int] = {}
        codes = np.zeros(self.rows, np.int32)

        def put(cells: Any, path: Path, row: int) -> None:
            words = parquet.texts(cells, f"{path}: column '{stored.key}'")
            codes[row : row + len(words)] = [vocabulary.setdefault(word, len(vocabulary)) for word in words]

        for path, cells, begin, count, row in self._pieces([stored.key], parquet.BATCH):
            put(cells.column(stored.key).slice(begin, count), path, row)
        if self.own and self.own.final.any():
            last = dict(self._final_rows())
            for cells in parquet.batches(self.own.final_path, ["episode_index", stored.key]):
                for at, number in enumerate(cells.column("episode_index").to_pylist()):
                    if number in last:
                        put(cells.column(stored.key).slice(at, 1), self.own.final_path, last[number])
        return TextColumn(ArrayColumn(codes), list(vocabulary))

    def _tasks(self) -> Column:
        """The task text of every step."""
        want = _Want(Stored("task_index", "int64", (1,), None), (), "int64")
        sink = _Memory((self.rows,), "int64")
        known = sorted(self.layout.tasks)
        for path, cells, begin, count, row in self._pieces(["task_index"], parquet.BATCH):
            codes = self._convert(cells.column("task_index").slice(begin, count), want, f"{path}: column 'task_index'")
            strange = np.setdiff1d(codes, known)
            if len(strange):
                raise UserError(
                    f"{path}: column 'task_index' holds {strange[0]}, which meta/tasks does not list: copy meta again"
                )
            sink.write(row, codes)
        for number, row in self._final_rows():
            sink.values[row] = sink.values[row - 1] if self.first[number] < row else known[0]
        return TextColumn(
            ArrayColumn(np.searchsorted(known, sink.values).astype(np.int32)),
            [self.layout.tasks[code] for code in known],
        )

    def _judged(self, columns: dict[str, Column]) -> EpisodeTable:
        """Success and ending as far as the step columns tell them, and where each episode came from."""
        table, layout = self.table, self.layout
        success, ended = table.success.copy(), table.ended.copy()
        flags = {name: columns.get(f"next.{name}") for name in ("success", "done", "truncated")}
        for at, (start, length) in enumerate(zip(table.start.tolist(), table.length.tolist(), strict=True)):
            solved = flags["success"]
            if solved is not None:
                success[at] = int(np.any(solved.span(start, start + length)))
            last = np.array([start + length - 1])
            cut, done = flags["truncated"], flags["done"]
            if cut is not None and bool(np.any(cut.take(last))):
                ended[at] = ENDINGS.index("truncated")
            elif done is not None and bool(np.any(done.take(last))) and (cut is not None or success[at] == 1):
                # `next.done` alone also marks the last frame of a recording that was merely stopped.
                ended[at] = ENDINGS.index("terminated")
        source = [self._source(layout.entries[int(at)]) for at in self.chosen]
        return EpisodeTable(table.start, table.length, table.rows, ended, success, tuple(source))

    def _source(self, entry: Entry) -> dict[str, Any]:
        source: dict[str, Any] = {
            "episode": entry.number,
            "fps": int(self.layout.fps) if self.layout.fps.is_integer() else self.layout.fps,
        }
        if entry.tasks:
            source["task"] = entry.tasks[0]
        if self.layout.robot:
            source["robot"] = self.layout.robot
        return source


def _bytes(wanted: dict[str, _Want], rows: int) -> int:
    return sum(rows * int(np.prod(want.shape)) * np.dtype(want.dtype).itemsize for want in wanted.values())


def _all_there(paths: list[Path]) -> None:
    for path in paths:
        if not path.exists():
            raise UserError(f"{path}: is missing: copy the data set again")
