"""Numeric planning domains and problems: lifted actions with conjunctions of literals and linear conditions.

What there is: types in a tree, constants, predicates, numeric functions, actions whose conditions are literals, linear
comparisons and "these two differ", and whose effects add, delete, assign and increase. Numbers are exact fractions.
(PDDL 2.1 level 2 without disjunction, quantifiers and conditional effects; Fox & Long 2003.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from math import gcd, lcm
from typing import Literal

from imitari.core.errors import UserError, nearest

OBJECT = "object"  # the type above all
Relation = Literal[">=", ">", "="]


@dataclass(frozen=True, order=True)
class Fact:
    """A predicate or a numeric function with its arguments.

    Attributes:
        name: of the predicate or function.
        terms: objects and constants; a term that begins with "?" is a parameter.
    """

    name: str
    terms: tuple[str, ...] = ()

    def bound(self, binding: Mapping[str, str]) -> Fact:
        """With objects in the place of parameters."""
        return Fact(self.name, tuple(binding.get(term, term) for term in self.terms))

    def __str__(self) -> str:
        return f"({' '.join((self.name, *self.terms))})"


@dataclass(frozen=True)
class Linear:
    """sum of weight * function, plus a constant."""

    weights: tuple[tuple[Fact, Fraction], ...] = ()
    constant: Fraction = Fraction(0)

    @staticmethod
    def of(weights: Mapping[Fact, Fraction], constant: Fraction | int = 0) -> Linear:
        """Without zeros, functions in order."""
        return Linear(tuple(sorted((fact, weight) for fact, weight in weights.items() if weight)), Fraction(constant))

    @staticmethod
    def value_of(fact: Fact) -> Linear:
        return Linear(((fact, Fraction(1)),))

    @cached_property
    def weight(self) -> dict[Fact, Fraction]:
        return dict(self.weights)

    def __add__(self, other: Linear) -> Linear:
        weights = dict(self.weights)
        for fact, value in other.weights:
            weights[fact] = weights.get(fact, Fraction(0)) + value
        return Linear.of(weights, self.constant + other.constant)

    def times(self, factor: Fraction | int) -> Linear:
        return Linear.of({fact: value * factor for fact, value in self.weights}, self.constant * factor)

    def __sub__(self, other: Linear) -> Linear:
        return self + other.times(-1)

    def bound(self, binding: Mapping[str, str]) -> Linear:
        return Linear.of({fact.bound(binding): value for fact, value in self.weights}, self.constant)

    def at(self, value_of: Callable[[Fact], Fraction]) -> Fraction:
        """Its value, exactly."""
        return sum((weight * value_of(fact) for fact, weight in self.weights), self.constant)


@dataclass(frozen=True)
class Comparison:
    """`left` (a linear expression) compared with 0."""

    left: Linear
    relation: Relation = ">="

    def whole(self) -> Comparison:
        """The same condition in whole numbers without a common divisor; an equation begins with a positive weight."""
        numbers = [value for _, value in self.left.weights] + [self.left.constant]
        common = lcm(*(value.denominator for value in numbers))
        divisor = gcd(*(int(value * common) for value in numbers)) or 1
        turned = self.relation == "=" and next((value for value in numbers if value), Fraction(1)) < 0
        return Comparison(self.left.times(Fraction(-common if turned else common, divisor)), self.relation)


@dataclass(frozen=True)
class Condition:
    """All of these hold.

    Attributes:
        literals: (fact, whether it must be true).
        comparisons: of linear expressions with 0.
        distinct: pairs of terms that must not be the same object.
    """

    literals: tuple[tuple[Fact, bool], ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    distinct: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Change:
    """A numeric function gets the value of an expression, or is increased by it."""

    function: Fact
    kind: Literal["assign", "increase"]
    expression: Linear

    @property
    def after(self) -> Linear:
        """Its value after the action as an expression of values before."""
        return self.expression if self.kind == "assign" else Linear.value_of(self.function) + self.expression


@dataclass(frozen=True)
class Signature:
    """The name of a predicate, function or action, and the types of its arguments."""

    name: str
    types: tuple[str, ...] = ()


@dataclass(frozen=True)
class Action:
    """A lifted action.

    Attributes:
        parameters: (name with "?", type) in order.
        adds, deletes: facts that become true or false; what is in both becomes true.
        changes: of numeric functions, all from the values before.
    """

    name: str
    parameters: tuple[tuple[str, str], ...] = ()
    condition: Condition = Condition()
    adds: tuple[Fact, ...] = ()
    deletes: tuple[Fact, ...] = ()
    changes: tuple[Change, ...] = ()

    @property
    def signature(self) -> Signature:
        return Signature(self.name, tuple(kind for _, kind in self.parameters))


@dataclass(frozen=True)
class Step:
    """An action applied to objects."""

    action: str
    objects: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"({' '.join((self.action, *self.objects))})"


@dataclass(frozen=True)
class Domain:
    """What can be true, and what can be done.

    Attributes:
        types: name -> the type above it.
        constants: name -> type; objects that every problem has.
    """

    name: str
    types: dict[str, str] = field(default_factory=dict[str, str])
    constants: dict[str, str] = field(default_factory=dict[str, str])
    predicates: tuple[Signature, ...] = ()
    functions: tuple[Signature, ...] = ()
    actions: tuple[Action, ...] = ()

    @cached_property
    def by_name(self) -> dict[str, Action]:
        return {action.name: action for action in self.actions}

    def action(self, name: str) -> Action:
        """The action of that name.

        Raises:
            UserError: when there is none.
        """
        if name not in self.by_name:
            raise UserError(f"domain '{self.name}' has no action '{name}': {nearest(name, self.by_name)}")
        return self.by_name[name]

    def is_a(self, kind: str, above: str) -> bool:
        """Whether an object of type `kind` is one of type `above`."""
        while kind != above:
            if kind == OBJECT or kind not in self.types:
                return above == OBJECT
            kind = self.types[kind]
        return True

    def with_actions(self, actions: Iterable[Action]) -> Domain:
        """The same words with other actions."""
        return Domain(self.name, self.types, self.constants, self.predicates, self.functions, tuple(actions))


@dataclass(frozen=True)
class Problem:
    """A start and a goal.

    Attributes:
        objects: name -> type, without the domain's constants.
        facts: true at the start; all others are false.
        values: of the numeric functions at the start.
    """

    name: str
    domain: str
    objects: dict[str, str]
    facts: frozenset[Fact]
    values: dict[Fact, Fraction]
    goal: Condition
