"""f-DVL joins pieces as well as implicit Q-learning, and stays stable where extreme Q-learning does not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.outcome import Outcome
from imitari.core.task import Task
from imitari.jobs.claim import Arm, ArmRun, Budget, Claim, Derived, Level, training_starts
from imitari.jobs.demonstrations import demonstrate

LARGEST_RETURN = 34.0  # |sum of discounted rewards|: a reward of -1 a step before the goal, gamma 0.97
TASK = "maze/medium"


def demos(budget: Budget, seed: int, task: Task) -> Demos:
    """Somebody goes between random cells of the maze and passes the goal by accident only."""
    from imitari.envs import task_named
    from imitari.envs.maze import CellToCell

    play = task_named(task.name, play=True)
    name = task.name.rpartition("/")[2]
    return demonstrate(play, training_starts(seed, budget.demos["episodes"]), noise=0.1, actor=CellToCell(name))


def train_and_evaluate(run: ArmRun) -> list[Outcome]:
    """An unstable training is a failure at every start. The arm `low_alpha` is asked for its stability alone."""
    try:
        outcomes = measured(run, run.folder, run.settings)
    except UserError as error:
        if "not finite" not in str(error):
            raise
        return [untried(run, start, False) for start in run.starts]
    bounded = largest_value(run.folder) <= 2 * LARGEST_RETURN
    if run.arm == "low_alpha":
        return [untried(run, start, bounded and not collapsed(run, rate(outcomes))) for start in run.starts]
    return outcomes if bounded else [untried(run, start, False) for start in run.starts]


def measured(run: ArmRun, folder: Path, settings: dict[str, Any]) -> list[Outcome]:
    """Trains and evaluates with these settings."""
    from imitari.jobs.evaluation import evaluate
    from imitari.jobs.training import TrainRequest, train

    request = TrainRequest(run.method, settings, task=run.task.name, seed=run.seed, show=False)
    agent = train(request, folder, demos(run.budget, run.seed, run.task), run.task)
    return evaluate(agent, run.task, run.starts, show=False)


def largest_value(folder: Path) -> float:
    """Of the absolute state values of a training (largest of a batch, mean over a report)."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return max(float(row.get("largest_value", 0.0)) for row in rows)


def collapsed(run: ArmRun, final: float) -> bool:
    """Whether the policy was at least twice as good earlier in the same training.

    With constant rates a shorter training is the beginning of the longer one.
    """
    steps = int(run.settings["steps"])
    parts = {part: {**run.settings, "steps": max(1, steps // part)} for part in (6, 4, 3, 2)}
    earlier = [rate(measured(run, run.folder / f"part-{part}", settings)) for part, settings in parts.items()]
    return max(earlier) >= 0.2 and final < 0.5 * max(earlier)


def rate(outcomes: Sequence[Outcome]) -> float:
    return sum(outcome.success for outcome in outcomes) / len(outcomes)


def untried(run: ArmRun, start: int, success: bool) -> Outcome:
    """What stands for a start where the training as a whole is judged."""
    return Outcome(run.arm, run.task.name, start, run.seed, success, 0.0, 0.0, 0, "truncated")


def more_than(arm: str, share: float, other: str) -> Derived:
    """The mean of `arm` is at least `share` of that of `other`."""
    return Derived(
        f"{arm} less {share:g} times {other}", (arm, other), lambda mean: float(mean[0] - share * mean[1]), at_least=0.0
    )


SHARED = {"hidden": [64, 64], "lr": 1e-3, "tau": 0.02, "gamma": 0.97, "temperature": 10.0, "reward_shift": -1.0,
          "norm": True, "actor_schedule": "constant"}  # fmt: skip

CLAIM = Claim(
    paper="Sikchi, Zheng, Zhang & Niekum 2023, Dual RL: Unification and New Methods for Reinforcement and Imitation "
    "Learning",
    sentence="Where pieces of different episodes must be joined, f-DVL is far better than cloning and as good as "
    "implicit Q-learning, and its values stay within bounds where those of extreme Q-learning leave them.",
    arms={
        "chi_square": Arm("f_dvl", {**SHARED, "divergence": "chi_square"}),
        "total_variation": Arm("f_dvl", {**SHARED, "divergence": "total_variation"}),
        "iql": Arm("iql", {**SHARED, "expectile": 0.9}),
        "xql": Arm("xql", {**SHARED, "alpha": 1.0}),
        "low_alpha": Arm("xql", {**SHARED, "alpha": 0.1}),
        "cloning": Arm("bc", {"hidden": [64, 64], "head": "gmm"}),
    },
    task=TASK,
    criteria=(
        *(more_than("chi_square", share, arm) for arm, share in (("cloning", 2.0), ("iql", 0.85))),
        *(more_than("total_variation", share, arm) for arm, share in (("cloning", 2.0), ("iql", 0.85))),
        Level("chi_square", at_least=0.5),
        Level("total_variation", at_least=0.5),
        Level("low_alpha", at_most=2 / 3),
    ),
    budgets={
        "smoke": Budget(range(2), 10, {"episodes": 30}, {"all": {"steps": 20, "batch": 16}}, minutes=0.3),
        "quick": Budget(range(3), 100, {"episodes": 2500}, {"all": {"steps": 6000, "batch": 128}}, minutes=15),
        "full": Budget(range(10), 200, {"episodes": 2500}, {"all": {"steps": 50_000, "batch": 256}}, minutes=600),
    },
    demos=demos,
    run_arm=train_and_evaluate,
    notes="A point maze of our own in the place of AntMaze and the like; sparse reward: -1 a step until the goal. Each "
    "arm has LayerNorm in its values. The last checkpoint counts. Unstable is a training whose loss is not finite, "
    "whose mean largest |V| of a report exceeds twice the largest discounted return, or, for `low_alpha` (extreme "
    "Q-learning with a small scale, judged by its stability alone), whose policy was at least 0.2 and twice as good "
    "after 1/6, 1/4, 1/3 or 1/2 of it. That f-DVL does not collapse follows from its final success: half is "
    "asked for; no peak is above one. All three seeds of `low_alpha` must be unstable for its interval to show it.",
)  # fmt: skip
