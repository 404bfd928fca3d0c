"""A policy cloned from four demonstrations and then tuned by PPO beats both the clone and PPO without demonstrations."""

from __future__ import annotations

from typing import Any

from imitari.core.demos import Demos
from imitari.core.task import Task
from imitari.jobs.claim import Arm, Budget, Claim, Difference, training_starts
from imitari.jobs.demonstrations import demonstrate

ACTING: dict[str, Any] = {"together": 32, "horizon": 32, "epochs": 10, "lr": 1e-3, "hidden": (64, 64), "gamma": 0.9}
CLONED: dict[str, Any] = {**ACTING, "deviation": 0.3, "value_rounds": 2}


def demos(budget: Budget, seed: int, task: Task) -> Demos:
    return demonstrate(task, training_starts(seed, budget.demos["count"]))


CLAIM = Claim(
    paper="Schulman et al. 2017, Proximal Policy Optimization Algorithms; the start and the penalty after Baker et al. "
    "2022, Video PreTraining",
    sentence="Where the reward leads into a dead end, PPO that starts from a few cloned demonstrations and is kept near "
    "them solves what neither the clone nor PPO alone solves with as many steps.",
    arms={
        "tuned": Arm("ppo", {**CLONED, "prior_weight": 0.1, "prior_decay": 0.9}),
        "tuned_freely": Arm("ppo", CLONED),
        "alone": Arm("ppo", {**ACTING, "clone_steps": 0}),
        "cloning": Arm("bc", {"hidden": (64, 64), "batch": 256}),
    },
    task="two_ways",
    criteria=(Difference("tuned", "cloning", margin=0.2), Difference("tuned", "alone", margin=0.2)),
    budgets={
        "smoke": Budget(
            range(2),
            10,
            {"count": 2},
            {
                "all": {"steps": 1_024},
                "tuned": {"clone_steps": 10, "epochs": 2},
                "tuned_freely": {"clone_steps": 10, "epochs": 2},
                "alone": {"epochs": 2},
                "cloning": {"steps": 10},
            },
            minutes=0.2,
        ),
        "quick": Budget(
            range(6),
            200,
            {"count": 4},
            {
                "all": {"steps": 30_720},
                "tuned": {"clone_steps": 1_000},
                "tuned_freely": {"clone_steps": 1_000},
                "cloning": {"steps": 1_000},
            },
            minutes=6,
        ),
        "full": Budget(
            range(10),
            500,
            {"count": 4},
            {
                "all": {"steps": 30_720},
                "tuned": {"clone_steps": 2_000},
                "tuned_freely": {"clone_steps": 2_000},
                "cloning": {"steps": 2_000},
            },
            minutes=20,
        ),
    },
    demos=demos,
    notes="The world rewards progress to the goal and punishes the obstacle in between, so that PPO alone first learns to "
    "wait below it. The demonstrations pass it on either side. `tuned_freely` has no penalty on the distance from the "
    "clone and takes no part in the verdict: on the tuning seeds it did as well, so this says nothing for the penalty. "
    "Settings were tuned on seeds 1000 to 1005. With more steps PPO alone begins to find a way around, too: on the "
    "tuning seeds 1001 and 1002, with a rate of 7e-4, in about half of the starts after 40,960 steps.",
)
