"""From ten traces, planning with learned actions solves crafting problems that cloning does not, on larger maps too."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from imitari.core.demos import Demos
from imitari.core.episode import Episode
from imitari.core.outcome import Outcome
from imitari.core.task import Task
from imitari.envs import task_named
from imitari.envs.crafting import STATE, Curious, layout
from imitari.evaluate.rollout import rollout
from imitari.jobs.claim import Always, Arm, ArmRun, Budget, Claim, Difference, Level, NotWorse, training_starts
from imitari.jobs.demonstrations import demonstrate
from imitari.learn.agent import Agent
from imitari.learn.method import method_named
from imitari.learn.run import Run
from imitari.plan.action_models import LearnedModel
from imitari.plan.following import PlanFollower
from imitari.plan.grounding import World
from imitari.plan.planners import planner_named
from imitari.plan.validation import execute

HOME, LARGER, LARGEST, SWORD = "crafting/pogo-6", "crafting/pogo-10", "crafting/pogo-15", "crafting/sword-15"
NETWORK = {"hidden": [512, 256, 256], "lr": 3e-4, "batch": 32, "steps": 3000}
INVALID = "no invalid plan of nsam 10"
ADVERSARIAL = {
    "steps": 20_480, "horizon": 32, "batch": 64, "lr": 1e-3, "gamma": 0.9, "mask": "learned", "acting": "sample",
    "normalise_obs": False, "reward": "negative", "sees": "all", "judge_updates": 32, "judge_batch": 128,
    "penalty": 1.0,
}  # fmt: skip
STATES = {"states": 1000}
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "nsam": ("nsam", STATES),
    "no": ("nsam", STATES),
    "bc": ("bc", NETWORK),
    "gail": ("gail", ADVERSARIAL),
    "dqn": ("offline_dqn", {**NETWORK, "target_every": 32, "double": False, "epsilon": 0.05}),
}


@dataclass(frozen=True)
class Condition:
    """Attributes:
    traces: how many.
    curious: whether the expert also shows what can be done, or only follows shortest plans.
    train, test: tasks.
    """

    traces: int
    curious: bool = True
    train: str = HOME
    test: str = HOME


CONDITIONS = {
    "nsam 10": Condition(10),
    "nsam 10 all numbers": Condition(10),
    "nsam 10 shortest": Condition(10, curious=False),
    "nsam 40 shortest": Condition(40, curious=False),
    "bc 10": Condition(10),
    "bc 40": Condition(40),
    "bc 40 shortest": Condition(40, curious=False),
    "dqn 40": Condition(40, curious=False),
    "gail 40": Condition(40),
    "gail 40 shortest": Condition(40, curious=False),
    "nsam on 10x10": Condition(40, test=LARGER),
    "bc on 10x10": Condition(40, test=LARGER),
    "bc on 15x15": Condition(40, test=LARGEST),
    "nsam sword on 15x15": Condition(40, train="crafting/sword-6", test=SWORD),
    INVALID: Condition(10),
}


def traces(task: Task, seed: int, condition: Condition, budget: Budget) -> Demos:
    """Of a training seed: the same for all arms of a condition, and ten are the first of forty."""
    starts = training_starts(seed, min(condition.traces, budget.demos.get("traces", condition.traces)))
    name = task.name.partition("/")[2]
    return demonstrate(task, starts, actor=Curious(layout(name)) if condition.curious else None, together=10)


def padded(demos: Demos, small: Task, large: Task) -> Demos:
    """Demonstrations of a map in the observations and choices of a larger one, of which they fill the first corner;
    around it is air. So a network that was fitted to small maps can be asked about larger ones at all."""
    sides = [layout(task.name.partition("/")[2]).side for task in (small, large)]
    cells = (np.arange(sides[0])[:, None] * sides[1] + np.arange(sides[0])).reshape(-1)
    last = sides[0] ** 2

    def moved(episode: Episode) -> Episode:
        rows = episode.obs[STATE]
        blocks = np.zeros((len(rows), sides[1] ** 2), np.float32)
        blocks[:, cells] = rows[:, 1 : 1 + last]
        position = cells[rows[:, -1:].astype(np.int64)].astype(np.float32)
        wide = np.concatenate([rows[:, :1], blocks, rows[:, 1 + last : -1], position], 1)
        recipe = episode.action - last + sides[1] ** 2
        action = np.where(episode.action < last, cells[np.minimum(episode.action, last - 1)], recipe)
        return replace(episode, obs={STATE: wide}, action=action)

    return Demos.from_episodes([moved(demos[number]) for number in range(len(demos))], large.spec)


def learned(run: ArmRun, condition: Condition) -> tuple[Agent, Task]:
    """The method of the arm, fitted to its traces, ready to act in the task that it is tested in."""
    small, large = task_named(condition.train), task_named(condition.test)
    demos, method = traces(small, run.seed, condition, run.budget), method_named(run.method, run.settings)
    if small.spec != large.spec and "symbols" not in method.needs:
        demos, small = padded(demos, small, large), large
    agent = method.fit(demos, Run(seed=run.seed, device="cpu", show=False), small)
    return method.moved(agent, large), large


def invalid_plans(run: ArmRun, agent: Agent, task: Task) -> list[Outcome]:
    """Of every start whether the plan, carried out by the true rules, is refused or misses the goal. `length`: of the
    plan."""
    model = LearnedModel.from_json(agent.learner.parts()["model"])
    assert task.symbols is not None
    follower = PlanFollower(model, task.symbols, planner_named("breadth_first", 60.0, STATES["states"]), task.limit, 1)
    truth = World(layout(task.name.partition("/")[2]).domain(), follower.reading.problem.objects)
    world = task.make(len(run.starts))
    obs, _ = world.reset(seed=list(run.starts))
    states = follower.reading.states(obs)
    found: list[Outcome] = []
    for row, start in enumerate(run.starts):
        problem = follower.reading.problem_at(states, row)
        plan = follower.plan(problem)
        solved = plan.planned.status == "solved"
        fine = not solved or execute(truth.vocabulary.domain, problem, plan.steps, truth).valid
        length = len(plan.steps)
        found.append(
            Outcome(run.arm, task.name, start, run.seed, fine, float(fine), float(solved), length, "truncated")
        )
    return found


def run_arm(run: ArmRun) -> list[Outcome]:
    """Traces, learning, and one episode a start; or the check of the plans."""
    agent, task = learned(run, CONDITIONS[run.arm])
    if run.arm == INVALID:
        return invalid_plans(run, agent, task)
    episodes = rollout(agent, task, run.starts)
    return [Outcome.of(episode, run.arm, task.name, run.seed) for episode in episodes]


CLAIM = Claim(
    paper="Benyamin et al. 2025, Integrating Reinforcement Learning, Action Model Learning, and Numeric Planning for "
    "Tackling Complex Tasks",
    sentence="From ten traces, planning with learned actions solves crafting problems that cloning does not solve from "
    "forty, never with an invalid plan, and what it learned on small maps holds on larger ones.",
    arms={
        **{name: Arm(*METHODS[name.split()[0]]) for name in CONDITIONS},
        "nsam 10 all numbers": Arm("nsam", {"states": 500, "fluents_map": False}),
    },
    task=HOME,
    criteria=(
        Level("nsam 10", at_least=0.9),
        Always(INVALID),
        Level("bc 40", at_most=0.4),
        Difference("nsam 10", "bc 40 shortest", margin=0.3),
        NotWorse("bc 40 shortest", "gail 40 shortest", margin=0.05),
        Level("nsam on 10x10", at_least=0.8),
        Level("nsam sword on 15x15", at_least=0.8),
        Level("bc on 10x10", at_most=0.1),
    ),
    budgets={
        "smoke": Budget(
            range(2),
            2,
            {"traces": 3},
            {
                **{name: {"steps": 20} for name in CONDITIONS if METHODS[name.split()[0]][0] != "nsam"},
                **{name: {"steps": 64, "together": 2} for name in CONDITIONS if name[:4] == "gail"},
            },
            minutes=0.3,
        ),
        # Seeds 0, 5 to 9 and 20 to 29 were seen with earlier experts: see the notes.
        "quick": Budget(range(50, 58), 100, minutes=15),
        "full": Budget(range(30, 40), 200, minutes=60),
    },
    run_arm=run_arm,
    notes="Arms: method, traces, and where it is tested if not on 6x6. The paper gives curves and no numbers that we "
    "know; the margins were written before judging. Traces are of a curious expert: on the way to the goal it "
    "does one thing after another for a while, and each episode of a group works at another selection of the raw "
    "things, since shortest plans show each action in too few situations; the arms named shortest are those of an"
    " expert that follows shortest plans alone. Cloning gets the same traces, forty of them, and also forty "
    "shortest plans, from which it learns better. The planner is our own search; the task says which numbers an "
    "action reads, except in the arm named all numbers. On larger maps cloning is trained on traces padded to "
    "their size; its criterion is that of 10x10. The offline deep Q-network has the network of the paper and "
    "the forty shortest plans, and leaves 5 % of its choices to chance; it is reported without a criterion, as the "
    "specification has none for it. GAIL acts for 20,480 steps, as "
    "in the paper, with a mask that it learns; that it is not above cloning by 5 points is asked on shortest plans, "
    "from which both learn best, and was written before judging. It is said of those steps alone: with four times as "
    "many GAIL solved 76 and 86 % on tuning seeds 1002 and 1003, where it solved 48 and 31 % after 20,480. "
    "100 starts in the place of 40, and as many on the larger maps in the place of 20. Judged before: "
    "with an expert that also varied taps and sacks, stopped after seed 0 (28 of 60), and on seeds 5 to 9"
    " with one whose episodes all worked at everything (60, 32, 34, 58, 60 of 60; it did not hold): those arrived"
    " with much of everything, so that the condition of the last action left out those who have little. Both were"
    " changed on seeds from 1,000 on. Cloning on 10x10, where 10 % are allowed, solved 15 % then. That no plan is"
    " invalid was first written as an interval that must reach 1, which no number of plans does; it is a count "
    "now. On seeds 20 to 29 all was met (97 % from ten traces, one seed at 86) but cloning on 10x10, which solved 22 "
    "%: starts with much in hand need few steps, on any map. Since then the expert uses a thing up only when there is "
    "more of it than any start gives (29 of 29 tuning seeds at 100 %, 15 of 16 before), and the two other baselines "
    "are there; the criteria on cloning are as they were.",
)
