"""What a data set holds, in numbers: its features, sizes, success and provenance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from imitari.core.columns import Column, TextColumn
from imitari.core.demos import Demos
from imitari.core.episode import ACTION, Array

SPAN_ROWS = 1 << 16


def describe(demos: Demos) -> dict[str, Any]:
    """JSON values: episodes, steps, lengths, success, features (shape, dtype, kind, min, max, mean), provenance, bytes.

    Statistics are over the steps of this view; images and texts have none, and images are not read.
    """
    length, flags = demos.table.length, demos.table.success
    known = int((flags >= 0).sum())
    return {
        "path": demos.provenance.path,
        "format": demos.provenance.format,
        "history": list(demos.provenance.steps),
        "episodes": len(demos),
        "steps": demos.steps,
        "length": {"min": int(length.min()), "median": float(np.median(length)), "max": int(length.max())},
        "final_observations": int((demos.table.rows > length).sum()),
        "success": {"known": known, "succeeded": int((flags == 1).sum())},
        "bytes_on_disk": size_on_disk(Path(demos.provenance.path)),
        "bytes_as_arrays": sum(_bytes(column) for column in demos.columns.values()),
        "features": {key: _feature(demos, key) for key in demos.columns},
    }


def size_on_disk(path: Path) -> int | None:
    """Bytes of a file or of all files below a folder; None when it is no path."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.is_dir() else None


def _feature(demos: Demos, key: str) -> dict[str, Any]:
    column = demos.columns[key]
    named = demos.spec.obs.get(key) or (demos.spec.action if key == ACTION else None)
    text = isinstance(column, TextColumn)
    about: dict[str, Any] = {
        "role": "observation" if key in demos.spec.obs else "action" if key == ACTION else "label",
        "shape": list(column.shape[1:]) or [1],
        "dtype": "text" if text else column.dtype.name,
        "kind": named.kind if named else "text" if text else "number",
    }
    for what in ("unit", "names", "low", "high"):
        if named is not None and getattr(named, what) is not None:
            about[what] = getattr(named, what)
    if isinstance(column, TextColumn):
        about["texts"] = len(column.vocabulary)
        about["first"] = str(column.vocabulary[0]) if len(column.vocabulary) else ""
    elif about["kind"] != "image" and column.dtype.kind in "fiub" and np.prod(column.shape[1:]):
        rows = demos.rows()
        known = demos.known(rows) if key == ACTION else None
        if known is not None:
            about["unknown"] = int((~known).sum())
        low, high, mean, bad = _statistics(column, rows if known is None else rows[known])
        about |= {"min": low, "max": high, "mean": mean, "not_finite": bad}
    return about


def _statistics(column: Column, rows: Array) -> tuple[float, float, float, int]:
    """(least, largest, mean) over all finite values, and how many are not finite."""
    low, high, total, count, bad = np.inf, -np.inf, 0.0, 0, 0
    for begin in range(0, len(rows), SPAN_ROWS):
        values = column.take(rows[begin : begin + SPAN_ROWS]).reshape(-1)
        good = values[np.isfinite(values)]
        bad += len(values) - len(good)
        if len(good):
            low, high = min(low, float(good.min())), max(high, float(good.max()))
            total, count = total + float(good.sum(dtype=np.float64)), count + len(good)
    return (low, high, total / count, bad) if count else (float("nan"), float("nan"), float("nan"), bad)


def _bytes(column: Column) -> int:
    return int(np.prod(column.shape, dtype=np.int64)) * (4 if isinstance(column, TextColumn) else column.dtype.itemsize)
