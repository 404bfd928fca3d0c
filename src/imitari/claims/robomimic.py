"""Where the observation hides the past, memory succeeds, a hierarchy that commits follows, and cloning steps fails."""

from __future__ import annotations

from imitari.core.demos import Demos
from imitari.core.task import Task
from imitari.jobs.claim import Arm, Budget, Claim, Derived, Difference, Level, training_starts
from imitari.jobs.demonstrations import demonstrate


def demos(budget: Budget, seed: int, task: Task) -> Demos:
    return demonstrate(task, training_starts(seed, budget.demos["episodes"]))


PLAIN = {"schedule": "cosine", "hidden": [64, 64]}
MEMORY = {"schedule": "cosine", "width": 64, "layers": 1, "lr": 4e-3, "masked": True}
MIXTURE = {"head": "gmm", "modes": 2}
PLAIN_BATCH = {arm: {"batch": 256} for arm in ("memoryless", "regression")}  # their samples are single steps

CLAIM = Claim(
    paper="Mandlekar et al. 2021, What Matters in Learning from Offline Human Demonstrations for Robot Manipulation",
    sentence="Where people act on what they remember, cloning with a recurrent network succeeds far more often than "
    "cloning without memory, a hierarchy that commits to a goal lies between both, and a memory that is cleared within "
    "the task loses most of the gain.",
    arms={
        "recurrent": Arm("bc_rnn", {**MEMORY, **MIXTURE, "length": 40, "renew": 0}),
        "memoryless": Arm("bc", {**PLAIN, **MIXTURE}),
        "regression": Arm("bc", {**PLAIN, "head": "mse"}),
        "hierarchy": Arm("hbc", {**MEMORY, "planner_hidden": [64, 64]}),
        "cleared": Arm("bc_rnn", {**MEMORY, **MIXTURE, "length": 10, "renew": 10}),
    },
    task="touch_and_return",
    criteria=(
        Difference("recurrent", "memoryless", margin=0.3),
        Difference("recurrent", "regression", margin=0.3),
        Level("memoryless", at_most=0.3),
        Level("regression", at_most=0.3),
        Level("recurrent", at_least=0.75),
        Difference("hierarchy", "memoryless"),
        Difference("recurrent", "hierarchy"),
        Derived(
            "what a cleared memory gains less half of what memory gains",
            ("cleared", "recurrent", "memoryless"),
            lambda mean: float((mean[0] - mean[2]) - (mean[1] - mean[2]) / 2),
            at_most=0.0,
        ),
    ),
    budgets={
        "smoke": Budget(
            range(2),
            10,
            {"episodes": 5},
            {"all": {"steps": 20, "batch": 8}, "hierarchy": {"planner_hidden": [16], "width": 16}},
            minutes=0.3,
        ),
        "quick": Budget(
            range(3, 8), 100, {"episodes": 150}, {"all": {"steps": 1000, "batch": 32}, **PLAIN_BATCH}, minutes=5
        ),
        "full": Budget(
            range(10), 500, {"episodes": 200}, {"all": {"steps": 10_000, "batch": 100}, **PLAIN_BATCH}, minutes=300
        ),
    },
    demos=demos,
    notes="The paper compares on robosuite's tasks with demonstrations of people; this is the smallest world in which "
    "the next action depends on what happened before: out to a target and back, position and target observed, "
    "whether it was touched not. All arms have the same demonstrations and number of steps; those without memory,"
    " whose samples are single steps and not stretches, have larger batches. The criteria are those that the "
    "study's description asks for: both without memory at most 30 %, with memory at least 75 %, the hierarchy "
    "between, and the paper's own ten steps of memory (a direction is forgotten ten steps after it was seen) with"
    " at most half of the gain. The mixtures have two components, not five: on tuning seed 1000 the recurrent arm"
    " had 96 of 100 with two and 76 with five, on seed 1001 90 with two; on seed 1000 the hierarchy had 42, the "
    "cleared memory 25, both others 0. An earlier form of this claim (`history`, five components, three arms, "
    "seeds 0 to 2) held with +74 points.",
)
