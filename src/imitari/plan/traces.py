"""Observed steps: states, what was done in them, and where it led; and the traces that planners' toolkits write.

A `.trajectory` file is one bracket of (:init ...) and, in turn, (operator: (ACTION OBJECT ...)) and (:state ...).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imitari.core.episode import Array
from imitari.core.errors import UserError
from imitari.plan.grounding import States, Vocabulary
from imitari.plan.model import Domain, Fact, Problem, Step
from imitari.plan.pddl import read_domain, read_problem, trees


@dataclass(frozen=True)
class Transitions:
    """M observed steps over one vocabulary.

    Attributes:
        before, after: M states each.
        steps: what was done.
    """

    vocabulary: Vocabulary
    before: States
    after: States
    steps: tuple[Step, ...]

    def __len__(self) -> int:
        return len(self.steps)

    @staticmethod
    def of(vocabulary: Vocabulary, states: States, steps: Sequence[Step]) -> Transitions:
        """Of one trajectory: one state more than steps."""
        every = np.arange(len(steps))
        return Transitions(vocabulary, states.pick(every), states.pick(every + 1), tuple(steps))

    def pick(self, rows: Array) -> Transitions:
        steps = tuple(self.steps[row] for row in rows)
        return Transitions(self.vocabulary, self.before.pick(rows), self.after.pick(rows), steps)


@dataclass(frozen=True)
class Trace:
    """A problem and one solution of it, as recorded."""

    problem: Problem
    transitions: Transitions


def read_file(path: Path) -> str:
    """The text of a file.

    Raises:
        UserError: when it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}): give a text file") from error


def read_folder(folder: Path) -> tuple[Domain, list[Trace]]:
    """The domain and all traces of a folder: its one domain file, NAME.pddl with NAME.trajectory.

    Raises:
        UserError: when there is no domain, or a file is damaged.
    """
    texts = {path: read_file(path) for path in sorted(folder.glob("*.pddl"))}
    domains = [path for path, text in texts.items() if "(domain" in text.lower() and "(:predicates" in text.lower()]
    if len(domains) != 1:
        raise UserError(f"{folder}: holds {len(domains)} domain files: it must hold one, beside problems and traces")
    domain = read_domain(texts[domains[0]], str(domains[0]))
    found: list[Trace] = []
    for path, text in texts.items():
        recorded = path.with_suffix(".trajectory")
        if path not in domains and recorded.exists():
            problem = read_problem(text, str(path))
            found.append(Trace(problem, read_trajectory(recorded, domain, problem.objects)))
    return domain, found


def read_trajectory(path: Path, domain: Domain, objects: Mapping[str, str]) -> Transitions:
    """The steps of a `.trajectory` file.

    Raises:
        UserError: naming the file and what is wrong in it.
    """
    where = str(path)
    entries = trees(read_file(path), where)
    vocabulary = Vocabulary(domain, objects)
    states: list[States] = []
    steps: list[Step] = []
    for entry in entries[0] if len(entries) == 1 else entries:
        if entry[0] in (":init", ":state"):
            states.append(_state(entry[1:], vocabulary, where))
        elif entry[0] == "operator:":
            steps.append(Step(entry[1][0], tuple(entry[1][1:])))
        else:
            raise UserError(f"{where}: '{entry[0]}' is neither ':init', ':state' nor 'operator:': restore the file")
    if len(states) != len(steps) + 1:
        raise UserError(f"{where}: holds {len(states)} states and {len(steps)} steps: there must be one state more")
    return Transitions.of(vocabulary, States.joined(states), steps)


def _state(entries: Sequence[list[str | list[str]]], vocabulary: Vocabulary, where: str) -> States:
    facts: list[Fact] = []
    values: dict[Fact, float] = {}
    try:
        for entry in entries:
            if entry[0] == "=":
                values[Fact(entry[1][0], tuple(entry[1][1:]))] = float(str(entry[2]))
            else:
                facts.append(Fact(str(entry[0]), tuple(map(str, entry[1:]))))
        return vocabulary.states(facts, values)
    except (UserError, ValueError) as error:
        raise UserError(f"{where}: state {error}") from error
