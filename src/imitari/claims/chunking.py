"""Chunks of actions get past a pause that the observation does not explain, where single steps get stuck."""

from __future__ import annotations

from typing import Any

from imitari.core.demos import Demos
from imitari.core.task import Task
from imitari.jobs.claim import Arm, Budget, Claim, Difference, training_starts
from imitari.jobs.demonstrations import demonstrate


def demos(budget: Budget, seed: int, task: Task) -> Demos:
    """A person who stops short of the goal for a while, for no reason that can be seen."""
    from imitari.envs.meadow import Hesitant

    return demonstrate(task, training_starts(seed, budget.demos["episodes"]), actor=Hesitant())


SMALL: dict[str, Any] = {
    "width": 32,
    "inner": 64,
    "style_layers": 1,
    "encoder_layers": 1,
    "lr": 1e-3,
    "warmup": 50,
    "schedule": "cosine",
}

CLAIM = Claim(
    paper="Zhao et al. 2023, Learning Fine-Grained Bimanual Manipulation with Low-Cost Hardware",
    sentence="Where people pause for no reason that can be seen, a policy that predicts a chunk of actions goes on to "
    "the goal far more often than the same policy that predicts one action at a time.",
    arms={
        "chunks": Arm("act", {**SMALL, "chunk": 24, "execute": 24}),
        "single": Arm("act", {**SMALL, "chunk": 1, "execute": 1}),
    },
    task="meadow",
    criteria=(Difference("chunks", "single", margin=0.3),),
    budgets={
        "smoke": Budget(range(2), 10, {"episodes": 5}, {"all": {"steps": 20, "batch": 16}}, minutes=0.2),
        "quick": Budget(range(6), 100, {"episodes": 100}, {"all": {"steps": 3000, "batch": 64}}, minutes=6),
        "full": Budget(range(10), 500, {"episodes": 200}, {"all": {"steps": 10_000, "batch": 64}}, minutes=300),
    },
    demos=demos,
    notes="The paper's ablation of the chunk size is on two-armed manipulation with people's demonstrations; this "
    "is the smallest world with the reason that the paper gives: pauses that depend on more than the present state.",
)
