"""DAgger beats cloning when both are given the same number of labelled episodes."""

from __future__ import annotations

from imitari.core.demos import Demos
from imitari.core.task import Task
from imitari.jobs.claim import Arm, Budget, Claim, Difference, training_starts
from imitari.jobs.demonstrations import demonstrate


def first_round(budget: Budget, seed: int, task: Task) -> Demos:
    return demonstrate(task, training_starts(seed, budget.demos["first"]))


def all_rounds(budget: Budget, seed: int, task: Task) -> Demos:
    """As many episodes of the expert alone as DAgger gets labelled in all."""
    return demonstrate(task, training_starts(seed, budget.demos["all"]))


CLAIM = Claim(
    paper="Ross, Gordon & Bagnell 2011, A Reduction of Imitation Learning and Structured Prediction to No-Regret "
    "Online Learning",
    sentence="With as many episodes labelled by the expert, a policy that is taught where it itself goes fails less "
    "than one that has only seen where the expert goes.",
    arms={
        "dagger": Arm("dagger", {"hidden": (64, 64), "schedule": "cosine"}),
        "cloning": Arm("bc", {"hidden": (64, 64), "schedule": "cosine"}, demos=all_rounds),
    },
    task="track",
    criteria=(Difference("dagger", "cloning", margin=0.2),),
    budgets={
        "smoke": Budget(
            range(2),
            10,
            {"first": 2, "all": 4},
            {"all": {"steps": 20, "batch": 16}, "dagger": {"rounds": 1, "round_episodes": 2}},
            minutes=0.2,
        ),
        # Six seeds: whether a cloned policy happens to keep the lane differs from training to training.
        "quick": Budget(
            range(6),
            100,
            {"first": 3, "all": 15},
            {
                "dagger": {"steps": 400, "batch": 128, "rounds": 4, "round_episodes": 3},
                "cloning": {"steps": 2000, "batch": 128},
            },
            minutes=4,
        ),
        "full": Budget(
            range(10),
            500,
            {"first": 5, "all": 105},
            {
                "dagger": {"steps": 3000, "rounds": 20, "round_episodes": 5},
                "cloning": {"steps": 63_000},
            },
            minutes=400,
        ),
    },
    demos=first_round,
    notes="Episodes that leave the lane are shorter, so cloning has at least as many labelled steps; it also takes as "
    "many optimiser steps as all rounds of DAgger together.",
)
