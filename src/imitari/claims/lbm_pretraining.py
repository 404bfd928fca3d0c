"""A policy pretrained on many tasks learns a new one from 8 demonstrations, as a network of its own does from 20."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from imitari.core.demos import Demos
from imitari.core.outcome import Outcome
from imitari.core.starts import training_starts
from imitari.core.task import Task
from imitari.envs.mixed import MixedTask, instructed
from imitari.evaluate.many import rank_sequentially
from imitari.evaluate.outcomes import read_outcomes, write_outcomes
from imitari.jobs.claim import Arm, ArmRun, Budget, Claim, Derived, Level, NotWorse, Seen
from imitari.jobs.sharing import alone_in, shared, told, trained_once

if TYPE_CHECKING:
    from imitari.learn.agent import Agent

# ---------------------------------------------------------------- who is compared where


@dataclass(frozen=True)
class Policy:
    """Attributes:
    kind: "untuned" (pretrained alone), "tuned" (and then on the task) or "single" (on the task alone).
    demos: entry of the budget's data that says how many demonstrations of the task.
    """

    kind: str
    demos: str


@dataclass(frozen=True)
class Case:
    """A policy in a task: entry of the budget's data with the tasks, which one, and whether conditions are shifted."""

    policy: Policy
    tasks: str
    number: int
    shifted: bool = False

    def name(self) -> str:
        parts = [self.policy.kind, self.policy.demos, f"{self.tasks} {self.number + 1}"]
        return " ".join([*parts, "shifted"] if self.shifted else parts).replace("  ", " ")


UNTUNED, ALL = Policy("untuned", ""), Policy("single", "all")
TUNED, FEW, MORE = Policy("tuned", "few"), Policy("single", "few"), Policy("single", "more")
SIDES = [(number, shift) for shift in (False, True) for number in range(2)]
UNSEEN = [Case(policy, "unseen", number, shift) for number, shift in SIDES for policy in (TUNED, FEW, MORE)]
SEEN = [Case(policy, "seen", number) for number in range(2) for policy in (UNTUNED, ALL)]
CASES = {case.name(): case for case in (*UNSEEN, *SEEN)}
SEQUENTIAL, NARROWER = "decided by Lai", "no wider when shifted"


def place(run: ArmRun, tasks: str, number: int, shift: bool = False) -> Task:
    """One of the tasks, told what to do by words."""
    from imitari.data.instructions import WordVectors
    from imitari.envs import task_named

    name: str = run.budget.demos[tasks][number]
    if shift:
        name = f"shifted/{run.budget.demos['shift']}/{name}"
    return instructed(task_named(name), WordVectors())


def mixture(run: ArmRun) -> MixedTask:
    """The tasks of the pretraining as one."""
    from imitari.envs import task_named

    task = task_named(run.budget.demos["mixture"])
    assert isinstance(task, MixedTask)
    return task


# ---------------------------------------------------------------- data and agents: made once for all arms of a seed


def shown(run: ArmRun, task: Task, count: int) -> Demos:
    """Successful episodes of the scripted expert, whose executed actions are shaken; recorded is what it wanted."""
    from imitari.jobs.demonstrations import demonstrate

    starts = training_starts(run.seed, count)
    return demonstrate(task, starts, noise=0.1, record_noise=False, only_successes=True)


def settings(run: ArmRun, policy: Policy) -> dict[str, Any]:
    """Of the training of a policy: those of the first arm that has it."""
    own = CASES.get(run.arm)
    if own is not None and own.policy.kind == policy.kind:
        return run.settings
    return CLAIM.settings(next(name for name, case in CASES.items() if case.policy.kind == policy.kind), run.budget)


def trained(run: ArmRun, policy: Policy, tasks: str, number: int) -> Agent:
    """The agent of a policy for one of the tasks."""
    from imitari.jobs.training import TrainRequest
    from imitari.learn.agent import Agent

    chosen = settings(run, policy)
    if policy.kind == "untuned":
        task, where = mixture(run), "agents/untuned"
        count = run.budget.demos["all"] * len(task.parts)
    else:
        task, where = place(run, tasks, number), f"agents/{policy.kind} {policy.demos} {tasks} {number}"
        count = run.budget.demos[policy.demos]
    if policy.kind == "tuned":
        trained(run, UNTUNED, tasks, number)
        chosen = {**chosen, "policy_start": str(shared(run, "agents/untuned"))}
    request = TrainRequest("lbm", chosen, task=task.name, seed=run.seed, show=False)
    return Agent.load(trained_once(shared(run, where), request, lambda: shown(run, task, count), task))


