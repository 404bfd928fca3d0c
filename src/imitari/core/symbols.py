"""Symbols: how the observations and actions of a task are read as facts, numbers and steps of a planning domain."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Symbols:
    """A task in the words of planning. It says what there is, not what the actions need and do.

    Attributes:
        domain: PDDL of the words: types, constants, predicates, functions, and names and parameters of the actions.
        problem: PDDL of the objects and the goal.
        facts: (observation, dimension, code, fact): the fact is true where that dimension has that value. Facts that
            are named nowhere are always false.
        values: (observation, dimension, function): the function has the value of that dimension.
        actions: of every choice of the action its step, as "(move ?here c3)".
        bound: (variable, fact): in a step the variable is the object of which the fact, as "(at ?here)", is true.
        relevant: (action, functions): all that the action's condition and effects read, where that is known; a
            function that the action changes may be read besides.
    """

    domain: str
    problem: str
    facts: tuple[tuple[str, int, int, str], ...]
    values: tuple[tuple[str, int, str], ...]
    actions: tuple[str, ...]
    bound: tuple[tuple[str, str], ...] = ()
    relevant: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> Symbols:
        def frozen(value: Any) -> Any:
            return tuple(frozen(part) for part in value) if isinstance(value, list) else value

        return Symbols(**{key: frozen(value) for key, value in data.items()})
