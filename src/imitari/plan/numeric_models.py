"""The numeric part of one learned action: where it was seen to be possible, and what it makes of the values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from imitari.core.episode import Array
from imitari.plan.grounding import TOLERANCE
from imitari.plan.model import Change, Comparison, Fact, Linear
from imitari.plan.spans import HullFailed, Points, Span, facets


@dataclass(frozen=True)
class NumericModel:
    """Attributes:
    functions: the columns of `explains`.
    comparisons: hull and equations of the observed values.
    changes: one of every function that ever changed.
    perfect: whether no other linear effects fit.
    unsafe: why there is none of these; "" where there is.
    """

    functions: tuple[Fact, ...]
    comparisons: tuple[Comparison, ...] = ()
    changes: tuple[Change, ...] = ()
    perfect: bool = True
    unsafe: str = ""

    def explains(self, rows: Array) -> bool:
        """Whether rows (N, 2F) of values before and after are allowed and come out as predicted."""
        before, after = np.split(rows, 2, axis=1)
        left, is_equation = self._conditions
        slack = before @ left[:, :-1].T + left[:, -1]
        inside = (slack >= -TOLERANCE) & (~is_equation | (slack <= TOLERANCE))
        predicted = before @ self._effects[:, :-1].T + self._effects[:, -1]
        return bool(not self.unsafe and inside.all() and (np.abs(predicted - after) <= TOLERANCE).all())

    @cached_property
    def _conditions(self) -> tuple[Array, Array]:
        rows = [self._row(one.left) for one in self.comparisons]
        equation = np.array([one.relation == "=" for one in self.comparisons], bool)
        return np.array(rows).reshape(len(rows), len(self.functions) + 1), equation

    @cached_property
    def _effects(self) -> Array:
        rows = np.eye(len(self.functions), len(self.functions) + 1)
        for change in self.changes:
            rows[self.functions.index(change.function)] = self._row(change.after)
        return rows

    def _row(self, expression: Linear) -> list[float]:
        weights = [float(expression.weight.get(function, 0)) for function in self.functions]
        return [*weights, float(expression.constant)]


def numeric_model(functions: Sequence[Fact], reads: Sequence[bool], rows: Array) -> NumericModel:
    """The safe numeric model of what was observed.

    Args:
        functions: F functions of the action's parameters.
        reads: (F,) whether condition and effects may depend on it. A function that changes may depend on itself too.
        rows: (N, 2F) values before and after, every pair once.
    """
    names = tuple(functions)
    before, after = np.split(rows, 2, axis=1)
    own = [number for number, one in enumerate(reads) if one]
    changing: list[int] = np.flatnonzero((np.abs(after - before) > TOLERANCE).any(0)).tolist()
    try:
        comparisons, perfect = _region([names[number] for number in own], before[:, own])
    except HullFailed as error:
        return NumericModel(names, unsafe=f"no hull of the observed values: {error}")
    changes: list[Change] = []
    for number in changing:
        columns = own if number in own else [*own, number]
        effect = _effect(
            [names[column] for column in columns],
            names[number],
            before[:, columns],
            before[:, number],
            after[:, number],
        )
        if effect is None:
            return NumericModel(names, unsafe=f"no linear effect on {names[number]} fits all steps")
        changes.append(effect)
        if number not in own:
            tie = _tie([names[column] for column in columns], before[:, columns])
            perfect &= tie is None
            comparisons += [tie] if tie else []
    model = NumericModel(names, tuple(comparisons), tuple(changes), perfect)
    if not model.explains(rows):
        return NumericModel(names, unsafe="its own observations do not satisfy it")
    return model


def _region(names: list[Fact], values: Array) -> tuple[list[Comparison], bool]:
    """Equations of the affine span of values (N, F) and facets of their hull in it; whether it has all dimensions."""
    if not names:
        return [], True
    points = Points.of(values)
    span = Span.of(points)
    found = [_equation(names, span, column) for column in span.tied]
    if span.free:
        free = list(span.free)
        corners = np.unique(points.whole[:, free].astype(np.int64), axis=0).astype(object)
        for normal, bound in facets(corners):
            weights = {
                names[column]: Fraction(-part * points.scale[column]) for column, part in zip(free, normal, strict=True)
            }
            found.append(Comparison(Linear.of(weights, bound)).whole())
    return found, not span.tied


def _equation(names: Sequence[Fact], span: Span, column: int) -> Comparison:
    """That a tied column has its value."""
    return Comparison(_tied(names, span, column) - Linear.value_of(names[column]), "=").whole()


def _tied(names: Sequence[Fact], span: Span, column: int) -> Linear:
    weights, constant = span.tied[column]
    return Linear.of({names[free]: weight for free, weight in zip(span.free, weights, strict=True)}, constant)


def _tie(names: Sequence[Fact], values: Array) -> Comparison | None:
    """The equation that ties the last column to those before it; None where it is free."""
    span = Span.of(Points.of(values))
    last = len(names) - 1
    return _equation(names, span, last) if last in span.tied else None


def _effect(names: list[Fact], function: Fact, values: Array, before: Array, after: Array) -> Change | None:
    """What the function becomes, from values (N, F) of the functions that it may depend on; None: nothing linear.

    Among expressions that agree on all that was observed, a constant difference is preferred, then the regression on
    the free columns. Where the function itself is in the expression it is written as an increase: planners reject
    assignments that go round in circles.
    """
    difference = Points.of((after - before)[:, None])
    if len(difference.whole) == 1:
        constant = Fraction(difference.whole[0, 0], difference.scale[0])
        return Change(function, "increase", Linear((), constant))
    span = Span.of(Points.of(np.column_stack([values, after])))
    last = len(names)
    if last not in span.tied:
        return None
    becomes = _tied(names, span, last)
    if function in becomes.weight:
        return Change(function, "increase", becomes - Linear.value_of(function))
    return Change(function, "assign", becomes)
