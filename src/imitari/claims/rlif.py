"""Learning from when one is interrupted outgrows the hands that take over; cloning what they then do does not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from imitari.core.demos import Demos
from imitari.core.outcome import Outcome
from imitari.core.task import Task, World
from imitari.data.hands import Clumsy, Hands
from imitari.jobs.claim import Arm, ArmRun, Budget, Claim, Difference, Level, NotWorse, training_starts
from imitari.jobs.demonstrations import demonstrate

if TYPE_CHECKING:
    from imitari.learn.agent import Agent

# Success of these hands alone in `umaze`: 10, 40 and 90 % (starts 5,000 to 5,399: 10, 42, 90).
HANDS = {10: Hands(0.491, 0.3, 2), 40: Hands(0.477, 0.3, 2), 90: Hands(0.452, 0.3, 2)}

TWIN = "rlif_10"  # the arm whose training "calm" looks at


def clumsy(task: Task, hands: Hands) -> Task:
    """The task with an expert that has such hands; its judge stays what it is."""

    def expert(world: World) -> Clumsy:
        return Clumsy(task.expert(world), hands, task.spec.action)

    return replace(task, expert_for=expert)


def demos(budget: Budget, seed: int, task: Task) -> Demos:
    """A few episodes of hands of 40 %, successes and failures."""
    return demonstrate(clumsy(task, HANDS[40]), training_starts(seed, budget.demos["episodes"]))


def run_arm(run: ArmRun) -> list[Outcome]:
    """Trains and evaluates; the hands' level is the number in the arm's name. "calm" is judged by the interruptions."""
    from imitari.jobs.evaluation import evaluate

    if run.arm.startswith("calm"):
        return calmer(run, twin(run) or trained(run))
    return evaluate(trained(run), run.task, run.starts, show=False)


def settings(run: ArmRun) -> dict[str, Any]:
    """Of the method: under an intervener, with the hands of the arm's level, judged with a clean eye."""
    if "intervener" not in run.settings:
        return run.settings
    hands = HANDS[level(run)]
    judge = {} if run.task.judge_for else {"judge": "fitted", "compare": "share", "delta": 0.975}
    clumsiness = {"hands_bias": hands.bias, "hands_hold": hands.hold, "hands_side": hands.side}
    return {**clumsiness, **run.settings, **judge}


def level(run: ArmRun) -> int:
    return int(run.arm.rpartition("_")[2])


def trained(run: ArmRun) -> Agent:
    from imitari.jobs.training import TrainRequest, train

    # Who is asked for labels in every step is the task's expert itself.
    task = clumsy(run.task, HANDS[level(run)]) if run.arm.startswith("dagger") else run.task
    request = TrainRequest(run.method, settings(run), task=task.name, seed=run.seed, show=False)
    return train(request, run.folder, demos(run.budget, run.seed, run.task), task)


def twin(run: ArmRun) -> Agent | None:
    """The agent of the arm that trains the same with this seed, where that is done already."""
    from imitari.learn.agent import Agent
    from imitari.learn.method import method_named

    folder = run.folder.parent.parent / TWIN / run.folder.name
    if not (folder / "agent.json").exists():
        return None
    agent = Agent.load(folder)
    same = agent.method == method_named(run.method, settings(run)) and agent.facts["seed"] == run.seed
    return agent if same else None


def calmer(run: ArmRun, agent: Agent) -> list[Outcome]:
    """A start counts where the trained policy is interrupted in less than half the share of steps that it was in the
    first round of its training, under the same intervener."""
    from imitari.learn.interactive import INTERVENTION, gather
    from imitari.learn.interveners import Watched, intervener
    from imitari.learn.judging import judge_named
    from imitari.learn.run import Run

    method = agent.method
    assert isinstance(method, Watched)
    first = agent.facts["explored"]["rounds"][0]
    before = first["taken"] / first["steps"]
    judge_for = judge_named(method.judge, run.task, Run(seed=run.seed, show=False), method.judge_steps)
    supervisor = intervener(method, run.task, judge_for, run.seed)
    episodes = gather(agent, run.task, supervisor, run.starts)
    return [
        replace(
            Outcome.of(episode, run.arm, run.task.name, run.seed),
            success=bool(np.mean(episode.extra[INTERVENTION]) < before / 2),
        )
        for episode in episodes
    ]


LEARNER = {
    "critics": 2,
    "hidden": [128, 128],
    "batch": 128,
    "utd": 2,
    "lr": 1e-3,
    "tau": 0.01,
    "temperature": 0.1,
    "gamma": 0.98,
    "ema": 0.9995,
    "together": 8,
    "ending": "continue",
}
CLONER = {"hidden": [128, 128], "batch": 128, "lr": 1e-3, "ema": 0.99}
VALUE = {"intervener": "value", "delta": 0.8}
RANDOM = {"intervener": "random", "probability": 0.5}
SMOKE_ROUNDS = {"steps": 20, "rounds": 1, "round_episodes": 2}

