"""Cloning with a mixture head goes one of two ways where the same network with squared error goes between them."""

from __future__ import annotations

from imitari.core.demos import Demos
from imitari.core.task import Task
from imitari.jobs.claim import Arm, Budget, Claim, Difference, training_starts
from imitari.jobs.demonstrations import demonstrate


def demos(budget: Budget, seed: int, task: Task) -> Demos:
    return demonstrate(task, training_starts(seed, budget.demos["episodes"]))


SHARED = {"history": 2, "hidden": (256, 256), "schedule": "cosine"}

CLAIM = Claim(
    paper="Mandlekar et al. 2021, What Matters in Learning from Offline Human Demonstrations for Robot Manipulation",
    sentence="Behaviour cloning with a Gaussian-mixture head succeeds far more often than with a squared error where "
    "demonstrations go two ways.",
    arms={"mixture": Arm("bc", {**SHARED, "head": "gmm"}), "regression": Arm("bc", {**SHARED, "head": "mse"})},
    task="two_ways",
    criteria=(Difference("mixture", "regression", margin=0.15),),
    budgets={
        "smoke": Budget(range(2), 10, {"episodes": 5}, {"all": {"steps": 20, "batch": 16}}, minutes=0.2),
        "quick": Budget(range(3), 200, {"episodes": 100}, {"all": {"steps": 2000, "batch": 128}}, minutes=1),
        "full": Budget(range(10), 500, {"episodes": 200}, {"all": {"steps": 20_000, "batch": 256}}, minutes=60),
    },
    demos=demos,
    notes="The paper's ablation of the head is on robosuite with human demonstrations; this is the smallest world with "
    "its reason: one observation, two right actions, and a wrong one between them.",
)
