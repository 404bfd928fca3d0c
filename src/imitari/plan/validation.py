"""Carrying out plans: whether every step is allowed, and whether the goal is reached; our own simulator, no planner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imitari.plan.grounding import NOBODY, ONE, States, World
from imitari.plan.model import Domain, Problem, Step


@dataclass(frozen=True)
class Execution:
    """What a plan came to.

    Attributes:
        states: before every step that was carried out, and after the last.
        refused: the first step that was not allowed, None where there is none.
        reached: whether the goal holds in the last state.
    """

    states: States
    refused: Step | None
    reached: bool

    @property
    def valid(self) -> bool:
        return self.refused is None and self.reached


def execute(domain: Domain, problem: Problem, plan: Sequence[Step], world: World | None = None) -> Execution:
    """Carries out a plan from the start of the problem, up to the first step that is not allowed.

    Args:
        world: of this domain and the problem's objects, where there is one already.
    """
    world = world or World(domain, problem.objects)
    state = world.vocabulary.start(problem)
    states = [state]
    refused = None
    for step in plan:
        schema = world.schemas.get(step.action)
        binding = world.binding(step)
        if schema is None or not well_typed(world, step) or not schema.allowed(state, binding, ONE)[0]:
            refused = step
            break
        state = schema.apply(state, binding, ONE)
        states.append(state)
    return Execution(States.joined(states), refused, bool(world.goal(problem)(state, NOBODY, ONE)[0]))


def well_typed(world: World, step: Step) -> bool:
    """Whether the step's objects have the types of the action's parameters."""
    action, vocabulary = world.vocabulary.domain.action(step.action), world.vocabulary
    return len(action.parameters) == len(step.objects) and all(
        vocabulary.domain.is_a(vocabulary.types[name], kind)
        for name, (_, kind) in zip(step.objects, action.parameters, strict=True)
    )
