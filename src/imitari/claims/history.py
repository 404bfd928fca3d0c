"""A recurrent policy does what a memoryless one cannot where the observation hides the past."""

from __future__ import annotations

from imitari.core.demos import Demos
from imitari.core.task import Task
from imitari.jobs.claim import Arm, Budget, Claim, Difference, training_starts
from imitari.jobs.demonstrations import demonstrate


def demos(budget: Budget, seed: int, task: Task) -> Demos:
    return demonstrate(task, training_starts(seed, budget.demos["episodes"]))


SHARED = {"schedule": "cosine"}

CLAIM = Claim(
    paper="Mandlekar et al. 2021, What Matters in Learning from Offline Human Demonstrations for Robot Manipulation",
    sentence="Cloning with a recurrent network succeeds far more often than cloning without memory where people act on "
    "what they remember.",
    arms={
        "recurrent": Arm(
            "bc_rnn",
            {**SHARED, "width": 64, "layers": 1, "length": 40, "renew": 0, "head": "gmm", "lr": 3e-3, "masked": True},
        ),
        "memoryless": Arm("bc", {**SHARED, "hidden": (128, 128), "head": "gmm"}),
        "regression": Arm("bc", {**SHARED, "hidden": (128, 128), "head": "mse"}),
    },
    task="touch_and_return",
    criteria=(
        Difference("recurrent", "memoryless", margin=0.3),
        Difference("recurrent", "regression", margin=0.3),
    ),
    budgets={
        "smoke": Budget(range(2), 10, {"episodes": 5}, {"all": {"steps": 20, "batch": 8}}, minutes=0.2),
        "quick": Budget(range(3), 100, {"episodes": 150}, {"all": {"steps": 1500, "batch": 64}}, minutes=4),
        "full": Budget(range(10), 500, {"episodes": 200}, {"all": {"steps": 10_000, "batch": 100}}, minutes=300),
    },
    demos=demos,
    notes="The paper finds the difference on tasks with human demonstrations in robosuite; this is the smallest world "
    "in which the next action depends on what happened before.",
)
