"""Dropping what contradicts the first demonstrator lets others' data help, where all of it together makes it worse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from imitari.core.demos import Demos
from imitari.core.episode import Array
from imitari.core.outcome import Outcome
from imitari.core.task import Task
from imitari.jobs.claim import Arm, ArmRun, Budget, Claim, Difference, Level, NotWorse, training_starts
from imitari.jobs.demonstrations import demonstrate
from imitari.jobs.sharing import shared, told, trained_once

if TYPE_CHECKING:
    from imitari.data.curate.scores import Scores

OWN, OTHER = "over", "under"  # the first demonstrator's style, and the one that contradicts it
SWITCHES = 0.7  # chance that a simulated person who is shown another way takes it
PATIENCE = 30  # demonstrations of one person, at most


@dataclass(frozen=True)
class People:
    """Demonstrations of a training seed.

    Attributes:
        first: of the first demonstrator, from the lower part of the starts.
        new: of others from all starts, half in each style.
        style: (N,) of the steps of `new`: 0 the first demonstrator's, 1 the other.
    """

    first: Demos
    new: Demos
    style: Array


def shown(task: Task, style: str, starts: Sequence[int], part: str = "all") -> Demos:
    from imitari.envs import task_named

    return demonstrate(task_named(task.name, style=style, part=part), starts)


def people(run: ArmRun) -> People:
    first, new = run.budget.demos["first"], run.budget.demos["new"]
    starts = training_starts(run.seed, first + new)
    rest = starts[first:]
    same, other = shown(run.task, OWN, rest[: new // 2]), shown(run.task, OTHER, rest[new // 2 :])
    style = np.repeat([0, 1], [same.steps, other.steps])
    return People(shown(run.task, OWN, starts[:first], "low"), Demos.concat([same, other]), style)


def scores(run: ArmRun, demos: Demos, first: Demos) -> Scores:
    """What the ensemble of the first demonstrations says, trained by whichever arm of a seed is first."""
    from imitari.jobs.training import TrainRequest
    from imitari.learn.agent import Agent

    settings = {**run.settings, "share": SHARE}
    request = TrainRequest(run.method, settings, task=run.task.name, seed=run.seed, precision="fp32", show=False)
    agent = Agent.load(trained_once(shared(run, "first"), request, lambda: first, run.task))
    return agent.method.scored(agent, demos)


# ---------------------------------------------------------------- what is added to the first demonstrations


def added(run: ArmRun, group: People) -> Demos | None:
    """The new data of an arm that trains."""
    from imitari.data.curate.compatibility import within
    from imitari.data.curate.trim import masked

    if run.arm == "base":
        return None
    if run.arm == "naive":
        return group.new
    if run.arm == "oracle":
        return masked(group.new, group.style == 0)
    if run.arm in ("collected", "elicited"):
        return elicited(run, group.first, informed=run.arm == "elicited")[0]
    said = scores(run, group.new, group.first)
    assert said.keep is not None
    if run.arm == "ordered":  # whole demonstrations, for half of the budget
        best = np.argsort(said.episodes["order"], kind="stable")
        return group.new.keep(np.sort(within(group.new, best, group.new.steps // 2)), "ordered")
    if run.arm == "random":
        drawn = np.random.default_rng([run.seed, 0xD0]).permutation(said.keep)
        return masked(group.new, drawn)
    return masked(group.new, said.keep)


def elicited(run: ArmRun, first: Demos, informed: bool) -> tuple[Demos | None, float]:
    """The accepted demonstrations of simulated people, and how many a person was asked for on the mean.

    Half of them begin in the other style. Uninformed, all that succeeds is accepted and nobody changes. Informed, a
    demonstration with more than two bad steps is rejected; its person is shown the nearest first demonstration (all of
    which are of one style) and takes its style with the chance `SWITCHES`.
    """
    from imitari.data.curate.compatibility import accepted, nearest_demonstration

    count, wanted = run.budget.demos["people"], run.budget.demos["taught"]
    ahead = run.budget.demos["first"] + run.budget.demos["new"]
    starts = np.array(training_starts(run.seed, ahead + count * PATIENCE)[ahead:]).reshape(count, PATIENCE)
    rng = np.random.default_rng([run.seed, 0xE11C])
    styles, got, asked = np.arange(count) % 2, np.zeros(count, np.int64), np.zeros(count, np.int64)
    kept: list[Demos] = []
    for attempt in range(PATIENCE):
        for style in (0, 1):
            giving = np.flatnonzero((got < wanted) & (styles == style) & (asked == attempt))
            if not len(giving):
                continue
            demos = shown(run.task, (OWN, OTHER)[style], starts[giving, attempt].tolist())
            asked[giving] += 1
            fine = demos.table.success == 1
            if informed:
                said = scores(run, demos, first)
                assert said.keep is not None
                fine = accepted(demos, ~said.keep)
            got[giving] += fine
            if fine.any():
                kept.append(demos.keep(fine, "accepted"))
            for number in np.flatnonzero(~fine):
                near = first[nearest_demonstration(demos[int(number)].obs["observation.state"], first)]
                if rng.random() < SWITCHES:
                    styles[giving[number]] = int(near.source["behaviour"])
    return Demos.concat(kept) if kept else None, float(asked.mean())


# ---------------------------------------------------------------- one arm


def run_arm(run: ArmRun) -> list[Outcome]:
    """`total` is 1 for a success, or the number that the arm is about."""
    group = people(run)
    if run.arm in NUMBERS:
        return told(run, number(run, group))
    from imitari.jobs.evaluation import evaluate
    from imitari.jobs.training import TrainRequest, train

    new = added(run, group)
    demos = group.first if new is None else Demos.concat([group.first, new])
    # Trained on all of them: nothing is held out where nothing is calibrated.
    settings = {**run.settings, "most_error": 1.0, "least_novelty": 1.0}
    request = TrainRequest(run.method, settings, task=run.task.name, seed=run.seed, precision="fp32", show=False)
    return evaluate(train(request, run.folder, demos, run.task), run.task, run.starts, show=False)


def number(run: ArmRun, group: People) -> float:
    """Of the removed pairs the share in the other style; of that style's pairs the share that is kept; how many
    demonstrations a person was asked for."""
    if run.arm in ("asked, collected", "asked, elicited"):
        return elicited(run, group.first, informed=run.arm == "asked, elicited")[1]
    said = scores(run, group.new, group.first)
    assert said.keep is not None
    if run.arm == "other style kept":
        return float(said.keep[group.style == 1].mean())
    removed = group.style[~said.keep]
    return float(removed.mean()) if len(removed) else 0.0


# ---------------------------------------------------------------- what is compared, and what must come out

SHARE = 0.99  # quantile of the held-out first demonstrations at which both limits lie
TRAINED = ("base", "naive", "random", "filter", "ordered", "oracle", "collected", "elicited")
NUMBERS = ("other style among removed", "other style kept", "asked, collected", "asked, elicited")
SETTINGS: dict[str, Any] = {"hidden": [128, 128], "dropout": 0.3, "batch": 160, "schedule": "cosine"}

CLAIM = Claim(
    paper="Gandhi, Karamcheti, Liao & Sadigh 2022, Eliciting Compatible Demonstrations for Multi-Human Imitation "
    "Learning",
    sentence="Where people go around an obstacle on different sides, dropping the pairs that contradict the first "
    "demonstrator in familiar states makes new data help as much as if only his own style had been added, and asking "
    "people for compatible demonstrations gives a better policy than as many given freely.",
    arms={name: Arm("ensemble_bc", SETTINGS) for name in (*TRAINED, *NUMBERS)},
    task="reach2d/pillar",
    criteria=(
        NotWorse("base", "naive", margin=0.05),
        Difference("filter", "naive", margin=0.15),
        Difference("filter", "random", margin=0.15),
        NotWorse("filter", "base", margin=0.0),
        NotWorse("filter", "oracle", margin=0.1),
        Level("other style among removed", at_least=0.75),
        Level("other style kept", at_least=0.02),
        Difference("elicited", "collected", margin=0.15),
    ),
    budgets={
        "smoke": Budget(
            range(2),
            4,
            {"first": 4, "new": 4, "people": 2, "taught": 1},
            {"all": {"steps": 3, "batch": 10, "hidden": [8]}},
            minutes=0.3,
        ),
        "quick": Budget(
            range(10, 26),  # seeds 0 to 4 judged an earlier calibration: see the notes
            200,
            {"first": 20, "new": 100, "people": 10, "taught": 10},
            {"all": {"steps": 1000}},
            minutes=14,
        ),
        "full": Budget(
            range(5),
            100,
            {"first": 20, "new": 100, "people": 10, "taught": 10},
            {"all": {"steps": 10_000, "hidden": [1024, 1024], "dropout": 0.5, "batch": 640}},
            minutes=600,
        ),
    },
    metric="total",
    run_arm=run_arm,
    notes="The paper's small world with a pillar, rebuilt from a description: starts in a box at the left wall, goals "
    "in a square behind the pillar. The first demonstrator goes over it, in 20 demonstrations from the lower 0.7 "
    "of the starts; of 100 new ones from all starts half go over and half under. Both limits are quantiles of "
    "0.99 over the first demonstrations, each judged by an ensemble of four fifths that begin in other places; "
    "every judged policy is trained from scratch on all of its data for equally many updates. 'random' drops as "
    "many pairs as the filter, 'ordered' takes whole demonstrations by their bad and good steps until half of "
    "the new steps are used, 'oracle' adds the pairs of the first style alone. 'elicited': ten simulated people, "
    "half of whom begin under it, until ten demonstrations of each are accepted (at most two bad steps); who is "
    "rejected is shown the nearest first demonstration and takes its style with a chance of 0.7. 'collected': as "
    "many from people whom nobody tells anything. Scaled down: two layers of 128 in the place of 1,024, dropout "
    "0.3, 32 samples a member, 1,000 updates. Dropout decides: with 0.1 the mixture had 78 to 81 % (filter 93 to "
    "94), with 0.3 34 to 45 % (filter 80), because members can then no longer tell people apart by their goals; "
    "with 0.5 nothing was precise enough in 1,500 updates. Calibrated on seeds 1000 to 1002 (worlds, dropout, "
    "batch; about ten runs), the judged settings ran on 1000 and 1001. An earlier judging (seeds 0 to 4, commit "
    "c528c1b) did not hold: filter less oracle -0.19 [-0.28, -0.11], all else met. Limits were then quantiles "
    "over four first demonstrations that were kept aside, so that 9 to 44 % of the other style passed as novel. "
    "Since then every first demonstration calibrates; nothing else was changed but the seeds and their number. "
    "On tuning seeds (1010 to 1017), filter less oracle on the mean: four kept aside -0.20 (two seeds); five "
    "parts drawn at random -0.034, five that begin in other places -0.030 (six seeds), four -0.027 (six), three "
    "-0.022; the other style kept: 16, 13, 10 and 8 %. Policies of 2,000 updates came nearer to the oracle (89 "
    "and 94 %, seed 1014), but then everything together does not harm (70 %, base 59). In the world without a "
    "pillar two orders of the axes do not hurt one another: their mean is a straight way. Left out: picking with "
    "a robot arm, people, pictures.",
)
