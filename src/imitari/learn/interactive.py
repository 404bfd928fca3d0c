"""Interaction under supervision: a policy acts, a supervisor watches, labels and takes over; episodes are recorded."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from imitari.core.demos import Demos
from imitari.core.episode import Array, Episode, Obs
from imitari.core.errors import UserError
from imitari.core.interaction import Decision, interact
from imitari.core.progress import Progress
from imitari.core.supervisor import Ruling, Supervisor
from imitari.core.task import Actor, Task, World
from imitari.data.sampling import Batches, Windows
from imitari.data.scaling import Scaler
from imitari.learn.agent import Agent
from imitari.learn.cloning import described, finished, fit_facts
from imitari.learn.method import Trained
from imitari.learn.run import Run
from imitari.learn.scaled import DeviceScaler

INTERVENTION = "intervention"  # bool: the supervisor's action was executed
ONSET = "onset"  # bool: in this step the supervisor took over from the policy
ACTOR = "actor"  # uint8: 0 the policy acted, 1 the supervisor
REASON = "reason"  # uint8: index into source["reasons"]
EXECUTED = "executed"  # the action that the world was given, where it may differ from the recorded one

Mixing = Literal["step", "episode"]


def gather(
    actor: Actor,
    task: Task,
    supervisor: Supervisor,
    seeds: Sequence[int],
    *,
    label: bool = False,
    together: int = 50,
    show: bool = False,
) -> list[Episode]:
    """Lets `actor` act under `supervisor`: one episode a seed, in the order of the seeds.

    Every step also stores the columns `intervention`, `onset`, `actor`, `reason` and `executed`; `source["reasons"]`
    says what the reason codes mean. After a take-over the actor drops the rest of a predicted chunk.

    Args:
        actor: the policy (an `Agent`, or anything that acts).
        task: where.
        supervisor: says in every step whether it takes over.
        seeds: of the starts, and of everything that is random.
        label: record the supervisor's action in every step (dataset aggregation), in the place of the executed one.
        together: environments stepped together.
        show: progress on stderr.
    """
    groups = [seeds[first : first + together] for first in range(0, len(seeds), together)]
    episodes: list[Episode] = []
    with Progress(f"{task.name}: supervised episodes", len(seeds), show=show) as progress:
        for group in groups:
            world = task.make(len(group))
            try:
                episodes += _supervised(actor, task, world, supervisor, group, label)
            finally:
                world.close()
            progress.update(len(episodes))
    return episodes


def _supervised(
    actor: Actor, task: Task, world: World, supervisor: Supervisor, seeds: Sequence[int], label: bool
) -> list[Episode]:
    watched = _Watched(actor)
    begun = False
    before = np.ones(len(seeds), bool)  # who acts from the first step on took over from nobody

    def decide(obs: Obs, proposal: Array) -> Decision:
        nonlocal begun, before
        if not begun:  # only now has the world been reset
            supervisor.begin(task, world, seeds)
            begun = True
        ruling = supervisor.decide(obs, proposal)
        mask = ruling.take_over
        executed = np.where(mask.reshape(-1, *[1] * (proposal.ndim - 1)), ruling.action, proposal)
        watched.overruled(mask)
        columns = {
            INTERVENTION: mask,
            ONSET: mask & ~before,
            ACTOR: mask.astype(np.uint8),
            REASON: ruling.reason,
            EXECUTED: executed,
        }
        before = mask
        return Decision(executed, ruling.action if label else executed, columns)

    episodes = interact(watched, world, seeds, decide=decide)
    reasons = {"reasons": list(supervisor.reasons)}
    return [
        dataclasses.replace(episode, source={**episode.source, **task.about(seed), **reasons})
        for episode, seed in zip(episodes, seeds, strict=True)
    ]


class _Watched:
    """An actor whose memory can be told that somebody else acted."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor
        self._memory: Any = None

    def reset(self, count: int, seed: int = 0) -> Any:
        self._memory = self.actor.reset(count, seed)
        return self._memory

    def act(self, obs: Obs, memory: Any) -> tuple[Array, Any]:
        action, self._memory = self.actor.act(obs, memory)
        return action, self._memory

    def overruled(self, where: Array) -> None:
        interrupt = getattr(self.actor, "interrupt", None)
        if interrupt is not None and where.any():
            interrupt(where, self._memory)


