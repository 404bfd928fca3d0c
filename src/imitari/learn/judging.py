"""Judges of single actions for tasks that bring none: a trained agent's critics, or critics fitted to an expert."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from imitari.core.batch import Batch
from imitari.core.demos import Demos, Provenance
from imitari.core.episode import ACTION, Array, Obs
from imitari.core.errors import UserError
from imitari.core.interaction import Decision, interact
from imitari.core.spec import Spec
from imitari.core.starts import judging_starts
from imitari.core.task import Actor, Task
from imitari.data.sampling import Batches, Transitions
from imitari.learn.agent import Agent
from imitari.learn.interveners import JudgeFor
from imitari.learn.learner import Lagged, Learner
from imitari.learn.optim import Optim
from imitari.learn.prior_data import box_scaler
from imitari.learn.run import Run
from imitari.learn.scaled import DeviceScaler
from imitari.nets.critics import Critics

STREAM = 0x70D6E
NEXT = "next_action"


def judge_named(name: str, task: Task, run: Run, steps: int = 10_000) -> JudgeFor | None:
    """(world) -> Judge, for the setting `judge` of a method.

    Args:
        name: "task": the task's own (None where it has none); "fitted": `FittedJudge` of the task's expert; else the
            folder of a trained agent with critics (of the methods that learn Q).
        task: where.
        run: seed, device and folder of the training that needs the judge.
        steps: updates of a fitted judge.

    Raises:
        UserError: when the folder holds no agent, or one without critics.
    """
    if name == "task":
        return task.judge_for
    if name == "fitted":
        return fitted_judge(task, run, Fitting(steps=steps))
    agent = Agent.load(Path(name), run.device).seeing_itself(name)
    critics = getattr(agent.learner, "critics", None)
    if not isinstance(critics, Critics):
        raise UserError(
            f"{name}: its method '{agent.method.name()}' has no critics to judge with: give another --judge"
        )
    agent.check(task.spec, f"task '{task.name}'")
    judge = CriticJudge(agent, critics, agent.spec, DeviceScaler(agent.scaler, agent.spec, agent.device))
    return lambda world: judge


@dataclass
class CriticJudge:
    """Q_ref is the mean of some critics, the reference policy whoever they were trained for.

    Attributes:
        actor: the reference policy, without memory.
        critics: of (scaled observations, scaled actions).
        spec: what the critics see.
        scale: of both.
    """

    actor: Actor
    critics: Critics
    spec: Spec
    scale: DeviceScaler

    def reference(self, obs: Obs) -> Array:
        return self.actor.act(obs, self.actor.reset(len(next(iter(obs.values())))))[0]

    @torch.no_grad()
    def values(self, obs: Obs, actions: Array) -> Array:
        scaled = {key: self.scale.scale(key, obs[key]) for key in self.spec.obs}
        each = self.scale.scale(ACTION, np.moveaxis(actions, 0, 1))
        return self.critics(scaled, each).mean(0).T.cpu().numpy()


@dataclass(frozen=True)
class Fitting:
    """How a judge is fitted.

    Attributes:
        episodes: of the expert with noise.
        shaken: share of their steps in which the action is drawn uniformly from the box.
        steps, batch, lr: of Adam.
        gamma: discount a step.
        tau: share of the critics that their targets take over a step.
        hidden, critics: of the networks.
    """

    episodes: int = 50
    shaken: float = 0.3
    steps: int = 10_000
    batch: int = 256
    lr: float = 3e-4
    gamma: float = 0.99
    tau: float = 0.005
    hidden: tuple[int, ...] = (256, 256)
    critics: int = 2


def fitted_judge(task: Task, run: Run, how: Fitting | None = None) -> JudgeFor:
    """Critics fitted to the expert's return: policy evaluation by temporal differences on its own, shaken episodes.

    Q(s, a) is regressed to r + gamma Q'(s', expert(s')), which needs the expert's actions, but nobody's near-optimal
    critic. Its episodes have starts of their own; seed and settings decide everything.

    Raises:
        UserError: when the task has no expert.
    """
    how = how or Fitting()
    demos, follow = shaken_episodes(task, run.seed, how)
    scaler = box_scaler(demos.spec, demos)
    scale = DeviceScaler(scaler, demos.spec, run.place)
    inner = Run(seed=run.seed, device=run.device, precision="fp32", folder=run.folder, show=run.show)
    learner = inner.build(lambda: ValueOfExpert(demos.spec, how))
    inner.identity = {"judge": repr(how), "task": task.name}
    batches = Batches(Transitions(demos, 1, how.gamma, extra=(NEXT,)), how.batch, run.seed)

    def with_next(number: int) -> Batch:
        batch = batches(number)
        batch.extra[NEXT] = scaler.scalings[ACTION].apply(batch.extra[NEXT])
        return batch

    inner.train(learner, with_next, Optim(lr=how.lr), how.steps, scale, stage="judge")
    learner.requires_grad_(False)
    assert isinstance(learner, ValueOfExpert)
    return lambda world: CriticJudge(follow(world), learner.critics, demos.spec, scale)


def shaken_episodes(task: Task, seed: int, how: Fitting) -> tuple[Demos, Any]:
    """Episodes of the expert with some actions drawn at random, with the column `next_action`, what the expert does
    after each step; and (world) -> the expert."""
    seeds = judging_starts(seed, how.episodes)
    world = task.make(how.episodes)
    expert, rng, spec = task.expert(world), np.random.default_rng([seed, STREAM]), task.spec
    low, high = np.asarray(spec.action.low or -1.0), np.asarray(spec.action.high or 1.0)

    def shake(obs: Obs, proposal: Array) -> Decision:
        drawn = rng.uniform(low, high, proposal.shape).astype(proposal.dtype)
        executed = np.where(rng.random((len(proposal), 1)) < how.shaken, drawn, proposal)
        return Decision(executed, executed, {"wanted": proposal})

    episodes = interact(expert, world, seeds, decide=shake)
    world.close()
    for episode in episodes:
        wanted = episode.extra.pop("wanted")
        # What follows the last step is asked for only where the episode was cut off; the last wish stands in for it.
        episode.extra[NEXT] = np.concatenate([wanted[1:], wanted[-1:]])
    return Demos.from_episodes(episodes, spec, Provenance(f"made in {task.name}")), task.expert


class ValueOfExpert(Learner):
    """Critics of a policy whose next actions are in the batch."""

    def __init__(self, spec: Spec, how: Fitting) -> None:
        super().__init__()
        self.critics = Critics(spec, how.hidden, how.critics, norm=True)
        self.target = Lagged(self.critics, how.tau)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        with torch.no_grad():
            value: Tensor = self.target(batch.next_obs, batch.extra[NEXT]).mean(0)
            backup = batch.reward + batch.discount * value
        return {"value_loss": ((self.critics(batch.obs, batch.action) - backup) ** 2).mean()}
