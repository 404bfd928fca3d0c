"""Shorter plans made from what was done: nothing that changed nothing, no way in a circle, one action in place of two.

Benyamin et al. 2025, "Integrating Reinforcement Learning, Action Model Learning, and Numeric Planning for Tackling
Complex Tasks" (arXiv 2502.13006), its shortening of successful episodes. Differs from the released code: two steps are
replaced until no two that follow each other can be, where that passes over them once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imitari.plan.action_models import LearnedModel
from imitari.plan.grounding import States, World
from imitari.plan.model import Step


@dataclass(frozen=True)
class Way:
    """T steps of the true actions and the T + 1 states that they went through."""

    states: States
    steps: tuple[Step, ...]

    def __len__(self) -> int:
        return len(self.steps)


def shortened(way: Way, model: LearnedModel, world: World) -> Way:
    """A way from the same start to the same end, never longer.

    By a safe model it is a plan in truth: what is left of the way was seen, and what replaces two steps is allowed by
    conditions and effects that were learned.

    Args:
        way: as it went.
        model: learned.
        world: of the model's domain and the objects of the way.
    """
    return one_for_two(without_circles(way), model, world)


def without_circles(way: Way) -> Way:
    """Every state is left only once, the way it was left last; steps that changed nothing are circles of one."""
    keys = keys_of(way.states)
    last = {key: number for number, key in enumerate(keys)}
    left: list[int] = []
    here = last[keys[0]]
    while here < len(way):
        left.append(here)
        here = last[keys[here + 1]]
    return Way(way.states.pick(np.array([*left, here])), tuple(way.steps[number] for number in left))


def one_for_two(way: Way, model: LearnedModel, world: World) -> Way:
    """From the end backwards, two steps are replaced by one action that leads from before the first to behind the
    second, as long as there are any such."""
    direct = _direct(way.states, model, world)
    keys = keys_of(way.states)
    path, steps = list(range(len(keys))), list(way.steps)
    count = len(steps) + 1
    while len(steps) < count:
        count = len(steps)
        for second in range(len(steps) - 1, 0, -1):
            step = direct.get((path[second - 1], keys[path[second + 1]]))
            if step is not None:
                del path[second]
                steps[second - 1 : second + 1] = [step]
    return Way(way.states.pick(np.array(path)), tuple(steps))


def _direct(states: States, model: LearnedModel, world: World) -> dict[tuple[int, bytes], Step]:
    """(number of a state, key of another) -> a true step that leads there, by what was learned."""
    found: dict[tuple[int, bytes], Step] = {}
    wanted = set(keys_of(states))
    for name, schema in world.schemas.items():
        rows, bindings = schema.matches(states)
        for row, key, binding in zip(rows, keys_of(schema.apply(states, bindings, rows)), bindings, strict=True):
            if key in wanted:
                objects = tuple(world.vocabulary.objects[number] for number in binding)
                found.setdefault((int(row), key), model.true_step(Step(name, objects)))
    return found


def keys_of(states: States) -> list[bytes]:
    """One key a state: equal for equal facts and values (to four decimals)."""
    values = np.round(states.values, 4) + 0.0
    rows: Sequence[bytes] = [a.tobytes() + b.tobytes() for a, b in zip(states.facts, values, strict=True)]
    return list(rows)
