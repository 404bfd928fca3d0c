"""Breadth-first search over whole layers of states as arrays: shortest plans of small problems, without any planner.

States that differ only in which of several alike objects is which count as one: where no word has two arguments, an
object is what is said of it alone, and a state is how many objects of each kind there are. States are told apart by
codes of 64 bits; that two get the same one may lose a plan, and never gives a wrong one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imitari.core.episode import Array
from imitari.plan.grounding import NOBODY, ONE, States, Vocabulary, World
from imitari.plan.model import Domain, Fact, Problem, Step
from imitari.plan.planners import Planned

MOST_STATES = 30_000
TOGETHER = 4096  # states that are left at once


class Codes:
    """(states) -> (N,) codes of 64 bits; equal for states that are equal up to alike objects.

    Args:
        vocabulary: facts and functions.
        named: objects that are not like any other (those of the goal; constants are not either).
    """

    def __init__(self, vocabulary: Vocabulary, named: set[str]) -> None:
        rng = np.random.default_rng(0xC0DE)
        words = (*vocabulary.domain.predicates, *vocabulary.domain.functions)
        alike = all(len(word.types) <= 1 for word in words)
        own = {name: name for name in (*vocabulary.domain.constants, *named)}
        groups = [own.get(name, vocabulary.types[name]) if alike else name for name in vocabulary.objects]
        salts: dict[tuple[str, ...], np.uint64] = {}

        def weights(facts: Sequence[Fact]) -> tuple[Array, Array]:
            """Of every column the object that it is of (or one more than there are), and its weight."""
            place, weight = np.full(len(facts), len(groups)), np.zeros(len(facts), np.uint64)
            for column, fact in enumerate(facts):
                single = alike and len(fact.terms) == 1
                key = (fact.name, groups[vocabulary.number[fact.terms[0]]]) if single else (fact.name, *fact.terms, "")
                place[column] = vocabulary.number[fact.terms[0]] if single else len(groups)
                weight[column] = salts.setdefault(
                    key, rng.integers(1 << 63, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
                )
            return place, weight

        self.count = len(groups) + 1
        self.facts, self.functions = weights(vocabulary.facts), weights(vocabulary.functions)

    def __call__(self, states: States) -> Array:
        rounded = np.round(states.values * 1e6).astype(np.int64).view(np.uint64)
        parts = (states.facts.astype(np.uint64), self.facts), (_mixed(rounded), self.functions)
        objects = np.zeros((len(states), self.count), np.uint64)
        for value, (place, weight) in parts:
            for object_ in np.unique(place):
                columns = place == object_
                objects[:, object_] += (value[:, columns] * weight[columns]).sum(1, dtype=np.uint64)
        objects[:, :-1] = _mixed(objects[:, :-1])
        return _mixed(objects).sum(1, dtype=np.uint64)


def _mixed(value: Array) -> Array:
    """Bits of 64-bit numbers thoroughly stirred (the finaliser of splitmix64)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@dataclass(frozen=True)
class _Layer:
    """States that are reached first after the same number of steps; of each the row before and the step."""

    states: States
    codes: Array
    parent: Array
    schema: Array
    binding: Array  # objects, filled up with -1


def breadth_first(domain: Domain, problem: Problem, seconds: float = 60.0, most: int = MOST_STATES) -> Planned:
    """A shortest plan, "none" when there is none, "timeout" beyond the seconds or the number of states."""
    began = time.monotonic()
    world = World(domain, problem.objects)
    goal = world.goal(problem)
    codes = Codes(world.vocabulary, _named(problem))
    start = world.vocabulary.start(problem)
    if goal(start, NOBODY, ONE)[0]:
        return Planned("solved", (), time.monotonic() - began)
    layers = [_Layer(start, codes(start), ONE, ONE, NOBODY)]
    seen = layers[0].codes
    while time.monotonic() - began < seconds and len(seen) < most:
        layer = _grown(world, layers[-1].states, codes, seen)
        if layer is None:
            return Planned("none", (), time.monotonic() - began)
        seen = np.union1d(seen, layer.codes)
        layers.append(layer)
        count = len(layer.states)
        reached = np.flatnonzero(goal(layer.states, np.zeros((count, 0), np.int64), np.arange(count)))
        if len(reached):
            return Planned("solved", _steps(world, layers, int(reached[0])), time.monotonic() - began)
    return Planned("timeout", (), time.monotonic() - began)


def _named(problem: Problem) -> set[str]:
    facts = [fact for fact, _ in problem.goal.literals]
    facts += [fact for comparison in problem.goal.comparisons for fact, _ in comparison.left.weights]
    return {term for fact in facts for term in fact.terms}


def _grown(world: World, states: States, codes: Codes, seen: Array) -> _Layer | None:
    """The states that one more step reaches for the first time; None where there is none."""
    width = max((len(schema.action.parameters) for schema in world.schemas.values()), default=0)
    found: list[_Layer] = []
    for number, schema in enumerate(world.schemas.values()):
        for first in range(0, len(states), TOGETHER):
            part = states.pick(np.arange(first, min(first + TOGETHER, len(states))))
            rows, bindings = schema.matches(part)
            after = schema.apply(part, bindings, rows)
            own = codes(after)
            fresh = np.unique(own, return_index=True)[1]
            fresh = np.sort(fresh[~np.isin(own[fresh], seen)])
            padded = np.full((len(fresh), width), -1)
            padded[:, : bindings.shape[1]] = bindings[fresh]
            kinds = np.full(len(fresh), number)
            found.append(_Layer(after.pick(fresh), own[fresh], rows[fresh] + first, kinds, padded))
    if not sum(len(part.codes) for part in found):
        return None
    every = np.concatenate([part.codes for part in found])
    kept = np.sort(np.unique(every, return_index=True)[1])
    joined = [np.concatenate([getattr(part, name) for part in found])[kept] for name in ("parent", "schema", "binding")]
    return _Layer(States.joined([part.states for part in found]).pick(kept), every[kept], *joined)


def _steps(world: World, layers: list[_Layer], row: int) -> tuple[Step, ...]:
    schemas = list(world.schemas.values())
    steps: list[Step] = []
    for layer in reversed(layers[1:]):
        action = schemas[int(layer.schema[row])].action
        objects = layer.binding[row][: len(action.parameters)]
        steps.append(Step(action.name, tuple(world.vocabulary.objects[number] for number in objects)))
        row = int(layer.parent[row])
    return tuple(reversed(steps))
