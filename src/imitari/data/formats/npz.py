"""npz: one file of numpy arrays; imitari's own exact form, and the forms that several projects published."""

from __future__ import annotations

import json
import os
import re
import zipfile
import zlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from imitari.core.columns import ArrayColumn, Column, TextColumn
from imitari.core.demos import ENDINGS, Demos, EpisodeTable, Provenance
from imitari.core.episode import Array, Ending
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.data.formats._assemble import Draft, LateColumn, assemble, is_image, observation_name, wanted
from imitari.data.opening import ReadOptions, notice

HEADER = "imitari"  # JSON text: spec, table, provenance, vocabularies; its presence marks our own form
OBS, ACTIONS, REWARDS = ("observations", "obs"), ("actions", "acts"), ("rewards", "rews")
ALWAYS_SOLVED = "kinder/"  # recordings of these environments keep successful episodes only


def detect(path: Path) -> bool:
    return path.suffix == ".npz" and path.is_file()


def read(path: Path, options: ReadOptions) -> Demos:
    """Our own form, exactly as it was written, or one of these, recognised by its keys:

    observations / obs (T or T + 1 rows an episode), actions / acts, rewards / rews, and where episodes end: `lengths`,
    `indices` (cut points), or the flags `terminals` and `timeouts`. `terminal` and other arrays with one entry an
    episode go to the episodes' source. Object arrays are pickles and are left out with a notice.
    """
    arrays = _Arrays(path)
    return _read_own(path, arrays, options) if HEADER in arrays else _read_foreign(path, arrays, options)


def write(demos: Demos, path: Path) -> None:
    """Every column of every row, bit for bit, the final observations and the provenance."""
    table = demos.table
    rows = demos.rows(final=True)
    header: dict[str, Any] = {
        "spec": demos.spec.to_json(),
        "provenance": demos.provenance.to_json(),
        "source": list(table.source),
        "columns": {},
    }
    arrays = {
        "/length": table.length,
        "/rows": table.rows,
        "/ended": table.ended,
        "/success": table.success,
    }
    for key, column in demos.columns.items():
        if isinstance(column, TextColumn):
            header["columns"][key] = {"texts": column.vocabulary.tolist()}
            arrays[key] = column.codes.take(rows)
        else:
            header["columns"][key] = {"shape": [len(rows), *column.shape[1:]], "dtype": column.dtype.name}
            arrays[key] = column.take(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **{HEADER: np.array(json.dumps(header))}, **arrays)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


