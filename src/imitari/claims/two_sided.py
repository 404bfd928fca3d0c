"""A mixture over actions passes an obstacle on either side where regression drives into it."""

from __future__ import annotations

from imitari.core.demos import Demos
from imitari.core.task import Task
from imitari.jobs.claim import Arm, Budget, Claim, Difference, training_starts
from imitari.jobs.demonstrations import demonstrate


def demos(budget: Budget, seed: int, task: Task) -> Demos:
    return demonstrate(task, training_starts(seed, budget.demos["episodes"]))


SHARED = {"hidden": (256, 256), "chunk": 8, "execute": 4}

CLAIM = Claim(
    paper="Florence et al. 2021, Implicit Behavioral Cloning; Chi et al. 2023, Diffusion Policy",
    sentence="Where demonstrations go two ways, a policy that models a distribution over actions succeeds far more "
    "often than regression, which averages the two ways.",
    arms={
        "mixture": Arm("bc", {**SHARED, "head": "gmm"}),
        "regression": Arm("bc", {**SHARED, "head": "mse"}),
    },
    task="two_ways",
    criteria=(Difference("mixture", "regression", margin=0.2),),
    budgets={
        "smoke": Budget(range(2), 10, {"episodes": 10}, {"all": {"steps": 30, "hidden": (32,)}}, minutes=0.2),
        "quick": Budget(range(3), 100, {"episodes": 100}, {"all": {"steps": 1500}}, minutes=3),
        "full": Budget(range(10), 500, {"episodes": 200}, {"all": {"steps": 10_000}}, minutes=60),
    },
    demos=demos,
)
