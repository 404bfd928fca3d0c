"""Planners by name: what they are asked, what they answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from imitari.plan.model import Domain, Problem, Step

Status = Literal["solved", "none", "timeout"]
PlannerName = Literal["enhsp", "enhsp_optimal", "breadth_first"]


@dataclass(frozen=True)
class Planned:
    """What a planner answers.

    Attributes:
        status: solved; none (it says that there is no plan); timeout (it did not finish, or ran out of memory).
        plan: its steps, where it is solved.
        seconds: that it took.
    """

    status: Status
    plan: tuple[Step, ...]
    seconds: float


Planner = Callable[[Domain, Problem], Planned]


def planner_named(name: PlannerName, seconds: float, states: int) -> Planner:
    """(domain, problem) -> plan.

    Args:
        name: "enhsp" (any plan), "enhsp_optimal" (a shortest one), or "breadth_first" (a shortest one of a small
            problem, without Java).
        seconds: for one plan.
        states: that breadth_first visits at most.

    Raises:
        Missing: when the planner's parts are not installed.
    """
    if name == "breadth_first":
        from imitari.plan.search import breadth_first

        return lambda domain, problem: breadth_first(domain, problem, seconds, states)
    from imitari.plan.enhsp import ask, parts

    parts()  # says at once what is missing
    return lambda domain, problem: ask(domain, problem, seconds, optimal=name == "enhsp_optimal")
