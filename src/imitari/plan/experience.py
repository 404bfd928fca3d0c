"""What is seen while acting, as planning needs it: the steps of all episodes once each, the ways of the last episodes;
and trials of plans in a copy of the world."""

from __future__ import annotations

import numpy as np

from imitari.core.episode import Array
from imitari.core.task import Task, World
from imitari.plan.following import NEAR, Plan
from imitari.plan.grounding import States, Vocabulary
from imitari.plan.grounding import World as Domain
from imitari.plan.reading import Reading
from imitari.plan.shortening import Way
from imitari.plan.traces import Transitions


class Experience:
    """Episodes of B environments that are stepped together.

    Steps that changed nothing are left out, and so are those that were seen before: where equal choices in equal states
    have equal consequences, they say nothing new.

    Args:
        reading: of the task.
        count: environments.
        limit: steps of an episode at most.

    Attributes:
        fresh: (B,) whether an episode begins now.
        solved: (B,) whether the episode before reached the goal.
        reached: whether any ever has.
    """

    def __init__(self, reading: Reading, count: int, limit: int) -> None:
        self.reading, self.count, self.limit = reading, count, limit
        vocabulary: Vocabulary = reading.vocabulary
        self._goal = Domain(reading.domain, reading.problem.objects).goal(reading.problem)
        shape = count, limit + 1
        self._facts = np.zeros((*shape, len(vocabulary.facts)), bool)
        self._values = np.zeros((*shape, len(vocabulary.functions)))
        self._choices = np.zeros((count, limit), np.int64)
        self._clock, self._lengths = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self._known: set[bytes] = set()
        self._before: list[States] = []
        self._after: list[States] = []
        self._done: list[Array] = []
        self._learned = 0  # of these groups, how many were handed out
        self.reached = False
        self.begin_all()

    def __len__(self) -> int:
        """Steps that differ."""
        return sum(len(one) for one in self._done)

    def begin_all(self) -> None:
        """Episodes under way are left."""
        self.fresh, self.solved = np.ones(self.count, bool), np.zeros(self.count, bool)
        self._clock[:] = 0

    def does(self, states: States, choices: Array) -> None:
        """In `states` choices (B,) are made."""
        every = np.arange(self.count)
        self._facts[every, self._clock], self._values[every, self._clock] = states.facts, states.values
        self._choices[every, self._clock] = choices
        self._clock += 1

    def led_to(self, states: States, ended: Array) -> Array:
        """Where the choices led, and which episodes (B,) ended there; returns which of those had reached the goal."""
        every = np.arange(self.count)
        before = States(self._facts[every, self._clock - 1], self._values[every, self._clock - 1])
        self._facts[every, self._clock], self._values[every, self._clock] = states.facts, states.values
        self._remember(before, self._choices[every, self._clock - 1], states)
        self.solved = np.where(ended, self.goal(states), self.solved)
        self.reached |= bool((self.solved & ended).any())
        self.fresh = ended.copy()
        self._lengths = np.where(ended, self._clock, 0)
        self._clock[ended] = 0
        return self.solved & ended

    def way(self, row: int) -> Way:
        """Of the episode that has just ended."""
        count = int(self._lengths[row])
        states = States(self._facts[row, : count + 1].copy(), self._values[row, : count + 1].copy())
        steps = self.reading.done(states.pick(np.arange(count)), self._choices[row, :count])
        return Way(states, tuple(steps))

    def unlearned(self) -> Transitions | None:
        """The steps since this was asked last; None where there are none."""
        first, self._learned = self._learned, len(self._done)
        if first == self._learned:
            return None
        before, after = States.joined(self._before[first:]), States.joined(self._after[first:])
        steps = self.reading.done(before, np.concatenate(self._done[first:]))
        return Transitions(self.reading.vocabulary, before, after, tuple(steps))

    def goal(self, states: States) -> Array:
        """(N,) whether the goal holds."""
        return self._goal(states, np.zeros((len(states), 0), np.int64), np.arange(len(states)))

    def any_goal(self, states: States) -> bool:
        return bool(self.goal(states).any())

    def _remember(self, before: States, choices: Array, after: States) -> None:
        changed = (before.facts != after.facts).any(1) | (before.values != after.values).any(1)
        fresh: list[int] = []
        for row in np.flatnonzero(changed):
            key = before.facts[row].tobytes() + before.values[row].tobytes() + choices[row].tobytes()
            if key not in self._known:
                self._known.add(key)
                fresh.append(int(row))
        if fresh:
            rows = np.array(fresh)
            self._before.append(before.pick(rows))
            self._after.append(after.pick(rows))
            self._done.append(choices[rows])

    def nothing(self) -> States:
        """No states."""
        return States(self._facts[:0, 0], self._values[:0, 0])

    def stored(self) -> dict[str, Array]:
        """All of this as arrays."""
        none = self.nothing()
        before, after = (States.joined([none, *part]) for part in (self._before, self._after))
        return {
            "seen_before_facts": before.facts,
            "seen_before_values": before.values,
            "seen_after_facts": after.facts,
            "seen_after_values": after.values,
            "seen_choices": np.concatenate([np.zeros(0, np.int64), *self._done]),
            "path_facts": self._facts,
            "path_values": self._values,
            "path_choices": self._choices,
            "path_clock": self._clock,
            "path_lengths": self._lengths,
            "fresh": self.fresh,
            "solved": self.solved,
            "reached": np.array(self.reached),
        }

    def restore(self, stored: dict[str, Array]) -> None:
        """Goes back to where `stored` was taken; nothing of it counts as handed out."""
        self._known, self._before, self._after, self._done, self._learned = set(), [], [], [], 0
        before = States(stored["seen_before_facts"], stored["seen_before_values"])
        after = States(stored["seen_after_facts"], stored["seen_after_values"])
        self._remember(before, stored["seen_choices"], after)
        self._facts, self._values = stored["path_facts"], stored["path_values"]
        self._choices, self._clock, self._lengths = (stored[f"path_{name}"] for name in ("choices", "clock", "lengths"))
        self.fresh, self.solved, self.reached = stored["fresh"], stored["solved"], bool(stored["reached"])


class Trial:
    """Tries plans in a copy of the world: the task's own rules decide, and no step is counted.

    Args:
        task: where.
        reading: of the task.
    """

    def __init__(self, task: Task, reading: Reading) -> None:
        self.task, self.reading = task, reading
        self._world: World | None = None

    def __call__(self, start: int, plan: Plan) -> bool:
        """Whether every step of the plan comes out as predicted and the last one solves the task."""
        self._world = self._world or self.task.make(1)
        self._world.reset(seed=[start])
        solved = False
        for number, choice in enumerate(plan.choices):
            if solved:
                return False
            obs, _, terminated, truncated, info = self._world.step(np.array([[choice]]))
            seen, told = self.reading.states(obs), plan.states.pick(np.array([number + 1]))
            if (seen.facts != told.facts).any() or (np.abs(seen.values - told.values) > NEAR).any():
                return False
            solved = bool(info["success"][0])
            if (terminated | truncated)[0] and not solved:
                return False
        return solved
