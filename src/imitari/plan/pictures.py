"""Plans as pictures: what a planner would do from the first states of a task."""

from __future__ import annotations

from collections.abc import Sequence

from imitari.core.pictures import Box, Timeline
from imitari.core.task import Task
from imitari.plan.following import PlanFollower


def timeline_of(follower: PlanFollower, task: Task, starts: Sequence[int]) -> Timeline:
    """The plans for some starts of a task, one row each."""
    world = task.make(len(starts))
    try:
        obs, _ = world.reset(seed=list(starts))
    finally:
        world.close()
    states = follower.reading.states(obs)
    rows: list[tuple[str, tuple[Box, ...]]] = []
    for row, start in enumerate(starts):
        plan = follower.plan(follower.reading.problem_at(states, row))
        words = {"none": "no plan", "timeout": "no plan in time"}.get(plan.planned.status, f"{len(plan.steps)} steps")
        rows.append((f"start {start}: {words}", tuple(Box(step.action, str(step)) for step in plan.steps)))
    why = (
        "One row a start, one box an action, in their order; planned with the learned actions before anything is done."
    )
    return Timeline("Plans", why, tuple(rows))
