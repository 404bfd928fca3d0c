"""Imitating the steps of a search finds the way through mazes that were never shown; cloning the moves does not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from imitari.core.demos import Demos
from imitari.core.outcome import Outcome
from imitari.core.task import Task
from imitari.jobs.claim import Arm, ArmRun, Budget, Claim, Level, training_starts
from imitari.jobs.demonstrations import demonstrate
from imitari.jobs.sharing import shared, trained_once

if TYPE_CHECKING:
    from imitari.learn.agent import Agent

EACH, SHARED = 4, 5  # demonstrations a maze; starts that share one
PATIENCE = 100  # steps of a demonstration, at most


@dataclass(frozen=True)
class Trial:
    """An arm: who is trained, and how that agent is used.

    Attributes:
        learner: key of `LEARNERS`.
        mazes: shown in training; key of the budget's `demos`.
        where: "unseen" mazes, or the demonstrations' own starts.
        side: of the mazes, another than in training where the weights allow it.
        changes: settings of the trained agent when it acts.
    """

    learner: str
    mazes: Literal["few", "many"]
    where: Literal["unseen", "seen"] = "unseen"
    side: int = 16
    changes: tuple[tuple[str, Any], ...] = ()

    @property
    def agent(self) -> str:
        return f"{self.learner} {self.mazes}"


MAPS: dict[str, Any] = {"lr": 2e-3, "schedule": "cosine"}
STEPS: dict[str, Any] = {**MAPS, "widths": [16, 16, 32, 32]}
MOVES: dict[str, Any] = {**MAPS, "lr": 1e-3, "widths": [16, 16, 32, 32, 32], "hidden": [128, 128]}
LEARNERS: dict[str, tuple[str, dict[str, Any]]] = {
    "procedure": ("procedure_cloning", STEPS),
    "moves": ("map_bc", MOVES),
    "augmented": ("map_bc", {**MOVES, "shift": 0.1, "zoom": 0.1}),
    "auxiliary": ("map_bc", {**MOVES, "auxiliary": 1.0}),
}
BASELINES = ("moves", "augmented", "auxiliary")
TRIALS: dict[str, Trial] = {
    **{f"{learner} {mazes}": Trial(learner, mazes) for mazes in ("few", "many") for learner in LEARNERS},
    **{f"{learner} few, drawn": Trial(learner, "few", changes=(("sample", True),)) for learner in BASELINES},
    "moves many, drawn": Trial("moves", "many", changes=(("sample", True),)),
    "one step few": Trial("procedure", "few", changes=(("longest", 1),)),
    "one step many": Trial("procedure", "many", changes=(("longest", 1),)),
    "procedure few, seen": Trial("procedure", "few", "seen"),
    "moves few, seen": Trial("moves", "few", "seen"),
    "procedure many, 24": Trial("procedure", "many", side=24, changes=(("longest", 200),)),
    "procedure many, 32": Trial("procedure", "many", side=32, changes=(("longest", 200),)),
}


# ---------------------------------------------------------------- data and agents


def shown(run: ArmRun, mazes: str) -> Demos:
    """Shortest ways through the mazes of a training seed."""
    from imitari.envs import task_named

    every = training_starts(run.seed, SHARED * run.budget.demos[mazes])
    chosen = [start for start in every if start % SHARED < EACH]
    return demonstrate(task_named(run.task.name, limit=PATIENCE), chosen)


def trained(run: ArmRun, trial: Trial) -> Agent:
    """The agent of a trial, trained by whichever of its arms is first."""
    from imitari.jobs.training import TrainRequest
    from imitari.learn.agent import Agent

    method, _ = LEARNERS[trial.learner]
    settings = CLAIM.settings(trial.agent, run.budget, run.settings if run.arm == trial.agent else {})
    request = TrainRequest(method, settings, task=run.task.name, seed=run.seed, precision="bf16", show=False)
    folder = trained_once(shared(run, trial.agent), request, lambda: shown(run, trial.mazes), run.task)
    return changed(Agent.load(folder), dict(trial.changes))


def changed(agent: Agent, changes: dict[str, Any]) -> Agent:
    """The same weights with other settings of acting."""
    from imitari.learn.agent import Agent

    if not changes:
        return agent
    method = replace(agent.method, **changes)
    learner = method.learner(agent.spec)
    learner.load_state_dict(agent.learner.state_dict())
    return Agent(method, learner, agent.scaler, agent.spec, agent.facts)


# ---------------------------------------------------------------- one arm


def run_arm(run: ArmRun) -> list[Outcome]:
    """One outcome a start. Seen mazes: the demonstrations' own starts, over and over."""
    from imitari.envs import task_named
    from imitari.evaluate.rollout import rollout

    trial = TRIALS[run.arm]
    agent = trained(run, trial)
    task: Task = run.task if trial.side == 16 else task_named(f"tunnels/{trial.side}")
    agent.check(task.spec, f"task '{task.name}'")
    if trial.where == "unseen":
        starts = list(run.starts)
    else:
        known = agent.facts["starts"][task.name]
        starts = [known[number % len(known)] for number in range(len(run.starts))]
    alone = {episode.source["seed"]: episode for episode in rollout(agent, task, sorted(set(starts)), show=False)}
    return [
        replace(Outcome.of(alone[start], run.arm, run.task.name, run.seed), start=number)
        for number, start in zip(run.starts, starts, strict=True)
    ]


