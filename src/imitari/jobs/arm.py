"""One arm of a claim with one training seed: data, training, evaluation, done. Taken up where it was cut off."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.outcome import Outcome
from imitari.core.task import Task
from imitari.envs import task_named
from imitari.evaluate.outcomes import write_outcomes
from imitari.jobs import circumstances
from imitari.jobs.claim import ArmRun, Budget, Claim, claim_named
from imitari.jobs.evaluation import OUTCOMES, evaluate
from imitari.jobs.folder import DONE, Job, finished, read_job, read_json, write_json

MINUTES = "minutes.json"


def carry_out(folder: Path, show: bool = True) -> None:
    """Does the job in `folder`; nothing when it is done already."""
    if finished(folder):
        return
    job = read_job(folder)
    claim = claim_named(job.claim)
    budget = replace(claim.budget(job.budget), demos=job.demos, starts=job.starts[1])
    task = task_named(job.task, **claim.options)
    clock = _Clock(folder)
    facts: dict[str, Any] = {}
    if claim.run_arm is not None:
        outcomes = claim.run_arm(_arm_run(claim, job, budget, task, folder))
        write_outcomes(folder / OUTCOMES, [replace(row, policy=job.arm, train_seed=job.seed) for row in outcomes])
    else:
        facts = _train_and_evaluate(claim, job, budget, task, folder, show)
    done = {
        "minutes": clock.stop(),
        "machine": circumstances.machine(),
        "versions": circumstances.versions(),
        "commit": circumstances.commit(),
        **facts,
    }
    write_json(folder / DONE, done)


def _train_and_evaluate(claim: Claim, job: Job, budget: Budget, task: Task, folder: Path, show: bool) -> dict[str, Any]:
    from imitari.jobs.training import TrainRequest, train

    arm = claim.arms[job.arm]
    source = arm.demos or claim.demos
    if source is None:
        raise UserError(f"claim '{job.claim}' has no data for arm '{job.arm}': its file must name demos")
    demos = source(budget, job.seed, task)
    starts = range(job.starts[0], job.starts[0] + job.starts[1])
    _refuse_overlap(demos, task, starts)
    request = TrainRequest(
        method=arm.method, settings=job.settings, preset=job.preset, task=job.task, seed=job.seed, show=show
    )
    agent = train(request, folder, demos, task)
    evaluate(agent, task, starts, folder / OUTCOMES, show=show)
    return {
        "agent": agent.identity(),
        "data": demos.facts(),
        "settings": agent.method.to_json(),
    }


def _refuse_overlap(demos: Demos, task: Task, starts: Sequence[int]) -> None:
    """The evaluation refuses this too; here it is refused before the training that it would waste."""
    seen = {(source.get("task_name"), source.get("seed")) for source in demos.table.source}
    both = sorted(seed for seed in starts if (task.about(seed)["task_name"], seed) in seen)
    if both:
        raise UserError(f"start {both[0]} is in the data of this claim: its demos must use core.starts.training_starts")


def _arm_run(claim: Claim, job: Job, budget: Budget, task: Task, folder: Path) -> ArmRun:
    return ArmRun(
        claim=job.claim,
        arm=job.arm,
        method=claim.arms[job.arm].method,
        settings=job.settings,
        seed=job.seed,
        budget=budget,
        task=task,
        starts=range(job.starts[0], job.starts[0] + job.starts[1]),
        folder=folder,
    )


def arm_outcomes(folder: Path) -> list[Outcome]:
    """The outcomes of a finished job, with the arm as the policy."""
    from imitari.evaluate.outcomes import read_outcomes

    job, done = read_job(folder), read_json(folder / DONE)
    rows = read_outcomes(folder / OUTCOMES)
    wanted = range(job.starts[0], job.starts[0] + job.starts[1])
    mine = {row.start: row for row in rows if row.policy == done.get("agent", job.arm)}
    missing = [start for start in wanted if start not in mine]
    if missing:
        raise UserError(f"{folder / OUTCOMES}: start {missing[0]} is missing: delete that folder and run again")
    return [replace(mine[start], policy=job.arm, train_seed=job.seed) for start in wanted]


class _Clock:
    """Minutes over all attempts, noted every few seconds, so that an attempt that was killed counts too."""

    def __init__(self, folder: Path, every: float = 5.0) -> None:
        self.path = folder / MINUTES
        self.before = float(read_json(self.path)["minutes"]) if self.path.exists() else 0.0
        self.began = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._note, args=(every,), daemon=True)
        self._thread.start()

    def _note(self, every: float) -> None:
        while not self._ended.wait(every):
            write_json(self.path, {"minutes": self.total()})

    def total(self) -> float:
        return round(self.before + (time.monotonic() - self.began) / 60, 3)

    def stop(self) -> float:
        self._ended.set()
        self._thread.join()
        write_json(self.path, {"minutes": self.total()})
        return self.total()
