"""Run: the one training loop. It owns optimiser, schedule, clipping, trailing copies, averages, precision, metrics and
resume points; learners own none of that. Under torchrun its processes train one learner on shares of every batch."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.progress import Progress
from imitari.learn.checkpoint import ResumePoint
from imitari.learn.compilation import Compile, Losses, compilation, compiled
from imitari.learn.device import device_named
from imitari.learn.learner import Learner, trailing
from imitari.learn.metrics import Metrics
from imitari.learn.optim import Average, Optim
from imitari.learn.precision import Precision, autocast, choose, products
from imitari.learn.processes import Processes
from imitari.learn.scaled import DeviceScaler

Source = Callable[[int], Batch]
Check = Callable[[int], dict[str, float]]


@dataclass
class Run:
    """One training with its folder.

    Attributes:
        seed: of initial weights, order of the data, noise.
        device: "auto" (a GPU when there is one), "cpu", "cuda".
        precision: see `learn.precision`.
        folder: for metrics and resume points; None: nothing is written.
        identity: facts that make this training what it is (settings, data fingerprint); resuming needs equal ones.
        compile: "auto", "on" or "off": see `learn.compilation`.
        report_every: steps between metrics.
        save_seconds: between resume points.
        show: progress on stderr.
        trackers: external trackers by name.
        held: demonstrations that are only looked at, for held-out losses.
        processes: this process among those that train together; only the first shows and writes anything.
    """

    seed: int = 0
    device: str = "auto"
    precision: Precision = "auto"
    folder: Path | None = None
    identity: dict[str, Any] = field(default_factory=dict[str, Any])
    compile: Compile = "auto"
    report_every: int = 100
    save_seconds: float = 30.0
    show: bool = True
    trackers: tuple[str, ...] = ()
    held: Demos | None = None
    processes: Processes = field(default_factory=Processes.here)

    def __post_init__(self) -> None:
        self.place = self.processes.place(device_named(self.device))
        self.show = self.show and self.processes.first
        self.metrics = Metrics(self.folder, self.trackers) if self.processes.first else Metrics(None, ())
        if self.processes.count > 1:
            self.identity = {**self.identity, "processes": self.processes.count}

    def build(self, make: Callable[[], Learner], seed: int | None = None) -> Learner:
        """A learner with initial weights that depend on nothing but the seed: that of the run, unless it is given."""
        torch.manual_seed(self.seed if seed is None else seed)
        return make().to(self.place)

    def train(
        self,
        learner: Learner,
        batches: Source,
        optim: Optim,
        steps: int,
        scaler: DeviceScaler | None = None,
        *,
        stage: str = "train",
        check: Check | None = None,
        check_every: int = 0,
    ) -> Learner:
        """Minimises `learner.losses` for `steps` batches; resumes where an earlier call was cut off.

        Args:
            learner: trained in place; afterwards it holds the averaged weights if `optim.ema` is set.
            batches: batch number -> batch, a pure function. Of W processes, process r is given r, r + W, r + 2 W, ...:
                together they train on batches of W times the size.
            optim: settings of the optimiser.
            steps: optimiser steps.
            scaler: applied to every batch; None: batches are tensors in the learner's units already.
            stage: names this call among several of one run.
            check: (step) -> further metrics (validation loss), called every `check_every` steps.

        Raises:
            UserError: when a loss is not finite: names step and term.
        """
        updates = self.begin(learner, optim, steps, scaler, stage=stage)
        check = check if self.processes.first else None
        with Progress(stage, steps, show=self.show) as progress:
            for step in range(updates.first, steps):
                updates.step(step, batches(step * self.processes.count + self.processes.rank))
                done = step + 1
                if done % self.report_every == 0 or done == steps:
                    further = (
                        check(done) if check and check_every and (done % check_every == 0 or done == steps) else {}
                    )
                    progress.update(done, f"loss {updates.report(done, further):.4g}")
                if updates.due(done):
                    updates.save(done)
        updates.finish()
        return learner

    def begin(
        self, learner: Learner, optim: Optim, steps: int, scaler: DeviceScaler | None = None, *, stage: str = "train"
    ) -> Updates:
        """The updates of a training whose batches are made between them, by acting; `train` is this with a source.

        Arguments as of `train`. Whoever calls this takes the steps from `first` on, reports, saves and finishes.
        """
        if steps < 1:
            raise UserError(f"steps is {steps}: it must be at least 1")
        self.processes.join(self.place)
        torch.manual_seed(self.processes.noise(self.seed + 1))
        return Updates(self, learner, optim, steps, scaler, stage)


class Updates:
    """A training under way: optimiser, schedule, clipping, trailing copies, averages, metrics and resume point.

    Attributes:
        first: steps that an earlier call, which was cut off, has done already.
    """

    def __init__(
        self, run: Run, learner: Learner, optim: Optim, steps: int, scaler: DeviceScaler | None, stage: str
    ) -> None:
        self.run, self.learner, self.optim, self.steps, self.scaler, self.stage = (
            run,
            learner,
            optim,
            steps,
            scaler,
            stage,
        )
        self.processes = run.processes
        self.processes.equalise(learner)
        self.optimiser = optim.build(learner)
        self.parameters = [parameter for parameter in learner.parameters() if parameter.requires_grad]
        self.trailing = trailing(learner)
        self.average = Average(learner, optim.ema) if optim.ema else None
        self.precision = choose(run.precision, learner, run.place)
        self.point = ResumePoint(run.folder / "resume" / f"{stage}.safetensors", self._key()) if run.folder else None
        self.first = self._resumed()
        self.rate = optim.lr
        self._seen: dict[str, list[Tensor]] = {}  # terms since the last report
        self._since = self.first
        self._clock = self._saved = time.monotonic()
        self._compile = compilation(run.compile, learner, run.place, steps, show=run.show)
        self._fast: dict[Losses, Losses] = {}
        if self.first or run.folder:
            run.metrics.rewind(stage, self.first)
        learner.train()

    def _resumed(self) -> int:
        """Steps done by an earlier call, in all processes; from here on only the first has a resume point to write."""
        first = self.point.load(self.learner, self.optimiser, self.average) if self.point else 0
        if not self.processes.same(first):
            raise UserError(
                f"stage '{self.stage}': the processes found different resume points: all need the same folder as --out"
            )
        if not self.processes.first:
            self.point = None
        return first

    def _key(self) -> str:
        facts = [self.run.identity, self.run.seed, self.steps, repr(self.optim), self.precision, self.stage]
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def _compiled(self, losses: Losses) -> Losses:
        if not self._compile:
            return losses
        if losses not in self._fast:
            self._fast[losses] = compiled(losses)
        return self._fast[losses]

    def step(self, step: int, batch: Batch, losses: Losses | None = None) -> None:
        """One update, numbered from 0; `losses` in the place of the learner's, where a step trains only some parts."""
        self.rate = self.optim.set_rate(self.optimiser, step, self.steps)
        if self.processes.count > 1:
            self._own_noise(step)
        if self.scaler:
            batch = self.scaler.batch(batch)
        with autocast(self.precision, self.run.place):
            terms = self._compiled(losses or self.learner.losses)(batch)
        loss = _sum(terms)
        for parameter in self.parameters:
            parameter.grad = None
        with products(self.precision, self.run.place):
            loss.backward()
        if self.processes.count > 1:
            # Before the check: what is not finite in one process is then so in all, and all stop.
            terms = self.processes.averaged(self.parameters, terms)
            loss = _sum(terms)
        if self.run.place.type == "cpu" or (step + 1) % self.run.report_every == 0:
            self._refuse_nonfinite(step, loss, terms)
        if self.optim.clip:
            terms["_gradient"] = torch.nn.utils.clip_grad_norm_(self.parameters, self.optim.clip, foreach=True)
        self.optimiser.descend()
        for copy in self.trailing:
            copy.follow(step + 1)
        self.learner.after_step()
        if self.average:
            self.average.follow(step)
        for name, value in terms.items():
            self._seen.setdefault(name, []).append(value.detach())

    def _own_noise(self, step: int) -> None:
        """Noise as a function of (seed, process, step), so that one resume point serves all processes."""
        seed = self.processes.noise(self.run.seed + 1, step + 1)
        torch.default_generator.manual_seed(seed)
        if self.run.place.type == "cuda":
            torch.cuda.manual_seed(seed)

    def _refuse_nonfinite(self, step: int, loss: Tensor, terms: dict[str, Tensor]) -> None:
        if math.isfinite(loss.item()):  # torch.isfinite costs as much as a small layer
            return
        bad = [name for name, value in terms.items() if not math.isfinite(value.item())]
        raise UserError(
            f"stage '{self.stage}', step {step}: loss term {', '.join(bad) or 'sum'} is not finite: lower --lr, "
            "or look for damaged data with `imitari data doctor`"
        )

    def report(self, done: int, further: dict[str, float]) -> float:
        """Logs the means of all terms over the updates since the last report that had them; returns the mean loss."""
        count = max(1, done - self._since)
        sums = {name: float(torch.stack(values).float().sum()) for name, values in self._seen.items()}
        means = {name.removeprefix("_"): value / len(self._seen[name]) for name, value in sums.items()}
        loss = sum(value / count for name, value in sums.items() if not name.startswith("_"))
        now = time.monotonic()
        pace = count / max(1e-9, now - self._clock)
        self.run.metrics.log(
            self.stage, done, {**means, "loss": loss, "rate": self.rate, "steps_per_second": pace, **further}
        )
        self._seen, self._since, self._clock = {}, done, now
        return loss

    def due(self, done: int) -> bool:
        """Whether it is time for a resume point: every `save_seconds`, and at the end."""
        late = time.monotonic() - self._saved >= self.run.save_seconds
        return self.point is not None and done > self.first and (done == self.steps or late)

    def save(self, done: int) -> None:
        """Writes a resume point, where the run has a folder."""
        if self.point:
            self.point.save(done, self.learner, self.optimiser, self.average)
            self._saved = time.monotonic()

    def finish(self) -> None:
        """Puts averaged weights in their place and ends training mode."""
        if self.average:
            self.average.install()
        self.processes.equalise(self.learner)  # statistics that a learner keeps of its own batches differ
        self.learner.eval()


def _sum(terms: dict[str, Tensor]) -> Tensor:
    first, *others = (value.float() for name, value in terms.items() if not name.startswith("_"))
    return sum(others, first)