def rolled(run: ArmRun, case: Case) -> list[Outcome]:
    """Outcomes of a case at the run's starts, in their order; made once."""
    from imitari.evaluate.rollout import rollout

    path = shared(run, f"outcomes/{case.name()}")
    with alone_in(path):
        if not (path / "outcomes.parquet").exists():
            agent = trained(run, case.policy, case.tasks, case.number)
            task = place(run, case.tasks, case.number, case.shifted)
            episodes = rollout(agent, task, run.starts, together=100)
            rows = [Outcome.of(episode, case.name(), task.name, run.seed) for episode in episodes]
            write_outcomes(path / "outcomes.parquet", rows)
    return read_outcomes(path / "outcomes.parquet")


# ---------------------------------------------------------------- what is measured


def decided(run: ArmRun, number: int, shift: bool) -> bool:
    """Whether Lai's test over three policies (Bonferroni) says that tuning beats a network of its own with as many
    demonstrations; the order of the starts is that of their numbers, and their number the budget."""
    cases = [Case(policy, "unseen", number, shift) for policy in (TUNED, FEW, MORE)]
    rows = [{row.start: row for row in rolled(run, case)} for case in cases]

    def ask(policy: int, starts: Sequence[int]) -> list[Outcome]:
        return [rows[policy][start] for start in starts]

    found = rank_sequentially(ask, list(run.starts), [case.name() for case in cases])
    (first,) = (pair for pair in found.pairs if (pair.a, pair.b) == (0, 1))
    return first.decision is not None and first.decision.winner == "a"


def gap(run: ArmRun, number: int, shift: bool) -> float:
    """How much more often tuning succeeds than a network of its own with as many demonstrations."""
    tuned, few = (rolled(run, Case(policy, "unseen", number, shift)) for policy in (TUNED, FEW))
    return float(np.mean([row.success for row in tuned]) - np.mean([row.success for row in few]))


def run_arm(run: ArmRun) -> list[Outcome]:
    """`total`: success of an episode; of the arms that measure, the share of cases."""
    if run.arm in CASES:
        return [replace(row, total=float(row.success)) for row in rolled(run, CASES[run.arm])]
    if run.arm == SEQUENTIAL:
        value = float(np.mean([decided(run, *side) for side in SIDES]))
    else:
        value = float(np.mean([gap(run, number, True) <= gap(run, number, False) for number in range(2)]))
    return told(run, value)


# ---------------------------------------------------------------- what is compared, and what must come out

SMALL: dict[str, Any] = {
    "width": 48,
    "layers": 2,
    "heads": 4,
    "words": 16,
    "chunk": 8,
    "execute": 4,
    "sampling": 8,
    "batch": 64,
    "lr": 1e-2,
    "schedule": "cosine",
    "warmup": 50,
    "ema": 0.98,
}
ERRANDS: dict[str, Any] = {
    "unseen": ("errands/star", "errands/cross-moon"),
    "seen": ("errands/ring", "errands/square-star"),
    "mixture": "errands/twelve",
    "all": 40,
    "few": 8,
    "more": 20,
    "shift": "observation:0.02,action:0.9,region:1.3",
}
TWELVE = (
    "reach push pick-place door-open drawer-open drawer-close button-press-topdown window-open window-close "
    "handle-press plate-slide push-wall"
)
METAWORLD: dict[str, Any] = {
    **ERRANDS,
    "mixture": "mixed/metaworld/" + "+".join(f"{name}-v3" for name in TWELVE.split()),
    "unseen": ("metaworld/handle-press-side-v3", "metaworld/push-back-v3"),
    "seen": ("metaworld/push-v3", "metaworld/drawer-open-v3"),
    "shift": "observation:0.01,action:0.9,region:1.3",
}


TINY: dict[str, Any] = {"steps": 2, "batch": 8, "width": 16, "layers": 1, "sampling": 2, "warmup": 0}


