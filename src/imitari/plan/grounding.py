"""Domains over given objects as arrays: states of many situations at once, which actions are allowed, what they do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from imitari.core.episode import Array
from imitari.core.errors import UserError, nearest
from imitari.plan.model import Action, Comparison, Condition, Domain, Fact, Linear, Problem, Signature, Step

# Of comparisons: what rounding of values in float64 may amount to.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class States:
    """N situations over one vocabulary.

    Attributes:
        facts: (N, P) bool.
        values: (N, F) float64.
    """

    facts: Array
    values: Array

    def __len__(self) -> int:
        return len(self.facts)

    def pick(self, rows: Array) -> States:
        return States(self.facts[rows], self.values[rows])

    @staticmethod
    def joined(parts: Sequence[States]) -> States:
        return States(np.concatenate([one.facts for one in parts]), np.concatenate([one.values for one in parts]))


class Vocabulary:
    """Every fact and numeric function of a domain over given objects.

    Args:
        domain: words and types.
        objects: name -> type; the domain's constants are added.

    Attributes:
        facts, functions: all that are right by type, in the order of the columns of `States`.
    """

    def __init__(self, domain: Domain, objects: Mapping[str, str]) -> None:
        self.domain = domain
        self.types = {**domain.constants, **objects}
        self.objects = list(self.types)
        self.number = {name: index for index, name in enumerate(self.objects)}
        self.facts, self._fact_table = self._columns(domain.predicates)
        self.functions, self._function_table = self._columns(domain.functions)

    def members(self, kind: str) -> Array:
        """Numbers of the objects of a type."""
        return np.array(
            [n for n, name in enumerate(self.objects) if self.domain.is_a(self.types[name], kind)], np.int64
        )

    def tuples(self, kinds: Sequence[str]) -> Array:
        """(K, k) all tuples of objects of these types."""
        if not kinds:
            return np.zeros((1, 0), np.int64)
        return np.stack([grid.reshape(-1) for grid in np.meshgrid(*map(self.members, kinds), indexing="ij")], 1)

    def _columns(self, signatures: Iterable[Signature]) -> tuple[list[Fact], dict[str, Array]]:
        names: list[Fact] = []
        table: dict[str, Array] = {}
        for signature in signatures:
            tuples = self.tuples(signature.types)
            columns = np.full((len(self.objects),) * len(signature.types) + (1,), -1)
            columns[tuple(tuples.T)] = len(names) + np.arange(len(tuples))[:, None]
            table[signature.name] = columns[..., 0]
            names += [Fact(signature.name, tuple(self.objects[n] for n in row)) for row in tuples]
        return names, table

    def column(self, fact: Fact, *, numeric: bool = False, positions: Mapping[str, int] | None = None) -> _Column:
        """Where a fact or function is found, given the objects that its parameters stand for.

        Args:
            fact: its parameters are keys of `positions`.
            numeric: whether it is a function.
            positions: parameter -> column of the bindings.

        Raises:
            UserError: for a word or an object that there is not.
        """
        table = self._function_table if numeric else self._fact_table
        kind = "function" if numeric else "predicate"
        if fact.name not in table:
            raise UserError(f"domain '{self.domain.name}' has no {kind} '{fact.name}': {nearest(fact.name, table)}")
        if table[fact.name].ndim != len(fact.terms):
            raise UserError(f"{kind} '{fact.name}' has {table[fact.name].ndim} arguments, not those of {fact}")
        where = positions or {}
        for term in fact.terms:
            if term not in where and term not in self.number:
                raise UserError(f"{fact}: there is no object '{term}': {nearest(term, self.number)}")
        return _Column(table[fact.name], [(where.get(term, -1), self.number.get(term, -1)) for term in fact.terms])

    def states(self, facts: Iterable[Fact], values: Mapping[Fact, float]) -> States:
        """One state: what is not said is false or 0."""
        state = States(np.zeros((1, len(self.facts)), bool), np.zeros((1, len(self.functions))))
        nobody = np.zeros((1, 0), np.int64)
        for fact in facts:
            state.facts[0, self.column(fact)(nobody)] = True
        for function, value in values.items():
            state.values[0, self.column(function, numeric=True)(nobody)] = float(value)
        return state

    def start(self, problem: Problem) -> States:
        """The start of a problem."""
        return self.states(problem.facts, {fact: float(value) for fact, value in problem.values.items()})


@dataclass(frozen=True)
class _Column:
    """bindings (M, k) -> (M,) column of a fact; -1 where an object has not the right type."""

    table: Array
    terms: list[tuple[int, int]]  # (column of the bindings or -1, else the object itself)

    def __call__(self, bindings: Array) -> Array:
        index = tuple(bindings[:, place] if place >= 0 else np.full(len(bindings), own) for place, own in self.terms)
        return self.table[index] if index else np.full(len(bindings), int(self.table))


class Test:
    """A condition over bindings: whether it holds in given states."""

    __test__ = False  # not one of pytest's

    def __init__(self, condition: Condition, vocabulary: Vocabulary, positions: Mapping[str, int]) -> None:
        self.literals = [vocabulary.column(fact, positions=positions) for fact, _ in condition.literals]
        self.signs = np.array([true for _, true in condition.literals], bool)
        names = {fact for comparison in condition.comparisons for fact, _ in comparison.left.weights}
        self.names = sorted(names)
        self.functions = [vocabulary.column(fact, numeric=True, positions=positions) for fact in self.names]
        self.matrix, self.constant = _matrix([one.left for one in condition.comparisons], self.names)
        self.relation = np.array([_relation(one) for one in condition.comparisons], np.int64)
        self.distinct = [tuple(_object_of(term, vocabulary, positions) for term in pair) for pair in condition.distinct]

    def __call__(self, states: States, bindings: Array, rows: Array) -> Array:
        """(M,) whether it holds for bindings (M, k) in the states `rows` (M,)."""
        holds = np.ones(len(rows), bool)
        for first, second in self.distinct:
            holds &= _object(first, bindings) != _object(second, bindings)
        for column, sign in zip(self.literals, self.signs, strict=True):
            index = column(bindings)
            holds &= (states.facts[rows, index] & (index >= 0)) == sign
        if len(self.relation):
            left = _gathered(states, self.functions, bindings, rows) @ self.matrix.T + self.constant
            least = np.where(self.relation > 0, TOLERANCE, -TOLERANCE)
            fits = (left >= least) & ((self.relation >= 0) | (left <= TOLERANCE))
            holds &= fits.all(1)
        return holds


class Schema:
    """A lifted action over a vocabulary."""

    def __init__(self, action: Action, vocabulary: Vocabulary) -> None:
        self.action, self.vocabulary = action, vocabulary
        positions = {name: place for place, (name, _) in enumerate(action.parameters)}
        self.allowed = Test(action.condition, vocabulary, positions)
        self.adds = [vocabulary.column(fact, positions=positions) for fact in action.adds]
        self.deletes = [vocabulary.column(fact, positions=positions) for fact in action.deletes]
        self.targets = [vocabulary.column(one.function, numeric=True, positions=positions) for one in action.changes]
        after = [one.after for one in action.changes]
        names = sorted({fact for expression in after for fact, _ in expression.weights})
        self.sources = [vocabulary.column(fact, numeric=True, positions=positions) for fact in names]
        self.matrix, self.constant = _matrix(after, names)

    @cached_property
    def bindings(self) -> Array:
        """(K, k) all tuples of objects that are right by type."""
        return self.vocabulary.tuples([kind for _, kind in self.action.parameters])

    def matches(self, states: States) -> tuple[Array, Array]:
        """All (rows (M,), bindings (M, k)) that are allowed, found parameter by parameter."""
        count, vocabulary = len(states), self.vocabulary
        rows, bindings = np.arange(count), np.zeros((count, 0), np.int64)
        for name, kind in self.action.parameters:
            members = vocabulary.members(kind)
            fits = np.ones((count, len(members)), bool)
            for fact, sign in self.action.condition.literals:
                if fact.terms == (name,):
                    columns = vocabulary.column(fact, positions={name: 0})(members[:, None])
                    fits &= (states.facts[:, columns] & (columns >= 0)) == sign
            before, which = np.nonzero(fits[rows])
            rows, bindings = rows[before], np.column_stack([bindings[before], members[which]])
        allowed = np.flatnonzero(self.allowed(states, bindings, rows))
        return rows[allowed], bindings[allowed]

    def apply(self, states: States, bindings: Array, rows: Array) -> States:
        """(M) states after the action with bindings (M, k) in the states `rows` (M,), allowed or not."""
        facts, values, every = states.facts[rows], states.values[rows], np.arange(len(rows))
        for column in self.deletes:
            facts[every, column(bindings)] = False
        for column in self.adds:
            facts[every, column(bindings)] = True
        if self.targets:
            after = _gathered(states, self.sources, bindings, rows) @ self.matrix.T + self.constant
            for number, column in enumerate(self.targets):
                values[every, column(bindings)] = after[:, number]
        return States(facts, values)


class World:
    """A domain over given objects, ready to be stepped.

    Args:
        domain: with actions.
        objects: name -> type.
    """

    def __init__(self, domain: Domain, objects: Mapping[str, str]) -> None:
        self.vocabulary = Vocabulary(domain, objects)
        self.schemas = {action.name: Schema(action, self.vocabulary) for action in domain.actions}

    def binding(self, step: Step) -> Array:
        """(1, k) the numbers of the step's objects.

        Raises:
            UserError: for an object that there is not.
        """
        for name in step.objects:
            if name not in self.vocabulary.number:
                raise UserError(f"{step}: there is no object '{name}': {nearest(name, self.vocabulary.number)}")
        return np.array([[self.vocabulary.number[name] for name in step.objects]], np.int64)

    def goal(self, problem: Problem) -> Test:
        return Test(problem.goal, self.vocabulary, {})


ONE = np.zeros(1, np.int64)  # the row of the only state
NOBODY = np.zeros((1, 0), np.int64)  # the binding of what has no parameters


def _relation(comparison: Comparison) -> int:
    return {"=": -1, ">=": 0, ">": 1}[comparison.relation]


def _matrix(expressions: Sequence[Linear], names: Sequence[Fact]) -> tuple[Array, Array]:
    matrix = np.zeros((len(expressions), len(names)))
    constant = np.zeros(len(expressions))
    for row, expression in enumerate(expressions):
        constant[row] = float(expression.constant)
        for fact, weight in expression.weights:
            matrix[row, names.index(fact)] = float(weight)
    return matrix, constant


def _gathered(states: States, columns: Sequence[_Column], bindings: Array, rows: Array) -> Array:
    """(M, m) the values of m functions."""
    out = np.empty((len(rows), len(columns)))
    for number, column in enumerate(columns):
        out[:, number] = states.values[rows, column(bindings)]
    return out


def _object_of(term: str, vocabulary: Vocabulary, positions: Mapping[str, int]) -> tuple[int, int]:
    return positions.get(term, -1), vocabulary.number.get(term, -1)


def _object(term: tuple[int, ...], bindings: Array) -> Array:
    place, own = term
    return bindings[:, place] if place >= 0 else np.full(len(bindings), own)
