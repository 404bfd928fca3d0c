"""Run folders compared, two or many: outcomes that exist are used, those that lack are made."""

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
from imitari.evaluate.many import Ranking, rank, rank_sequentially
from imitari.evaluate.outcomes import read_outcomes
from imitari.jobs.evaluation import OUTCOMES, evaluate
from imitari.jobs.report import labels_of
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
    field = Field([a, b], task, show=show and not sequential)
    names = short_names(a, b)
    starts, outcomes = field.starts(first, episodes, sequential), field.outcomes
    if not sequential:
        return compare(outcomes(0, starts), outcomes(1, starts), names)

    def batches() -> Iterator[list[Pair]]:
        for begin in range(0, len(starts), BATCH):
            group = starts[begin : begin + BATCH]
            yield list(zip(outcomes(0, group), outcomes(1, group), strict=True))

    return compare_sequentially(batches(), len(starts), names)


def rank_runs(
    folders: Sequence[Path],
    *,
    task: str | None = None,
    first: int | None = None,
    episodes: int | None = None,
    sequential: bool = False,
    test: str | None = None,
    milestones: int = 0,
    show: bool = True,
) -> Ranking:
    """Any number of run folders, all pairs at one error rate; arguments as of `compare_runs`.

    Args:
        test: see `evaluate.many.FIXED` and `SEQUENTIAL`; None: the first of them.
        milestones: of the task: compare the completion of its milestones, not success.
    """
    if milestones and (sequential or test):
        raise UserError("task completion is compared by Welch's test over a fixed number of starts: leave out the test")
    field = Field(folders, task, show=show and not sequential)
    starts, names = field.starts(first, episodes, sequential), labels_of(folders)
    if sequential:
        return rank_sequentially(field.outcomes, starts, names, test=test, batch=BATCH)
    outcomes = [field.outcomes(number, starts) for number in range(len(folders))]
    return rank(outcomes, names, metric="completion" if milestones else "success", test=test, milestones=milestones)


class Field:
    """The contenders of a comparison in one task.

    Args:
        folders: written by trainings.
        task: None: the one of the trainings.
        show: progress of rollouts.
    """

    def __init__(self, folders: Sequence[Path], task: str | None, show: bool) -> None:
        self.contenders, self.show = [Contender.load(folder) for folder in folders], show
        self.task = task or _common_task(self.contenders)
        self._known = [contender.known(self.task) for contender in self.contenders]
        # Made only where an outcome lacks: a comparison of finished evaluations needs no simulator.
        self._worlds = [cache(partial(task_of, contender.agent, self.task)) for contender in self.contenders]

    def starts(self, first: int | None, episodes: int | None, sequential: bool) -> list[int]:
        return _starts(self._known, first, episodes, sequential)

    def outcomes(self, number: int, starts: Sequence[int]) -> list[Outcome]:
        """Of contender `number` at the starts."""
        have = {row.start: row for row in self._known[number]}
        if all(start in have for start in starts):
            return [have[start] for start in starts]
        return self.contenders[number].on(self._worlds[number](), starts, self.show)


def _common_task(contenders: Sequence[Contender]) -> str:
    names = [contender.agent.facts.get("task") for contender in contenders]
    if not all(names):
        raise UserError("a run was trained without a task: say where to compare with --task")
    other = next((name for name in names if name != names[0]), None)
    if other is not None:
        raise UserError(f"the runs were trained for different tasks ({names[0]}, {other}): choose one with --task")
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
