"""Planning while learning by reward: what exploration shows becomes a model, and its plans lead and teach the policy.

One stream of episodes serves both sides. Masked proximal policy optimisation explores; from all steps the actions of a
numeric planning domain are learned; as soon as the goal was reached once, the planner is asked before an episode, and a
plan shorter than the best so far is followed in it. Its steps are learned from by the policy like the policy's own.
RAMP: Benyamin et al. 2025, "Integrating Reinforcement Learning, Action Model Learning, and Numeric Planning for
Tackling Complex Tasks" (arXiv 2502.13006), sections F to H. Demonstrations, where there are some, are learned from by
the model alone (its variant that begins with an expert's trace).
Differs from the released code: the planner is our own search or ENHSP in the place of Metric-FF, and is asked again
only where the model has changed; plans are checked in a copy of the world (VAL is not there), or by following them; of
what was done and shortened the shortest is kept and shortened again, where only the last episode is looked at; each map
has an equal share of the steps, and is begun anew; environments may be stepped together, each with its own turns. Its
baselines are `ppo` and `dqn`, with the mask "learned".
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from imitari.core.continuing import Moved
from imitari.core.demos import Demos
from imitari.core.episode import Array, Obs
from imitari.core.errors import UserError
from imitari.core.pictures import Picture
from imitari.core.spec import Spec
from imitari.core.symbols import Symbols
from imitari.core.task import Task
from imitari.learn.agent import Agent
from imitari.learn.cloning import training_starts
from imitari.learn.learner import Learner
from imitari.learn.method import Need
from imitari.learn.onpolicy import fit_onpolicy
from imitari.learn.proximal import Proximal, ProximalPolicy
from imitari.learn.run import Run
from imitari.learn.tried import LEARNED
from imitari.models.planned import Planned
from imitari.plan.action_models import ActionModelLearner, LearnedModel, Negative
from imitari.plan.experience import Experience, Trial
from imitari.plan.following import NO_CHOICE, Followed, Plan, PlanFollower
from imitari.plan.grounding import States
from imitari.plan.model import Domain, Problem
from imitari.plan.pictures import timeline_of
from imitari.plan.planners import PlannerName, planner_named
from imitari.plan.reading import Reading, symbols_of
from imitari.plan.shortening import Way, shortened

# What is counted on a map.
COUNTS = ("episodes", "planned", "found", "done_before", "refused", "failed", "best")


@dataclass(frozen=True)
class ReinforcedPlanning(Proximal):
    shortest: int = 5  # steps of a plan that nobody betters: at or below, no more plans are asked for
    check: Literal["simulator", "execution"] = "simulator"  # plans are tried in a copy of the world, or just followed
    fluents_map: bool = True  # use what the task says about the numbers that an action reads
    negative: Negative = "all"  # conditions "not ..." that are kept; soft: of facts that the action adds
    planner: PlannerName = "breadth_first"  # or enhsp, enhsp_optimal (need Java)
    seconds: float = 300.0  # for one plan
    states: int = 5_000  # that breadth_first visits at most for one plan
    plans: int = 2  # of one episode at most, after training
    maps: int = 5  # starts that are learned one after another, with equal shares of the steps
    mask: str = LEARNED  # observation that is 0 for choices that are not allowed, else 1; learned: what changed nothing
    steps: int = 24_000  # environment steps, of all maps together
    together: int = 1  # environments stepped together
    horizon: int = 32  # steps of each environment in a round: those of an episode
    batch: int = 32  # samples a batch
    clip: float = 1.0  # bound on the norm of the gradient; 0: none
    gamma: float = 0.999  # discount a step
    value_weight: float = 0.65  # of the squared error of the value
    entropy_weight: float = 0.01  # of the policy's entropy, which is rewarded
    acting: Literal["sample", "mean"] = "sample"  # where there is no plan: draws, or the mean (the likeliest choice)
    clone_steps: int = 0  # must be 0: demonstrations are learned from by the model alone

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {},
        "paper": {
            "maps": 25,
            "planner": "enhsp",
            "normalise_obs": False,
            "normalise_returns": False,
        },
    }
    needs: ClassVar[frozenset[Need]] = frozenset({"task", "symbols"})
    smoke: ClassVar[dict[str, Any]] = {
        "steps": 256, "together": 2, "horizon": 16, "epochs": 2, "batch": 8, "hidden": (16,), "maps": 2, "states": 200,
    }  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.maps < 1 or self.shortest < 0 or self.seconds <= 0:
            raise UserError(
                f"maps {self.maps}, shortest {self.shortest}, seconds {self.seconds:g}: the first must be at least 1, "
                "the second at least 0, the last above 0"
            )
        if self.clone_steps or self.policy_start or self.prior_weight:
            raise UserError("clone_steps, policy_start, prior_weight: this method begins with a new policy: leave them")

    def learner(self, spec: Spec) -> PlanningPolicy:
        return PlanningPolicy(self, spec)

    def rebuilt(self, spec: Spec, parts: dict[str, Any]) -> Learner:
        learner = self.learner(spec)
        learner.recall(parts)
        return learner

    def follower(self, model: LearnedModel, symbols: Symbols, length: int) -> PlanFollower:
        planner = planner_named(self.planner, self.seconds, self.states)
        return PlanFollower(model, symbols, planner, length, self.plans)

    def pictures(self, agent: Agent, task: Task) -> list[Picture]:
        """Plans for the maps that were learned."""
        assert isinstance(agent.learner, PlanningPolicy)
        return [timeline_of(agent.learner.follower, task, [one["start"] for one in agent.facts["maps"]])]

    def fit(self, demos: Demos | None, run: Run, task: Task | None = None) -> Agent:
        symbols = symbols_of(task, self.name())
        assert task is not None
        guide = PlannedEpisodes(self, task, symbols, demos)
        run.identity = {**run.identity, "seeds": demos.facts() if demos else None}
        agent = fit_onpolicy(self, None, run, task, guide=guide)
        assert isinstance(agent.learner, PlanningPolicy)
        agent.learner.know(guide.model(), symbols)
        agent.facts["plans"] = guide.counted()
        if demos is not None:
            starts, own = agent.facts["starts"], training_starts(demos)
            agent.facts["data"] = demos.facts()
            agent.facts["starts"] = {name: sorted({*starts.get(name, []), *own.get(name, [])}) for name in starts | own}
        return agent


class PlannedEpisodes:
    """Section F: which episodes follow a plan, and which the policy. (A guide of `learn.rollout`.)

    Args:
        method: settings.
        task: where.
        symbols: of the task.
        seeds: demonstrations that the model is learned from too, or None.
    """

    def __init__(self, method: ReinforcedPlanning, task: Task, symbols: Symbols, seeds: Demos | None) -> None:
        self.method, self.task, self.symbols = method, task, symbols
        self.reading = Reading(symbols)
        self.observer = ActionModelLearner(
            self.reading.domain, self.reading.relevant if method.fluents_map else None, method.negative
        )
        self.experience = Experience(self.reading, method.together, task.limit)
        if seeds is not None:
            self.observer.observe(self.reading.transitions(seeds))
            self.experience.reached |= self.experience.any_goal(self.reading.transitions(seeds).after)
        self.trial = Trial(task, self.reading)
        self.memory = Followed.none(method.together, task.limit, self.reading.vocabulary)
        self.planned = np.zeros(method.together, bool)  # whether the episode follows a plan
        self.counts = np.zeros((0, len(COUNTS)), np.int64)  # of the maps up to now
        self.start, self.before = 0, 0  # the map; what the best plan was before the one that is followed
        self.way: Way | None = None  # the shortest that led to the goal on this map
        self._asked: tuple[Domain, Way | None, Plan | None] | None = None

    # ---------------------------------------------------------------- the stream of episodes

    def enter(self, start: int) -> None:
        """The next map: the best plan and the flags are forgotten, the policy and the model stay."""
        self.counts = np.concatenate([self.counts, np.zeros((1, len(COUNTS)), np.int64)])
        self.start, self.way, self._asked = start, None, None
        self.planned[:] = False
        self.experience.begin_all()

    def act(self, obs: Obs, action: Array) -> Array:
        states = self.reading.states(obs)
        for row in np.flatnonzero(self.experience.fresh):
            self.begin(int(row), states)
        due = self.memory.expected(states) & self.planned
        for row in np.flatnonzero(self.planned & ~due):
            self.give_up(int(row))
        chosen = np.where(due, self.memory.due(), action[:, 0])
        self.memory.place += 1
        self.experience.does(states, chosen)
        return chosen[:, None].astype(action.dtype)

    def saw(self, moved: Moved) -> None:
        ended = moved.terminated | moved.truncated
        solved = self.experience.led_to(self.reading.states(moved.obs), ended)
        for row in np.flatnonzero(self.planned & ended & ~solved):
            self.give_up(int(row))

    # ---------------------------------------------------------------- at the start of an episode

    def begin(self, row: int, states: States) -> None:
        """Steps 1 and 2: whether this episode follows a plan."""
        self.count("episodes")
        followed, self.planned[row] = bool(self.planned[row]), False
        self.experience.fresh[row] = False
        if self.experience.solved[row]:
            self.keep(self.experience.way(row))
        best = self.best
        if followed or 0 < best <= self.method.shortest or not self.experience.reached:
            return
        plan = self.plan(self.reading.problem_at(states, row))
        if plan is not None and (best == 0 or len(plan.choices) < best):
            self.before, self.best = best, len(plan.choices)
            self.memory.give(row, plan.choices, plan.states)
            self.planned[row] = True
            self.count("planned")
            self.count("done_before" if plan.done else "found")

    def keep(self, way: Way) -> None:
        """Section G: what led to the goal, shortened, where it is the shortest of this map."""
        follower = self.method.follower(self.model(), self.symbols, self.task.limit)
        way = shortened(way, follower.model, follower.world)
        if self.way is None or len(way) < len(self.way):
            self.way = way

    def plan(self, problem: Problem) -> Plan | None:
        """Step 1b: of the planner, or else of what was done; None where neither holds. Another answer than last time is
        only to be had from another model, or where another way was found."""
        model = self.model()
        if self._asked is None or self._asked[0] != model.domain or self._asked[1] is not self.way:
            plan = self.asked(model, problem)
            self._asked = model.domain, self.way, plan
        return self._asked[2]

    def asked(self, model: LearnedModel, problem: Problem) -> Plan | None:
        follower = self.method.follower(model, self.symbols, self.task.limit)
        plan = follower.plan(problem)
        if plan.planned.status == "solved":
            if self.holds(plan):
                return plan
            self.count("refused")
        if self.way is None:
            return None
        self.way = shortened(self.way, model, follower.world)
        plan = follower.made(self.way)
        return plan if self.holds(plan) else None

    def holds(self, plan: Plan) -> bool:
        """Whether a plan is good as far as can be told before it is followed."""
        if len(plan.choices) > self.task.limit:
            return False
        return self.method.check == "execution" or self.trial(self.start, plan)

    def give_up(self, row: int) -> None:
        """A plan that is followed came out differently: it does not count."""
        self.count("failed")
        self.planned[row], self.best = False, self.before

    def model(self) -> LearnedModel:
        """What all steps up to now show."""
        fresh = self.experience.unlearned()
        if fresh is not None:
            self.observer.observe(fresh)
        return self.observer.model()

    # ---------------------------------------------------------------- what is told and kept

    @property
    def best(self) -> int:
        """Steps of the best plan of this map; 0: none."""
        return int(self.counts[-1, -1])

    @best.setter
    def best(self, steps: int) -> None:
        self.counts[-1, -1] = steps

    def count(self, name: str) -> None:
        self.counts[-1, COUNTS.index(name)] += 1

    def counted(self) -> list[dict[str, int]]:
        """Of every map: episodes; those that followed a plan; plans that the planner found, and that had been done and
        were shortened; that the check refused; that failed while they were followed; steps of the best plan."""
        return [dict(zip(COUNTS, map(int, row), strict=True)) for row in self.counts]

    def notes(self) -> dict[str, float]:
        episodes, planned = self.counts[-1, :2]
        return {
            "planned_share": float(planned / max(1, episodes)),
            "best_plan": float(self.best),
            "distinct_steps": float(len(self.experience)),
        }

    def stored(self) -> dict[str, Array]:
        way = self.way
        none = self.experience.nothing()
        return {
            **self.experience.stored(),
            **{f"memory_{field.name}": getattr(self.memory, field.name) for field in dataclasses.fields(Followed)},
            "planned": self.planned,
            "counts": self.counts,
            "numbers": np.array([self.start, self.before]),
            "way_facts": (way.states if way else none).facts,
            "way_values": (way.states if way else none).values,
            "way_choices": np.array([self.reading.choice(step) for step in way.steps] if way else [], np.int64),
        }

    def restore(self, stored: dict[str, Array]) -> None:
        self.experience.restore(stored)
        for field in dataclasses.fields(Followed):
            setattr(self.memory, field.name, stored[f"memory_{field.name}"])
        self.planned, self.counts = stored["planned"], stored["counts"]
        self.start, self.before = map(int, stored["numbers"])
        states, choices = States(stored["way_facts"], stored["way_values"]), stored["way_choices"]
        steps = self.reading.done(states.pick(np.arange(len(choices))), choices)
        self.way = Way(states, tuple(steps)) if len(choices) else None


class PlanningPolicy(Planned, ProximalPolicy):
    """A masked policy, and a learned domain with how the task is read: a plan goes before the policy."""

    def __init__(self, method: ReinforcedPlanning, spec: Spec) -> None:
        super().__init__(method, spec)
        self.method = method

    def planning(self, model: LearnedModel, symbols: Symbols) -> PlanFollower:
        return self.method.follower(model, symbols, self.method.horizon)

    def act_recurrent(self, obs: dict[str, Tensor], state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        own = self.act(obs)
        chosen = self.proposed(obs, state).to(own.device)
        return torch.where(chosen == NO_CHOICE, own, chosen), state
