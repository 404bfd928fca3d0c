"""What surrounds an agent: the task that it acts in, with the pictures, the instruction and the data set it is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from imitari.core.errors import UserError
from imitari.core.spec import SOURCE
from imitari.core.task import Task
from imitari.data.mixing import circumstances
from imitari.envs import task_named
from imitari.envs.mixed import MixedTask, telling
from imitari.learn.agent import Agent

REPEATED = " (repeats "  # in the name of a task, before their number


def task_of(
    agent: Agent,
    name: str,
    source: str | None = None,
    pixels: int | None = None,
    repeats: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> Task:
    """The task `name` as `agent` must see it.

    Args:
        agent: tells the side of its pictures, the vectors of its instructions, and the data sets it was trained on.
        name: of the task.
        source: the data set whose part it plays, where it was trained on a mixture; None: in each task the one that was
            recorded there.
        pixels: side of pictures where the agent sees none, for who else looks on.
        repeats: rollouts that begin in the same state, for tasks that tell the ways of being solved apart.
        options: further ones of the task, such as a claim has.

    Raises:
        UserError: when the source is not known, or not clear.
    """
    images = agent.spec.images
    side = next(iter(images.values())).shape[0] if images else pixels
    name, _, given = name.partition(REPEATED)
    repeats = repeats or (int(given.rstrip(")")) if given else None)
    known: dict[str, Any] = {"pixels": side, "instruction": agent.facts.get("instruction"), "repeats": repeats}
    told = {key: value for key, value in known.items() if value is not None}
    task = task_named(name, **{**(options or {}), **told})
    if repeats:  # outcomes are kept by the name of the task: with other repeats, a start is another one
        task = replace(task, name=f"{task.name}{REPEATED}{repeats})")
    if SOURCE not in agent.spec.obs:
        if source:
            raise UserError(f"--source {source}: this agent was not trained on a mixture of data sets: leave it out")
        return task
    parts = task.parts if isinstance(task, MixedTask) else (task,)
    names = [source or _recorded_in(part.name, agent.facts.get("sources", {})) for part in parts]
    task = telling(task, [circumstances(agent.spec, one, task.spec.obs) for one in names])
    # Outcomes are kept by the name of the task: in another part, the agent is another policy.
    return replace(task, name=f"{task.name} (source {source})") if source else task


def _recorded_in(task: str, sources: dict[str, list[str]]) -> str:
    """The data set that holds episodes of the task."""
    found = [name for name, tasks in sources.items() if task in tasks]
    if len(found) != 1:
        raise UserError(
            f"task '{task}' belongs to {' and '.join(found) or 'none'} of the data sets that this agent was trained on "
            f"({', '.join(sources)}): choose one with --source"
        )
    return found[0]
