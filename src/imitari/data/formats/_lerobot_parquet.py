"""Parquet files, streamed a batch of rows at a time into arrays, with every irregularity named."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from imitari.core.episode import Array
from imitari.core.errors import UserError

BATCH = 4096
"""Rows that are decoded together."""


@contextlib.contextmanager
def readable(path: Path) -> Generator[None]:
    """Turns what pyarrow raises about a file into one sentence."""
    import pyarrow as pa

    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{path}: is missing: copy the data set again") from error
    except PermissionError:
        raise
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: damaged or truncated Parquet file ({reason[:120]}): copy it again") from error


def batches(path: Path, columns: Sequence[str], size: int = BATCH, optional: Sequence[str] = ()) -> Iterator[Any]:
    """Record batches with exactly these columns, and those of `optional` that are there."""
    import pyarrow.parquet as pq

    with readable(path), pq.ParquetFile(path, pre_buffer=False) as file:
        have = file.schema_arrow.names
        for key in columns:
            if key not in have:
                raise UserError(f"{path}: column '{key}' is missing: meta/info.json names it; copy the file again")
        chosen = [*columns, *(key for key in optional if key in have)]
        # One thread: decoding ahead would hold several row groups in memory.
        yield from file.iter_batches(batch_size=size, columns=chosen, use_threads=False)


def table(path: Path, columns: Sequence[str] | None = None) -> Any:
    """A small file as a whole."""
    import pyarrow.parquet as pq

    with readable(path):
        return pq.ParquetFile(path).read(columns=None if columns is None else list(columns))


def rows_in(path: Path) -> int:
    """Rows that a file says it has."""
    import pyarrow.parquet as pq

    with readable(path):
        return int(pq.read_metadata(path).num_rows)


def values(column: Any, shape: tuple[int, ...], dtype: str, where: str) -> Array:
    """One column of a batch as an array (rows, *shape).

    Args:
        column: Arrow array: scalars, or lists nested to any depth.
        shape: of one row, as meta/info.json says. (1,) may also be stored as a scalar.
        dtype: to convert to.
        where: file and column, for messages.

    Raises:
        UserError: on empty cells, rows of other lengths, values that are no numbers.
    """
    import pyarrow as pa
    import pyarrow.compute
    import pyarrow.types as kinds

    pc: Any = pyarrow.compute
    rows = len(column)
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    depth = 0
    while kinds.is_list(column.type) or kinds.is_large_list(column.type) or kinds.is_fixed_size_list(column.type):
        _filled(column, where)
        want = shape[depth] if depth < len(shape) else 1
        lengths = pc.min_max(pc.list_value_length(column)).as_py()
        if rows and (lengths["min"], lengths["max"]) != (want, want):
            seen = lengths["min"] if lengths["min"] != want else lengths["max"]
            raise UserError(
                f"{where}: a row holds {seen} values where meta/info.json says shape {list(shape)}: "
                "correct the shape there, or copy the file again"
            )
        column, depth = column.flatten(), depth + 1
    _filled(column, where)
    if not (kinds.is_integer(column.type) or kinds.is_floating(column.type) or kinds.is_boolean(column.type)):
        raise UserError(f"{where}: holds {column.type} where meta/info.json says {dtype}: correct the dtype there")
    flat = column.to_numpy(zero_copy_only=False)
    if flat.size != rows * int(np.prod(shape)):
        raise UserError(
            f"{where}: rows hold {flat.size // max(1, rows)} values where meta/info.json says shape {list(shape)}"
        )
    try:
        return flat.reshape(rows, *shape).astype(dtype, copy=False)
    except TypeError as error:
        raise UserError(
            f"{where}: meta/info.json says dtype '{dtype}', which is not a numeric type: correct it"
        ) from error


def texts(column: Any, where: str) -> list[str]:
    """One text column of a batch."""
    _filled(column, where)
    return [str(value) for value in column.to_pylist()]


def _filled(column: Any, where: str) -> None:
    if column.null_count:
        raise UserError(f"{where}: {column.null_count} cells are empty: fill them in, or drop those episodes")


def picture(cell: Any, root: Path, where: str, size: tuple[int, ...], pixels: int | None) -> Array:
    """An encoded picture (a struct of bytes and path) as (height, width, channels) uint8.

    Raises:
        UserError: when it cannot be decoded or has another size than promised.
    """
    import io

    from PIL import Image

    data = cell.get("bytes") if isinstance(cell, dict) else cell
    mode = {1: "L", 3: "RGB", 4: "RGBA"}.get(size[2])
    if mode is None:
        raise UserError(f"{where}: meta/info.json says {size[2]} channels: pictures have 1, 3 or 4")
    try:
        source = io.BytesIO(data) if data else root / str(cell["path"])
        with Image.open(source) as image:
            if (image.height, image.width) != tuple(size[:2]):
                raise UserError(
                    f"{where}: a picture is {image.height}x{image.width} where meta/info.json says "
                    f"{size[0]}x{size[1]}: correct the shape there"
                )
            image = image if image.mode == mode else image.convert(mode)
            if pixels and (image.height, image.width) != (pixels, pixels):
                image = image.resize((pixels, pixels), Image.Resampling.BOX)
            return np.asarray(image, np.uint8).reshape(image.height, image.width, size[2])
    except (OSError, SyntaxError, TypeError, KeyError) as error:
        raise UserError(f"{where}: a picture is damaged or missing: copy the file again") from error
