"""Two run folders compared: outcomes that exist are used, those that lack are made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from imitari.core.errors import UserError
from imitari.core.outcome import Outcome
from imitari.core.starts import FIRST_TEST
from imitari.core.task import Task
from imitari.evaluate.compare import Comparison, Pair, compare, compare_sequentially
from imitari.evaluate.outcomes import read_outcomes
from imitari.jobs.evaluation import OUTCOMES, evaluate
from imitari.jobs.surroundings import task_of
from imitari.learn.agent import Agent

BATCH = 10  # pairs between two looks of a sequential comparison


@dataclass
class Contender:
    """A run folder with its agent and what is known of it."""

    folder: Path
    agent: Agent

    @staticmethod
    def load(folder: Path) -> Contender:
        return Contender(folder, Agent.load(folder))

    def known(self, task: str) -> list[Outcome]:
        """Outcomes of exactly this agent; rows of an earlier training in the same folder are left out."""
        path = self.folder / OUTCOMES
        rows = read_outcomes(path) if path.exists() else []
        identity = self.agent.identity()
        return [row for row in rows if row.policy == identity and row.task == task]

    def on(self, task: Task, starts: Sequence[int], show: bool) -> list[Outcome]:
        return evaluate(self.agent, task, starts, self.folder / OUTCOMES, show=show)


def compare_runs(
    a: Path,
    b: Path,
    *,
    task: str | None = None,
    first: int | None = None,
    episodes: int | None = None,
    sequential: bool = False,
    show: bool = True,
) -> Comparison:
    """The comparison of two run folders.

    Args:
        a, b: written by a training.
        task: default: the one of the trainings.
        first, episodes: starts to compare on; default: all that either was evaluated on, or 100 new ones.
        sequential: look after every few pairs and stop when the winner is clear; `episodes` is the budget.
    """
    contenders = Contender.load(a), Contender.load(b)
    name = task or _common_task(contenders)
    names = short_names(a, b)
    known = [contender.known(name) for contender in contenders]
    starts = _starts(known, first, episodes, sequential)
    # Made only where an outcome lacks: a comparison of finished evaluations needs no simulator.
    worlds = [cache(partial(task_of, contender.agent, name)) for contender in contenders]

    def outcomes(number: int, group: Sequence[int]) -> list[Outcome]:
        have = {row.start: row for row in known[number]}
        if all(start in have for start in group):
            return [have[start] for start in group]
        return contenders[number].on(worlds[number](), group, show and not sequential)

    if not sequential:
        return compare(outcomes(0, starts), outcomes(1, starts), names)

    def batches() -> Iterator[list[Pair]]:
        for begin in range(0, len(starts), BATCH):
            group = starts[begin : begin + BATCH]
            yield list(zip(outcomes(0, group), outcomes(1, group), strict=True))

    return compare_sequentially(batches(), len(starts), names)


def _common_task(contenders: tuple[Contender, Contender]) -> str:
    names = [contender.agent.facts.get("task") for contender in contenders]
    if not all(names):
        raise UserError("a run was trained without a task: say where to compare with --task")
    if names[0] != names[1]:
        raise UserError(f"the runs were trained for different tasks ({names[0]}, {names[1]}): choose one with --task")
    return str(names[0])


def _starts(known: list[list[Outcome]], first: int | None, episodes: int | None, sequential: bool) -> list[int]:
    if episodes is not None and episodes < 1:
        raise UserError(f"--episodes is {episodes}: it must be at least 1")
    if first is None and episodes is None and not sequential:
        seen = sorted({row.start for rows in known for row in rows})
        if seen:
            return seen
    first = FIRST_TEST if first is None else first
    return list(range(first, first + (episodes or (200 if sequential else 100))))


def short_names(a: Path, b: Path) -> tuple[str, str]:
    """The last parts of two paths, as many as tell them apart."""
    first, second = a.resolve().parts, b.resolve().parts
    for count in range(1, max(len(first), len(second)) + 1):
        names = "/".join(first[-count:]), "/".join(second[-count:])
        if names[0] != names[1]:
            return names
    return "A", "B"