def segments(episode: Episode) -> list[Episode]:
    """The stretches in which the supervisor acted, each as an episode of its own with the actions it executed."""
    acted = np.asarray(episode.extra[INTERVENTION], bool)
    change = np.flatnonzero(np.diff(acted.astype(np.int8), prepend=0, append=0))
    return [
        Episode(
            obs={key: value[first:last] for key, value in episode.obs.items()},
            action=episode.extra[EXECUTED][first:last],
            source={**episode.source, "from_step": int(first)},
        )
        for first, last in zip(change[::2], change[1::2], strict=True)
    ]


class MixingSupervisor:
    """The task's scripted expert, acting with probability beta and labelling every step.

    The mixture policy of Ross, Gordon & Bagnell 2011: pi_i = beta_i pi* + (1 - beta_i) pi_i.

    Args:
        beta: share of the steps (or episodes) in which the expert acts.
        by: "step" draws afresh in every step, "episode" once an episode.
        seed: of the draws, together with the seed of each episode.
    """

    reasons: tuple[str, ...] = ("policy", "mixture")

    def __init__(self, beta: float, by: Mixing = "step", seed: int = 0) -> None:
        if by not in ("step", "episode"):
            raise UserError(f"mixing '{by}' is unknown: choose step or episode")
        if not 0 <= beta <= 1:
            raise UserError(f"beta is {beta}: it must lie between 0 and 1")
        self.beta, self.by, self.seed = beta, by, seed
        self._draws = np.zeros((0, 0))
        self._step = 0

    def begin(self, task: Task, world: World, seeds: Sequence[int]) -> None:
        self._expert = task.expert(world)
        self._memory = self._expert.reset(len(seeds), seed=int(seeds[0]))
        count = 1 if self.by == "episode" else task.limit
        self._draws = np.stack([np.random.default_rng([self.seed, int(seed)]).random(count) for seed in seeds], 1)
        self._step = 0

    def decide(self, obs: Obs, proposal: Array) -> Ruling:
        action, self._memory = self._expert.act(obs, self._memory)
        mask = self._draws[min(self._step, len(self._draws) - 1)] < self.beta
        self._step += 1
        return Ruling(mask, action.astype(proposal.dtype), mask.astype(np.uint8))


def clone_stage(method: Trained, demos: Demos, run: Run, task: Task, stage: str, before: Agent | None = None) -> Agent:
    """Fits `method.learner` to windows of the demonstrations, as one of several stages of a run.

    Args:
        method: its framing decides the windows.
        demos: everything gathered up to now.
        run: where and how; the stage has a resume point of its own.
        task: fills in names, bounds and periods.
        stage: name of this stage.
        before: the agent of the stage before, whose weights and scaling are the start; None: from scratch.
    """
    demos, framing = described(demos, task), method.framing()
    facts = fit_facts(method, demos, run)
    facts["start"] = before.identity() if before else "scratch"
    run.identity = {**run.identity, **facts}
    scaler = before.scaler if before else Scaler.fit(demos)
    learner = run.build(lambda: method.learner(demos.spec))
    if before:
        learner.load_state_dict(before.learner.state_dict())
    windows = Windows(demos, framing.obs_offsets, framing.action_offsets)
    scale = DeviceScaler(scaler, demos.spec, run.place)
    run.train(learner, Batches(windows, method.batch, run.seed), method.optim(), method.steps, scale, stage=stage)
    return finished(method, learner, scaler, demos, run)
