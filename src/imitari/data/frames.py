"""Decode once: columns that do not fit in memory are built a single time into mapped .npy files in a cache folder."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from imitari.core.columns import Column, MappedColumn
from imitari.core.episode import Array
from imitari.core.errors import UserError
from imitari.core.files import locked
from imitari.core.progress import Progress

MARGIN = 64 << 20
"""Bytes of disk that a cache file leaves free."""


def cache_folder() -> Path:
    """Where cache files live: the environment variable IMITARI_CACHE, or ~/.cache/imitari."""
    return Path(os.environ.get("IMITARI_CACHE") or Path.home() / ".cache" / "imitari")


class ArrayFile:
    """A .npy file that is written row by row, in any order, without mapping it: resident memory does not grow.

    Args:
        path: of the new file.
        shape: (rows, *feature shape).
        dtype: of the values; no objects.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: Any) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        self.written = 0
        self._row_bytes = int(np.prod(shape[1:])) * self.dtype.itemsize
        self._file: BinaryIO = path.open("wb")
        header = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_2_0(self._file, header)
        self._offset = self._file.tell()
        self._file.truncate(self._offset + shape[0] * self._row_bytes)

    def write(self, row: int, values: Array) -> None:
        """Consecutive rows from `row` on: values (n, *feature shape)."""
        if values.shape[1:] != self.shape[1:]:
            raise ValueError(f"rows of shape {values.shape[1:]} do not fit into {self.shape}")
        self._file.seek(self._offset + row * self._row_bytes)
        self._file.write(np.ascontiguousarray(values, self.dtype).data)
        self.written += len(values)

    def close(self) -> None:
        self._file.close()


@dataclass(frozen=True)
class Recipe:
    """What a cache file holds and what it was made from. Two recipes of one key give the same file.

    Attributes:
        name: for people: the data set and the column.
        root: folder that the sources are relative to.
        sources: files that it is made from; a change of size or time makes another cache file.
        settings: everything else that shapes the result (resolution, episode selection, ...): JSON values.
        shape, dtype: of the result.
    """

    name: str
    root: Path
    sources: Sequence[Path]
    shape: tuple[int, ...]
    dtype: str = "uint8"
    settings: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def bytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize

    def key(self) -> str:
        """Hash of (relative path, size, time of change) of every source, the settings, the shape and the type."""
        digest = hashlib.sha256()
        digest.update(str(self.root.resolve()).encode())
        for source in self.sources:
            status = source.stat()
            digest.update(f"{os.path.relpath(source, self.root)}|{status.st_size}|{status.st_mtime_ns}\n".encode())
        digest.update(json.dumps([self.settings, self.shape, self.dtype], sort_keys=True, default=str).encode())
        return digest.hexdigest()[:20]

    def file(self) -> Path:
        name = re.sub(r"[^\w.-]+", "_", self.name)[-80:]
        return cache_folder() / f"{name}-{self.key()}.npy"


Fill = Callable[[ArrayFile, Callable[[int], None]], None]


def build(recipe: Recipe, fill: Fill, label: str, total: int) -> Path:
    """The cache file of `recipe`, made by `fill(file, advance)` if it is not there yet.

    `advance(done)` reports progress up to `total`. The file appears under its name only when it is complete; a second
    process that wants the same one waits for the first.

    Raises:
        UserError: when the disk has not enough room.
    """
    path = recipe.file()
    if path.exists():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.with_suffix(".lock")):
            if path.exists():
                return path
            for leftover in path.parent.glob(f"{path.stem}.*.partial"):
                leftover.unlink(
                    missing_ok=True
                )  # of a process that was killed: nobody else writes while we hold the lock
            _check_room(recipe, path.parent)
            partial = path.parent / f"{path.stem}.{os.getpid()}-{uuid.uuid4().hex[:8]}.partial"
            try:
                _make(recipe, fill, label, total, partial)
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"{path.parent}: the cache cannot be written ({error.strerror or error}): free space there, or set "
            "IMITARI_CACHE to another folder"
        ) from error
    return path


def column(recipe: Recipe, fill: Fill, label: str, total: int, budget: int) -> Column:
    """`build`, opened as a column of which at most `budget` bytes stay in memory."""
    return MappedColumn(build(recipe, fill, label, total), budget)


def _make(recipe: Recipe, fill: Fill, label: str, total: int, partial: Path) -> None:
    file = ArrayFile(partial, recipe.shape, recipe.dtype)
    try:
        with Progress(label, total) as progress:
            fill(file, progress.update)
    finally:
        file.close()
    if file.written < recipe.shape[0]:
        raise UserError(f"{recipe.name}: only {file.written} of {recipe.shape[0]} rows were found: copy the data again")


def _check_room(recipe: Recipe, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if recipe.bytes + MARGIN > free:
        raise UserError(
            f"{folder}: decoding {recipe.name} needs {recipe.bytes:,} bytes and {free:,} are free: free space, choose "
            "fewer pixels, or set IMITARI_CACHE to another folder"
        )
