"""Fitting on transitions with rewards: what offline reinforcement learning methods share."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from imitari.core.columns import ArrayColumn
from imitari.core.demos import Demos
from imitari.core.episode import REWARD
from imitari.core.errors import UserError
from imitari.core.task import Task
from imitari.data.sampling import Batches, Transitions
from imitari.data.scaling import Scaler, ScalingKind, refuse_nonfinite
from imitari.learn.agent import Agent
from imitari.learn.cloning import described, finished, fit_facts, run_updates
from imitari.learn.learner import Learner
from imitari.learn.method import Trained
from imitari.learn.optim import FusedAdamW, Optim, Schedule
from imitari.learn.policy_start import plain
from imitari.learn.run import Run
from imitari.learn.scaled import DeviceScaler

RewardScaling = Literal["none", "returns"]


@dataclass(frozen=True)
class OnTransitions(Trained):
    """Settings that methods on transitions share, with rewards or without."""

    lr: float = 3e-4  # peak learning rate
    actor_schedule: Schedule = "constant"  # of the actor's rate alone: constant or cosine
    gamma: float = 0.99  # discount a step

    def optim(self) -> Optim:
        decayed = ("actor.",) if self.actor_schedule == "cosine" else ()
        return PartlyDecayed(**dataclasses.asdict(super().optim()), decayed=decayed)


@dataclass(frozen=True)
class Offline(OnTransitions):
    """Settings that methods on transitions with rewards share."""

    n_step: int = 1  # rewards summed before bootstrapping
    reward_shift: float = 0.0  # added to every reward
    reward_scaling: RewardScaling = "none"  # "returns": best and worst episode differ by 1000


@dataclass(frozen=True)
class PartlyDecayed(Optim):
    """An `Optim` that lowers the rate of some parts of the learner to zero along a cosine.

    Attributes:
        decayed: prefixes of parameter names; the other parameters follow `schedule`.
    """

    decayed: tuple[str, ...] = ()

    def build(self, learner: Learner) -> FusedAdamW:
        optimiser = super().build(learner)
        chosen = {id(value) for name, value in learner.named_parameters() if name.startswith(self.decayed)}
        for group in list(optimiser.param_groups):
            moved = [value for value in group["params"] if id(value) in chosen]
            group["params"] = [value for value in group["params"] if id(value) not in chosen]
            group["decayed"] = False
            if moved:
                optimiser.add_param_group({**group, "params": moved, "decayed": True})
        return optimiser

    def set_rate(self, optimiser: torch.optim.Optimizer, step: int, steps: int) -> float:
        rate = super().set_rate(optimiser, step, steps)
        lowered = self.lr * dataclasses.replace(self, schedule="cosine").factor(step, steps)
        for group in optimiser.param_groups:
            if group["decayed"]:
                group["lr"] = lowered * group["scale"]
        return rate


def fit_transitions(
    method: Offline,
    demos: Demos,
    run: Run,
    task: Task | None = None,
    *,
    obs_scaling: ScalingKind = "meanstd",
    action_scaling: ScalingKind = "minmax",
    mask: str = "",
) -> Agent:
    """Fits `method.learner` to the transitions of the demonstrations.

    Args:
        method: settings.
        demos: the training part, with rewards.
        run: where and how.
        task: fills in names, bounds and periods that the data does not carry.
        mask: observation that says which choices are allowed: it is not scaled.

    Raises:
        UserError: when there are no rewards.
    """
    demos = described(demos, task)
    if demos.has_reward:
        refuse_nonfinite(demos, REWARD)
    run.identity = {**run.identity, **fit_facts(method, demos, run)}
    scaler = Scaler.fit(demos, obs_scaling, action_scaling)
    if mask in scaler.scalings:
        scaler.scalings[mask] = plain(demos.spec.obs[mask])
    learner = run.build(lambda: method.learner(demos.spec))
    scale = DeviceScaler(scaler, demos.spec, run.place)
    factor = reward_factor(demos, method.reward_scaling)
    batches = Batches(_transitions(method, demos, factor), method.batch, run.seed)
    held = _transitions(method, run.held.with_spec(demos.spec), factor) if run.held else None
    run_updates(method, learner, batches, scale, run, held)
    return finished(method, learner, scaler, demos, run)


def reward_factor(demos: Demos, scaling: RewardScaling) -> float:
    """What rewards are multiplied with: 1, or 1000 over the range of returns (Kostrikov et al. 2021, section 5.1)."""
    if scaling not in ("none", "returns"):
        raise UserError(f"reward_scaling '{scaling}' is unknown: choose none or returns")
    if scaling == "none" or not demos.has_reward:
        return 1.0
    column, table = demos.columns[REWARD], demos.table
    spans = zip(table.start.tolist(), (table.start + table.length).tolist(), strict=True)
    returns = [float(column.span(start, stop).sum()) for start, stop in spans]
    spread = max(returns) - min(returns)
    if not spread > 0:
        raise UserError(
            f"{demos.provenance.path}: column '{REWARD}' sums to {returns[0]:g} in every episode: "
            "set reward_scaling to none"
        )
    return 1000.0 / spread


def _transitions(method: Offline, demos: Demos, factor: float) -> Transitions:
    """Transitions with the reward (r + shift) * factor."""
    if demos.has_reward and (factor != 1.0 or method.reward_shift):
        column = demos.columns[REWARD]
        reward = column.take(np.arange(column.shape[0])).astype(np.float32)
        changed = ArrayColumn(((reward + method.reward_shift) * factor).astype(np.float32))
        demos = Demos(demos.spec, {**demos.columns, REWARD: changed}, demos.table, demos.provenance)
    return Transitions(demos, method.n_step, method.gamma)