CLAIM = Claim(
    paper="Luo, Dong, Zhai, Ma & Levine 2024, RLIF: Interactive Imitation Learning as Reinforcement Learning",
    sentence="When a good judge with clumsy hands interrupts a policy, a policy that learns to be interrupted less "
    "outgrows the hands, while one that clones what the hands do inherits their clumsiness.",
    arms={
        "rlif_10": Arm("rlif", {**LEARNER, **VALUE}),
        "hg_10": Arm("hg_dagger", {**CLONER, **VALUE}),
        "dagger_10": Arm("dagger", {**CLONER, "start": "warm"}),
        "random_10": Arm("rlif", {**LEARNER, **RANDOM}),
        "bc": Arm("bc", CLONER),
        "rlif_90": Arm("rlif", {**LEARNER, **VALUE}),
        "hg_90": Arm("hg_dagger", {**CLONER, **VALUE}),
        "calm_10": Arm("rlif", {**LEARNER, **VALUE}),
    },
    task="umaze",
    criteria=(
        Difference("rlif_10", "hg_10", margin=0.4),
        Level("rlif_10", at_least=0.6),
        NotWorse("rlif_90", "hg_90", margin=0.15),
        Level("calm_10", at_least=0.5),
        Difference("rlif_10", "random_10", margin=0.2),
    ),
    budgets={
        "smoke": Budget(
            range(2),
            10,
            {"episodes": 2},
            {
                "all": {"batch": 16, "hidden": [16]},
                **{arm: {"steps": 30, "together": 2} for arm in ("rlif_10", "random_10", "rlif_90", "calm_10")},
                **dict.fromkeys(("hg_10", "hg_90", "dagger_10"), SMOKE_ROUNDS),
                "bc": {"steps": 20},
            },
            minutes=0.3,
        ),
        "quick": Budget(
            range(4, 8),
            50,
            {"episodes": 10},
            {
                **{arm: {"steps": 14_400} for arm in ("rlif_10", "random_10", "rlif_90", "calm_10")},
                **{arm: {"steps": 300, "rounds": 18, "round_episodes": 4} for arm in ("hg_10", "hg_90", "dagger_10")},
                "bc": {"steps": 5_700},
            },
            minutes=15,
        ),
        "full": Budget(
            range(10),
            200,
            {"episodes": 10},
            {
                **{
                    arm: {"steps": 100_000, "together": 1, "critics": 10, "hidden": [256, 256, 256]}
                    for arm in ("rlif_10", "random_10", "rlif_90", "calm_10")
                },
                **{
                    arm: {"steps": 2_500, "rounds": 100, "round_episodes": 5, "hidden": [256, 256, 256]}
                    for arm in ("hg_10", "hg_90", "dagger_10")
                },
                "bc": {"steps": 100_000, "hidden": [256, 256, 256]},
            },
            minutes=10_000,
        ),
    },
    demos=demos,
    run_arm=run_arm,
    notes="Every arm begins with the same 10 episodes of hands of 40 %, rewards 0, and takes as many environment steps "
    "(14,400 in quick; cloning takes none), under the same judge (Q_ref = minus the steps that the clean "
    "controller then needs; delta 0.8: it stops the clean controller never, a random policy in 68 % of the steps; "
    "0.95/0.05; 4 steps). Steps inside an intervention are stored with reward 0. The world has the geometry and "
    "forces of PointMaze_UMaze-v3 and one goal; an episode goes on at the goal, and has 200 steps, not 150, "
    "because the clean controller needs up to 134 from the farthest start. With an end at the goal of value 0 "
    "every intervener would teach to hurry, a random one too. Smaller than the paper: 2 critics of 2 x 128, "
    "batches of 128, 8 worlds in step, 2 updates an environment step, gamma 0.98, averaged weights. 'calm' is the "
    "training of rlif_10, judged start by start: the trained policy is interrupted in less than half the share of "
    "steps of its first round. Full: 100,000 steps with the paper's networks; --task robotics/PointMaze_UMaze-v3 "
    "has a judge of its own, for gym/Hopper-v5 critics are fitted to the expert's return. A judging with 9,600 steps "
    "was stopped: rlif_10 solved 100 and 22 % of the starts with seeds 0 and 1, hg_10 16 and 12 %. After tuning on "
    "seeds 1003 to 1006 the steps were raised by a half for every arm, and seeds 4 to 7 judge. Judged: all holds but "
    "the control; interrupted at random, it learns, too (9,600 steps of seeds 1000 to 1002: 50, 90, 46 %).",
)
