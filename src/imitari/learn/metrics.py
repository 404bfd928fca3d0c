"""Metrics: one JSON line a report, and whatever trackers were asked for."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from imitari.core.errors import UserError, missing_extra
from imitari.core.files import replace_text, unwritable


class Tracker(Protocol):
    """A place outside the run folder that metrics are sent to."""

    def log(self, stage: str, step: int, values: dict[str, float]) -> None: ...

    def close(self) -> None: ...


class Metrics:
    """metrics.jsonl in the run folder; on resume, lines beyond the resume point are dropped.

    Args:
        folder: of the run; None: metrics are kept in memory only.
        trackers: names of external trackers ("tensorboard", "wandb", "trackio").
    """

    def __init__(self, folder: Path | None, trackers: Iterable[str] = ()) -> None:
        self.path = folder / "metrics.jsonl" if folder else None
        self.rows: list[dict[str, Any]] = []
        self._trackers = [open_tracker(name, folder or Path()) for name in trackers]
        if self.path and self.path.exists():
            self.rows = _rows(self.path)

    def rewind(self, stage: str, step: int) -> None:
        """Forgets what was logged for `stage` after `step`."""
        self.rows = [row for row in self.rows if row["stage"] != stage or row["step"] <= step]
        if self.path:
            replace_text(self.path, "".join(json.dumps(row) + "\n" for row in self.rows))

    def log(self, stage: str, step: int, values: dict[str, float]) -> None:
        finite = {key: value for key, value in values.items() if math.isfinite(value)}
        row = {"stage": stage, "step": step, **finite}
        self.rows.append(row)
        if self.path:
            try:
                with self.path.open("a") as file:
                    file.write(json.dumps(row) + "\n")
            except OSError as error:
                raise unwritable(self.path, error) from error
        for tracker in self._trackers:
            tracker.log(stage, step, finite)

    def close(self) -> None:
        for tracker in self._trackers:
            tracker.close()


def _rows(path: Path) -> list[dict[str, Any]]:
    """The lines of an earlier run; a last line without its end was cut off with the run, any other must be readable."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}): delete it, or choose another --out") from error
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines[:-1], 1):
        try:
            row: dict[str, Any] = json.loads(line)
            if not {"stage", "step"} <= row.keys():
                raise KeyError("stage or step")
        except (json.JSONDecodeError, KeyError, AttributeError) as error:
            raise UserError(f"{path}: line {number} is damaged ({error}): delete the file, or that line") from error
        rows.append(row)
    return rows


class _TensorBoard:
    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard.writer import SummaryWriter
        except ImportError as error:
            raise missing_extra("tensorboard", "track") from error
        self._writer = SummaryWriter(str(folder / "tensorboard"))

    def log(self, stage: str, step: int, values: dict[str, float]) -> None:
        for key, value in values.items():
            self._writer.add_scalar(f"{stage}/{key}", value, step)

    def close(self) -> None:
        self._writer.close()


class _Wandb:
    """Weights & Biases, and trackio, which has the same interface."""

    def __init__(self, package: str, folder: Path) -> None:
        try:
            self._api: Any = __import__(package)
        except ImportError as error:
            raise missing_extra(package, "track") from error
        self._api.init(project="imitari", name=folder.name)

    def log(self, stage: str, step: int, values: dict[str, float]) -> None:
        self._api.log({f"{stage}/{key}": value for key, value in values.items()} | {f"{stage}/step": step})

    def close(self) -> None:
        self._api.finish()


def open_tracker(name: str, folder: Path) -> Tracker:
    """The tracker `name`, or the error that says how to install it."""
    if name == "tensorboard":
        return _TensorBoard(folder)
    if name in ("wandb", "trackio"):
        return _Wandb(name, folder)
    raise UserError(f"tracker '{name}' is unknown: choose tensorboard, wandb or trackio")
