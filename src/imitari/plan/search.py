"""Breadth-first search over whole layers of states as arrays: shortest plans of small problems, without any planner."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from imitari.core.episode import Array
from imitari.plan.grounding import NOBODY, ONE, States, World
from imitari.plan.model import Domain, Problem, Step
from imitari.plan.planners import Planned

MOST_STATES = 1_000_000
PAIRS = 1 << 18  # states times bindings that are tried at once


@dataclass(frozen=True)
class _Layer:
    """States that are reached first after the same number of steps; of each the state before, and the step."""

    states: States
    parent: Array
    schema: Array
    binding: Array


def breadth_first(domain: Domain, problem: Problem, seconds: float = 60.0, most: int = MOST_STATES) -> Planned:
    """A shortest plan, "none" when there is none, "timeout" beyond the seconds or the number of states."""
    began = time.monotonic()
    world = World(domain, problem.objects)
    goal = world.goal(problem)
    start = world.vocabulary.start(problem)
    layers = [_Layer(start, ONE, ONE, ONE)]
    if goal(start, NOBODY, ONE)[0]:
        return Planned("solved", (), time.monotonic() - began)
    seen = set(start.keys.tolist())
    while time.monotonic() - began < seconds and len(seen) < most:
        layer = _grown(world, layers[-1].states, seen)
        if layer is None:
            return Planned("none", (), time.monotonic() - began)
        layers.append(layer)
        count = len(layer.states)
        reached = np.flatnonzero(goal(layer.states, np.zeros((count, 0), np.int64), np.arange(count)))
        if len(reached):
            return Planned("solved", _steps(world, layers, int(reached[0])), time.monotonic() - began)
    return Planned("timeout", (), time.monotonic() - began)


def _grown(world: World, states: States, seen: set[bytes]) -> _Layer | None:
    """The states that one more step reaches for the first time; None where there is none."""
    found: list[_Layer] = []
    for number, schema in enumerate(world.schemas.values()):
        bindings = schema.bindings
        together = max(1, PAIRS // max(1, len(bindings)))
        for first in range(0, len(states), together):
            part = np.arange(first, min(first + together, len(states)))
            rows, which = np.repeat(part, len(bindings)), np.tile(np.arange(len(bindings)), len(part))
            allowed = np.flatnonzero(schema.allowed(states, bindings[which], rows))
            rows, which = rows[allowed], which[allowed]
            after = schema.apply(states, bindings[which], rows)
            fresh = _fresh(after, seen)
            kinds = np.full(len(fresh), number)
            found.append(_Layer(after.pick(fresh), rows[fresh], kinds, which[fresh]))
    if not sum(len(part.states) for part in found):
        return None
    return _Layer(
        States.joined([part.states for part in found]),
        *(np.concatenate([getattr(part, name) for part in found]) for name in ("parent", "schema", "binding")),
    )


def _fresh(states: States, seen: set[bytes]) -> Array:
    """Rows of states that were not seen, each once; from now on they were."""
    rows: list[int] = []
    for row, key in enumerate(states.keys.tolist()):
        if key not in seen:
            seen.add(key)
            rows.append(row)
    return np.array(rows, np.int64)


def _steps(world: World, layers: list[_Layer], row: int) -> tuple[Step, ...]:
    schemas = list(world.schemas.values())
    steps: list[Step] = []
    for layer in reversed(layers[1:]):
        schema = schemas[int(layer.schema[row])]
        objects = schema.bindings[int(layer.binding[row])]
        steps.append(Step(schema.action.name, tuple(world.vocabulary.objects[number] for number in objects)))
        row = int(layer.parent[row])
    return tuple(reversed(steps))
