"""What LeRobot's format has no place for, in own files below meta/imitari: final observations, endings, sources."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from imitari.core.demos import ENDINGS, EpisodeTable, Provenance
from imitari.core.episode import Array
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.data.formats import _lerobot_parquet as parquet
from imitari.data.formats._lerobot_layout import Layout, read_json
from imitari.data.opening import notice

FOLDER = "meta/imitari"
SPEC, EPISODES, FINAL = "spec.json", "episodes.parquet", "final.parquet"
FORMAT = 1


@dataclass(frozen=True)
class Own:
    """The own files of a data set that imitari wrote.

    Attributes:
        folder: where they are.
        spec: exactly as it was.
        columns: name -> shape and dtype in memory, and how it is stored: "number", "text", "image" or "video".
        provenance: of the demos that were written.
        ended, success, final: (N,), as in EpisodeTable; final: whether the last observation is known.
        source: (N,) JSON values.
    """

    folder: Path
    spec: Spec
    columns: dict[str, dict[str, Any]]
    provenance: Provenance
    ended: Array
    success: Array
    final: Array
    source: tuple[dict[str, Any], ...]

    @property
    def final_path(self) -> Path:
        return self.folder / FINAL

    def table(self, lengths: Array) -> EpisodeTable:
        table = EpisodeTable.of(lengths, final=self.final)
        return EpisodeTable(table.start, table.length, table.rows, self.ended, self.success, self.source)


def load(layout: Layout) -> Own | None:
    """The own files; None where there are none, or where another program has changed the data set since (reported)."""
    folder = layout.root / FOLDER
    path = folder / SPEC
    if not path.exists():
        return None
    data = read_json(path)
    if (data.get("episodes"), data.get("frames")) != (len(layout.entries), layout.steps):
        notice(
            f"{folder} describes {data.get('episodes')} episodes of {data.get('frames')} steps and the data set has "
            f"{len(layout.entries)} of {layout.steps}: another program changed it, so final observations are left out"
        )
        return None
    cells = parquet.table(folder / EPISODES)
    try:
        old = data["provenance"]
        return Own(
            folder,
            Spec.from_json(data["spec"]),
            dict(data["columns"]),
            Provenance(old["path"], old["format"], tuple(old["steps"])),
            np.array([ENDINGS.index(value) for value in cells["ended"].to_pylist()], np.int8),
            np.array(cells["success"].to_pylist(), np.int8),
            np.array(cells["final"].to_pylist(), bool),
            tuple(json.loads(value) for value in cells["source"].to_pylist()),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(f"{folder}: is damaged ({error}): copy it again, or delete that folder") from error


class OwnWriter:
    """Collects the own files while a data set is written."""

    def __init__(self, root: Path) -> None:
        self.folder = root / FOLDER
        self._ended: list[str] = []
        self._success: list[int] = []
        self._final: list[bool] = []
        self._source: list[str] = []

    def add(self, ended: str, success: int, final: bool, source: dict[str, Any]) -> None:
        self._ended.append(ended)
        self._success.append(success)
        self._final.append(final)
        self._source.append(json.dumps(source, ensure_ascii=False, default=_plain))

    def close(self, spec: Spec, columns: dict[str, dict[str, Any]], provenance: Provenance, frames: int) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        cells = pa.table(
            {
                "episode_index": pa.array(range(len(self._ended)), pa.int64()),
                "ended": self._ended,
                "success": pa.array(self._success, pa.int8()),
                "final": self._final,
                "source": self._source,
            }
        )
        pq.write_table(cells, self.folder / EPISODES)
        data = {
            "format": FORMAT,
            "episodes": len(self._ended),
            "frames": frames,
            "spec": spec.to_json(),
            "columns": columns,
            "provenance": provenance.to_json(),
        }
        (self.folder / SPEC).write_text(json.dumps(data, indent=1, ensure_ascii=False), encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return str(value)
