"""Demonstrations made on the spot, in memory: by a task's scripted expert, a noisy one, or no expert at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from imitari.core.demos import Demos, Provenance
from imitari.core.episode import Array, Episode, Obs
from imitari.core.interaction import Decide, Decision, interact
from imitari.core.task import Actor, Task
from imitari.data.procedures import traced


def demonstrate(
    task: Task,
    seeds: Sequence[int],
    *,
    noise: float = 0.0,
    record_noise: bool = True,
    actor: Actor | None = None,
    together: int = 50,
    only_successes: bool = False,
) -> Demos:
    """One episode a seed.

    Args:
        task: where; needs an expert unless `actor` is given.
        seeds: of the starts.
        noise: standard deviation of Gaussian noise on the executed action, as a share of the action's range.
        record_noise: store the action that was executed; False: what the expert wanted.
        actor: acts in the place of the task's expert.
        together: environments stepped together.
        only_successes: drop episodes that the task does not count as solved.
    """
    episodes: list[Episode] = []
    for first in range(0, len(seeds), together):
        group = seeds[first : first + together]
        world = task.make(len(group))
        who = actor or task.expert(world)
        decide = _noisy(task, noise, record_noise, int(group[0])) if noise else None
        episodes += interact(who, world, group, decide=traced(who, decide))
        world.close()
    kept = [episode for episode in episodes if episode.success or not only_successes]
    named = [replace(episode, source={**episode.source, **task.about(int(episode.source["seed"]))}) for episode in kept]
    name = type(actor).__name__ if actor else "scripted expert"
    step = f"{name}, noise {noise:g}, starts {seeds[0]} to {seeds[-1]}"
    return Demos.from_episodes(named, task.spec, Provenance(f"made in {task.name}", "memory", (step,)))


def _noisy(task: Task, noise: float, record_noise: bool, seed: int) -> Decide:
    rng = np.random.default_rng([seed, 0x401])
    feature = task.spec.action
    low = np.asarray(feature.low if feature.low is not None else -1.0)
    high = np.asarray(feature.high if feature.high is not None else 1.0)

    def decide(obs: Obs, proposal: Array) -> Decision:
        shaken = proposal + noise * (high - low) * rng.standard_normal(proposal.shape)
        execute = np.clip(shaken, low, high).astype(proposal.dtype)
        return Decision(execute, execute if record_noise else proposal, {})

    return decide
