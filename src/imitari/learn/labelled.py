"""Fitting on a few marked demonstrations of an expert and many of unknown quality: what such methods share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.spec import Spec
from imitari.core.task import Task
from imitari.data.curate.absorb import ABSORBED, absorbed, with_bit
from imitari.data.labelled import EXPERT, groups
from imitari.data.sampling import MixedBatches, Transitions
from imitari.data.scaling import Scaler
from imitari.learn.agent import Agent
from imitari.learn.cloning import described, finished, fit_facts, run_updates
from imitari.learn.learner import Learner
from imitari.learn.offline import OnTransitions
from imitari.learn.run import Run
from imitari.learn.scaled import DeviceScaler
from imitari.nets.critics import GaussianActor

Pretrain = Callable[[Learner, MixedBatches, DeviceScaler], None]


@dataclass(frozen=True)
class Labelled(OnTransitions):
    """Settings of methods that learn from marked and unmarked demonstrations without rewards."""

    absorbing: bool = True  # terminal states lead to themselves, marked by a bit that only values see


def fit_labelled(
    method: Labelled, demos: Demos, run: Run, task: Task | None = None, *, pretrain: Pretrain | None = None
) -> Agent:
    """Fits `method.learner` to batches of which the first half is the expert's.

    Args:
        method: settings.
        demos: the training part, with the step column `expert`.
        run: where and how.
        task: fills in names, bounds and periods that the data does not carry.
        pretrain: trains parts of the learner before the rest, given the batches.

    Raises:
        UserError: when the mark is missing, or one of the two kinds of demonstrations.
    """
    demos = described(demos, task)
    run.identity = {**run.identity, **fit_facts(method, demos, run)}
    scaler = Scaler.fit(demos, "meanstd", "minmax")
    learner = run.build(lambda: method.learner(demos.spec))
    scale = DeviceScaler(scaler, demos.spec, run.place)
    transitions = _transitions(method, demos)
    batches = MixedBatches(transitions, *groups(transitions), method.batch, run.seed)
    held = _transitions(method, run.held.with_spec(demos.spec)) if run.held else None
    if pretrain:
        pretrain(learner, batches, scale)
    run_updates(method, learner, batches, scale, run, held)
    return finished(method, learner, scaler, demos, run)


def _transitions(method: Labelled, demos: Demos) -> Transitions:
    data = absorbed(demos) if method.absorbing else demos
    return Transitions(data, 1, method.gamma, extra=(EXPERT,) if EXPERT in data.columns else (), rewards=False)


def value_spec(method: Labelled, spec: Spec) -> Spec:
    """What values see: the bit of absorbing states too."""
    return with_bit(spec) if method.absorbing else spec


def cloning_loss(actor: GaussianActor, batch: Batch, weight: Tensor) -> Tensor:
    """-weight log pi(a | s), weights (B,); nothing is done in an absorbing state."""
    if ABSORBED in batch.obs:
        weight = weight * (1 - batch.obs[ABSORBED].squeeze(-1))
    return (weight * actor(batch.obs).loss(batch.action)).mean()


def mean_where(value: Tensor, chosen: Tensor) -> Tensor:
    """Mean of `value` (..., B) over its last dimension where `chosen` (B,) is 1; 0 where nothing is."""
    return (value * chosen).sum(-1) / chosen.sum().clamp(min=1)


def rows_where(obs: dict[str, Tensor], chosen: Tensor) -> dict[str, Tensor]:
    """The rows of observations (B, ...) where `chosen` (B,) is True."""
    index = torch.nonzero(chosen).squeeze(-1)
    return {key: value[index] for key, value in obs.items()}
