"""Fitting by supervised learning on windows: what every cloning method shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from imitari.core.demos import Demos
from imitari.core.episode import ACTION
from imitari.core.errors import UserError
from imitari.core.spec import SOURCE
from imitari.core.task import Task
from imitari.data.sampling import Batches, Sampler, Windows
from imitari.data.scaling import Scaler, ScalingKind
from imitari.learn.agent import Agent
from imitari.learn.learner import Learner
from imitari.learn.method import Method, Trained
from imitari.learn.precision import autocast, choose
from imitari.learn.run import Check, Run, Source
from imitari.learn.scaled import DeviceScaler

# Held-out loss is measured on this many samples, the same at every check.
CHECK_SAMPLES = 1024
# A learner that measures the actions is shown at most so many.
MEASURED = 1_000_000


def clone(
    method: Trained,
    demos: Demos,
    run: Run,
    task: Task | None = None,
    *,
    obs_scaling: ScalingKind = "minmax",
    action_scaling: ScalingKind = "minmax",
    obs_offsets: Sequence[int] | None = None,
    action_offsets: Sequence[int] | None = None,
    start: Agent | None = None,
    scaler: Scaler | None = None,
    stage: str = "train",
) -> Agent:
    """Fits `method.learner` to windows of the demonstrations.

    Args:
        method: its framing decides the windows unless offsets are given.
        demos: the training part.
        run: where and how.
        task: fills in names, bounds and periods that the data does not carry.
        start: an agent of the same method whose weights and scaling are where this begins.
        scaler: fitted by the method on the same demonstrations, in the place of `obs_scaling` and `action_scaling`.
        stage: names this fit among several of one run.
    """
    framing = method.framing()
    offsets = (obs_offsets or framing.obs_offsets, action_offsets or framing.action_offsets)
    sampler = partial(Windows, obs_offsets=offsets[0], action_offsets=offsets[1])
    return fit_samples(
        method, demos, run, task, sampler, obs_scaling=obs_scaling, action_scaling=action_scaling, start=start,
        scaler=scaler, stage=stage,
    )  # fmt: skip


def fit_samples(
    method: Trained,
    demos: Demos,
    run: Run,
    task: Task | None,
    sampler: Callable[[Demos], Sampler],
    *,
    obs_scaling: ScalingKind = "minmax",
    action_scaling: ScalingKind = "minmax",
    start: Agent | None = None,
    scaler: Scaler | None = None,
    stage: str = "train",
) -> Agent:
    """Fits `method.learner` to whatever samples `sampler` makes of the demonstrations, see `clone`."""
    demos = described(demos, task)
    scaler = start.scaler if start else scaler or Scaler.fit(demos, obs_scaling, action_scaling)
    learner = run.build(lambda: method.learner(demos.spec))
    if start:
        _go_on_from(start, learner, demos)
    scale = DeviceScaler(scaler, demos.spec, run.place)
    if learner.measures:
        learner.measure(_actions(demos, scale))
    batches = Batches(sampler(demos), method.batch, run.seed)
    held = sampler(run.held.with_spec(demos.spec)) if run.held else None
    run.identity = {**run.identity, **fit_facts(method, demos, run)}
    run_updates(method, learner, batches, scale, run, held, stage)
    return finished(method, learner, scaler, demos, run)


def run_updates(
    method: Trained,
    learner: Learner,
    batches: Source,
    scale: DeviceScaler,
    run: Run,
    held: Sampler | None,
    stage: str = "train",
) -> None:
    """All updates of a training on `batches`; twenty times on the way the loss on `held` samples is taken."""
    check = held_out_loss(learner, held, scale, run) if held else None
    every = max(1, method.steps // 20)
    run.train(learner, batches, method.optim(), method.steps, scale, stage=stage, check=check, check_every=every)


def _actions(demos: Demos, scale: DeviceScaler) -> Tensor:
    """Scaled actions (N, A): all that are known, or of more than `MEASURED` so many, evenly spread."""
    rows = demos.known_rows()
    if len(rows) > MEASURED:
        rows = rows[np.linspace(0, len(rows) - 1, MEASURED).astype(np.int64)]
    source = {key: demos.columns[key].take(rows) for key in (SOURCE,) if key in demos.spec.obs}
    return scale.scale(ACTION, demos.columns[ACTION].take(rows), scale.group(source))


def _go_on_from(start: Agent, learner: Learner, demos: Demos) -> None:
    """Copies the weights of an agent.

    Raises:
        UserError: when it is of another method, observes other things or has another network.
    """
    if type(start.learner) is not type(learner):
        raise UserError(f"policy_start: is an agent of method '{start.method.name()}', not of this one")
    start.seeing_itself("policy_start").check(demos.spec, "the demonstrations")
    try:
        learner.load_state_dict(start.learner.state_dict())
    except RuntimeError as error:
        raise UserError("policy_start: the networks differ: give the settings that it was trained with") from error


def described(demos: Demos, task: Task | None) -> Demos:
    """The demos with what the task knows about its features (names, units, bounds, periods)."""
    return demos.with_spec(demos.spec.annotated(task.spec)) if task else demos


def fit_facts(method: Method, demos: Demos, run: Run) -> dict[str, Any]:
    """What identifies a training: two with equal facts give equal weights."""
    return {
        "method": method.name(),
        "settings": method.to_json(),
        "data": demos.facts(),
        "spec": demos.spec.to_json(),
        "seed": run.seed,
    }


def finished(method: Method, learner: Learner, scaler: Scaler, demos: Demos, run: Run) -> Agent:
    """The agent of a trained learner, remembering where it came from."""
    precision = choose(run.precision, learner, run.place)
    facts = {**fit_facts(method, demos, run), "starts": training_starts(demos), "precision": precision}
    if run.processes.count > 1:
        facts["processes"] = run.processes.count
    return Agent(method, learner, scaler, demos.spec, facts)


def training_starts(demos: Demos) -> dict[str, list[int]]:
    """Task name -> seeds of the starts that the demonstrations began from, where they are known."""
    starts: dict[str, set[int]] = {}
    for source in demos.table.source:
        if "task_name" in source and "seed" in source:
            starts.setdefault(str(source["task_name"]), set()).add(int(source["seed"]))
    return {task: sorted(seeds) for task, seeds in starts.items()}


def held_out_loss(learner: Learner, sampler: Sampler, scale: DeviceScaler, run: Run) -> Check:
    """(step) -> the losses on a fixed batch of held-out samples."""
    count = min(CHECK_SAMPLES, len(sampler))
    index = np.linspace(0, len(sampler) - 1, count).astype(np.int64)

    def check(step: int) -> dict[str, float]:
        learner.eval()
        state = torch.get_rng_state()
        torch.manual_seed(0)
        with torch.inference_mode(), autocast(choose(run.precision, learner, run.place), run.place):
            terms = learner.losses(scale.batch(sampler.gather(index, np.random.default_rng(0))))
        torch.set_rng_state(state)
        learner.train()
        return {f"held_{name.removeprefix('_')}": float(value) for name, value in terms.items()}

    return check
