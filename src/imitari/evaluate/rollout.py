"""Rollouts of a policy over given starts, many environments together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from imitari.core.episode import Episode
from imitari.core.interaction import interact
from imitari.core.progress import Progress
from imitari.core.task import Actor, Task


def rollout(
    actor: Actor,
    task: Task,
    seeds: Sequence[int],
    *,
    together: int = 50,
    record: bool = False,
    show: bool = False,
    done: Callable[[list[Episode]], None] | None = None,
) -> list[Episode]:
    """One episode a seed, in the order of the seeds; its `source` tells the task that the seed is a start of.

    Args:
        actor: the policy.
        task: where.
        seeds: of the starts.
        together: environments stepped together.
        record: keep the observations.
        show: progress on stderr.
        done: called with each finished group.
    """
    episodes: list[Episode] = []
    groups = [seeds[first : first + together] for first in range(0, len(seeds), together)]
    with Progress(f"{task.name}: steps", len(groups) * task.limit, show=show) as progress:
        world = None
        for number, group in enumerate(groups):
            if world is None or world.num_envs != len(group):
                if world is not None:
                    world.close()
                world = task.make(len(group))

            def tell(step: int, running: int, base: int = number * task.limit) -> None:
                progress.update(base + step, f"{running} running")

            told = interact(actor, world, group, record=record, on_step=tell)
            finished = [
                replace(episode, source={**task.about(seed), **episode.source})
                for seed, episode in zip(group, told, strict=True)
            ]
            if done:
                done(finished)
            episodes += finished
        if world is not None:
            world.close()
        progress.update(len(groups) * task.limit)
    return episodes
