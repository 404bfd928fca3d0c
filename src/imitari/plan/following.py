"""Acting by plan: plans at the start of every episode, follows them, and plans anew where it comes out differently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.symbols import Symbols
from imitari.plan.action_models import LearnedModel
from imitari.plan.grounding import ONE, States, World
from imitari.plan.model import Problem, Step
from imitari.plan.planners import Planned, Planner
from imitari.plan.reading import Reading

NO_CHOICE = -1


@dataclass
class Followed:
    """What is remembered between steps, for B episodes at once.

    Attributes:
        choices: (B, L) the plan; -1 behind its end.
        awaited: (B, L, P + F) the states (facts and values) in which its steps are due.
        place: (B,) the next step.
        plans: (B,) how many plans were asked for.
    """

    choices: Array
    awaited: Array
    place: Array
    plans: Array


@dataclass(frozen=True)
class Plan:
    """A plan of the learned model in the words of the task.

    Attributes:
        planned: what the planner said.
        steps: of the true actions.
        choices: (T,) the task's choices.
        states: before every step, as predicted, and after the last.
    """

    planned: Planned
    steps: tuple[Step, ...]
    choices: Array
    states: States


class PlanFollower:
    """Plans with a learned model in one task.

    Args:
        model: learned.
        symbols: of the task.
        planner: see `plan.planners`.
        length: steps of a plan that are carried out at most.
        plans: of one episode at most: one, and more where something comes out differently or no plan is found.
    """

    def __init__(self, model: LearnedModel, symbols: Symbols, planner: Planner, length: int, plans: int) -> None:
        self.model, self.planner, self.length, self.plans = model, planner, length, plans
        self.reading = Reading(symbols)
        self.world = World(model.domain, self.reading.problem.objects)
        self.goal = self.world.goal(self.reading.problem)

    def start(self, count: int) -> Followed:
        """Memory of `count` fresh episodes."""
        width = len(self.reading.vocabulary.facts) + len(self.reading.vocabulary.functions)
        return Followed(
            np.full((count, self.length), NO_CHOICE),
            np.zeros((count, self.length, width), np.float32),
            np.zeros(count, np.int64),
            np.zeros(count, np.int64),
        )

    def act(self, obs: Obs, memory: Followed) -> Array:
        """Observations name -> (B, ...) to choices (B, 1). Changes `memory`. Who has no plan makes the first choice."""
        states = self.reading.states(obs)
        now = np.concatenate([states.facts, states.values], 1).astype(np.float32)
        every, place = np.arange(len(now)), np.minimum(memory.place, self.length - 1)
        follows = (memory.choices[every, place] != NO_CHOICE) & (memory.place < self.length)
        follows &= (np.abs(memory.awaited[every, place] - now) < 1e-4).all(1)
        arrived = self.goal(states, np.zeros((len(now), 0), np.int64), every)
        for row in np.flatnonzero(~follows & ~arrived & (memory.plans < self.plans)):
            plan = self.plan(self.reading.problem_at(states, int(row)))
            count = min(len(plan.choices), self.length)
            memory.plans[row] += 1
            memory.place[row] = 0
            memory.choices[row] = NO_CHOICE
            memory.choices[row, :count] = plan.choices[:count]
            expected = plan.states.pick(np.arange(count))
            memory.awaited[row, :count] = np.concatenate([expected.facts, expected.values], 1)
        place = np.minimum(memory.place, self.length - 1)
        chosen = memory.choices[every, place]
        memory.place += 1
        return np.maximum(chosen, 0)[:, None]

    def plan(self, problem: Problem) -> Plan:
        """A plan of the learned model; no steps where there is none."""
        planned = self.planner(self.model.domain, problem)
        states = self._predicted(problem, planned.plan)
        steps = tuple(self.model.true_step(step) for step in planned.plan)
        choices = np.array([self.reading.choice(step) for step in steps], np.int64)
        return Plan(planned, steps, choices, states)

    def _predicted(self, problem: Problem, plan: Sequence[Step]) -> States:
        states = [self.world.vocabulary.start(problem)]
        for step in plan:
            states.append(self.world.schemas[step.action].apply(states[-1], self.world.binding(step), ONE))
        return States.joined(states)
