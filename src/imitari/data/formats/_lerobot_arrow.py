"""Arrow tables in the types that LeRobot expects, and Parquet files that start anew when they are large enough."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from imitari.core.episode import Array
from imitari.data.formats._lerobot_layout import BOOKKEEPING

if TYPE_CHECKING:
    from imitari.data.formats._lerobot_write import Field


def schema(fields: Sequence[Field]) -> Any:
    """Of a data file: the fields, then what LeRobot adds; with the note by which the Hub knows pictures from bytes."""
    import pyarrow as pa

    types = {field.key: _type(field) for field in fields}
    types |= {key: pa.float32() if key == "timestamp" else pa.int64() for key in BOOKKEEPING}
    notes = {field.key: _note(field) for field in fields}
    notes |= {key: _value("float32" if key == "timestamp" else "int64") for key in BOOKKEEPING}
    return pa.schema(list(types.items()), metadata={"huggingface": json.dumps({"info": {"features": notes}})})


def table(cells: dict[str, Any], fields: Sequence[Field]) -> Any:
    """Rows of one episode. cells: name -> array in memory form."""
    import pyarrow as pa

    form = schema(fields)
    known = {field.key: field for field in fields}
    arrays = [
        _array(cells[name], known[name], form.field(name).type)
        if name in known
        else pa.array(cells[name], form.field(name).type)
        for name in form.names
    ]
    return pa.Table.from_arrays(arrays, schema=form)


def final(number: int, cells: dict[str, Array], fields: Sequence[Field]) -> Any:
    """The row behind the last step of episode `number`."""
    import pyarrow as pa

    arrays = {field.key: _array(cells[field.key], field, _type(field)) for field in fields}
    return pa.table({"episode_index": pa.array([number], pa.int64()), **arrays})


def row(cells: dict[str, Any]) -> Any:
    import pyarrow as pa

    return pa.table({key: pa.array([value]) for key, value in cells.items()})


def write_tasks(tasks: Sequence[str], path: Path) -> None:
    """Task texts as the index of a data frame, which is how LeRobot looks them up."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"task_index": ("int64", "int64"), "task": ("unicode", "object")}
    note = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [
            {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": plain, "metadata": None}
            for name, (kind, plain) in kinds.items()
        ],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.0.0",
    }
    cells = pa.table({"task_index": pa.array(range(len(tasks)), pa.int64()), "task": pa.array(tasks, pa.string())})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(cells.replace_schema_metadata({"pandas": json.dumps(note)}), path)


class Lazy:
    """A Parquet file that comes into being with its first row."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writer: Any = None

    def write(self, cells: Any) -> None:
        import pyarrow.parquet as pq

        if self._writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(self.path, cells.schema, compression="snappy")
        self._writer.write_table(cells)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class Rolling:
    """Parquet files chunk-000/file-000, ...: a new one when the last has `limit` bytes.

    Args:
        root: of the data set.
        pattern: with chunk_index and file_index.
        form: schema, or None: that of the first table.
        limit: bytes of one file.
        files: in a chunk.
    """

    def __init__(self, root: Path, pattern: str, form: Any, limit: int, files: int) -> None:
        self.root, self.pattern, self.form, self.limit, self.files = root, pattern, form, limit, files
        self._number, self._bytes = 0, 0
        self._waiting: list[Any] = []
        self._lazy = self._open()

    def _open(self) -> Lazy:
        chunk, file = divmod(self._number, self.files)
        return Lazy(self.root / self.pattern.format(chunk_index=chunk, file_index=file))

    def write(self, cells: Any, row_place: bool = False) -> tuple[int, int]:
        """Appends; returns (chunk, file). `row_place`: also writes those two into columns of their own."""
        import pyarrow as pa

        if self._bytes >= self.limit:
            self.close()
            self._number, self._bytes = self._number + 1, 0
            self._lazy = self._open()
        chunk, file = divmod(self._number, self.files)
        if row_place:
            cells = cells.append_column("meta/episodes/chunk_index", pa.array([chunk], pa.int64()))
            cells = cells.append_column("meta/episodes/file_index", pa.array([file], pa.int64()))
            self.form = self.form or cells.schema
            # Single rows make slow files: they are collected.
            self._waiting.append(cells.cast(self.form))
            if len(self._waiting) >= 256:
                self._flush()
        else:
            self._lazy.write(cells)
        self._bytes += cells.nbytes
        return chunk, file

    def _flush(self) -> None:
        import pyarrow as pa

        if self._waiting:
            self._lazy.write(pa.concat_tables(self._waiting).combine_chunks())
            self._waiting = []

    def close(self) -> None:
        self._flush()
        self._lazy.close()


def _value(dtype: str) -> dict[str, Any]:
    return {"dtype": dtype, "_type": "Value"}


def _note(field: Field) -> dict[str, Any]:
    if field.kind == "image":
        return {"_type": "Image"}
    if field.kind == "text":
        return _value("string")
    if field.stored == (1,):
        return _value(field.dtype)
    if len(field.stored) == 1:
        return {"feature": _value(field.dtype), "length": field.stored[0], "_type": "Sequence"}
    return {"shape": list(field.stored), "dtype": field.dtype, "_type": f"Array{len(field.stored)}D"}


def _type(field: Field) -> Any:
    import pyarrow as pa

    if field.kind == "image":
        return pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    if field.kind == "text":
        return pa.string()
    inner = pa.from_numpy_dtype(np.dtype(field.dtype))
    if field.stored == (1,):
        return inner
    if len(field.stored) == 1:
        return pa.list_(inner, field.stored[0])
    for _ in field.stored:
        inner = pa.list_(inner)
    return inner


def _array(values: Array, field: Field, kind: Any) -> Any:
    import pyarrow as pa

    if field.kind == "image":
        return pa.array([{"bytes": png(value), "path": None} for value in values], kind)
    if field.kind == "text":
        return pa.array([str(value) for value in values.reshape(-1)], kind)
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    if field.stored == (1,):
        return flat
    if len(field.stored) == 1:
        return pa.FixedSizeListArray.from_arrays(flat, field.stored[0])
    for side in reversed(field.stored):
        ends = np.arange(0, len(flat) + 1, side, dtype=np.int32)
        flat = pa.ListArray.from_arrays(pa.array(ends), flat)
    return flat


def png(image: Array) -> bytes:
    """A picture (height, width, 1, 3 or 4) uint8 as PNG, without loss."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else np.ascontiguousarray(image)).save(
        out, format="PNG", compress_level=1
    )
    return out.getvalue()