def everywhere(
    pretraining: dict[str, Any], tuning: dict[str, Any], single: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Settings of a budget, by the kind of policy."""
    kinds = {"untuned": pretraining, "tuned": tuning, "single": single}
    return {name: kinds[case.policy.kind] for name, case in CASES.items()}


def named(policy: Policy, number: int, shift: bool = False) -> str:
    return Case(policy, "unseen", number, shift).name()


PAIRS = tuple(named(policy, number) for number in range(2) for policy in (TUNED, FEW))
STARVED = tuple(named(policy, number) for number in range(2) for policy in (FEW, MORE))

CLAIM = Claim(
    paper="TRI LBM team 2025, A Careful Examination of Large Behavior Models for Multitask Dexterous Manipulation",
    sentence="A policy that is pretrained on twelve tasks and tuned with 8 demonstrations of a new one succeeds as "
    "often as the same network trained on 20 demonstrations of it alone, and more often than one trained on those 8.",
    arms={**{name: Arm("lbm", SMALL) for name in CASES}, SEQUENTIAL: Arm(""), NARROWER: Arm("")},
    task="errands/twelve",
    criteria=(
        *(NotWorse(named(TUNED, number), named(MORE, number), margin=0.1) for number in range(2)),
        Derived(
            "tuned - single, 8 demonstrations each, on the unseen task where it is more",
            PAIRS,
            lambda means: float(max(means[0] - means[1], means[2] - means[3])),
            at_least=0.1,
        ),
        Level(SEQUENTIAL, at_least=0.5),
        Seen(NARROWER, at_most=0.5, seeds=2),
        *(NotWorse(SEEN[2 * number].name(), SEEN[2 * number + 1].name(), margin=0.1) for number in range(2)),
        Derived("success of the networks of one unseen task", STARVED, lambda means: float(means.mean()), 0.2, 0.6),
    ),
    budgets={
        "smoke": Budget(
            range(2), 2, {**ERRANDS, "all": 1, "few": 2, "more": 3}, everywhere(TINY, TINY, TINY), minutes=0.3
        ),
        "quick": Budget(
            range(5),
            100,
            ERRANDS,
            everywhere({"steps": 6_800}, {"steps": 250, "lr": 7e-4}, {"steps": 700}),
            minutes=12,
        ),
        "full": Budget(
            range(3),
            200,
            METAWORLD,
            everywhere(
                {"steps": 10_000, "width": 128, "layers": 4, "chunk": 16, "execute": 8, "lr": 1e-3, "ema": 0.999},
                {"steps": 2_000, "width": 128, "layers": 4, "chunk": 16, "execute": 8, "lr": 1e-4, "ema": 0.999},
                {"steps": 5_000, "width": 128, "layers": 4, "chunk": 16, "execute": 8, "lr": 1e-3, "ema": 0.999},
            ),
            minutes=300,
        ),
    },
    metric="total",
    run_arm=run_arm,
    notes="Not the paper's robots: errands in the plane (12 of 15 are pretrained on, 40 demonstrations each), "
    "numbers in the place of pictures, words as hashed counts, a chunk of 8 with 4 executed, two blocks of width 48. "
    "The budget full is the protocol on Meta-World. All arms have one network and one expert with shaken actions; a "
    "policy of one task has 700 steps, the pretraining 6,800, tuning 250, with the statistics of the mixture. "
    "Arms: kind of policy (tuned, single, untuned), its demonstrations of the task (few 8, more 20, all 40), the task, "
    "and whether conditions are shifted (sensors off by 0.02, actions at 0.9, a start region 1.3 times as wide). "
    f"`{SEQUENTIAL}`: share of the four cases (two unseen tasks, nominal and shifted) in which Lai's test over the "
    "three policies with Bonferroni says that tuning beats the network with as many demonstrations; "
    f"`{NARROWER}`: share of the two tasks whose gap between these two is no larger under shift. That a policy "
    "pretrained alone is about equal to one of a seen task is judged as not more than ten points worse. World and "
    "settings were chosen on seeds 1000 to 1008: with a start region of 0.7 and narrower tolerances 8 demonstrations "
    "gave 3 to 4 %, below what the protocol asks of the baseline; tuning with ten times the rate lost what was "
    "pretrained (unseen tasks, mean of two seeds: rate 0.006 51 %, 0.002 68 %, 0.0007 81 %, none 65 %); twice as many"
    " steps did not help the networks of one task (62 %, with 700 61 %, at a third of the rate 42 %); after 3,400 "
    "steps of pretraining seen tasks were 9 points behind their own networks (1005 and 1006).",
)
