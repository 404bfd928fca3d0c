"""From the same start, diffusion pushes two blocks in several ways and regression in one, over many starts."""

from __future__ import annotations

from collections.abc import Sequence

from imitari.core.demos import Demos
from imitari.core.outcome import Outcome
from imitari.core.task import Task
from imitari.jobs.claim import Arm, Budget, Claim, OverSeeds, training_starts
from imitari.jobs.demonstrations import demonstrate

WAYS, ROLLOUTS = 4, 16  # of a context; the first evaluation start is a multiple of their number
SHAKEN = 0.04  # deviation of what moves a hand aside in each step, as a share of the range of an action: 8 mm


def demos(budget: Budget, seed: int, task: Task) -> Demos:
    """Scripted hands that are shaken and say what they want to do, the same number for each of the four ways.

    Each start has blocks of its own.
    """
    from imitari.envs import task_named

    alone = task_named(task.name, angle="sin_cos")
    starts = training_starts(seed, budget.demos["episodes"])
    return demonstrate(alone, starts, noise=SHAKEN, record_noise=False, only_successes=True)


def entropy(arms: Sequence[Sequence[Outcome]]) -> float:
    """Conditional entropy of one agent: the mean over contexts; one without a success counts as 0."""
    from imitari.evaluate.diversity import shown

    (rows,) = arms
    return shown(rows, WAYS, lambda start: start // ROLLOUTS).entropy("zero").entropy


def success(arms: Sequence[Sequence[Outcome]]) -> float:
    (rows,) = arms
    return sum(row.success for row in rows) / len(rows)


CLAIM = Claim(
    paper='Jia et al. 2024, "Towards Diverse Behaviors: A Benchmark for Imitation Learning with Human Demonstrations"',
    sentence="Where two blocks can go onto two marks in four ways, diffusion takes several from the same start, and "
    "regression one.",
    arms={
        "diffusion": Arm("diffusion_mlp", {"schedule": "cosine", "warmup": 100, "lr": 2e-3}),
        "bc": Arm("bc", {"head": "mse", "hidden": (128, 128, 128), "schedule": "cosine"}),
    },
    task="pushing",
    options={"repeats": ROLLOUTS, "angle": "sin_cos"},
    criteria=(
        OverSeeds("conditional entropy of diffusion", ("diffusion",), entropy, at_least=0.4),
        OverSeeds("conditional entropy of bc", ("bc",), entropy, at_most=0.1),
    ),
    budgets={
        "smoke": Budget(
            range(2),
            4,
            {"episodes": 8},
            {
                "all": {"steps": 20, "batch": 16},
                "bc": {"hidden": (16,)},
                "diffusion": {"width": 16, "blocks": 1, "levels": 2},
            },
            minutes=0.3,
        ),
        "quick": Budget(range(5), 320, {"episodes": 400}, {"all": {"steps": 10_000, "batch": 256}}, minutes=10),
        "full": Budget(range(6), 480, {"episodes": 2000}, {"all": {"steps": 20_000, "batch": 1024}}, minutes=400),
    },
    demos=demos,
    notes="Blocks are squares in quasi-static contact, the arm is a rod, and scripted hands take the place of people. "
    "Yaw is observed as sine and cosine, since its tangent has no bound where the starts are drawn. A context without "
    "a success counts as 0. In each step the hands are pushed aside (deviation 8 mm), and what they want to do is "
    "recorded: without, they never show what to do where a block slips off, and who learns from them solves next to "
    "nothing (seed 1000: diffusion 4 % of the rollouts, with five observations in the place of one 0 %, in chunks of "
    "eight actions 0 %). Tuning with it, seed 1000, one try each: diffusion 36 % after 6,000 steps with an entropy of "
    "0.53, regression 20 % after 5,000 with 0, chunks 0 %. Scaled down: 400 demonstrations in the place of 2,000, 20 "
    "contexts in the place of 30, 5 training seeds in the place of 6. The paper's numbers for this task are not known "
    "to us: the bounds are our own, written before judging.",
)
