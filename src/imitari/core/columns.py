"""Columns: row-aligned arrays that are only ever read by gathering rows. Numpy only."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from imitari.core.episode import Array
from imitari.core.errors import UserError


@runtime_checkable
class Column(Protocol):
    """Rows of one feature, wherever they live."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, *feature shape)."""
        ...

    @property
    def dtype(self) -> np.dtype[np.generic]: ...

    def take(self, rows: Array) -> Array:
        """Rows by number: (*rows.shape, *feature shape), a copy."""
        ...

    def span(self, start: int, stop: int) -> Array:
        """Consecutive rows, without a copy where possible."""
        ...


class ArrayColumn:
    """A column in memory."""

    def __init__(self, values: Array) -> None:
        self.values = values

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return self.values.dtype

    def take(self, rows: Array) -> Array:
        return np.take(self.values, rows, axis=0)

    def span(self, start: int, stop: int) -> Array:
        view = self.values[start:stop]
        view.flags.writeable = False
        return view


class MappedColumn:
    """A column in a .npy file: mapped where it fits into a byte budget, else read row by row when it is asked for.

    A larger file is not mapped, because one touched row may make the system map 2 MB around it, and what was touched
    counts as this process's memory. Reading at an offset costs about as much as a page fault and leaves nothing behind;
    the system still keeps what it likes of the file in its own cache.

    Args:
        path: a .npy file, C order, no objects.
        budget: bytes that may stay resident for this column.
    """

    def __init__(self, path: Path, budget: int = 1 << 30) -> None:
        self.path = path
        self.budget = budget
        try:
            mapped = np.load(path, mmap_mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise UserError(
                f"{path}: not a readable column file ({error}); delete it, it is rebuilt from the data"
            ) from error
        self._shape: tuple[int, ...] = mapped.shape
        self._dtype: np.dtype[np.generic] = mapped.dtype
        self._offset = int(mapped.offset)
        self._row_bytes = int(np.prod(self._shape[1:], dtype=np.int64)) * self._dtype.itemsize
        self._values: Array | None = mapped if mapped.nbytes <= budget else None
        self._file = -1
        if self._values is None:
            self._file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            weakref.finalize(self, os.close, self._file)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return self._dtype

    def take(self, rows: Array) -> Array:
        if self._values is not None:
            return np.take(self._values, rows, axis=0)
        flat = rows.reshape(-1).astype(np.int64)
        if len(flat) and (flat.min() < 0 or flat.max() >= self._shape[0]):
            raise IndexError(f"row {flat.min()} or {flat.max()} is outside a column of {self._shape[0]} rows")
        out = np.empty((*rows.shape, *self._shape[1:]), self._dtype)
        if out.nbytes:
            # Neighbouring rows (a chunk of actions, a history) come with one read.
            breaks = np.flatnonzero(np.diff(flat) != 1) + 1
            begins = np.concatenate([[0], breaks]) * self._row_bytes
            ends = np.concatenate([breaks, [len(flat)]]) * self._row_bytes
            places = self._offset + flat[np.concatenate([[0], breaks])] * self._row_bytes
            view = _bytes_of(out)
            for begin, end, place in zip(begins.tolist(), ends.tolist(), places.tolist(), strict=True):
                self._read(view[begin:end], place)
        return out

    def span(self, start: int, stop: int) -> Array:
        if self._values is not None:
            return self._values[start:stop]
        start, stop, _ = slice(start, stop).indices(self._shape[0])
        out = np.empty((max(0, stop - start), *self._shape[1:]), self._dtype)
        if out.nbytes:
            self._read(_bytes_of(out), self._offset + start * self._row_bytes)
        return out

    def _read(self, view: memoryview, place: int) -> None:
        """Fills `view` from byte `place` on."""
        while len(view):
            if hasattr(os, "preadv"):
                count = os.preadv(self._file, [view], place)
            else:  # systems without positioned reads: the lock keeps seek and read together
                with _SEEKING:
                    os.lseek(self._file, place, os.SEEK_SET)
                    data = os.read(self._file, len(view))
                count = len(data)
                view[:count] = data
            if count == 0:
                raise UserError(f"{self.path}: the column file was cut off; delete it, it is rebuilt from the data")
            view, place = view[count:], place + count


_SEEKING = threading.Lock()


def _bytes_of(values: Array) -> memoryview:
    data: Any = values.reshape(-1).view(np.uint8)
    return memoryview(data)


class JoinedColumn:
    """Several columns of one feature, one after the other, without copying them."""

    def __init__(self, parts: Sequence[Column]) -> None:
        self.parts = list(parts)
        self._ends = np.cumsum([part.shape[0] for part in self.parts])

    @property
    def shape(self) -> tuple[int, ...]:
        return (int(self._ends[-1]), *self.parts[0].shape[1:])

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return self.parts[0].dtype

    def take(self, rows: Array) -> Array:
        flat = rows.reshape(-1)
        owner = np.searchsorted(self._ends, flat, side="right")
        out = np.empty((len(flat), *self.shape[1:]), self.dtype)
        for number in np.flatnonzero(np.bincount(owner)):
            mine = np.flatnonzero(owner == number)
            first = self._ends[number] - self.parts[number].shape[0]
            out[mine] = self.parts[number].take(flat[mine] - first)
        return out.reshape(*rows.shape, *self.shape[1:])

    def span(self, start: int, stop: int) -> Array:
        owner = int(np.searchsorted(self._ends, start, side="right"))
        if owner < len(self.parts) and stop <= self._ends[owner]:
            first = int(self._ends[owner]) - self.parts[owner].shape[0]
            return self.parts[owner].span(start - first, stop - first)
        return self.take(np.arange(start, stop))


class PickedColumn:
    """Some rows of a column, in any order, without copying them."""

    def __init__(self, column: Column, rows: Array) -> None:
        self.column = column
        self.picked = rows

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.picked), *self.column.shape[1:])

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return self.column.dtype

    def take(self, rows: Array) -> Array:
        return self.column.take(self.picked[rows])

    def span(self, start: int, stop: int) -> Array:
        return self.column.take(self.picked[start:stop])


