"""Action models learned from recorded planner traces: how many actions, how precise, what recall, what they solve.

    python benchmarks/learned_domains.py FOLDER [--problems 5] [--seconds 30]

FOLDER holds one folder a domain (domain file, NAME.pddl, NAME.trajectory). Half of the traces, at most --most, are
learned from. In the states of the others it is counted how much of what is possible the learned domain allows (recall),
and how much of what it allows is possible (precision). Their problems are planned with ENHSP by the learned domain, and
the plans are checked by the true one.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

from imitari.plan.action_models import ActionModelLearner, LearnedModel
from imitari.plan.grounding import World
from imitari.plan.model import Domain, Step
from imitari.plan.planners import planner_named
from imitari.plan.traces import Trace, read_folder
from imitari.plan.validation import execute

Pairs = set[tuple[int, Step]]


def allowed(domain: Domain, trace: Trace, model: LearnedModel | None) -> Pairs:
    """(number of the state, step in the words of the true domain) of all that may be done in the states of a trace."""
    world = World(domain, trace.problem.objects)
    states = trace.transitions.before
    found: Pairs = set()
    for schema in world.schemas.values():
        rows, bindings = schema.matches(states)
        for row, binding in zip(rows.tolist(), bindings, strict=True):
            if len(set(binding.tolist())) == len(binding):
                step = Step(schema.action.name, tuple(world.vocabulary.objects[number] for number in binding))
                found.add((row, model.true_step(step) if model else step))
    return found


def solved(domain: Domain, model: LearnedModel, traces: list[Trace], seconds: float) -> Counter[str]:
    planner = planner_named("enhsp", seconds, 0)
    found: Counter[str] = Counter()
    for trace in traces:
        planned = planner(model.domain, trace.problem)
        status = str(planned.status)
        if planned.status == "solved":
            plan = [model.true_step(step) for step in planned.plan]
            status = "solved" if execute(domain, trace.problem, plan).valid else "invalid"
        found[status] += 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--domains", nargs="*", default=["minecraft", "farmland", "counters", "sailing"])
    parser.add_argument("--most", type=int, nargs="*", default=[5, 20])
    parser.add_argument("--problems", type=int, default=5)
    parser.add_argument("--states", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(
        "| domain | traces | steps | actions | perfect | inequalities | precision | recall | solved | none | timeout "
        "| invalid |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    for name in options.domains:
        domain, traces = read_folder(options.folder / name)
        order = np.random.default_rng(options.seed).permutation(len(traces))
        half = len(traces) // 2
        held = [traces[number] for number in order[half:]]
        for most in options.most:
            learner = ActionModelLearner(domain)
            part = [traces[number] for number in order[: min(half, most)]]
            for trace in part:
                learner.observe(trace.transitions)
            model = learner.model()
            both, mine, true = 0, 0, 0
            for trace in held[: options.states]:
                ours, theirs = allowed(model.domain, trace, model), allowed(domain, trace, None)
                both, mine, true = both + len(ours & theirs), mine + len(ours), true + len(theirs)
            answers = solved(domain, model, held[: options.problems], options.seconds)
            kept = [report for report in model.reports if not report.unsafe]
            cells = [
                name,
                len(part),
                sum(len(trace.transitions) for trace in part),
                f"{len(kept)}/{len(domain.actions)}",
                sum(report.perfect for report in kept),
                sum(report.inequalities for report in kept),
                f"{both / max(mine, 1):.3f}",
                f"{both / max(true, 1):.3f}",
                f"{answers['solved']}/{min(options.problems, len(held))}",
                answers["none"],
                answers["timeout"],
                answers["invalid"],
            ]
            print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
