"""Planning with learned actions: conditions and effects in numeric PDDL from a few traces; no plan of them is invalid.

What held in all steps of an action is its condition (literals; the convex hull of the observed numbers), what changed
is its effect (literals; exact linear regression). A planner does the rest, in any problem of the domain, larger too.
NSAM (Mordoch, Juba & Stern 2023) and NSAM(+p), the offline system of Benyamin et al. 2025, "Integrating Reinforcement
Learning, Action Model Learning, and Numeric Planning for Tackling Complex Tasks" (arXiv 2502.13006), sections A to E.
Its guarantee and differences from the released code stand in `plan.action_models`. Differs otherwise: the planner is
ENHSP or our own search in the place of Metric-FF; plans are checked by our own simulator (`plan.validation`); monomials
of higher degree as columns are not there. The paper's online method is `ramp`; its offline baselines are `bc`, `gail`
and `offline_dqn`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.pictures import Picture
from imitari.core.spec import Spec
from imitari.core.starts import evaluation_starts
from imitari.core.symbols import Symbols
from imitari.core.task import Task
from imitari.data.scaling import Scaler, Scaling
from imitari.learn.agent import Agent
from imitari.learn.cloning import described, finished
from imitari.learn.method import Method, Need
from imitari.learn.run import Run
from imitari.models.planned import Planned
from imitari.plan.action_models import ActionModelLearner, LearnedModel, Negative
from imitari.plan.following import PlanFollower
from imitari.plan.pictures import timeline_of
from imitari.plan.planners import PlannerName, planner_named
from imitari.plan.reading import Reading, symbols_of

SHOWN = 6  # plans in a report


class PlanningLearner(Planned):
    """A learned domain and the task's symbols, as texts; of both a summary in numbers."""

    size: Tensor

    def __init__(self, method: ActionModels) -> None:
        super().__init__()
        self.method = method
        # Observed steps, actions, literals, inequalities, equations.
        self.register_buffer("size", torch.zeros(5))

    def know(self, model: LearnedModel, symbols: Symbols) -> None:
        super().know(model, symbols)
        kept = [report for report in model.reports if not report.unsafe]
        counts = [(one.observed, 1, one.literals, one.inequalities, one.equations) for one in kept]
        self.size.copy_(torch.tensor(np.array(counts, np.float32).reshape(-1, 5).sum(0)))

    def planning(self, model: LearnedModel, symbols: Symbols) -> PlanFollower:
        method = self.method
        planner = planner_named(method.planner, method.seconds, method.states)
        return PlanFollower(model, symbols, planner, method.length, method.plans)

    def act_recurrent(self, obs: dict[str, Tensor], state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Who has no plan makes the first choice."""
        return self.proposed(obs, state).clamp(min=0), state


@dataclass(frozen=True)
class ActionModels(Method):
    fluents_map: bool = True  # use what the task says about the numbers that an action reads
    negative: Negative = "all"  # conditions "not ..." that are kept; soft: of facts that the action adds
    planner: PlannerName = "breadth_first"  # or enhsp, enhsp_optimal (need Java)
    seconds: float = 60.0  # for one plan
    states: int = 5_000  # that breadth_first visits at most for one plan
    length: int = 100  # steps of a plan that are carried out at most
    plans: int = 2  # of one episode at most: the first, and others where it comes out differently

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {},
        "paper": {"fluents_map": False, "planner": "enhsp_optimal"},
    }
    needs: ClassVar[frozenset[Need]] = frozenset({"symbols"})
    exact: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.seconds <= 0:
            raise UserError(f"seconds is {self.seconds}: it must be above 0 (60 is usual)")

    def learner(self, spec: Spec) -> PlanningLearner:
        return PlanningLearner(self)

    def rebuilt(self, spec: Spec, parts: dict[str, Any]) -> PlanningLearner:
        learner = self.learner(spec)
        learner.recall(parts)
        return learner

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        demos = described(demos, task)
        symbols = symbols_of(task, self.name())
        reading = Reading(symbols)
        observer = ActionModelLearner(reading.domain, reading.relevant if self.fluents_map else None, self.negative)
        observer.observe(reading.transitions(demos))
        learner = run.build(lambda: self.learner(demos.spec))
        assert isinstance(learner, PlanningLearner)
        learner.know(observer.model(), symbols)
        return finished(self, learner, unscaled(demos.spec), demos, run)

    def pictures(self, agent: Agent, task: Task) -> list[Picture]:
        """Plans for the first starts that judge."""
        learner = self.moved(agent, task).learner
        assert isinstance(learner, PlanningLearner)
        return [timeline_of(learner.follower, task, evaluation_starts(SHOWN))]

    def moved(self, agent: Agent, task: Task) -> Agent:
        """The same rules in another task of the domain: of another size, with another goal."""
        learner = self.learner(task.spec)
        known = agent.learner
        assert isinstance(known, PlanningLearner)
        assert known.model is not None
        learner.know(known.model, symbols_of(task, self.name()))
        return Agent(self, learner, unscaled(task.spec), task.spec, agent.facts)


def unscaled(spec: Spec) -> Scaler:
    """Leaves codes and counts as they are."""
    shapes = {key: feature.shape for key, feature in spec.numbers.items()}
    kept = {key: (np.zeros(shape, np.float32), np.ones(shape, np.float32)) for key, shape in shapes.items()}
    return Scaler({key: Scaling("none", offset, width) for key, (offset, width) in kept.items()})
