"""Observations as states of a planning domain, choices as its steps: what a task's `Symbols` say, as array lookups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from functools import cached_property

import numpy as np

from imitari.core.demos import Demos
from imitari.core.episode import ACTION, Array, Obs
from imitari.core.errors import UserError
from imitari.core.symbols import Symbols
from imitari.core.task import Task
from imitari.plan.grounding import NOBODY, States, Vocabulary
from imitari.plan.model import Domain, Fact, Problem, Step
from imitari.plan.pddl import read_domain, read_fact, read_plan, read_problem
from imitari.plan.traces import Transitions


class Reading:
    """A task's symbols, ready to be applied.

    Attributes:
        domain: words; its actions have neither conditions nor effects.
        problem: objects and goal.
        vocabulary: of both.
        steps: of every choice its step, with variables.
    """

    def __init__(self, symbols: Symbols) -> None:
        self.symbols = symbols
        self.domain: Domain = read_domain(symbols.domain, "the task's words")
        self.problem: Problem = read_problem(symbols.problem, "the task's problem")
        self.vocabulary = Vocabulary(self.domain, self.problem.objects)
        self.steps = [read_plan(text)[0] for text in symbols.actions]
        self._facts = [(key, place, code, self._column(text)) for key, place, code, text in symbols.facts]
        self._values = [(key, place, self._column(text, numeric=True)) for key, place, text in symbols.values]
        self.relevant: dict[str, tuple[str, ...]] = dict(symbols.relevant)

    def _column(self, text: str, *, numeric: bool = False) -> int:
        return int(self.vocabulary.column(read_fact(text), numeric=numeric)(NOBODY)[0])

    def states(self, obs: Mapping[str, Array]) -> States:
        """Observations name -> (N, ...), in recorded units, as N states."""
        flat = {key: np.asarray(value).reshape(len(value), -1) for key, value in obs.items()}
        count = len(next(iter(flat.values())))
        facts = np.zeros((count, len(self.vocabulary.facts)), bool)
        values = np.zeros((count, len(self.vocabulary.functions)))
        for key, places, codes, columns in self._fact_groups:
            facts[:, columns] = np.round(flat[key][:, places]) == codes
        for key, place, column in self._values:
            values[:, column] = flat[key][:, place]
        return States(facts, values)

    @cached_property
    def _fact_groups(self) -> list[tuple[str, Array, Array, Array]]:
        keys = dict.fromkeys(key for key, *_ in self._facts)
        rows = {key: np.array([row[1:] for row in self._facts if row[0] == key]).T for key in keys}
        return [(key, *rows[key]) for key in keys]

    def problem_at(self, states: States, row: int) -> Problem:
        """The task's problem from one of the states."""
        names, functions = self.vocabulary.facts, self.vocabulary.functions
        facts = frozenset(names[column] for column in np.flatnonzero(states.facts[row]))
        values = {
            function: Fraction(float(value)).limit_denominator(10_000)
            for function, value in zip(functions, states.values[row], strict=True)
        }
        return replace(self.problem, facts=facts, values=values)

    def done(self, states: States, choices: Array) -> list[Step]:
        """The steps that choices (N,) are in N states.

        Raises:
            UserError: where a variable is bound to no object.
        """
        bound = {variable: self._bound(read_fact(text), states) for variable, text in self.symbols.bound}
        found: list[Step] = []
        for row, choice in enumerate(choices.reshape(-1).tolist()):
            step = self.steps[int(choice)]
            objects = tuple(bound[term][row] if term in bound else term for term in step.objects)
            found.append(Step(step.action, objects))
        return found

    def _bound(self, fact: Fact, states: States) -> list[str]:
        """(N,) the object of which the fact is true."""
        vocabulary = self.vocabulary
        bindings = np.arange(len(vocabulary.objects))[:, None]
        variable = next(term for term in fact.terms if term.startswith("?"))
        columns = vocabulary.column(fact, positions={variable: 0})(bindings)
        true = states.facts[:, columns] & (columns >= 0)
        if (true.sum(1) != 1).any():
            row = int(np.flatnonzero(true.sum(1) != 1)[0])
            raise UserError(
                f"observation {row}: {fact} is true of {int(true[row].sum())} objects, and must be of one: the data "
                "was not recorded in this task"
            )
        return [vocabulary.objects[number] for number in true.argmax(1)]

    def choice(self, step: Step) -> int:
        """The choice that a step is, whatever its variables stand for.

        Raises:
            UserError: when the task has no such action.
        """
        for fixed, number in self._choices.get(step.action, []):
            if all(step.objects[place] == name for place, name in fixed):
                return number
        raise UserError(f"the task has no action {step}: its plan cannot be carried out")

    @cached_property
    def _choices(self) -> dict[str, list[tuple[tuple[tuple[int, str], ...], int]]]:
        found: dict[str, list[tuple[tuple[tuple[int, str], ...], int]]] = {}
        for number, step in enumerate(self.steps):
            fixed = tuple((place, name) for place, name in enumerate(step.objects) if not name.startswith("?"))
            found.setdefault(step.action, []).append((fixed, number))
        return found

    def transitions(self, demos: Demos) -> Transitions:
        """All steps of the demonstrations of which it is known where they led."""
        table = demos.table
        whole = [int(start) + np.arange(int(rows) - 1) for start, rows in zip(table.start, table.rows, strict=True)]
        rows = np.concatenate([np.zeros(0, np.int64), *whole])
        before, after = (self.states(self._observed(demos, rows + later)) for later in (0, 1))
        steps = self.done(before, demos.columns[ACTION].take(rows))
        return Transitions(self.vocabulary, before, after, tuple(steps))

    def _observed(self, demos: Demos, rows: Array) -> Obs:
        keys = {key for key, *_ in (*self._facts, *self._values)}
        for key in keys:
            if key not in demos.columns:
                raise UserError(f"{demos.provenance.path}: observation '{key}' is missing: record it in this task")
        return {key: demos.columns[key].take(rows) for key in keys}


def symbols_of(task: Task | None, method: str) -> Symbols:
    """How a task is read.

    Raises:
        UserError: when there is none, or it is not in the words of planning.
    """
    if task is None:
        raise UserError(f"method '{method}' reads observations as facts, as the task says: give --task")
    if task.symbols is None:
        raise UserError(
            f"method '{method}' needs a task in the words of planning, and '{task.name}' is none: choose one such as "
            "crafting/pogo-6"
        )
    return task.symbols
