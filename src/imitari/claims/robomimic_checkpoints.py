"""The lowest held-out loss does not tell which of a training's policies succeeds most often."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from imitari.claims import robomimic, robomimic_sources
from imitari.core.files import replace_text
from imitari.core.outcome import Outcome
from imitari.core.starts import judging_starts
from imitari.jobs.claim import Arm, ArmRun, Budget, Claim, Data, Derived, Floats, Level
from imitari.jobs.sharing import alone_in, shared, told

if TYPE_CHECKING:
    from imitari.core.demos import Demos
    from imitari.core.task import Task
    from imitari.learn.agent import Agent
    from imitari.learn.learner import Learner
    from imitari.learn.run import Check, Run

LOOKS = 20  # checkpoints of a training, evenly spread (the loop checks held-out losses as often)
HELD = 0.1  # share of the episodes that are held out, as in the paper
HOW = ("best", "valid", "last", "rank")
STUDY = "study.json"


@dataclass(frozen=True)
class Policy:
    """A run of claim A or B: its arm, its data and where it acts."""

    arm: Arm
    demos: Data
    task: str


def of(claim: Claim, arm: str, demos: Data) -> Policy:
    return Policy(claim.arms[arm], claim.arms[arm].demos or demos, claim.task)


POLICIES = {
    "recurrent": of(robomimic.CLAIM, "recurrent", robomimic.demos),
    "hierarchy": of(robomimic.CLAIM, "hierarchy", robomimic.demos),
    "people": of(robomimic_sources.CLAIM, "recurrent_people", robomimic_sources.people),
}


@dataclass(frozen=True)
class Look:
    """One checkpoint.

    Attributes:
        step: of the training.
        loss: held out, of whole episodes.
        success: rate over the rollouts that checkpoints are chosen by.
    """

    step: int
    loss: float
    success: float


def run_arm(run: ArmRun) -> list[Outcome]:
    """`total`: of a chosen checkpoint 1 where it succeeds, else 0; of an arm on ranks the correlation, everywhere."""
    from imitari.envs import task_named
    from imitari.jobs.evaluation import evaluate

    name, how = run.arm.rsplit("_", 1)
    policy = POLICIES[name]
    task = task_named(policy.task)
    folder = shared(run, name)
    looks = studied(run, policy, task, folder)
    if how == "rank":
        value = rank_correlation([-look.loss for look in looks], [look.success for look in looks])
        return told(run, value)
    chosen = {
        "best": max(looks, key=lambda look: (look.success, look.step)),
        "valid": min(looks, key=lambda look: look.loss),
        "last": looks[-1],
    }[how]
    outcomes = evaluate(checkpoint(folder, chosen.step), task, run.starts, show=False)
    return [replace(outcome, total=float(outcome.success)) for outcome in outcomes]


def studied(run: ArmRun, policy: Policy, task: Task, folder: Path) -> list[Look]:
    """Trains with checkpoints and tries each of them; done once for all arms of a policy and a seed."""
    with alone_in(folder):
        if not (folder / STUDY).exists():
            losses = trained(run, policy, task, folder)
            tried = [Look(step, loss, success_of(run, task, folder, step)) for step, loss in losses.items()]
            replace_text(folder / STUDY, json.dumps([asdict(look) for look in tried], indent=1))
    return [Look(**look) for look in json.loads((folder / STUDY).read_text())]


def trained(run: ArmRun, policy: Policy, task: Task, folder: Path) -> dict[int, float]:
    """Step -> held-out loss of every checkpoint in `folder`."""
    from imitari.learn.method import method_class

    method = method_class(policy.arm.method).from_preset(policy.arm.preset, **run.settings)
    part, held = policy.demos(run.budget, run.seed, task).split(HELD, run.seed)
    keeping = checkpoints_kept(run.seed, folder, held, run.settings["steps"])
    method.fit(part, keeping, task).save(folder)
    keeping.metrics.close()
    rows = [row for row in keeping.metrics.rows if weights(folder, row["step"]).exists()]
    return {row["step"]: sum(value for key, value in row.items() if is_held_loss(key)) for row in rows}


def is_held_loss(key: str) -> bool:
    """Whether a metric is a term of the held-out loss that the training minimises the like of."""
    return key.startswith("held_") and key.endswith(("_loss", "_kl"))


def checkpoints_kept(seed: int, folder: Path, held: Demos | None, steps: int) -> Run:
    """A run that writes the weights down whenever it looks at held-out losses."""
    from imitari.learn.checkpoint import write_tensors
    from imitari.learn.run import Run

    class Keeping(Run):
        def train(self, learner: Learner, *args: Any, check: Check | None = None, **kwargs: Any) -> Learner:
            def look(step: int) -> dict[str, float]:
                write_tensors(weights(folder, step), learner.state_dict(), {})
                return check(step) if check else {}

            return super().train(learner, *args, check=look, **kwargs)

    return Keeping(seed=seed, folder=folder, held=held, report_every=max(1, steps // LOOKS), show=False)


def weights(folder: Path, step: int) -> Path:
    return folder / "checkpoints" / f"{step}.safetensors"


def checkpoint(folder: Path, step: int) -> Agent:
    """The agent as it was after `step` steps."""
    from imitari.learn.agent import Agent
    from imitari.learn.checkpoint import read_tensors

    last = Agent.load(folder)
    last.learner.load_state_dict(read_tensors(weights(folder, step))[0])
    return Agent(last.method, last.learner, last.scaler, last.inside, last.facts)


def success_of(run: ArmRun, task: Task, folder: Path, step: int) -> float:
    """Over rollouts that choose: their starts are neither the training's nor those that judge."""
    from imitari.jobs.evaluation import evaluate

    starts = judging_starts(run.seed, run.budget.demos["rollouts"])
    return float(np.mean([one.success for one in evaluate(checkpoint(folder, step), task, starts, show=False)]))


