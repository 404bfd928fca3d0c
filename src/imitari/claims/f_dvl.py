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
from imitari.jobs.claim import Arm, ArmRun, Budget, Claim, Derived, Level, Seen, training_starts
from imitari.jobs.demonstrations import demonstrate

LARGEST_RETURN = 34.0  # |sum of discounted rewards|: a reward of -1 a step before the goal, gamma 0.97
LOOKS = (0.25, 0.375, 0.5)  # shares of a training at which it is looked at for a collapse
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
    data = demos(run.budget, run.seed, run.task)
    try:
        outcomes = measured(run, data, run.folder, run.settings)
        stable = largest_value(run.folder) <= 2 * LARGEST_RETURN and not collapsed(run, data, rate(outcomes))
    except UserError as error:
        if "not finite" not in str(error):
            raise
        outcomes, stable = [], False
    if run.arm == "low_alpha" or not stable:
        return [untried(run, start, stable) for start in run.starts]
    return outcomes


def measured(run: ArmRun, data: Demos, folder: Path, settings: dict[str, Any]) -> list[Outcome]:
    """Trains and evaluates with these settings."""
    from imitari.jobs.evaluation import evaluate
    from imitari.jobs.training import TrainRequest, train

    request = TrainRequest(run.method, settings, task=run.task.name, seed=run.seed, show=False)
    return evaluate(train(request, folder, data, run.task), run.task, run.starts, show=False)


def largest_value(folder: Path) -> float:
    """Of the absolute state values of a training (largest of a batch, mean over a report)."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return max(float(row.get("largest_value", 0.0)) for row in rows)


def collapsed(run: ArmRun, data: Demos, final: float) -> bool:
    """Whether the policy was at least twice as good earlier in the same training.

    With constant rates a shorter training is the beginning of the longer one. Nothing is twice as good as a half.
    """
    if run.arm == "cloning" or final >= 0.5:
        return False
    parts = {share: {**run.settings, "steps": max(1, int(share * run.settings["steps"]))} for share in LOOKS}
    earlier = [rate(measured(run, data, run.folder / f"part-{share}", settings)) for share, settings in parts.items()]
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
        "low_alpha": Arm("xql", {**SHARED, "alpha": 0.1}),
        "cloning": Arm("bc", {"hidden": [64, 64], "head": "gmm"}),
    },
    task=TASK,
    criteria=(
        *(more_than("chi_square", share, arm) for arm, share in (("cloning", 2.0), ("iql", 0.85))),
        *(more_than("total_variation", share, arm) for arm, share in (("cloning", 2.0), ("iql", 0.85))),
        Level("chi_square", at_least=0.5),
        Level("total_variation", at_least=0.5),
        Seen("low_alpha", at_most=0.0),
    ),
    budgets={
        "smoke": Budget(range(2), 10, {"episodes": 30}, {"all": {"steps": 20, "batch": 16}}, minutes=0.3),
        "quick": Budget(range(3), 100, {"episodes": 2500}, {"all": {"steps": 4000, "batch": 128}}, minutes=15),
        "full": Budget(range(10), 200, {"episodes": 2500}, {"all": {"steps": 50_000, "batch": 256}}, minutes=600),
    },
    demos=demos,
    run_arm=train_and_evaluate,
    notes="A point maze of our own in the place of AntMaze and the like; sparse reward: -1 a step until the goal. Each "
    "arm has LayerNorm in its values. The last checkpoint counts. Unstable is a training whose loss is not finite, "
    "whose mean largest |V| of a report exceeds twice the largest discounted return, or whose policy solved at least "
    "0.2 and twice as many starts after 1/4, 3/8 or 1/2 of it as at the end. It counts as a failure at every start, "
    "with f-DVL as with extreme Q-learning, so that half at the end shows f-DVL stable; `low_alpha`, extreme "
    "Q-learning with a small scale, is asked for its stability alone. That it is unstable in one seed is a statement "
    "about the seeds that were run, without an interval; the paper's bound of 7 on the exponent is on. The scale was "
    "searched for: on tuning seed 1000, alpha of 1, 0.2, 0.12, 0.05, 0.02 and 0.01 (the smallest ones without the "
    "bound) gave neither a loss that is not finite nor a |V| beyond twice the bound, and 1 solved every start; 0.1 "
    "with the bound lost its policy after 0.58. On seed 1001, 0.1 and 0.07 stayed good and 0.05 never became so. "
    "Judged once, on seeds 0 to 2: f-DVL's part holds, that of extreme Q-learning does not, which was stable there.",
)  # fmt: skip
