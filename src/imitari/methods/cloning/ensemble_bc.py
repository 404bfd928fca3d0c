"""Ensemble cloning: several regressions act by their mean, and tell which new demonstrations contradict the first ones.

1. Members of one shape are trained side by side on the first demonstrator's steps, each from a start of its own and on
   batches of its own: squared error, LayerNorm, dropout, tanh. They act by the mean of what they say.
2. Of a step of new data they say the error L of its action and the novelty N of its state (the members' standard
   deviation), and the compatibility M = 1 - min(L / lambda, 1) where N < eta, else 1: `imitari data score --model RUN`.
3. `imitari data trim --model RUN` drops the steps with L > lambda in familiar states; train anew, from scratch, on the
   first demonstrations and what is left. `imitari data filter --scores` chooses whole demonstrations, by the number of
   bad steps and then by that of informative ones, which is what policies with a memory or of chunks need.
4. lambda and eta, unless they are given, are quantiles over all demonstrations, of what an ensemble of the others says
   of each: the demonstrations are cut into parts that begin in other places, and the whole is trained once more without
   each part (or, with `folds` 0, over a share that is kept out of the training).
Gandhi, Karamcheti, Liao & Sadigh 2022, "Eliciting Compatible Demonstrations for Multi-Human Imitation Learning".
Differs from the paper: the last weights count and not those of the best validation loss; the thresholds are calibrated
and not 0.4 and 0.15; pictures go through an encoder of their own or through `--encoder`, not a ResNet-34. Not here: the
interface that colours a person's live actions by 1 - M (accepting, clips of the worst steps and the nearest
demonstration are in `data.curate.compatibility`), scoring interventions while the policy drives, and the other filters
of the published code (a line between L and N, only what is novel, weights).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.episode import ACTION, Array
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.core.task import Task
from imitari.data.curate.compatibility import Limits, error_and_novelty, order, parts_by_start
from imitari.data.curate.scores import Scores, by_episode
from imitari.data.scaling import Scaler
from imitari.learn.agent import Agent
from imitari.learn.cloning import clone, described, finished
from imitari.learn.learner import Learner
from imitari.learn.method import Trained
from imitari.learn.run import Run
from imitari.learn.scaled import DeviceScaler
from imitari.nets.critics import stacked_mlp
from imitari.nets.encoder import ObsEncoder

TOGETHER = 4096  # steps scored at once


@dataclass(frozen=True)
class EnsembleCloning(Trained):
    members: int = 5  # networks whose mean acts
    hidden: tuple[int, ...] = (256, 256)  # widths of the layers
    norm: bool = True  # LayerNorm before each activation
    dropout: float = 0.5  # after each activation; without it members agree even where they have seen nothing
    folds: int = 5  # parts of the demonstrations that calibrate both limits, each by an ensemble of the others
    held: float = 0.2  # with folds 0: share of the demonstrations that is kept aside to calibrate
    share: float = 0.95  # quantile of held-out errors and novelties at which the limits lie
    most_error: float = 0.0  # lambda; 0: calibrate it
    least_novelty: float = 0.0  # eta; 0: calibrate it
    batch: int = 320  # samples a batch, shared out among the members
    clip: float = 10.0  # bound on the norm of the gradient; 0: none

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"hidden": (128, 128), "steps": 3_000},
        "paper": {"hidden": (1024, 1024), "batch": 640, "steps": 50_000},
    }
    smoke: ClassVar[dict[str, Any]] = {"steps": 30, "batch": 20, "hidden": (16,), "members": 3}

    def __post_init__(self) -> None:
        if self.members < 2:
            raise UserError(f"members is {self.members}: disagreement takes at least 2")
        if self.batch < self.members:
            raise UserError(f"batch is {self.batch}: each of {self.members} members needs at least one sample")
        if self.folds == 1 or self.folds < 0:
            raise UserError(f"folds is {self.folds}: it takes at least 2 parts, or 0 to keep a share aside")
        if not 0 < self.held < 1 or not 0 < self.share < 1:
            raise UserError(f"held is {self.held:g} and share {self.share:g}: both must be above 0 and below 1")
        if min(self.most_error, self.least_novelty) < 0:
            raise UserError("most_error and least_novelty must be at least 0")

    @property
    def calibrates(self) -> bool:
        return self.most_error == 0 or self.least_novelty == 0

    def learner(self, spec: Spec) -> Learner:
        return Members(self, spec)

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        demos = described(demos, task)
        if self.calibrates and len(demos) < 2:
            raise UserError(
                f"{demos.provenance.path}: has one episode, and calibrating takes another: give --most-error and "
                "--least-novelty"
            )
        if self.calibrates and not self.folds:
            part, aside = demos.split(max(self.held, 0.51 / len(demos)), run.seed)
            assert aside is not None
            agent = clone(self, part, run)
            told = said(agent, aside)
        else:
            told = self._crossed(demos, run) if self.calibrates else None
            agent = clone(self, demos, run)
        learner = agent.learner
        assert isinstance(learner, Members)
        own = Limits.of(*told, self.share) if told else Limits(0.0, 0.0)
        limits = self.most_error or own.error, self.least_novelty or own.novelty
        learner.limits.copy_(torch.tensor(limits))
        # What was kept aside was seen too.
        return finished(self, learner, agent.scaler, demos.with_spec(agent.inside), run)

    def _crossed(self, demos: Demos, run: Run) -> tuple[Array, Array]:
        """L and N (N,) of all steps, part by part, each said by an ensemble that has not seen the demonstration."""
        scaler = Scaler.fit(demos, "minmax", "minmax")  # one for all: limits are in its units
        told: list[tuple[Array, Array]] = []
        for number, part in enumerate(parts_by_start(demos, self.folds, run.seed)):
            aside = np.isin(np.arange(len(demos)), part)
            others = demos.keep(~aside, f"without part {number} of {self.folds}")
            agent = clone(self, others, run, scaler=scaler, stage=f"part-{number}")
            told.append(said(agent, demos.keep(aside, f"part {number} of {self.folds}")))
        error, novelty = (np.concatenate(values) for values in zip(*told, strict=True))
        return error, novelty

    def scored(self, agent: Agent, demos: Demos) -> Scores:
        """Of steps: `error`, `novelty`, `compatibility`. Of episodes: `order` (the place among all, 0 the best),
        `compatibility`, and the numbers of `bad` and `good` steps. Kept are the steps that are not bad."""
        agent.check(demos.spec, demos.provenance.path)
        learner = agent.learner
        assert isinstance(learner, Members)
        error, novelty = said(agent, agent.eyes.embedded(demos) if agent.eyes else demos)
        limits = Limits(*learner.limits.tolist())
        bad, good = limits.bad(error, novelty), limits.good(error, novelty)
        place = np.empty(len(demos))
        place[order(demos, bad, good)] = np.arange(len(demos))
        compatible = np.where(np.isnan(error), np.nan, limits.compatibility(error, novelty))
        owner = np.repeat(np.arange(len(demos)), demos.table.length)
        return Scores(
            steps={"error": error, "novelty": novelty, "compatibility": compatible},
            episodes={
                "order": place,
                "compatibility": by_episode(demos, compatible),
                "bad": np.bincount(owner, bad, minlength=len(demos)),
                "good": np.bincount(owner, good, minlength=len(demos)),
            },
            better={"order": "low", "compatibility": "high", "bad": "low"},
            keep=~bad,
            about={"who": f"{self.name()} {agent.identity()}", "lambda": limits.error, "eta": limits.novelty},
            fingerprint=demos.fingerprint(),
        )


class Members(Learner):
    """Networks side by side behind one encoder of numbers. Buffers: `limits` (2,), lambda and eta."""

    limits: Tensor

    def __init__(self, method: EnsembleCloning, spec: Spec) -> None:
        super().__init__()
        if spec.action.kind != "number":
            raise UserError("this method averages actions, and a choice has no mean: use actions that are numbers")
        self.members = method.members
        self.shape = spec.action.shape
        self.encoder = ObsEncoder(spec)
        size = spec.action.size
        self.body = stacked_mlp(
            method.members, self.encoder.width, method.hidden, size, norm=method.norm, dropout=method.dropout
        )
        self.register_buffer("limits", torch.zeros(2))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Each member has samples of its own, and its own mean squared error: the sum trains each by itself."""
        each = len(batch.action) // self.members
        features = self.encoder(batch.obs).flatten(1)[: each * self.members].unflatten(0, (self.members, each))
        target = batch.action.flatten(1)[: each * self.members].unflatten(0, (self.members, each))
        squares = (torch.tanh(self.body(features)).float() - target) ** 2
        return {"action_loss": squares.mean((1, 2)).sum(), "_member_loss": squares.mean().detach()}

    def predict(self, obs: dict[str, Tensor]) -> Tensor:
        """Observations (B, 1, ...) to the members' actions (E, B, A) in [-1, 1]."""
        return torch.tanh(self.body(self.encoder(obs).flatten(1)))

    def act(self, obs: dict[str, Tensor]) -> Tensor:
        return self.predict(obs).mean(0).unflatten(-1, self.shape).unsqueeze(1)


def said(agent: Agent, demos: Demos) -> tuple[Array, Array]:
    """L and N (N,) of all steps, in the order of `Demos.rows()`; L is NaN where the action is unknown."""
    learner = agent.learner
    assert isinstance(learner, Members)
    learner.eval()  # with dropout, novelty would be noise
    device = next(learner.parameters()).device
    scale = DeviceScaler(agent.scaler, agent.inside, device)
    rows = demos.rows()
    known = demos.known(rows)
    parts: list[tuple[Array, Array]] = []
    for begin in range(0, len(rows), TOGETHER):
        some = rows[begin : begin + TOGETHER]
        obs = scale.obs({key: demos.columns[key].take(some)[:, None] for key in agent.inside.obs})
        with torch.inference_mode():
            predicted = learner.predict(obs).float().cpu().numpy()
        action = scale.scale(ACTION, demos.columns[ACTION].take(some)).flatten(1).cpu().numpy()
        parts.append(error_and_novelty(predicted, action))
    error, novelty = (np.concatenate(values) for values in zip(*parts, strict=True))
    return (error if known is None else np.where(known, error, np.nan)), novelty
