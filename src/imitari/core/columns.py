"""Columns: row-aligned arrays that are only ever read by gathering rows. Numpy only."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

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
    """A column in a .npy file, mapped and not read: resident memory stays under a byte budget.

    Pages that were touched stay resident until the gathered bytes exceed the budget; then they are handed back to the
    operating system, which keeps them as file cache only as long as nobody needs the memory.

    Args:
        path: a .npy file, C order, no objects.
        budget: bytes that may stay resident for this column.
    """

    def __init__(self, path: Path, budget: int = 1 << 30) -> None:
        self.path = path
        self.budget = budget
        try:
            self._values = np.load(path, mmap_mode="r")
        except (OSError, ValueError) as error:
            raise UserError(
                f"{path}: not a readable column file ({error}); delete it, it is rebuilt from the data"
            ) from error
        self._touched = 0
        self._row_bytes = max(1, int(self._values.nbytes // max(1, len(self._values))))
        mapping = getattr(self._values, "_mmap", None)
        self._mapping: mmap.mmap | None = mapping if isinstance(mapping, mmap.mmap) else None
        if self._mapping is not None and hasattr(mmap, "MADV_RANDOM"):
            self._mapping.madvise(mmap.MADV_RANDOM)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._values.shape

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return self._values.dtype

    def take(self, rows: Array) -> Array:
        out = np.take(self._values, rows, axis=0)
        self._account(int(rows.size))
        return out

    def span(self, start: int, stop: int) -> Array:
        self._account(stop - start)
        return self._values[start:stop]

    def _account(self, rows: int) -> None:
        # A touched row costs at least a page, so small rows are counted as one page each.
        self._touched += rows * max(self._row_bytes, min(mmap.PAGESIZE, self._row_bytes * 64))
        if self._touched > self.budget and self._mapping is not None:
            if hasattr(mmap, "MADV_DONTNEED"):
                self._mapping.madvise(mmap.MADV_DONTNEED)
            self._touched = 0


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
        for number in np.unique(owner):
            mine = owner == number
            first = self._ends[number] - self.parts[number].shape[0]
            out[mine] = self.parts[number].take(flat[mine] - first)
        return out.reshape(*rows.shape, *self.shape[1:])

    def span(self, start: int, stop: int) -> Array:
        owner = int(np.searchsorted(self._ends, start, side="right"))
        if owner < len(self.parts) and stop <= self._ends[owner]:
            first = int(self._ends[owner]) - self.parts[owner].shape[0]
            return self.parts[owner].span(start - first, stop - first)
        return self.take(np.arange(start, stop))


class TextColumn:
    """Text, kept once a distinct value: integer codes into a vocabulary."""

    def __init__(self, codes: Column, vocabulary: Sequence[str]) -> None:
        self.codes = codes
        self.vocabulary = np.array(list(vocabulary), dtype=object)

    @staticmethod
    def of(texts: Sequence[str]) -> TextColumn:
        vocabulary = list(dict.fromkeys(texts))
        code = {text: number for number, text in enumerate(vocabulary)}
        return TextColumn(ArrayColumn(np.array([code[text] for text in texts], np.int32)), vocabulary)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.codes.shape

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return self.vocabulary.dtype

    def take(self, rows: Array) -> Array:
        return self.vocabulary[self.codes.take(rows)]

    def span(self, start: int, stop: int) -> Array:
        return self.vocabulary[self.codes.span(start, stop)]
