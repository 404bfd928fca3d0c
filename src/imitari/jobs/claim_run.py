"""A run of a claim: its jobs, an engine, the verdict with everything that a reader needs to judge it."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imitari.core.errors import UserError
from imitari.core.outcome import Outcome
from imitari.core.starts import evaluation_starts
from imitari.evaluate.outcomes import write_outcomes
from imitari.jobs.arm import arm_outcomes
from imitari.jobs.claim import Claim, claim_named
from imitari.jobs.engine import engine_named, only_one
from imitari.jobs.evaluation import OUTCOMES
from imitari.jobs.folder import DONE, Job, finished, prepare, read_json, write_json
from imitari.jobs.verdict import arm_facts, findings_json, judge

VERDICT = "verdict.json"


@dataclass(frozen=True)
class ClaimRequest:
    """The flags of `imitari claim`.

    Attributes:
        name: of the claim.
        budget: "smoke", "quick", "full".
        seeds: of the training; None: the budget's.
        task: None: the claim's.
        changes: arm -> settings that differ; "all" for every arm.
        engine: "local", "ray", "inline".
        together: jobs side by side.
        show: progress.
    """

    name: str
    budget: str = "quick"
    seeds: tuple[int, ...] | None = None
    task: str | None = None
    changes: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    engine: str = "local"
    together: int = 2
    show: bool = True


def run_claim(request: ClaimRequest, out: Path) -> dict[str, Any]:
    """Runs (or resumes) the claim in `out` and returns the verdict, as written to verdict.json."""
    claim = claim_named(request.name)
    jobs = plan(claim, request)
    with only_one(out):
        folders = [out / job.name() for job in jobs]
        for folder, job in zip(folders, jobs, strict=True):
            prepare(folder, job)
        engine_named(request.engine)(folders, request.together, request.show)
        outcomes = {arm: list[Outcome]() for arm in claim.arms}
        for folder, job in zip(folders, jobs, strict=True):
            outcomes[job.arm] += arm_outcomes(folder)
        write_outcomes(out / OUTCOMES, [row for rows in outcomes.values() for row in rows])
        verdict = compose(claim, request, jobs, [read_json(folder / DONE) for folder in folders], outcomes)
        write_json(out / VERDICT, verdict)
    return verdict


def plan(claim: Claim, request: ClaimRequest) -> list[Job]:
    """The jobs of a run, seed by seed, so that an early look sees whole seeds.

    Raises:
        UserError: fewer than two seeds, or a seed that tuning may use.
    """
    budget = claim.budget(request.budget)
    seeds = request.seeds if request.seeds is not None else tuple(budget.seeds)
    if len(set(seeds)) < 2:
        raise UserError("--seeds names fewer than two seeds: a verdict needs at least two (--seeds 0:3)")
    for arm in request.changes:
        if arm != "all" and arm not in claim.arms:
            raise UserError(f"claim '{request.name}' has no arm '{arm}': there are {', '.join(claim.arms)}")
    starts = evaluation_starts(budget.starts)
    return [
        Job(
            claim=request.name,
            arm=name,
            budget=request.budget,
            seed=seed,
            task=request.task or claim.task,
            starts=(starts[0], len(starts)),
            settings=claim.settings(name, budget, {**request.changes.get("all", {}), **request.changes.get(name, {})}),
            preset=arm.preset,
            demos=budget.demos,
        )
        for seed in dict.fromkeys(seeds)
        for name, arm in claim.arms.items()
    ]


def compose(
    claim: Claim,
    request: ClaimRequest,
    jobs: Sequence[Job],
    done: Sequence[dict[str, Any]],
    outcomes: dict[str, list[Outcome]],
) -> dict[str, Any]:
    """verdict.json: the decision, its numbers, and the circumstances."""
    findings = judge(claim.criteria, outcomes, claim.metric)
    first = {job.arm: (job, facts) for job, facts in reversed(list(zip(jobs, done, strict=True)))}
    return {
        "claim": request.name,
        "paper": claim.paper,
        "sentence": claim.sentence,
        "notes": claim.notes,
        "holds": all(finding.holds for finding in findings),
        "criteria": findings_json(findings),
        "budget": request.budget,
        "task": jobs[0].task,
        "metric": claim.metric,
        "seeds": sorted({job.seed for job in jobs}),
        "starts": {"first": jobs[0].starts[0], "count": jobs[0].starts[1]},
        "arms": {
            name: {
                "method": claim.arms[name].method,
                "preset": first[name][0].preset,
                "settings": first[name][1].get("settings", first[name][0].settings),
                "data": first[name][1].get("data"),
                **arm_facts(rows, claim.metric),
            }
            for name, rows in outcomes.items()
        },
        "changed": {**request.changes, **({"task": request.task} if request.task else {})},
        "minutes": round(sum(float(facts["minutes"]) for facts in done), 2),
        "machine": done[0]["machine"],
        "versions": done[0]["versions"],
        "commits": sorted({facts["commit"] for facts in done}),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def default_folder(request: ClaimRequest) -> Path:
    task = f"-{request.task.replace('/', '-')}" if request.task else ""
    return Path("runs/claims") / f"{request.name}-{request.budget}{task}"


def count_finished(out: Path, jobs: Sequence[Job]) -> int:
    return sum(finished(out / job.name()) for job in jobs)
