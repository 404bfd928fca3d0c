"""Acting by plan: plans at the start of every episode, follows them, and plans anew where it comes out differently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.symbols import Symbols
from imitari.plan.action_models import LearnedModel
from imitari.plan.grounding import ONE, States, Vocabulary, World
from imitari.plan.model import Problem, Step
from imitari.plan.planners import Planned, Planner
from imitari.plan.reading import Reading
from imitari.plan.shortening import Way

NO_CHOICE = -1
NEAR = 1e-4  # of values that count as the same


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

    @staticmethod
    def none(count: int, length: int, vocabulary: Vocabulary) -> Followed:
        """Of `count` fresh episodes, with room for plans of `length` steps."""
        width = len(vocabulary.facts) + len(vocabulary.functions)
        return Followed(
            np.full((count, length), NO_CHOICE),
            np.zeros((count, length, width), np.float32),
            np.zeros(count, np.int64),
            np.zeros(count, np.int64),
        )

    def give(self, row: int, choices: Array, states: States) -> None:
        """From now on the plan of an episode: choices (T,), and the states before each (as many or more)."""
        count = min(len(choices), self.choices.shape[1])
        self.place[row] = 0
        self.choices[row] = NO_CHOICE
        self.choices[row, :count] = choices[:count]
        self.awaited[row, :count] = _together(states.pick(np.arange(count)))

    def due(self) -> Array:
        """(B,) the choices that are due, -1 where there is none."""
        every, place = np.arange(len(self.place)), np.minimum(self.place, self.choices.shape[1] - 1)
        return np.where(self.place < self.choices.shape[1], self.choices[every, place], NO_CHOICE)

    def expected(self, states: States) -> Array:
        """(B,) whether a choice is due, and due in this state."""
        every, place = np.arange(len(self.place)), np.minimum(self.place, self.choices.shape[1] - 1)
        near = np.abs(self.awaited[every, place] - _together(states)) < NEAR
        return (self.due() != NO_CHOICE) & near.all(1)


def _together(states: States) -> Array:
    return np.concatenate([states.facts, states.values], 1).astype(np.float32)


@dataclass(frozen=True)
class Plan:
    """A plan of the learned model in the words of the task.

    Attributes:
        planned: what the planner said.
        steps: of the true actions.
        choices: (T,) the task's choices.
        states: before every step, as predicted, and after the last.
        done: whether it is what was done before, and no planner's.
    """

    planned: Planned
    steps: tuple[Step, ...]
    choices: Array
    states: States
    done: bool = False


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
        return Followed.none(count, self.length, self.reading.vocabulary)

    def act(self, obs: Obs, memory: Followed) -> Array:
        """Observations name -> (B, ...) to choices (B, 1). Changes `memory`. Who has no plan makes the first choice."""
        return np.maximum(self.propose(obs, memory), 0)

    def propose(self, obs: Obs, memory: Followed) -> Array:
        """As `act`; -1 where there is no plan."""
        states = self.reading.states(obs)
        every = np.arange(len(states))
        arrived = self.goal(states, np.zeros((len(states), 0), np.int64), every)
        asks = ~memory.expected(states) & ~arrived & (memory.plans < self.plans)
        for row in np.flatnonzero(asks):
            plan = self.plan(self.reading.problem_at(states, int(row)))
            memory.plans[row] += 1
            memory.give(int(row), plan.choices, plan.states)
        chosen = memory.due()
        memory.place += 1
        return chosen[:, None]

    def plan(self, problem: Problem) -> Plan:
        """A plan of the learned model; no steps where there is none."""
        planned = self.planner(self.model.domain, problem)
        states = self._predicted(problem, planned.plan)
        steps = tuple(self.model.true_step(step) for step in planned.plan)
        choices = np.array([self.reading.choice(step) for step in steps], np.int64)
        return Plan(planned, steps, choices, states)

    def made(self, way: Way) -> Plan:
        """What was done, as a plan."""
        choices = np.array([self.reading.choice(step) for step in way.steps], np.int64)
        return Plan(Planned("solved", way.steps, 0.0), way.steps, choices, way.states, done=True)

    def _predicted(self, problem: Problem, plan: Sequence[Step]) -> States:
        states = [self.world.vocabulary.start(problem)]
        for step in plan:
            states.append(self.world.schemas[step.action].apply(states[-1], self.world.binding(step), ONE))
        return States.joined(states)