def rank_correlation(a: list[float], b: list[float]) -> float:
    """Spearman's, ties sharing their mean rank; 0 where all values of one list are equal."""
    from scipy.stats import rankdata

    first, second = (rankdata(values) - (len(values) + 1) / 2 for values in (a, b))
    size = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / size if size else 0.0


CHOSEN = tuple(f"{name}_{how}" for how in ("best", "valid") for name in POLICIES)


def mean_gain(mean: Floats) -> float:
    return float(mean[: len(POLICIES)].mean() - mean[len(POLICIES) :].mean())


CLAIM = Claim(
    paper=robomimic.CLAIM.paper,
    sentence="The checkpoint with the lowest held-out loss succeeds far less often than the one that rollouts choose, "
    "and the order of held-out losses is not that of success.",
    arms={f"{name}_{how}": policy.arm for name, policy in POLICIES.items() for how in HOW},
    task=robomimic.CLAIM.task,
    criteria=(
        Derived(
            "what rollouts gain over the lowest held-out loss, mean of the policies", CHOSEN, mean_gain, at_least=0.1
        ),
        *(Level(f"{name}_rank", at_most=0.9) for name in POLICIES),
    ),
    budgets={
        "smoke": Budget(
            range(2), 10, {"episodes": 10, "shown": 5, "rollouts": 5}, {"all": {"steps": 4, "batch": 8}}, minutes=0.3
        ),
        "quick": Budget(
            range(5),
            100,
            {"episodes": 40, "shown": 12, "rollouts": 50},
            {"all": {"steps": 1000, "batch": 32, "schedule": "constant"}},
            minutes=10,
        ),
        "full": Budget(
            range(10),
            500,
            {"episodes": 200, "shown": 60, "rollouts": 50},
            {"all": {"steps": 20_000, "batch": 100, "schedule": "constant"}},
            minutes=1200,
        ),
    },
    metric="total",
    run_arm=run_arm,
    notes="The policies are the recurrent and the hierarchical one of claim `robomimic` and the one of people of claim "
    "`robomimic_sources`, with their settings but for a constant rate, as in the paper, and fewer demonstrations (40, "
    "and 36 of people): with 150 clean ones of a script nothing is over-fitted in a training of minutes, and on tuning "
    "seed 1000 the rank correlation of the recurrent one was 0.91. A tenth of the episodes is held out; 20 checkpoints "
    "a training. The paper counts the best of many evaluations as it is, which chance alone raises; here 50 rollouts "
    "choose the checkpoint and it is judged on other starts, those of all arms. The arms `_last` are reported and no "
    "part of the criteria; everywhere else in this library the last checkpoint counts. Tuning seed 1000: people 0.87 "
    "by rollouts, 0 by held-out loss, rank correlation -0.69; recurrent 1 and 1, 0.50. Judged once, on seeds 0 to 4: "
    "the gain is 12 points, of which the interval says 2 to 22 and not at least 10; the hierarchy's ranks agree too "
    "well (0.87, up to 0.95). The last checkpoints are within 5 points of those that rollouts choose.",
)
