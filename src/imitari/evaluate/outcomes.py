"""outcomes.parquet: one row an episode, appended batch by batch, so that an interrupted evaluation goes on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from imitari.core.errors import UserError
from imitari.core.files import replacing
from imitari.core.outcome import Outcome

FIELDS = [entry.name for entry in dataclasses.fields(Outcome)]
OPTIONAL = {"behaviour"}  # columns that earlier versions did not write


def write_outcomes(path: Path, outcomes: Iterable[Outcome]) -> None:
    """Replaces `path` atomically."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [dataclasses.asdict(outcome) for outcome in outcomes]
    table: Any = pa.table({name: [row[name] for row in rows] for name in FIELDS})
    with replacing(path, "free some space, or copy the run folder to another place") as partial:
        pq.write_table(table, partial)


def read_outcomes(path: Path) -> list[Outcome]:
    """All rows.

    Raises:
        UserError: when the file is damaged or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{path}: is not a readable outcomes file ({error}): delete it and evaluate again") from error
    for name in FIELDS:
        if rows and name not in rows[0] and name not in OPTIONAL:
            raise UserError(f"{path}: column '{name}' is missing: evaluate again with this version")
    return [Outcome(**{name: row[name] for name in FIELDS if name in row}) for row in rows]


def paired(a: Sequence[Outcome], b: Sequence[Outcome]) -> tuple[list[Outcome], list[Outcome]]:
    """The outcomes of the starts that both have, in the order of the starts.

    Raises:
        UserError: when no start is shared.
    """
    first, second = ({outcome.start: outcome for outcome in group} for group in (a, b))
    shared = sorted(first.keys() & second.keys())
    if not shared:
        raise UserError("the two policies were not evaluated on a common start: evaluate both with the same --seeds")
    return [first[start] for start in shared], [second[start] for start in shared]


def successes(outcomes: Sequence[Outcome]) -> npt.NDArray[np.bool_]:
    """(N,) success flags."""
    return np.array([outcome.success for outcome in outcomes], bool)


def by_seed(outcomes: Sequence[Outcome], field: str = "success") -> npt.NDArray[np.float64]:
    """(training seeds, starts) values of `field`.

    Raises:
        UserError: when some training seed lacks a start that another has.
    """
    seeds = sorted({outcome.train_seed for outcome in outcomes})
    starts = sorted({outcome.start for outcome in outcomes})
    table = {(outcome.train_seed, outcome.start): float(getattr(outcome, field)) for outcome in outcomes}
    missing = [(seed, start) for seed in seeds for start in starts if (seed, start) not in table]
    if missing:
        raise UserError(
            f"training seed {missing[0][0]} was not evaluated on start {missing[0][1]}: finish the evaluation"
        )
    return np.array([[table[seed, start] for start in starts] for seed in seeds])
