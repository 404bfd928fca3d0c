"""Random small numeric domains, and random walks in them: what the tests of the planning layer learn from."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from imitari.plan.grounding import ONE, States, World
from imitari.plan.model import Action, Change, Comparison, Condition, Domain, Fact, Linear, Problem, Signature, Step
from imitari.plan.traces import Transitions

OBJECTS = {"a": "thing", "b": "thing", "c": "part"}
WEIGHTS = (-2, -1, 1, 2, Fraction(1, 2))


def _pick(rng: np.random.Generator, items: list[Fact], most: int) -> list[Fact]:
    return [items[n] for n in rng.permutation(len(items))[: rng.integers(0, most + 1)]]


def _linear(rng: np.random.Generator, functions: list[Fact]) -> Linear:
    weights = {fact: Fraction(WEIGHTS[rng.integers(len(WEIGHTS))]) for fact in _pick(rng, functions, 2)}
    return Linear.of(weights, int(rng.integers(-3, 5)))


def _lifted(signatures: tuple[Signature, ...], terms: list[str]) -> list[Fact]:
    found = []
    for one in signatures:
        rows: list[tuple[str, ...]] = [()]
        for _ in one.types:
            rows = [(*row, term) for row in rows for term in terms]
        found += [Fact(one.name, row) for row in rows]
    return found


def random_domain(rng: np.random.Generator) -> Domain:
    """Two predicates, three functions, three actions with up to two parameters, and a constant that they may name."""
    predicates = (Signature("p", ("thing",)), Signature("q", ("thing", "thing")), Signature("r"))
    functions = (Signature("f", ("thing",)), Signature("g"), Signature("h"))
    actions = []
    for number in range(3):
        kinds = ["thing", "part"]
        parameters = tuple((f"?x{n}", kinds[int(rng.random() < 0.2)]) for n in range(rng.integers(0, 3)))
        terms = [name for name, _ in parameters] + (["k"] if rng.random() < 0.5 else [])
        facts, values = _lifted(predicates, terms), _lifted(functions, terms)
        literals = tuple((fact, bool(rng.random() < 0.6)) for fact in _pick(rng, facts, 2))
        sides = [_linear(rng, values) for _ in range(rng.integers(0, 3))]
        comparisons = tuple(Comparison(left, ">=").whole() for left in sides if left.weights)
        touched = _pick(rng, facts, 3)
        changes = []
        for fact in _pick(rng, values, 2):
            kind = "increase" if rng.random() < 0.6 else "assign"
            changes.append(Change(fact, kind, _linear(rng, values)))
        half = len(touched) // 2
        actions.append(
            Action(
                f"act{number}",
                parameters,
                Condition(literals, comparisons),
                tuple(touched[half:]),
                tuple(touched[:half]),
                tuple(changes),
            )
        )
    return Domain("random", {"thing": "object", "part": "thing"}, {"k": "thing"}, predicates, functions, tuple(actions))


def random_state(rng: np.random.Generator, world: World) -> States:
    vocabulary = world.vocabulary
    facts = rng.random((1, len(vocabulary.facts))) < 0.4
    return States(facts, rng.integers(-1, 6, (1, len(vocabulary.functions))).astype(np.float64))


def random_walk(rng: np.random.Generator, world: World, state: States, length: int) -> Transitions:
    """Allowed random steps."""
    states, steps = [state], []
    for _ in range(length):
        options = []
        for schema in world.schemas.values():
            bindings = schema.bindings
            rows = np.zeros(len(bindings), np.int64)
            options += [(schema, bindings[n : n + 1]) for n in np.flatnonzero(schema.allowed(state, bindings, rows))]
        if not options:
            break
        schema, binding = options[rng.integers(len(options))]
        state = schema.apply(state, binding, ONE)
        if np.abs(state.values).max(initial=0) > 1000:
            break
        states.append(state)
        steps.append(Step(schema.action.name, tuple(world.vocabulary.objects[n] for n in binding[0])))
    return Transitions.of(world.vocabulary, States.joined(states), steps)


def problem_between(world: World, before: States, after: States, parts: np.ndarray) -> Problem:
    """From one state to what some facts and values (numbered together) of another are."""
    vocabulary = world.vocabulary
    count = len(vocabulary.facts)
    literals = tuple((vocabulary.facts[n], bool(after.facts[0, n])) for n in parts if n < count)
    comparisons = tuple(
        Comparison(
            Linear.of({vocabulary.functions[n - count]: Fraction(1)}, -Fraction(float(after.values[0, n - count]))), "="
        ).whole()
        for n in parts
        if n >= count
    )
    facts = frozenset(vocabulary.facts[n] for n in np.flatnonzero(before.facts[0]))
    values = {name: Fraction(float(value)) for name, value in zip(vocabulary.functions, before.values[0], strict=True)}
    return Problem("between", "random", OBJECTS, facts, values, Condition(literals, comparisons))
