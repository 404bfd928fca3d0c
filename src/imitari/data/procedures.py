"""Procedures: what an expert computed before it acted, as columns, and the samples that models of it learn from.

A procedure over a map fills in one integer a cell. Two maps a step of the episode hold all of it: what was written into
every cell and in which step of the procedure; the map after any number of steps is a comparison away (`written`).
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.episode import ACTION, Array, Obs
from imitari.core.errors import UserError
from imitari.core.interaction import Decide, Decision
from imitari.core.spec import Spec

VALUE = "procedure.value"  # (W, W) what is in each cell at the end; `BLANK` where nothing was written
STEP = "procedure.step"  # (W, W) the step, from 0 on, in which it was written; -1 where nothing was
LENGTH = "procedure.length"  # () how many steps there are
PLAN = "procedure.plan"  # (N,) the moves of a plan from its goal back to the agent's own move; -1 behind its end
BLANK = -1
CHANNELS = ("wall", "target", "agent")  # of a map
WALL, TARGET, AGENT = range(3)
MOVES = np.array([(1, 0), (0, 1), (-1, 0), (0, -1)])  # what actions add to a place (x, y); maps are indexed [x, y]


@runtime_checkable
class ProcedureExpert(Protocol):
    """An actor that logs how it came to its actions."""

    def reset(self, count: int, seed: int = 0) -> object: ...

    def act(self, obs: Obs, memory: object) -> tuple[Array, object]: ...

    def trace(self) -> dict[str, Array]:
        """Columns name -> (B, ...) of the procedure that the latest actions came from."""
        ...


def traced(actor: object, decide: Decide | None = None) -> Decide | None:
    """`decide`, and the actor's procedure as further columns; `decide` itself for an actor that logs nothing."""
    if not isinstance(actor, ProcedureExpert):
        return decide

    def decided(obs: Obs, proposal: Array) -> Decision:
        plain = decide(obs, proposal) if decide else Decision(proposal, proposal, {})
        return Decision(plain.execute, plain.record, {**plain.extra, **actor.trace()})

    return decided


def written(value: Array, step: Array, count: Array) -> Array:
    """The maps after the first `count` (B,) steps of procedures with `value` and `step` (B, W, W): (B, W, W)."""
    return np.where((step >= 0) & (step < count[:, None, None]), value, BLANK)


def map_key(spec: Spec) -> str:
    """The name of the one observation that is a map: symbols (W, W, 3) for wall, target and agent.

    Raises:
        UserError: when there is none or more than one.
    """
    width = len(CHANNELS)
    maps = [
        key
        for key, one in spec.obs.items()
        if one.kind == "symbol" and len(one.shape) == 3 and one.shape[0] == one.shape[1] and one.shape[2] == width
    ]
    if len(maps) != 1:
        seen = ", ".join(f"{key} ({one.kind} {one.shape})" for key, one in spec.obs.items())
        raise UserError(
            f"one observation must be a map of symbols (side, side, {width}: {', '.join(CHANNELS)}), as in task "
            f"tunnels/16, and among {seen or 'none'} there are {len(maps)}: choose it with --obs"
        )
    return maps[0]


class MapSteps:
    """Every step of the procedure behind every recorded action: the state, the map before and the map after.

    Args:
        demos: with the columns of a procedure.

    Batches hold `extra["before"]` and `extra["after"]` (B, W, W); observations and action are (B, 1, ...), as windows
    have them. Steps that no procedure led to (the target is reached, or out of reach) are left out.

    Raises:
        UserError: when a column is missing, or no procedure has a step.
    """

    def __init__(self, demos: Demos) -> None:
        require(demos, (VALUE, STEP, LENGTH))
        rows = demos.rows()
        lengths = demos.columns[LENGTH].take(rows).reshape(-1).astype(np.int64)
        self.demos, self._rows, self._lengths, self._ends = demos, rows, lengths, np.cumsum(lengths)
        if len(self) == 0:
            raise UserError(f"{demos.provenance.path}: column '{LENGTH}' is 0 everywhere: record longer procedures")

    def __len__(self) -> int:
        return int(self._ends[-1])

    def gather(self, index: Array, rng: np.random.Generator | None = None) -> Batch:
        columns = self.demos.columns
        number = np.searchsorted(self._ends, index, side="right")
        done = index - (self._ends[number] - self._lengths[number])
        rows = self._rows[number]
        value, step = columns[VALUE].take(rows), columns[STEP].take(rows)
        return Batch(
            obs={key: columns[key].take(rows)[:, None] for key in self.demos.spec.obs},
            action=columns[ACTION].take(rows)[:, None],
            extra={"before": written(value, step, done), "after": written(value, step, done + 1)},
        )


def require(demos: Demos, keys: tuple[str, ...]) -> None:
    """Raises UserError when a column of the procedure is missing."""
    for key in keys:
        if key not in demos.columns:
            raise UserError(
                f"{demos.provenance.path}: column '{key}' is missing, which says how the expert came to its actions: "
                "record an expert that logs it (imitari collect tunnels/16)"
            )