class _Arrays(Mapping[str, Array]):
    """The arrays of a file, each read when asked for; damage is one clear error, an array of objects None."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._opened("") as file:
            self._names = list(file.files)

    def __getitem__(self, key: str) -> Array:
        if key not in self._names:
            raise KeyError(key)
        with self._opened(f"column '{key}' ") as file:
            return file[key]

    def holds_objects(self, key: str) -> bool:
        """Whether an array is pickled: known from its header, without loading it."""
        with self._opened(f"column '{key}' ") as file, file.zip.open(f"{key}.npy") as member:
            version = np.lib.format.read_magic(member)
            read_header = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
            return version[0] in read_header and read_header[version[0]](member)[2].hasobject

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    @contextmanager
    def _opened(self, what: str) -> Generator[Any]:
        try:
            # numpy leaves a file open that turns out to be damaged, so it is opened here.
            with self.path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
                yield file
        except PermissionError:
            raise
        except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error) as error:
            raise UserError(
                f"{self.path}: {what}is cut off or damaged ({error}): copy or record the file again"
            ) from error


def _read_own(path: Path, arrays: _Arrays, options: ReadOptions) -> Demos:
    try:
        header = json.loads(str(arrays[HEADER]))
        spec = Spec.from_json(header["spec"])
        length, rows = arrays["/length"], arrays["/rows"]
        about = header["columns"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: its header is damaged ({error}): convert the data again") from error
    obs = {key: value for key, value in spec.obs.items() if value.kind != "image" or wanted(key, options)}
    columns: dict[str, Column] = {}
    for key, entry in about.items():
        if key in spec.obs and key not in obs:
            continue
        if key not in arrays:
            raise UserError(f"{path}: column '{key}' is missing: convert the data again")
        columns[key] = _own_column(path, arrays, key, entry, key in spec.images)
        if columns[key].shape[0] != int(rows.sum()):
            raise UserError(
                f"{path}: column '{key}' has {columns[key].shape[0]} rows, not {int(rows.sum())}: convert it again"
            )
    table = EpisodeTable.of(length, final=rows > length, source=header["source"])
    ended, success = arrays["/ended"].astype(np.int8), arrays["/success"].astype(np.int8)
    table = EpisodeTable(table.start, table.length, table.rows, ended, success, table.source)
    steps = (*header["provenance"]["steps"], f"read from {header['provenance']['path']}, kept as npz")
    return Demos(Spec(obs, spec.action), columns, table, Provenance(str(path), "npz", steps))


def _own_column(path: Path, arrays: _Arrays, key: str, about: dict[str, Any], image: bool) -> Column:
    if "texts" in about:
        return TextColumn(ArrayColumn(arrays[key]), about["texts"])
    if image:
        return LateColumn(tuple(about["shape"]), about["dtype"], lambda: ArrayColumn(arrays[key]))
    return ArrayColumn(arrays[key])


def _read_foreign(path: Path, arrays: _Arrays, options: ReadOptions) -> Demos:
    found = _readable(arrays)
    action = _first(found, ACTIONS)
    if action is None:
        have = ", ".join(found) or "nothing readable"
        raise UserError(f"{path}: column 'actions' is missing: it holds {have}; rename the one with the actions")
    lengths = _lengths(path, found, len(action))
    parts = _Parts(path, len(action), len(lengths))
    obs, reward = _first(found, OBS), _first(found, REWARDS)
    if obs is not None:
        parts.rows[_observation(obs)] = obs
    for key, value in found.items():
        parts.add(key, value)
    parts.check_rows()
    ends = np.cumsum(lengths)
    spans = [slice(int(end - length), int(end)) for end, length in zip(ends, lengths, strict=True)]
    drafts = [parts.draft(number, span, action, reward) for number, span in enumerate(spans)]
    return assemble(path, "npz", drafts, options)


class _Parts:
    """The arrays of a file, sorted by what their length says: one entry a step, an observation, an episode, or one."""

    def __init__(self, path: Path, steps: int, count: int) -> None:
        self.path, self.steps, self.count, self.final = path, steps, count, steps + count
        self.rows: dict[str, Array] = {}
        self.extra: dict[str, Array] = {}
        self.episodes: dict[str, Array] = {}
        self.common: dict[str, Any] = {}

    def add(self, key: str, value: Array) -> None:
        if value.ndim == 0:
            self.common[key] = value.item()
        elif len(value) == self.count:
            self.episodes["seed" if key == "seeds" else key] = value
        elif len(value) == self.steps:
            self.extra[key] = value
        elif len(value) == self.final:
            self.rows[observation_name(key)] = value
        else:
            rows = len(value)
            notice(f"{self.path}: column '{key}' has {rows} rows, neither one a step nor one an episode: left out")

    def check_rows(self) -> None:
        for key, value in self.rows.items():
            if len(value) not in (self.steps, self.final):
                raise UserError(
                    f"{self.path}: column '{key}' has {len(value)} rows for {self.steps} actions in {self.count} "
                    f"episodes: {self.steps} or {self.final} are needed; copy or convert the data again"
                )

    def draft(self, number: int, span: slice, action: Array, reward: Array | None) -> Draft:
        obs = {key: value[_rows(span, number, len(value) == self.final)] for key, value in self.rows.items()}
        source = {**self.common, **{key: value[number].tolist() for key, value in self.episodes.items()}}
        if "env_id" in source and "seed" in source:
            source["task_name"] = re.sub(r"-v\d+$", "", str(source["env_id"]))  # as tasks are named here
        extra = {key: value[span] for key, value in self.extra.items()}
        solved = str(self.common.get("env_id", "")).startswith(ALWAYS_SOLVED)
        return Draft(
            name=str(number),
            action=action[span],
            obs=obs,
            reward=None if reward is None else reward[span],
            extra=extra,
            ended="terminated" if solved else _ended(source, extra),
            success=True if solved else None,
            source=source,
        )


def _readable(arrays: _Arrays) -> dict[str, Array]:
    skipped = [key for key in arrays if arrays.holds_objects(key)]
    if skipped:
        notice(f"{arrays.path}: {', '.join(skipped)} hold pickled objects, which are never loaded: left out")
    return {key: arrays[key] for key in arrays if key not in skipped}


def _first(found: dict[str, Array], names: tuple[str, ...]) -> Array | None:
    return next((found.pop(name) for name in names if name in found), None)


def _lengths(path: Path, found: dict[str, Array], steps: int) -> Array:
    """Episode lengths from `lengths`, from the cut points `indices`, or from the flags of D4RL; one episode without."""
    if "lengths" in found:
        lengths = found.pop("lengths").astype(np.int64)
    elif "indices" in found:
        lengths = np.diff(found.pop("indices").astype(np.int64), prepend=0, append=steps)
    elif "terminals" in found:
        last = found["terminals"].astype(bool).reshape(-1)
        last = last | found["timeouts"].astype(bool).reshape(-1) if "timeouts" in found else last
        if len(last) != steps:
            raise UserError(f"{path}: column 'terminals' has {len(last)} rows for {steps} actions: copy the data again")
        lengths = np.diff(np.union1d(np.flatnonzero(last) + 1, [steps]), prepend=0)
    else:
        notice(f"{path}: says nowhere where episodes end (lengths, indices, terminals): read as one episode")
        lengths = np.array([steps], np.int64)
    if lengths.sum() != steps or (lengths < 0).any():
        raise UserError(
            f"{path}: column 'lengths' sums to {int(lengths.sum())}, but there are {steps} actions: copy the data again"
        )
    return lengths


def _rows(span: slice, number: int, final: bool) -> slice:
    return slice(span.start + number, span.stop + number + 1) if final else span


def _observation(values: Array) -> str:
    return observation_name("img", image=True) if is_image(values.shape, values.dtype) else observation_name("state")


def _ended(source: dict[str, Any], extra: dict[str, Array]) -> Ending:
    """`terminal` of the old form (one flag an episode), or the flags of D4RL at the last step."""
    if "terminal" in source:
        return "terminated" if source["terminal"] else "truncated"
    for number, key in ((1, "terminals"), (2, "timeouts")):
        if key in extra and len(extra[key]) and bool(np.any(extra[key][-1])):
            return ENDINGS[number]
    return "unknown"