class CodedColumn:
    """Values kept once each: (rows,) integer codes into (K, *feature shape) values."""

    def __init__(self, codes: Column, values: Array) -> None:
        self.codes = codes
        self.values = values

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.codes.shape, *self.values.shape[1:])

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return self.values.dtype

    def take(self, rows: Array) -> Array:
        return self.values[self.codes.take(rows)]

    def span(self, start: int, stop: int) -> Array:
        return self.values[self.codes.span(start, stop)]


class ConstantColumn:
    """One value in all of so many rows."""

    def __init__(self, value: Array, rows: int) -> None:
        self.value = value
        self.rows = rows

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.rows, *self.value.shape)

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return self.value.dtype

    def take(self, rows: Array) -> Array:
        return np.broadcast_to(self.value, (*rows.shape, *self.value.shape)).copy()

    def span(self, start: int, stop: int) -> Array:
        return np.broadcast_to(self.value, (len(range(*slice(start, stop).indices(self.rows))), *self.value.shape))


class TextColumn(CodedColumn):
    """Text, kept once a distinct value: integer codes into a vocabulary."""

    def __init__(self, codes: Column, vocabulary: Sequence[str]) -> None:
        super().__init__(codes, np.array(list(vocabulary), dtype=object))
        self.vocabulary = self.values

    @staticmethod
    def of(texts: Sequence[str]) -> TextColumn:
        vocabulary = list(dict.fromkeys(texts))
        code = {text: number for number, text in enumerate(vocabulary)}
        return TextColumn(ArrayColumn(np.array([code[text] for text in texts], np.int32)), vocabulary)


def picked(column: Column, rows: Array) -> Column:
    """Some rows of a column, in any order: as text, where it is text."""
    if isinstance(column, TextColumn):
        return TextColumn(ArrayColumn(column.codes.take(rows)), column.vocabulary.tolist())
    return PickedColumn(column, rows)