# ---------------------------------------------------------------- what is compared, and what must come out

CLAIM = Claim(
    paper="Yang, Schuurmans, Abbeel & Nachum 2022, Chain of Thought Imitation with Procedure Cloning",
    sentence="Imitating the steps of a search through a few mazes gives a policy that finds its way in unseen and in "
    "larger ones, where cloning the moves, also with augmented maps or with the search as a side task, does not.",
    arms={name: Arm(*LEARNERS[trial.learner]) for name, trial in TRIALS.items()},
    task="tunnels/16",
    criteria=(
        Level("procedure few", at_least=0.75),
        Level("moves few", at_most=0.15),
        Level("augmented few", at_most=0.3),
        Level("auxiliary few", at_most=0.25),
        Level("moves few, drawn", at_most=0.15),
        Level("augmented few, drawn", at_most=0.3),
        Level("auxiliary few, drawn", at_most=0.25),
        Level("procedure many", at_least=0.85),
        Level("moves many", at_most=0.3),
        Level("moves many, drawn", at_most=0.3),
        Level("procedure few, seen", at_least=0.9),
        Level("moves few, seen", at_least=0.5),
        Level("procedure many, 24", at_least=0.5),
        Level("procedure many, 32", at_least=0.5),
        Level("one step few", at_most=0.2),
        Level("one step many", at_most=0.2),
    ),
    budgets={
        "smoke": Budget(
            range(2),
            3,
            {"few": 1, "many": 2},
            {"all": {"steps": 2, "batch": 2}},
            minutes=0.3,
        ),
        "quick": Budget(range(5), 200, {"few": 5, "many": 20}, {"all": {"steps": 1500}}, minutes=15),
        "full": Budget(
            range(5),
            100,
            {"few": 5, "many": 20},
            {"all": {"steps": 100_000, "lr": 3e-4, "schedule": "constant"}},
            minutes=2000,
        ),
    },
    run_arm=run_arm,
    notes="The protocol of the paper's published code: 16 x 16 mazes, 5 or 20 in training with 4 shortest ways each, "
    "50 steps to the target; here 40 unseen mazes with 5 starts each. Mazes are ours, from its description. Scaled "
    "down: 16 to 32 channels and 1,500 updates in place of 128 to 256 and 100,000. 'drawn': cloning draws its moves, "
    "as in the paper's code, else it takes the likeliest. 'one step': the search is stopped after its first step, and "
    "where it has not come to the agent the move is random; random moves alone solve about 9 %. 'seen': the "
    "demonstrations' own starts, of which there are 20, over and over, so that this interval is too narrow. '24', "
    "'32': larger mazes, 150 steps. Every agent of a seed is trained once and used by all its arms. Tuned on seeds "
    "1001 to 1006: a few runs each of procedure cloning (700 to 1,500 updates) and of cloning (two rates, 600 to "
    "2,000 updates).",
)
